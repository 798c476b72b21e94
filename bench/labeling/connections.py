"""The page's connections: so many at a time, and none that is kept waiting for the rest of a request."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from bench.labeling.guard import HEADERS, Once

MOST = 400  # connections at a time; a browser opens up to six
SECONDS = 10.0  # for a whole request to arrive, or an answer to be taken
BACKLOG = 32  # connections that the system accepts at once, before we have counted them
_SPARE = 96  # open files that are no connections
_WAITING = (h11.IDLE, h11.SEND_BODY)


class Limited(H11Protocol):
    """One connection. It is closed when there are too many, or when a request does not arrive or an answer is not taken
    in time."""

    most = MOST
    seconds = SECONDS
    _arriving: asyncio.TimerHandle | None = None
    _taken: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self.most:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state in _WAITING:
            self._wait()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._stop_taking()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._stop_waiting()  # the next request has a time of its own
        self._close_in_time()

    def timeout_keep_alive_handler(self) -> None:
        """As uvicorn's, which closes: what the client has not taken by then is not waited for."""
        super().timeout_keep_alive_handler()
        self._close_in_time()

    def pause_writing(self) -> None:
        """The client takes nothing more at present."""
        super().pause_writing()
        self._limit_taking()

    def resume_writing(self) -> None:
        """It goes on."""
        super().resume_writing()
        self._stop_taking()

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, with the headers that all our answers have."""
        headers = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
        headers += [(b"Content-Type", b"text/plain; charset=utf-8"), (b"Connection", b"close")]
        for event in (h11.Response(status_code=400, headers=headers), h11.Data(data=msg.encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _wait(self) -> None:
        if self._arriving is None:
            self._arriving = self.loop.call_later(self.seconds, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _limit_taking(self) -> None:
        if self._taken is None:
            self._taken = self.loop.call_later(self.seconds, self.transport.abort)

    def _stop_taking(self) -> None:
        if self._taken is not None:
            self._taken.cancel()
            self._taken = None

    def _close_in_time(self) -> None:
        """A transport that is closing waits for ever for its client to take the rest."""
        if self.transport.is_closing():
            self._limit_taking()


class Server(uvicorn.Server):
    """Says when the page answers."""

    def __init__(self, app: Any, ready: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=2,
            http=_protocol(),
            ws="none",
            backlog=BACKLOG,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=16_384,
        )
        super().__init__(config)
        self._ready = ready
        logging.getLogger("uvicorn.error").addFilter(Once())
        logging.getLogger("asyncio").addFilter(Once())

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        await super().startup(sockets)
        self._ready()


def _protocol() -> type[Limited]:
    """Connections as many as the system lets us have files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return type("Limited", (Limited,), {"most": max(8, min(MOST, files - _SPARE))})
