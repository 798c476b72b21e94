"""Undoing an answer, and pairs that several people see."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_ledger import Clock, asked, hear, shown

from bench.answers.desk import LedgerDesk
from bench.answers.ledger import Ledger, Refused


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Three open questions."""
    made = Ledger(tmp_path / "three.sqlite", clock=Clock())
    LedgerDesk(made).ask(asked(0, 3))
    return made


def test_undo_shows_the_pair_again_and_tells_the_learner(ledger: Ledger) -> None:
    ada = ledger.join("ada")
    ledger.answer(shown(ledger, ada).nonce, "left", 1.0)
    assert hear(ledger, 0) == [(0, 1.0)]
    again = ledger.undo(ada)
    assert again is not None and (again.question, again.answer) == (0, "left")
    assert hear(ledger, 1) == [(0, None)]
    assert shown(ledger, ada).nonce == again.nonce
    ledger.answer(again.nonce, "right", 1.0)
    assert hear(ledger, 2) == [(0, 0.0)]


def test_an_undo_that_is_sent_again_takes_back_one_answer(ledger: Ledger) -> None:
    ada = ledger.join("ada")
    for _ in range(2):
        ledger.answer(shown(ledger, ada).nonce, "left", 1.0)
    first = ledger.undo(ada, "a-nonce-of-my-browser")
    assert first == ledger.undo(ada, "a-nonce-of-my-browser") and first is not None and first.answer == "left"
    assert ledger.rows("SELECT count(*) FROM answers WHERE undone IS NULL")[0][0] == 1
    with pytest.raises(Refused, match="somebody else"):
        ledger.undo(ledger.join("bob"), "a-nonce-of-my-browser")


def test_undo_goes_back_further_and_then_says_that_there_is_nothing(ledger: Ledger) -> None:
    ada = ledger.join("ada")
    for _ in range(2):
        ledger.answer(shown(ledger, ada).nonce, "left", 1.0)
    taken_back = [ledger.undo(ada) for _ in range(3)]
    assert [one and one.question for one in taken_back] == [1, 0, None]
    assert ledger.next(ledger.join("bob")) is not None


def test_nobody_undoes_the_answer_of_another(ledger: Ledger) -> None:
    ledger.answer(shown(ledger, ledger.join("ada")).nonce, "left", 1.0)
    assert ledger.undo(ledger.join("bob")) is None
    assert hear(ledger, 0) == [(0, 1.0)]


def test_with_overlap_a_pair_answered_in_one_tab_is_not_shown_in_the_other(tmp_path: Path) -> None:
    now = [0.0]
    ledger = Ledger(tmp_path / "a.sqlite", overlap=2, clock=lambda: now[0])
    LedgerDesk(ledger).ask(asked(0, 3))
    ada = ledger.join("ada")
    first = shown(ledger, ada)
    now[0] = 200.0  # its time is up, and another tab asks
    second = shown(ledger, ada)
    assert second.question == first.question and second.nonce != first.nonce
    ledger.answer(first.nonce, "left", 1.0)
    assert shown(ledger, ada).question != first.question
    ledger.close()


def test_with_overlap_a_pair_goes_to_several_and_the_first_answer_teaches(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.sqlite", overlap=2)
    LedgerDesk(ledger).ask(asked(0, 1))
    ada, bob, cyd = map(ledger.join, ("ada", "bob", "cyd"))
    pages = [shown(ledger, ada), shown(ledger, bob)]
    assert ledger.next(cyd) is None
    for page, answer in zip(pages, ("left", "right"), strict=True):
        ledger.answer(page.nonce, answer, 0.5)
    assert ledger.next(ada) is None
    assert hear(ledger, 0) == [(0, 1.0)]
    ledger.undo(ada)  # the other's answer stands in
    assert hear(ledger, 1) == [(0, 0.0)]


def test_with_overlap_one_person_in_two_tabs_is_one(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(tmp_path / "a.sqlite", overlap=2, clock=clock)
    LedgerDesk(ledger).ask(asked(0, 1))
    ada = ledger.join("ada")
    old = shown(ledger, ada)
    clock.now += 200  # past its lease
    new = shown(ledger, ada)
    assert new.nonce != old.nonce and ledger.answer(new.nonce, "left", 1.0)
    with pytest.raises(Refused, match="you have answered this pair already"):
        ledger.answer(old.nonce, "right", 1.0)
    assert shown(ledger, ledger.join("bob")).question == 0
