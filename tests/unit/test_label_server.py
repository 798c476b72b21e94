"""The page's server trusts nobody: what it takes, what it refuses, and how it says so."""

from __future__ import annotations

import contextlib
import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
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
SECRET = "a-secret-of-my-browser"
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


def join(page: TestClient, name: str = "ada") -> dict[str, Any]:
    """Who sits down, as the body of further requests."""
    person = page.post("/api/join", json={"name": name, "secret": SECRET}).json()["person"]
    return {"person": person, "secret": SECRET}


def test_a_sitting(page: TestClient) -> None:
    person = join(page)
    question = page.post("/api/next", json=person).json()
    assert page.get(question["left"]).content == b"0 left" and page.get(question["right"]).content == b"0 right"
    answer = {"nonce": question["nonce"], "answer": "right", "seconds": 0.5}
    assert page.post("/api/answer", json=answer).json() == {"counted": True}
    assert page.post("/api/answer", json=answer).json() == {"counted": False}  # a doubled click
    told = page.get(f"/api/progress?person={person['person']}").json()
    assert (told["answered"], told["mine"], told["open"], told["labels"]) == (1, 1, 4, 20)
    undone = page.post("/api/undo", json=person).json()
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
        ("/api/join", {"name": "", "secret": SECRET}, 400, "at least 1 character"),
        ("/api/join", {"name": "a" * 41, "secret": SECRET}, 400, "at most 40 characters"),
        ("/api/join", {"name": " ", "secret": SECRET}, 400, "1 to 40 characters"),
        ("/api/join", {"name": "ada", "admin": True, "secret": SECRET}, 400, "unknown key"),
        ("/api/next", {"person": 99, "secret": SECRET}, 404, "load the page again"),
        ("/api/next", {"person": -1, "secret": SECRET}, 400, "greater than or equal to 0"),
        ("/api/undo", {"person": 99, "secret": SECRET}, 404, "load the page again"),
        ("/api/answer", {"nonce": "never-shown", "answer": "left", "seconds": 1}, 404, "never shown"),
        ("/api/answer", {"nonce": "../../etc/passwd", "answer": "left", "seconds": 1}, 400, "pattern"),
        ("/api/answer", {"nonce": "x", "answer": "both", "seconds": 1}, 400, "'left', 'right', 'equal' or 'skip'"),
        ("/api/answer", {"nonce": "x", "answer": "left", "seconds": -1}, 400, "greater than or equal to 0"),
        ("/api/answer", {"nonce": "x", "answer": "left", "seconds": "NaN"}, 400, "finite number"),
    ],
)
def test_what_makes_no_sense_is_refused(page: TestClient, path: str, body: Any, code: int, says: str) -> None:
    answer = page.post(path, json=body)
    assert answer.status_code == code and says in answer.text


def test_an_answer_from_the_future_is_refused(page: TestClient) -> None:
    question = page.post("/api/next", json=join(page)).json()
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
    assert page.get(path).status_code in (400, 404)


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
    assert (
        page.post(
            "/api/join", json={"name": "a", "secret": SECRET}, headers={"origin": "http://evil.example"}
        ).status_code
        == 403
    )
    assert page.post("/api/join", json={"name": "a", "secret": SECRET}, headers={"origin": HOME}).status_code == 200
    assert page.post("/api/join", content='{"name": "a"}', headers={"content-type": "text/plain"}).status_code == 400


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
    question = page.post("/api/next", json=join(page)).json()

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


def test_nobody_undoes_or_takes_the_name_of_another(page: TestClient) -> None:
    ada = join(page)
    question = page.post("/api/next", json=ada).json()
    page.post("/api/answer", json={"nonce": question["nonce"], "answer": "left", "seconds": 0})
    thief = {**ada, "secret": "another-secret-entirely"}
    assert page.post("/api/undo", json=thief).status_code == 403
    assert page.post("/api/next", json=thief).status_code == 403
    taken = page.post("/api/join", json={"name": "ada", "secret": thief["secret"]})
    assert taken.status_code == 409 and "somebody else has this name" in taken.json()["detail"]
    assert join(page) == ada and page.post("/api/undo", json=ada).json()["question"] == question["question"]


def test_people_are_limited_and_their_secrets_are_not_kept(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.answers.ledger.MOST_PEOPLE", 2)
    page = room.page()
    codes = [page.post("/api/join", json={"name": name, "secret": SECRET}).status_code for name in ("a", "b", "c", "a")]
    assert codes == [200, 200, 429, 200]
    assert SECRET not in str([tuple(row) for row in room.ledger.rows("SELECT * FROM secrets")])


@pytest.mark.parametrize(
    ("path", "content", "headers"),
    [
        ("/api/join", b'{"name": "\\ud800", "secret": "a-secret-of-my-browser"}', {}),
        ("/api/join", b'{"name": NaN}', {}),
        ("/api/join", b"[" * 4000, {}),
        ("/api/join", b"\xff\xfe", {}),
        ("/api/next", b'{"person": 1e400, "secret": "a-secret-of-my-browser"}', {}),
        ("/api/next", b'{"person": ' + b"9" * 3000 + b"}", {}),
        ("/api/answer", b'{"nonce": "x", "answer": "left", "seconds": Infinity}', {}),
        ("/api/join", b"{}", {"origin": "http://[::1"}),
        ("/api/join", b"{}", {"host": "[::1"}),
        ("/api/join", b"{}", {"host": "[x]:80"}),
    ],
)
def test_what_is_malformed_is_400_with_the_usual_headers(
    page: TestClient, path: str, content: bytes, headers: dict[str, str]
) -> None:
    answer = page.post(path, content=content, headers={"content-type": "application/json", **headers})
    assert answer.status_code == 400 and isinstance(answer.json()["detail"], str)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("person", ["NaN", "1e9", "9" * 400, "-1", "%00", "%ff", "²"])
def test_a_number_that_is_none_is_400(page: TestClient, person: str) -> None:
    assert page.get(f"/api/progress?person={person}").status_code == 400
    assert page.get(f"/clips/{person}/left.mp4").status_code in (400, 404)


def test_a_fault_has_the_usual_headers_and_ends_nothing(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    page = room.page()

    def fail(*values: Any) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(room.ledger, "next", fail)
        answer = page.post("/api/next", json=join(page))
    assert answer.status_code == 500 and "a fault of ours" in answer.json()["detail"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert page.post("/api/next", json=join(page)).status_code == 200


def test_clips_that_are_long_in_drawing_do_not_stop_the_rest(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(self: Drawn, question: int, side: str) -> bytes:
        go_on.wait(20)
        return b"late"

    monkeypatch.setattr(Drawn, "clip", slow)
    with room.page() as page, ThreadPoolExecutor(30) as pool:
        asked_for = [pool.submit(page.get, "/clips/0/left.mp4") for _ in range(30)]
        wait_until(lambda: sum(one.done() for one in asked_for) >= 22)
        assert page.post("/api/next", json=join(page)).status_code == 200
        go_on.set()
        codes = sorted(one.result().status_code for one in asked_for)
    assert codes == [200] * 8 + [503] * 22


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
