"""The page's server: what it takes, what it counts, and how it says what went wrong."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from label_room import Drawn, Room, join
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from bench import check, store
from bench.labeling.progress import Progress


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


def test_one_fault_leaves_one_trace_however_often_it_comes(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    page, told = room.page(), []
    person = join(page)

    def fail(*values: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(room.ledger, "next", fail)
    monkeypatch.setattr("bench.fault.told", lambda error: told.append(error) or "a fault")
    for _ in range(5):
        assert page.post("/api/next", json=person).status_code == 500
    assert len(told) == 1


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


def test_a_run_has_heard_nobody_while_the_untrained_policy_acts(room: Room) -> None:
    """A checkpoint of that time needs no answers."""
    for phase, heard in (("untrained", False), ("learning", True)):
        row = {"step": 256, "phase": phase, "answered": 0}
        (room.run.folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
        assert check._heard(store.Run(room.run.folder)) is heard
