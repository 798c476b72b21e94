"""The page's server: a small API over the ledger and the studio. It trusts nobody.

No part of a request names a file. Anybody but this machine has to know the token; a page of another site cannot use a
visitor's browser to answer (its ``Origin`` is not ours), nor a name that resolves to this machine (``Host``).
"""

from __future__ import annotations

import hmac
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from bench.answers.ledger import LONGEST_NAME, Ledger, Refused, Shown
from bench.labeling.clips import Studio
from bench.labeling.progress import Progress
from prefrl_core.errors import UserError

try:
    from fastapi import FastAPI, Path, Request
    from fastapi.responses import JSONResponse, RedirectResponse, Response
    from pydantic import BaseModel, ConfigDict, Field
except ModuleNotFoundError as missing:
    raise UserError(
        f"the labeling page needs the package {missing.name!r}: pip install 'prefrl-bench[label]'"
    ) from missing

_LOG = logging.getLogger("bench.label")
_LARGEST_BODY = 4096  # bytes
_COOKIE = "prefrl-token"
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; media-src blob:; "
    "connect-src 'self'; img-src 'self' data:; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_PAGE = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}

Number = Annotated[int, Field(ge=0, le=2**53)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Join(_Body):
    """Who sits down."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class Person(_Body):
    """Who asks."""

    person: Number


class Answer(_Body):
    """An answer to what was shown under a nonce."""

    nonce: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w-]+$")]
    answer: Literal["left", "right", "equal", "skip"]
    seconds: Annotated[float, Field(ge=0, le=86400, strict=False, allow_inf_nan=False)]


def application(ledger: Ledger, studio: Studio, progress: Progress, token: str | None = None) -> FastAPI:
    """The page and its API; ``token`` is asked of everybody, and None serves this machine alone."""
    app = FastAPI(title="prefrl-bench labels", docs_url=None, redoc_url=None)
    guard = _Guard(token)
    app.middleware("http")(guard)

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> JSONResponse:
        return _told(error.code, str(error))

    @app.exception_handler(sqlite3.OperationalError)
    def unwritable(request: Request, error: sqlite3.OperationalError) -> JSONResponse:
        guard.once(f"the ledger cannot be written: {error}")
        return _told(507, f"the answer is not kept ({error}): free some space on the disk, then answer again")

    @app.exception_handler(TimeoutError)
    def late(request: Request, error: TimeoutError) -> JSONResponse:
        return _told(503, "this clip is not drawn yet: ask again")

    errors: dict[int | str, dict[str, Any]] = {
        code: {"description": text}
        for code, text in {
            400: "makes no sense",
            401: "no token, or a wrong one",
            403: "from another site",
            404: "never shown, or nobody of that number",
            409: "answered already",
            410: "it went to somebody else",
            413: "too large",
            503: "not drawn yet",
            507: "disk full",
        }.items()
    }

    @app.post("/api/join", responses=errors)
    def join(body: Join) -> dict[str, int]:
        return {"person": ledger.join(body.name)}

    @app.post("/api/next", responses=errors)
    def next_(body: Person) -> dict[str, Any]:
        return _question(ledger.next(body.person))

    @app.post("/api/answer", responses=errors)
    def answer(body: Answer) -> dict[str, bool]:
        return {"counted": ledger.answer(body.nonce, body.answer, body.seconds)}

    @app.post("/api/undo", responses=errors)
    def undo(body: Person) -> dict[str, Any]:
        return _question(ledger.undo(body.person))

    @app.get("/api/progress", responses=errors)
    def told(person: Number | None = None) -> dict[str, Any]:
        return progress.now(person)

    @app.get("/clips/{question}/{side}.mp4", responses={200: {"content": {"video/mp4": {}}}, **errors})
    def clip(question: Annotated[int, Path(ge=0, le=2**53)], side: Literal["left", "right"]) -> Response:
        data = studio.clip(question, side)
        return _video(data) if data else _told(404, "this pair was never asked")

    @app.get("/clips/agent.mp4", responses={200: {"content": {"video/mp4": {}}}, **errors})
    def agent() -> Response:
        found = studio.agent()
        return _video(found[1], "no-store") if found else _told(404, "the agent was not seen yet")

    for name, (file, kind) in _PAGE.items():
        app.add_api_route(f"/{name}", _constant(file, kind), include_in_schema=False)
    return app


class _Guard:
    """What every request has to pass."""

    def __init__(self, token: str | None) -> None:
        self._token = token
        self._said: set[str] = set()

    async def __call__(self, request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        refusal = self._refusal(request)
        if refusal is None and self._token is not None and "token" in request.query_params:
            refusal = RedirectResponse("/", 303)  # so that the token does not stay in the address
            refusal.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict", max_age=30 * 86400)
        if refusal is None and request.method == "POST":
            refusal = await self._body(request)
        response = refusal if refusal is not None else await go_on(request)
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers.setdefault("Cache-Control", "no-store")
        return response

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if self._token is None and (urlsplit(f"//{host}").hostname or "") not in _LOOPBACK:
            return self._logged(403, f"this page is for this machine alone, not for {host[:80]!r}")
        if self._token is not None and not self._knows(request):
            return self._logged(401, "a wrong token, or none: open the address that the command printed")
        origin = request.headers.get("origin")
        if request.method != "GET" and origin is not None and urlsplit(origin).netloc != host:
            return self._logged(403, f"from another site ({origin[:80]})")
        return None

    def _knows(self, request: Request) -> bool:
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        given = request.query_params.get("token") or request.cookies.get(_COOKIE) or bearer
        return hmac.compare_digest(given.encode(), (self._token or "").encode())

    async def _body(self, request: Request) -> Response | None:
        """Read the body here, and no more than there can be sense in."""
        size = 0
        chunks = []
        async for chunk in request.stream():
            size += len(chunk)
            if size > _LARGEST_BODY:
                return self._logged(413, f"a body of more than {_LARGEST_BODY} bytes")
            chunks.append(chunk)
        request._body = b"".join(chunks)  # where Starlette keeps what `body()` has read
        return None

    def _logged(self, code: int, message: str) -> JSONResponse:
        self.once(f"refused: {message}")
        return _told(code, message)

    def once(self, message: str) -> None:
        """Log it if it was not yet, and if not too much was: a log must not fill the disk."""
        if message not in self._said and len(self._said) < 100:
            self._said.add(message)
            _LOG.warning(message)


def _question(shown: Shown | None) -> dict[str, Any]:
    if shown is None:
        return {"question": None}
    clips = {side: f"/clips/{shown.question}/{side}.mp4" for side in ("left", "right")}
    return {"question": shown.question, "nonce": shown.nonce, "answer": shown.answer, **clips}


def _told(code: int, message: str) -> JSONResponse:
    return JSONResponse({"detail": message}, code)


def _video(data: bytes, cache: str = "private, max-age=3600") -> Response:
    return Response(data, media_type="video/mp4", headers={"Cache-Control": cache})


def _constant(file: str, kind: str) -> Callable[[], Response]:
    data = resources.files("bench.labeling").joinpath("page", file).read_bytes()

    def serve() -> Response:
        return Response(data, media_type=kind)

    return serve
