"""Which pairs a session asks about, and who answers: the interview, with real parts at a small size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import STEPS, WIDTH, acted, behaviour

from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.feedback import queries
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.interview import Interview, People, Program, Session, checked
from prefrl_core.feedback.labelers import Human, HumanCurve, Oracle
from prefrl_core.feedback.segments import Pool

FORM = Vectors(WIDTH)


class Undecided:
    """A reward model to which all is equal."""

    def preferences(self, kept: Any, pairs: Any) -> Any:
        return np.full((3, len(pairs)), 0.5, np.float32)


class Watched(Program):
    """Remembers what was asked."""

    pairs: list[Any]

    def ask(self, session: Session, opinion: Any) -> None:
        self.pairs.append(session.pairs)
        super().ask(session, opinion)


def pool(count: int = 400) -> Pool:
    made = Pool(count, STEPS, FORM)
    held = behaviour(count, 8)
    made.add(held)
    made.turn = acted(held.features[:4])
    return made


@pytest.mark.parametrize("window", [2, 10, 64])
def test_near_on_policy_asks_about_the_newest_segments_alone_and_about_all_of_their_pairs(window: int) -> None:
    """Once something was answered. One question a session, as most suites have it, many times over."""
    held, answers = pool(), Watched(Oracle(), np.random.default_rng(0))
    answers.pairs = []
    known = Comparisons(601, STEPS, FORM, 3)
    one = Interview(
        queries.NearOnPolicy(window=window), answers, known, np.random.default_rng(1), np.random.default_rng(2)
    )
    for turn in range(601):
        one.hold(1, held, Undecided(), 0.0, turn, turn)
    later = np.concatenate(answers.pairs[1:])
    assert len(later) == 600 and later.min() >= 400 - window
    assert set(later.ravel().tolist()) == set(range(400 - window, 400))
    if window == 10:  # uniform: 600 draws of 45 pairs
        met = np.unique(np.sort(later), axis=0, return_counts=True)[1]
        assert len(met) == 45 and met.max() < 35
    assert answers.pairs[0].min() < 400 - window  # the first session is about anything


@pytest.mark.parametrize("session", [1, 20])
def test_people_as_they_err_see_the_gap_however_many_questions_a_session_has(session: int) -> None:
    """Their errors and ties depend on a pair's gap in units of the pool's spread: twenty pairs a session or one."""
    held = pool()
    returns = held.segments.true_rewards.sum(1)
    order = np.argsort(returns)
    narrow, wide = np.stack([order[:-1], order[1:]], 1), np.stack([order[:200], order[200:]], 1)
    wrong = []
    for pairs in (narrow, wide):
        program, right = Program(HumanCurve(), np.random.default_rng(3)), []
        for start in range(0, len(pairs) - session + 1, session):
            asked = pairs[start : start + session]
            numbers = np.arange(len(asked))
            program.ask(Session(numbers, asked, held.segments, 0, 0.0, False, 0), Undecided())
            heard = program.hear(0, 0, held.turn, False)
            right += [one.answer == 0 for one in heard]  # the second is the better one
        wrong.append(1 - np.mean(right))
    assert wrong[0] > wrong[1] + 0.2


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([1, 0], ""),
        (None, r"an array of shape \(\)"),
        (np.zeros((2, 2)), r"2 questions by an array of shape \(2, 2\)"),
        (["left", "right"], "answered list: an array of numbers is needed"),
        ([2.0, 0.0], r"another answer than 1 \(left\)"),
        ([np.inf, 0.0], "another answer than 1"),
    ],
)
def test_what_a_labeler_gives_back_is_looked_at(answers: Any, says: str) -> None:
    if not says:
        assert checked(answers, 2, Oracle()).tolist() == [1, 0]
        return
    with pytest.raises(UserError, match=f"labeler Oracle .*{says}"):
        checked(answers, 2, Oracle())


class Listening:
    """A desk and a form that note how long would be waited."""

    def __init__(self) -> None:
        self.backlogs: list[int] = []

    def newest(self, *_: Any) -> np.ndarray:
        return np.zeros((1, 1, 3))

    def show(self, *_: Any) -> None: ...

    def hear(self, turn: int, backlog: int) -> list[Any]:
        self.backlogs.append(backlog)
        return []


@pytest.mark.parametrize(("backlog", "at_last"), [(8, 0), (0, 0), (-1, -1)])
def test_the_last_answers_are_waited_for_where_any_are(backlog: int, at_last: int) -> None:
    desk: Any = Listening()
    people, acted_ = People(Human(backlog=backlog), desk, desk), acted(behaviour(4, 1).features)
    for last in (False, True):
        people.hear(0, 100, acted_, last)
    assert desk.backlogs == [backlog, at_last]


@pytest.mark.parametrize(
    "choice",
    [
        lambda count, of: np.arange(count + 1),
        lambda count, of: np.arange(count) - 1,
        lambda count, of: np.arange(count) + of - count + 1,
        lambda count, of: np.zeros(count, int),
        lambda count, of: np.arange(count) + 0.5,
        lambda count, of: np.ones(of, bool),
        lambda count, of: [[0, 1], [2]],
        lambda count, of: None,
    ],
    ids=["one too many", "before the first", "after the last", "twice", "no whole numbers", "mask", "ragged", "none"],
)
def test_a_strategy_that_does_not_choose_as_many_as_asked_is_named(choice: Any) -> None:
    class Odd(queries.Uniform):
        def choose(self, candidates: Any, count: int, random: Any) -> Any:
            return choice(count, len(candidates.pairs))

    one = Interview(
        Odd(),
        Program(Oracle(), np.random.default_rng(0)),
        Comparisons(8, STEPS, FORM, 3),
        np.random.default_rng(1),
        np.random.default_rng(2),
    )
    held = pool()
    one.hold(2, held, Undecided(), 0.0, 0, 0)  # the first questions are drawn uniformly
    with pytest.raises(UserError, match=r"^query strategy Odd has chosen .*: an array of 3 different indices of its"):
        one.hold(3, held, Undecided(), 0.0, 1, 1)


def test_a_strategy_may_choose_by_a_list() -> None:
    class Listed(queries.Uniform):
        def choose(self, candidates: Any, count: int, random: Any) -> Any:
            return list(range(count))

    known = Comparisons(8, STEPS, FORM, 3)
    answers = Program(Oracle(), np.random.default_rng(0))
    one = Interview(Listed(), answers, known, np.random.default_rng(1), np.random.default_rng(2))
    for turn, count in enumerate((2, 3)):
        one.hold(count, pool(), Undecided(), 0.0, turn, turn)
    assert known.count == 5
