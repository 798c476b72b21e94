"""The page's server: a small API over the ledger and the studio. It trusts nobody.

No part of a request names a file. ``guard`` says what a request may be, ``connections`` how many there may be,
``identity`` who answers. Anybody but this machine has to know the token; a page of another site cannot use a visitor's
browser to answer (its ``Origin`` is not ours), nor a name that resolves to this machine (``Host``).
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from importlib import resources
from typing import Annotated, Any, Literal, TypeVar

from bench.answers import identity
from bench.answers.ledger import LONGEST_NAME, Ledger, Refused, Shown
from bench.labeling.clips import Studio
from bench.labeling.progress import Progress
from bench.parse import Model
from prefrl_core.errors import UserError

T = TypeVar("T")

try:
    from fastapi import FastAPI, Path, Request
    from fastapi.exceptions import RequestValidationError
    from fastapi.responses import JSONResponse, Response
    from pydantic import Field

    from bench.labeling.guard import Guard, told
except ModuleNotFoundError as missing:
    raise UserError(
        f"the labeling page needs the package {missing.name!r}: pip install 'prefrl-bench[label]'"
    ) from missing

_MOST_CLIPS = 8  # that are waited for at a time: the rest of the page must not wait for drawing
_PAGE = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}

Number = Annotated[int, Field(ge=0, le=2**53)]
Secret = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$")]


class Join(Model):
    """Who sits down: a name, and a secret of the browser's by which it is known again."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    secret: Secret


class Person(Model):
    """Who asks."""

    person: Number
    secret: Secret


class Undo(Person):
    """Who takes back the last answer; sent again under the same nonce, it is one undo."""

    nonce: Secret | None = None


class Answer(Model):
    """An answer to what was shown under a nonce."""

    nonce: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
    answer: Literal["left", "right", "equal", "skip"]
    seconds: Annotated[float, Field(ge=0, le=86400, strict=False, allow_inf_nan=False)]


def application(ledger: Ledger, studio: Studio, progress: Progress, token: str | None = None) -> FastAPI:
    """The page and its API; ``token`` is asked of everybody, and None serves this machine alone."""
    app = FastAPI(title="prefrl-bench labels", docs_url=None, redoc_url=None)
    app.add_middleware(Guard, token=token)
    drawing = threading.BoundedSemaphore(_MOST_CLIPS)

    def drawn(make: Callable[[], T]) -> T:
        if not drawing.acquire(blocking=False):
            raise TimeoutError
        try:
            return make()
        finally:
            drawing.release()

    @app.exception_handler(RequestValidationError)
    def senseless(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return told(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:300])

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> JSONResponse:
        return told(error.code, str(error))

    @app.exception_handler(sqlite3.OperationalError)
    def unwritable(request: Request, error: sqlite3.OperationalError) -> JSONResponse:
        logging.getLogger("bench.label").warning("the ledger cannot be written: %s", error)
        return told(507, f"the answer is not kept ({error}): free some space on the disk, then answer again")

    @app.exception_handler(TimeoutError)
    def late(request: Request, error: TimeoutError) -> JSONResponse:
        return told(503, "this clip is not drawn yet: ask again")

    errors: dict[int | str, dict[str, Any]] = {
        code: {"description": text}
        for code, text in {
            400: "makes no sense",
            401: "no token, or a wrong one",
            403: "from another site",
            404: "never shown, or nobody of that number",
            409: "answered already, or the name is somebody else's",
            410: "it went to somebody else, or the run is over",
            413: "too large",
            429: "too many people",
            503: "not drawn yet",
            507: "disk full",
        }.items()
    }

    @app.post("/api/join", responses=errors)
    def join(body: Join) -> dict[str, int]:
        return {"person": identity.enter(ledger, body.name, body.secret)}

    @app.post("/api/next", responses=errors)
    def next_(body: Person) -> dict[str, Any]:
        identity.recognise(ledger, body.person, body.secret)
        return _question(ledger.next(body.person, progress.over))

    @app.post("/api/answer", responses=errors)
    def answer(body: Answer) -> dict[str, bool]:
        return {"counted": ledger.answer(body.nonce, body.answer, body.seconds, progress.over)}

    @app.post("/api/undo", responses=errors)
    def undo(body: Undo) -> dict[str, Any]:
        identity.recognise(ledger, body.person, body.secret)
        if progress.over:
            raise Refused(410, "the agent has learned what it will: its answers stay as they are")
        return _question(ledger.undo(body.person, body.nonce or ""))

    @app.get("/api/progress", responses=errors)
    def tell(person: Number | None = None) -> dict[str, Any]:
        return progress.now(person)

    @app.get("/clips/{question}/{side}.mp4", responses={200: {"content": {"video/mp4": {}}}, **errors})
    def clip(question: Annotated[int, Path(ge=0, le=2**53)], side: Literal["left", "right"]) -> Response:
        data = drawn(lambda: studio.clip(question, side))
        return _video(data) if data else told(404, "this pair was never asked")

    @app.get("/clips/agent.mp4", responses={200: {"content": {"video/mp4": {}}}, **errors})
    def agent() -> Response:
        found = drawn(studio.agent)
        return _video(found[1], "no-store") if found else told(404, "the agent was not seen yet")

    for name, (file, kind) in _PAGE.items():
        app.add_api_route(f"/{name}", _constant(file, kind), include_in_schema=False)
    return app


def _question(shown: Shown | None) -> dict[str, Any]:
    if shown is None:
        return {"question": None}
    clips = {side: f"/clips/{shown.question}/{side}.mp4" for side in ("left", "right")}
    return {"question": shown.question, "nonce": shown.nonce, "answer": shown.answer, **clips}


def _video(data: bytes, cache: str = "private, max-age=3600") -> Response:
    return Response(data, media_type="video/mp4", headers={"Cache-Control": cache})


def _constant(file: str, kind: str) -> Callable[[], Response]:
    data = resources.files("bench.labeling").joinpath("page", file).read_bytes()

    def serve() -> Response:
        return Response(data, media_type=kind)

    return serve
