"""What every request to the labeling page has to pass, and what every answer carries, errors among them."""

from __future__ import annotations

import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from bench import fault
from bench.text import one_line
from prefrl_core.errors import located

LARGEST_BODY = 4096  # bytes
COOKIE = "prefrl-token-"  # and a digest of the token: the cookies of pages on other ports come along
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src blob:; "
    "connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOG = logging.getLogger("bench.label")
_MOST_LINES = 100  # of the log: it must not fill the disk

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


def told(code: int, message: str) -> JSONResponse:
    """An answer in words."""
    return JSONResponse({"detail": one_line(message)}, code)


class Once(logging.Filter):
    """Lets each line through once, and not too many of them."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        return self.first(record.getMessage())

    def first(self, line: str) -> bool:
        """Whether this line is to be said."""
        if line in self._said or len(self._said) >= _MOST_LINES:
            return False
        self._said.add(line)
        return True


class Guard:
    """Around the whole application; ``token`` is asked of everybody, and None serves this machine alone."""

    def __init__(self, app: App, token: str | None) -> None:
        self._app, self._token, self._once = app, token, Once()
        self._cookie = COOKIE + hashlib.sha256((token or "").encode()).hexdigest()[:8]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = False

        async def sent(message: Message) -> None:
            nonlocal began
            if message["type"] == "http.response.start":
                began = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._pass(scope, receive, sent)
        except ClientDisconnect:  # who left hears no answer
            return
        except Exception as error:  # nobody expected it; the page goes on
            if self._once.first(f"{type(error).__name__} {located(error)}"):  # a trace is a file
                self.log(fault.told(error))
            if not began:
                await told(500, "a fault of ours; the window where `bench label` runs says more")(scope, receive, sent)

    async def _pass(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        answer: Response | None = self._refusal(request)
        if answer is None and self._token is not None and "token" in request.query_params:
            answer = RedirectResponse("/", 303)  # so that the token does not stay in the address
            # Lax: a browser keeps a strict cookie back on the way here from another page, our own file among them.
            # What changes anything is a POST, whose Origin is looked at.
            answer.set_cookie(self._cookie, self._token, httponly=True, samesite="lax", max_age=30 * 86400)
        body = b""
        if answer is None and request.method == "POST":
            async for chunk in request.stream():
                body += chunk
                if len(body) > LARGEST_BODY:
                    answer = self._logged(413, f"a body of more than {LARGEST_BODY} bytes")
                    break
        if answer is not None:
            await answer(scope, receive, send)
        else:
            await self._app(scope, _replay(body, receive), send)

    def _refusal(self, request: Request) -> Response | None:
        try:
            host = request.headers.get("host", "")
            origin = request.headers.get("origin")
            name, theirs = urlsplit(f"//{host}").hostname or "", None if origin is None else urlsplit(origin).netloc
        except ValueError:
            return self._logged(400, "a Host or an Origin that is none")
        if self._token is None and name not in LOOPBACK:
            return self._logged(403, f"this page is for this machine alone, not for {host[:80]!r}")
        if self._token is not None and not self._knows(request):
            return self._logged(401, "a wrong token, or none: open the address that the command printed")
        if request.method != "GET" and theirs is not None and theirs != host:
            return self._logged(403, f"from another site ({theirs[:80]})")
        return None

    def _knows(self, request: Request) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = request.query_params.get("token") or request.cookies.get(self._cookie) or bearer
        ours = (self._token or "").encode()
        return hmac.compare_digest(given.encode(errors="backslashreplace"), ours)

    def _logged(self, code: int, message: str) -> JSONResponse:
        self.log(f"refused: {message}")
        return told(code, message)

    def log(self, message: str) -> None:
        """Log a line that was not logged yet."""
        record = logging.LogRecord(_LOG.name, logging.WARNING, __file__, 0, one_line(message), None, None)
        if self._once.filter(record):
            _LOG.handle(record)


def _replay(body: bytes, receive: Receive) -> Receive:
    """What the application receives: the body that was read already, then what comes."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replayed
