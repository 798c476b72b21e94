"""The page's server trusts nobody: what it takes, what it refuses, and how it says so."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance
from test_ledger import asked

from bench import store
from bench.answers.desk import LedgerDesk
from bench.answers.ledger import Ledger
from bench.labeling.progress import Progress
from bench.labeling.server import application
from bench.labeling.session import begin

TOKEN = "a-token-of-some-length"
HOME = "http://127.0.0.1:8017"


class Drawn:
    """A studio that draws nothing."""

    def clip(self, question: int, side: str) -> bytes | None:
        return f"{question} {side}".encode() if question < 5 else None

    def agent(self) -> tuple[int, bytes] | None:
        return None


class Room:
    """A run with five questions, and its page."""

    def __init__(self, folder: Path) -> None:
        self.run = begin(
            {"task": "mujoco/reacher@1", "labels": 20, "labeler": {"name": "human", "goal": "<b>touch</b> & go"}},
            folder,
        )
        self.ledger = Ledger(self.run.folder / "answers.sqlite")
        LedgerDesk(self.ledger).ask(asked(0, 5))

    def app(self, token: str | None = None) -> Any:
        progress = Progress(store.Run(self.run.folder), self.ledger, lambda: "training")
        return application(self.ledger, Drawn(), progress, token)  # type: ignore[arg-type]

    def page(self, token: str | None = None, **options: Any) -> TestClient:
        return TestClient(self.app(token), base_url=HOME, raise_server_exceptions=False, **options)


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.ledger.close()


@pytest.fixture
def page(room: Room) -> TestClient:
    return room.page()


def join(page: TestClient, name: str = "ada") -> int:
    person: int = page.post("/api/join", json={"name": name}).json()["person"]
    return person


def test_a_sitting(page: TestClient) -> None:
    person = join(page)
    question = page.post("/api/next", json={"person": person}).json()
    assert page.get(question["left"]).content == b"0 left" and page.get(question["right"]).content == b"0 right"
    answer = {"nonce": question["nonce"], "answer": "right", "seconds": 0.5}
    assert page.post("/api/answer", json=answer).json() == {"counted": True}
    assert page.post("/api/answer", json=answer).json() == {"counted": False}  # a doubled click
    told = page.get(f"/api/progress?person={person}").json()
    assert (told["answered"], told["mine"], told["open"], told["labels"]) == (1, 1, 4, 20)
    undone = page.post("/api/undo", json={"person": person}).json()
    assert (undone["question"], undone["answer"]) == (0, "right")
    assert page.get("/api/progress").json()["answered"] == 0


def test_everything_the_page_loads_is_its_own(page: TestClient) -> None:
    html = page.get("/")
    assert html.headers["content-type"].startswith("text/html") and "default-src 'none'" in str(html.headers)
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html.text)
    assert addresses == ["data:,", "/page.css", "/page.js"]
    for address in addresses[1:]:
        answer = page.get(address)
        assert answer.status_code == 200 and not re.search(r"https?://(?!www\.w3\.org/2000/svg)", answer.text)
    assert "innerHTML" not in page.get("/page.js").text  # names and goals are text, whatever is in them


def test_markup_in_goal_and_name_stays_text(page: TestClient, room: Room) -> None:
    told = page.get("/api/progress")
    assert told.headers["content-type"] == "application/json" and told.json()["goal"] == "<b>touch</b> & go"
    join(page, "<script>alert(1)</script>")
    assert room.ledger.rows("SELECT name FROM people")[0]["name"] == "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("path", "body", "code", "says"),
    [
        ("/api/join", {"name": ""}, 422, "at least 1 character"),
        ("/api/join", {"name": "a" * 41}, 422, "at most 40 characters"),
        ("/api/join", {"name": " "}, 400, "1 to 40 characters"),
        ("/api/join", {"name": "ada", "admin": True}, 422, "Extra inputs"),
        ("/api/next", {"person": 99}, 404, "load the page again"),
        ("/api/next", {"person": -1}, 422, "greater than or equal to 0"),
        ("/api/undo", {"person": 99}, 404, "load the page again"),
        ("/api/answer", {"nonce": "never-shown", "answer": "left", "seconds": 1}, 404, "never shown"),
        ("/api/answer", {"nonce": "../../etc/passwd", "answer": "left", "seconds": 1}, 422, "pattern"),
        ("/api/answer", {"nonce": "x", "answer": "both", "seconds": 1}, 422, "'left', 'right', 'equal' or 'skip'"),
        ("/api/answer", {"nonce": "x", "answer": "left", "seconds": -1}, 422, "greater than or equal to 0"),
        ("/api/answer", {"nonce": "x", "answer": "left", "seconds": "NaN"}, 422, "finite number"),
    ],
)
def test_what_makes_no_sense_is_refused(page: TestClient, path: str, body: Any, code: int, says: str) -> None:
    answer = page.post(path, json=body)
    assert answer.status_code == code and says in answer.text


def test_an_answer_from_the_future_is_refused(page: TestClient) -> None:
    question = page.post("/api/next", json={"person": join(page)}).json()
    answer = page.post("/api/answer", json={"nonce": question["nonce"], "answer": "left", "seconds": 3600})
    assert answer.status_code == 400 and "not a time" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/clips/99/left.mp4",
        "/clips/0/top.mp4",
        "/clips/-1/left.mp4",
        "/clips/..%2f..%2fetc/left.mp4",
        "/clips/agent.mp4",
    ],
)
def test_no_path_reaches_a_file(page: TestClient, path: str) -> None:
    assert page.get(path).status_code in (404, 422)


@pytest.mark.parametrize("path", ["/..%2fserver.py", "/page.js%00", "/page/page.html", "/docs", "/redoc"])
def test_there_is_nothing_else(page: TestClient, path: str) -> None:
    assert page.get(path).status_code == 404


def test_a_body_of_a_hundred_megabytes_is_not_read(page: TestClient) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 1
            yield b" " * 65536

    answer = page.post("/api/join", content=body(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


def test_names_that_lead_here_and_other_sites_are_refused(page: TestClient) -> None:
    assert page.get("/api/progress", headers={"host": "evil.example"}).status_code == 403
    assert page.post("/api/join", json={"name": "a"}, headers={"origin": "http://evil.example"}).status_code == 403
    assert page.post("/api/join", json={"name": "a"}, headers={"origin": HOME}).status_code == 200
    assert page.post("/api/join", content='{"name": "a"}', headers={"content-type": "text/plain"}).status_code == 422


@pytest.mark.parametrize("given", [{}, {"authorization": "Bearer wrong"}, {"cookie": "prefrl-token=wrong"}])
def test_without_the_token_there_is_no_page(room: Room, given: dict[str, str]) -> None:
    page = room.page(TOKEN)
    for path in ("/", "/api/progress", "/clips/0/left.mp4", "/openapi.json"):
        answer = page.get(path, headers=given)
        assert answer.status_code == 401 and "the address that the command printed" in answer.json()["detail"]
    assert page.get("/?token=wr\u00f6ng").status_code == 401


def test_the_token_moves_from_the_address_into_a_cookie(room: Room) -> None:
    page = room.page(TOKEN)
    first = page.get(f"/?token={TOKEN}", follow_redirects=False)
    assert first.status_code == 303 and first.headers["location"] == "/"
    assert all(word in first.headers["set-cookie"] for word in ("HttpOnly", "SameSite=strict"))
    assert page.get("/").status_code == 200
    assert room.page(TOKEN).get("/", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_refusal_is_logged_once(room: Room, caplog: pytest.LogCaptureFixture) -> None:
    page = room.page(TOKEN)
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            page.get("/")
    assert [record.message for record in caplog.records if "token" in record.message] == [
        "refused: a wrong token, or none: open the address that the command printed"
    ]


def test_a_full_disk_is_told_and_nothing_is_counted(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    page = room.page()
    question = page.post("/api/next", json={"person": join(page)}).json()

    def full(*values: Any) -> bool:
        raise sqlite3.OperationalError("database or disk is full")

    body = {"nonce": question["nonce"], "answer": "left", "seconds": 0.1}
    with monkeypatch.context() as patch:
        patch.setattr(room.ledger, "answer", full)
        answer = page.post("/api/answer", json=body)
    assert answer.status_code == 507 and "free some space on the disk" in answer.json()["detail"]
    assert page.post("/api/answer", json=body).json() == {"counted": True}


def test_progress_measures_work_and_leaves_breaks_out(room: Room) -> None:
    now = 10_000.0
    room.ledger.clock = lambda: now
    progress = Progress(room.run, room.ledger, lambda: "training")
    ada = room.ledger.join("ada")
    for gap in (0, 4, 4, 300, 4):
        now += gap
        page = room.ledger.next(ada)
        assert page is not None
        room.ledger.answer(page.nonce, "left", 0.0)
    assert progress.now(ada)["hourly"] == 900 and progress.now(ada)["minutes_left"] == 1
    assert progress.now(99)["hourly"] is None and progress.agreement() == []


def test_nothing_that_the_schema_allows_or_forbids_breaks_the_server(room: Room) -> None:
    described = schemathesis.openapi.from_asgi("/openapi.json", room.app(), headers={"host": "127.0.0.1"})
    seen = []
    for operation in (found.ok() for found in described.get_all_operations()):
        seen.append(operation.path)
        for mode in GenerationMode:

            @settings(
                max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=HealthCheck
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def holds(case: Any) -> None:
                case.call_and_validate(headers={"host": "127.0.0.1"}, excluded_checks=[positive_data_acceptance])

            with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be given something wrong
                holds()
    assert len(seen) == 7
