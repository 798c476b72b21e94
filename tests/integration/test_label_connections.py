"""The labeling page's connections: half-sent requests, too many of them, few files."""

from __future__ import annotations

import contextlib
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.labeling import connections

LARGE = 32 << 20  # bytes: more than any socket buffers
REPOSITORY = Path(__file__).parents[2]
GET = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SERVER = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
from bench.labeling.connections import Server

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

listening = socket.socket()
listening.bind(("127.0.0.1", 0))
Server(app, lambda: print(listening.getsockname()[1], flush=True)).run(sockets=[listening])
"""


async def app(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Answers ``ok`` when the whole body is there; to ``/large`` at length."""
    if scope["type"] == "lifespan":
        return
    while (await receive()).get("more_body"):
        pass
    body = b"x" * LARGE if scope["path"] == "/large" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server that waits half a second and takes ten connections."""
    monkeypatch.setattr(connections.Limited, "seconds", 0.5)
    monkeypatch.setattr(connections, "MOST", 10)
    listening, ready = socket.socket(), threading.Event()
    listening.bind(("127.0.0.1", 0))
    server = connections.Server(app, ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    assert ready.wait(20)
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(20)


def speak(port: int, data: bytes) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=10)
    made.sendall(data)
    return made


def answer(one: socket.socket) -> bytes:
    """One whole answer."""
    said = b""
    while not said.endswith(b"ok") and (data := one.recv(4096)):
        said += data
    return said


def heard(one: socket.socket) -> bytes:
    """Everything until the other side closes."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while data := one.recv(4096):
            said += data
    return said


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ],
)
def test_a_request_that_does_not_end_is_ended(port: int, data: bytes) -> None:
    start = time.monotonic()
    one = speak(port, data)
    assert heard(one) == b"" and 0.3 < time.monotonic() - start < 8
    one.close()


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_an_answer_that_is_not_taken_is_ended(port: int, header: bytes) -> None:
    with speak(port, b"GET /large HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n") as one:
        time.sleep(2)
        assert 0 < len(heard(one)) < LARGE


@pytest.mark.parametrize("header", [b"", b"Connection: close\r\n"])
def test_an_answer_that_is_taken_slowly_but_steadily_is_whole(port: int, header: bytes) -> None:
    with speak(port, b"GET /large HTTP/1.1\r\nHost: a\r\n" + header + b"\r\n") as one:
        said = 0
        while said < LARGE and (data := one.recv(1 << 20)):
            said += len(data)
            time.sleep(0.005)
    assert said >= LARGE


def test_a_connection_that_asks_again_has_its_time_anew(port: int) -> None:
    with speak(port, GET) as one:
        for _ in range(4):
            assert b"200 OK" in answer(one)
            time.sleep(0.3)
            one.sendall(GET)


@pytest.mark.parametrize("data", [b"nonsense", b"GET / HTTP/1.1", b"GET /\x00 HTTP/1.1\r\nHost: a"])
def test_what_is_no_request_is_400_with_the_usual_headers(port: int, data: bytes) -> None:
    with speak(port, data + b"\r\n\r\n") as one:
        said = heard(one)
    assert said.startswith(b"HTTP/1.1 400") and b"default-src 'none'" in said and b"nosniff" in said


def test_too_many_connections_are_closed_and_those_before_go_on(port: int) -> None:
    first = speak(port, GET)
    assert b"200 OK" in answer(first)
    many = [speak(port, b"") for _ in range(40)]
    closed = 0
    for one in many:
        one.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            closed += not heard(one)
    assert closed >= 31
    first.sendall(GET)
    assert b"200 OK" in answer(first)
    for one in [first, *many]:
        one.close()


def test_few_files_and_many_half_requests_fill_no_log() -> None:
    words = [sys.executable, "-c", SERVER]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(1024, hard)), hard))
        many = []
        for _ in range(300):
            with contextlib.suppress(OSError):
                many.append(speak(port, b"GET / HT"))
        time.sleep(0.5)
        for one in many:
            one.close()
        time.sleep(0.5)
        with speak(port, GET) as one:
            assert b"200 OK" in answer(one)
        server.terminate()
        said = server.communicate(timeout=20)[1]
    assert said.count("\n") < 60, said[:2000]
