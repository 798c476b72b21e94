"""Questions and answers on disk: an answer counts once, whatever happens."""

from __future__ import annotations

import math
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from bench.answers.desk import LedgerDesk
from bench.answers.ledger import Ledger, Refused, Shown
from prefrl_core.errors import UserError
from prefrl_core.feedback.desk import Asked


class Clock:
    """A clock that goes when it is told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(first: int, count: int, seed: int = 0) -> Asked:
    random = np.random.default_rng(seed)
    return Asked(
        numbers=np.arange(first, first + count),
        step=100,
        scenes=random.normal(size=(count, 2, 5, 3)).astype(np.float32),
        true_returns=random.normal(size=(count, 2)),
        predicted=random.random(count),
        catch=np.zeros(count, np.bool_),
    )


def nobody_waits(seconds: float) -> None:
    raise AssertionError("it would wait")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    made = Ledger(tmp_path / "answers.sqlite", clock=clock)
    LedgerDesk(made).ask(asked(0, 3))
    return made


def shown(ledger: Ledger, person: int) -> Shown:
    found = ledger.next(person)
    assert found is not None
    return found


def hear(ledger: Ledger, turn: int, live: bool = True) -> list[tuple[int, float | None]]:
    desk = LedgerDesk(ledger, live, nobody_waits)
    desk.before_learning = 0
    return [tuple(one) for one in desk.hear(turn, 1000)]  # type: ignore[misc]


def test_questions_are_shown_oldest_first_and_to_one_person_each(ledger: Ledger) -> None:
    people = [ledger.join(name) for name in ("ada", "bob", "cyd", "dan")]
    assert [one and one.question for one in map(ledger.next, people)] == [0, 1, 2, None]


def test_a_page_that_is_loaded_again_shows_the_same_pair(ledger: Ledger) -> None:
    ada = ledger.join("ada")
    assert ledger.next(ada) == ledger.next(ledger.join(" ada ")) != ledger.next(ledger.join("bob"))


def test_an_answer_counts_once_however_often_it_is_sent(ledger: Ledger) -> None:
    nonce = shown(ledger, ledger.join("ada")).nonce
    assert [ledger.answer(nonce, "left", 1.0) for _ in range(3)] == [True, False, False]
    assert hear(ledger, 0) == [(0, 1.0)]
    with pytest.raises(Refused, match="undo that answer first") as refused:
        ledger.answer(nonce, "right", 1.0)
    assert refused.value.code == 409


def test_answers_mean_what_the_learner_takes_them_for(ledger: Ledger) -> None:
    LedgerDesk(ledger).ask(asked(3, 1, seed=1))
    ada = ledger.join("ada")
    for answer in ("left", "right", "equal", "skip"):
        ledger.answer(shown(ledger, ada).nonce, answer, 1.0)
    *told, (number, skipped) = hear(ledger, 0)
    assert told == [(0, 1.0), (1, 0.0), (2, 0.5)]
    assert number == 3 and skipped is not None and math.isnan(skipped)


def test_a_pair_that_nobody_answers_goes_to_others_after_a_time(ledger: Ledger, clock: Clock) -> None:
    ada, bob = ledger.join("ada"), ledger.join("bob")
    first = shown(ledger, ada)
    clock.now += 181
    assert shown(ledger, bob).question == first.question
    with pytest.raises(Refused, match="somebody else") as refused:
        ledger.answer(first.nonce, "left", 1.0)
    assert refused.value.code == 410


def test_a_late_answer_counts_if_nobody_has_the_pair(ledger: Ledger, clock: Clock) -> None:
    first = shown(ledger, ledger.join("ada"))
    clock.now += 1000
    assert ledger.answer(first.nonce, "left", 900.0)


def test_a_clock_that_jumps_back_does_not_hold_a_pair_for_ever(ledger: Ledger, clock: Clock) -> None:
    first = shown(ledger, ledger.join("ada"))
    clock.now -= 500
    assert shown(ledger, ledger.join("bob")).question == first.question


@pytest.mark.parametrize("seconds", [-1.0, 60.0])
def test_an_answer_from_the_future_is_refused(ledger: Ledger, clock: Clock, seconds: float) -> None:
    nonce = shown(ledger, ledger.join("ada")).nonce
    clock.now += 10
    with pytest.raises(Refused, match="not a time"):
        ledger.answer(nonce, "left", seconds)


def test_what_was_never_shown_cannot_be_answered(ledger: Ledger) -> None:
    with pytest.raises(Refused, match="never shown") as refused:
        ledger.answer("no-such-nonce", "left", 1.0)
    assert refused.value.code == 404
    with pytest.raises(Refused, match="one of left, right, equal, skip"):
        ledger.answer(shown(ledger, ledger.join("ada")).nonce, "both", 1.0)


@pytest.mark.parametrize("name", ["", "   ", "a" * 41, "a\x00b", "a\u202eb"])
def test_names_that_cannot_be_printed_are_refused(ledger: Ledger, name: str) -> None:
    with pytest.raises(Refused, match="1 to 40 characters"):
        ledger.join(name)


def test_a_turn_done_again_hears_the_same(ledger: Ledger) -> None:
    ada = ledger.join("ada")
    ledger.answer(shown(ledger, ada).nonce, "left", 1.0)
    first = hear(ledger, 0)
    ledger.answer(shown(ledger, ada).nonce, "right", 1.0)
    assert hear(ledger, 0) == first == [(0, 1.0)]
    assert hear(ledger, 1) == [(1, 0.0)]
    assert [hear(ledger, turn, live=False) for turn in (0, 1)] == [[(0, 1.0)], [(1, 0.0)]]


def test_without_people_a_turn_that_was_never_heard_is_an_error(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="nobody answers now"):
        hear(ledger, 0, live=False)


def test_training_pauses_while_too_much_is_open(ledger: Ledger) -> None:
    ada, waited = ledger.join("ada"), []

    def answer_one(seconds: float) -> None:
        waited.append(seconds)
        ledger.answer(shown(ledger, ada).nonce, "left", 1.0)

    LedgerDesk(ledger).ask(asked(3, 20, seed=2))
    assert len(LedgerDesk(ledger, sleep=answer_one).hear(0, backlog=8)) == 15
    assert len(waited) == 15


def test_training_that_never_waits_waits_for_the_first_answers_alone(ledger: Ledger) -> None:
    ada = ledger.join("ada")

    def answer_one(seconds: float) -> None:
        ledger.answer(shown(ledger, ada).nonce, "left", 1.0)

    assert len(LedgerDesk(ledger, sleep=answer_one).hear(0, backlog=-1)) == 3  # there are no ten
    LedgerDesk(ledger).ask(asked(3, 20, seed=2))
    for _ in range(7):
        answer_one(0)
    assert len(LedgerDesk(ledger, sleep=nobody_waits).hear(1, backlog=-1)) == 7


def test_training_that_waits_waits_for_the_first_answers_too(ledger: Ledger) -> None:
    ada = ledger.join("ada")

    def answer_one(seconds: float) -> None:
        ledger.answer(shown(ledger, ada).nonce, "left", 1.0)

    assert len(LedgerDesk(ledger, sleep=answer_one).hear(0, backlog=8)) == 3


def test_asking_again_leaves_one_question_and_another_run_is_refused(ledger: Ledger) -> None:
    LedgerDesk(ledger).ask(asked(0, 3))
    assert ledger.rows("SELECT count(*) FROM questions")[0][0] == 3
    with pytest.raises(UserError, match="belongs to another run"):
        LedgerDesk(ledger).ask(asked(0, 3, seed=9))


def test_scenes_come_back_as_they_went(ledger: Ledger) -> None:
    expected = asked(0, 3).scenes
    found = ledger.scenes(2, "right")
    assert found is not None and np.array_equal(found, expected[2, 1])
    assert ledger.scenes(3, "left") is None and ledger.agent() is None
    LedgerDesk(ledger).show(7, expected[0, 0])
    agent = ledger.agent()
    assert agent is not None and agent[0] == 7 and np.array_equal(agent[1], expected[0, 0])


def test_answers_outlive_the_process(ledger: Ledger, tmp_path: Path) -> None:
    nonce = shown(ledger, ledger.join("ada")).nonce
    ledger.answer(nonce, "left", 1.0)
    again = Ledger(tmp_path / "answers.sqlite")  # while the other is still open, as after a kill
    assert hear(again, 0) == [(0, 1.0)]
    assert again.answer(nonce, "left", 1.0) is False


def test_many_people_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.sqlite")
    LedgerDesk(ledger).ask(asked(0, 200))
    counted: Counter[int] = Counter()

    def sit(name: str) -> None:
        person = ledger.join(name)
        while (page := ledger.next(person)) is not None:
            for _ in range(2):  # everybody clicks twice
                if ledger.answer(page.nonce, "left", 0.0):
                    counted[page.question] += 1

    threads = [threading.Thread(target=sit, args=(f"person {i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == Counter(range(200))
    assert sorted(number for number, _ in hear(ledger, 0)) == list(range(200))


def test_a_file_that_is_no_ledger_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(UserError, match="cannot be used"):
        Ledger(tmp_path / "a.sqlite")
    ledger = Ledger(tmp_path / "b.sqlite")
    with ledger.transaction() as sql:
        sql.execute("UPDATE about SET value = '99' WHERE name = 'schema'")
    with pytest.raises(UserError, match="schema 99"):
        Ledger(tmp_path / "b.sqlite")


def test_an_answer_that_cannot_be_written_is_not_kept_by_halves(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.answers.ledger.MOST_PEOPLE", 100_000)
    page = shown(ledger, ledger.join("ada"))
    ledger._connection.execute("PRAGMA max_page_count = 1")  # a full disk, as SQLite sees it
    pages = ledger.rows("PRAGMA page_count")[0][0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    taken = 0
    with pytest.raises(Exception, match="full"):
        for number in range(10_000):
            ledger.join(f"person {number}")
            taken += 1
    assert ledger.rows("SELECT count(*) FROM people")[0][0] == 1 + taken
    ledger._connection.execute("PRAGMA max_page_count = 100000")
    assert ledger.answer(page.nonce, "left", 1.0)
