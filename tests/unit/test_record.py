"""People's answers are part of what a run is made from: whatever happened to them is seen."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_ledger import asked

from bench.answers import record
from bench.answers.desk import LedgerDesk
from bench.answers.ledger import NAME, Ledger
from prefrl_core import loop
from prefrl_core.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger whose three questions were answered and heard."""
    ledger = Ledger(tmp_path / NAME)
    desk = LedgerDesk(ledger)
    desk.ask(asked(0, 3))
    ada = ledger.join("ada")
    for answer in ("left", "right", "skip"):
        page = ledger.next(ada)
        assert page is not None
        ledger.answer(page.nonce, answer, 0.0)
    desk.hear(1, 0)
    ledger.close()
    return tmp_path


def change(folder: Path, statement: str) -> None:
    with sqlite3.connect(folder / NAME) as sql:
        sql.execute("PRAGMA foreign_keys = OFF")
        sql.execute(statement)
    sql.close()


def test_what_was_heard_is_whole_and_later_answers_do_not_matter(folder: Path) -> None:
    heard = record.digest(folder)
    record.require_whole(folder, heard, needed=True)
    ledger = Ledger(folder / NAME)
    assert ledger.undo(ledger.join("ada")) is not None
    ledger.join("bob")
    ledger.close()
    record.require_whole(folder, heard, needed=True)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM answers", "lacks answers that the run heard"),
        ("DELETE FROM events", "digest differs"),
        ("DELETE FROM turns", "is empty"),
        ("UPDATE events SET answer = 'right' WHERE answer = 'left'", "lacks answers"),
        ("UPDATE answers SET answer = 'maybe'", "lacks answers"),
        ("UPDATE questions SET left_return = left_return + 1", "digest differs"),
        ("UPDATE questions SET left_scenes = right_scenes", "is not what was asked"),
        ("UPDATE about SET value = '2' WHERE name = 'schema'", "has schema 2, this version reads 1"),
        ("DROP TABLE about", "is damaged (no such table: about)"),
    ],
)
def test_what_was_done_to_them_is_seen(folder: Path, statement: str, says: str) -> None:
    heard = record.digest(folder)
    change(folder, statement)
    with pytest.raises(UserError) as caught:
        record.require_whole(folder, heard, needed=True)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"garbage" * 1000, None])
def test_a_file_that_is_gone_or_garbled_is_named(folder: Path, data: bytes | None) -> None:
    heard = record.digest(folder)
    for path in folder.glob(f"{NAME}*"):
        path.unlink()
    if data is not None:
        (folder / NAME).write_bytes(data)
    with pytest.raises(UserError, match=r"is missing|is damaged"):
        record.require_whole(folder, heard)


def test_a_view_that_never_ends_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_SECONDS", 0.3)
    change(folder, "DROP TABLE turns")
    endless = "WITH RECURSIVE n(turn) AS (SELECT 1 UNION ALL SELECT turn + 1 FROM n) SELECT turn FROM n"
    change(folder, f"CREATE VIEW turns AS {endless}")
    with pytest.raises(UserError, match="is damaged"):
        record.digest(folder)


def test_a_part_measures_nothing_that_the_run_measures_itself() -> None:
    """A policy that logs its own return would else replace the one that tables are made of."""
    assert loop._own({"policy_kl": 1.0}, "policy", {"name": "mine"}) == {"policy_kl": 1.0}
    for name in ("true_return", "step", "episodes", "labels", "reward_accuracy"):
        with pytest.raises(UserError, match=f"policy 'mine' has measured '{name}', which the run measures itself"):
            loop._own({name: 1.0, "policy_kl": 1.0}, "policy", {"name": "mine"})


@pytest.mark.parametrize("value", [True, "much", [1.0], np.zeros(2)])
def test_what_a_part_measures_is_a_number(value: Any) -> None:
    """Anything else would make a finished run that nothing can read."""
    with pytest.raises(UserError, match=f"reward_model 'mine' has measured new as {type(value).__name__}: give a num"):
        loop._own({"new": value}, "reward_model", {"name": "mine"})
    plain = loop._own({"a": np.float32(0.5), "b": np.int64(3), "c": None}, "reward_model", {"name": "mine"})
    assert plain == {"a": 0.5, "b": 3, "c": None} and type(plain["a"]) is float and type(plain["b"]) is int


def test_a_turns_metric_is_the_mean_over_the_rollouts_that_measured_it() -> None:
    measured = [{"loss": 1.0, "never": None}, {"loss": 3.0, "never": None, "late": 5.0}, {"loss": 2.0, "late": None}]
    assert loop._mean(measured) == {"loss": 2.0, "never": None, "late": 5.0}
