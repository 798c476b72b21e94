"""Ranked lists: places, implied pairs and accounts against slow loops and the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from helpers import STEPS, WIDTH, acted, behaviour, frozen

from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.interview import Program
from prefrl_core.feedback.labelers import Mistake, Oracle
from prefrl_core.feedback.list_interview import ListInterview
from prefrl_core.feedback.lists import RankedList, SequentialList
from prefrl_core.feedback.segments import Pool
from prefrl_core.spec import RunSpec

FORM = Vectors(WIDTH)
RANKED, RUNS, ROOT = RankedList(), SequentialList(), SequentialList(root=True)


class Silent:
    def preferences(self, kept: Any, pairs: Any) -> Any:
        raise AssertionError("a list needs no opinion")


class Sometimes(Oracle):
    def answer(self, questions: Any, random: np.random.Generator) -> np.ndarray:
        answers = super().answer(questions, random)
        return np.where(random.random(len(answers)) < 0.2, np.nan, answers)


def interview(strategy: RankedList = RANKED, labels: int = 100, labeler: Any = None, seed: int = 0) -> ListInterview:
    known = Comparisons(labels, STEPS, FORM, 3, implied=labels * strategy.pairs)
    answers = Program(labeler or Oracle(), np.random.default_rng(seed))
    return ListInterview(strategy, answers, known, np.random.default_rng(seed + 1), np.random.default_rng(seed + 2))


def pool(count: int = 400, seed: int = 8) -> Pool:
    made = Pool(count, STEPS, FORM)
    held = behaviour(count, seed)
    made.add(held)
    made.turn = acted(held.features[:4])
    return made


def held(one: ListInterview, sessions: list[int], seed: int = 8) -> Comparisons:
    for turn, count in enumerate(sessions):
        one.hold(count, pool(seed=seed + turn), Silent(), 0.0, turn, 100 * turn)
    return one.comparisons


@pytest.mark.parametrize("strategy", [RANKED, RUNS, ROOT])
def test_with_a_perfect_labeler_every_implied_pair_is_true(strategy: RankedList) -> None:
    known = held(interview(strategy), [25, 40, 1, 34])
    truth = np.sign(np.subtract(*known.true_returns.T))
    assert (np.sign(known.mu - 0.5) == truth).all() and not known.open
    assert known.asked == 100 and known.account() == {"labels": 100, "answered": 100, "ties": 0, "skipped": 0}
    assert known.implied > (200 if strategy is RANKED else 20)
    sides = known.features.reshape(known.count, 2, -1)
    assert not (sides[:, 0] == sides[:, 1]).all(1).any()
    pairs = {frozenset((left.tobytes(), right.tobytes())) for left, right in sides}
    assert len(pairs) == known.count  # nothing is told twice


def test_what_a_list_of_100_questions_gives() -> None:
    """By simulation of the binary search apart from this code: 28 segments, 392 pairs."""
    segments, pairs = [], []
    for seed in range(6):
        one = interview(seed=seed)
        pairs.append(held(one, [100], seed=20 + seed).count)
        assert one.members is not None
        segments.append(len(one.members.features))
    assert abs(np.mean(segments) - 28) < 1.5 and abs(np.mean(pairs) - 392) < 45


def test_the_place_is_that_of_a_sorted_list_and_a_tie_shares_it() -> None:
    order = RANKED.order()
    values, random = [3.0], np.random.default_rng(0)
    for new in random.integers(0, 8, 60).astype(float):  # many are as good as another
        compared = None
        questions = 0
        while compared is None:
            gap = new - values[order.opponent(random)]
            compared = order.hear(0.5 + 0.5 * np.sign(gap))
            questions += 1
        assert compared.tolist() == [0.5 + 0.5 * np.sign(new - value) for value in values]
        assert questions <= np.floor(np.log2(len(set(values)))) + 1
        values.append(new)
    assert (np.argsort(np.argsort(np.unique(values)))[np.searchsorted(np.unique(values), values)] == order.ranks).all()


def test_runs_and_roots_are_those_of_a_slow_loop() -> None:
    values = np.random.default_rng(3).integers(0, 6, 200).astype(float)
    order, run = RUNS.order(), [values[0]]
    for new in values[1:]:
        compared = order.hear(0.5 + 0.5 * np.sign(new - run[-1]))
        steps = {np.sign(b - a) for a, b in zip([*run, new], [*run[1:], new], strict=False)} - {0.0}
        if len(steps) > 1:  # a turn
            assert compared is not None and np.isnan(compared[:-1]).all()
            run = [run[-1]]
        assert compared is not None and compared[-len(run) :].tolist() == [0.5 + 0.5 * np.sign(new - v) for v in run]
        run.append(new)
        assert len(order.ranks) == len(run)
    order, seen = ROOT.order(), [values[0]]
    for new in values[1:]:
        best = max(seen)
        assert seen[order.opponent(np.random.default_rng(0))] == best
        compared = order.hear(0.5 + 0.5 * np.sign(new - best))
        assert compared is not None
        told = ~np.isnan(compared)
        assert (compared[told] == (0.5 + 0.5 * np.sign(new - np.array(seen)))[told]).all()
        assert told.sum() == (1 if new < best else len(seen))
        seen.append(new)


@pytest.mark.parametrize("strategy", [RANKED, RUNS, ROOT])
def test_a_list_goes_on_from_its_state_to_the_byte(strategy: RankedList) -> None:
    one, other = (interview(strategy, labeler=Mistake(mistake=0.2), seed=seed) for seed in (0, 0))
    for each in (one, other):
        held(each, [30])
    again = interview(strategy, labeler=Mistake(mistake=0.2))
    again.set_state(one.get_state())
    again.comparisons.set_state(one.comparisons.get_state())
    for name in ("random", "bootstrap"):
        getattr(again, name).bit_generator.state = getattr(one, name).bit_generator.state
    again.answers.random.bit_generator.state = one.answers.random.bit_generator.state  # type: ignore[attr-defined]
    results = [
        frozen({"all": held(each, [5, 40], 30).get_state(), "list": each.get_state()}) for each in (other, again)
    ]
    assert results[0] == results[1]


def test_what_follows_is_on_nobodys_account() -> None:
    one = interview(RankedList(pairs=2))
    known = held(one, [60])
    assert 0 < known.implied <= 2 * known.asked  # of more some are drawn
    implied = known.get_state()["implied"]
    exported = known.arrays()
    assert len(exported["mu"]) == len(exported["features"]) == 60
    assert (exported["mu"] == known.mu[~implied]).all()


@pytest.mark.parametrize("strategy", [RANKED, RUNS, ROOT])
def test_a_pair_that_is_held_out_has_a_segment_that_the_member_never_saw(strategy: RankedList) -> None:
    known = held(interview(strategy, labels=400), [100, 300])
    for member in range(3):
        seen = {segment.tobytes() for pair in known.take(known.bag(member)) for segment in pair}
        left_out = known.take(known.left_out(member))
        assert len(left_out) and all(not {one.tobytes() for one in pair} <= seen for pair in left_out)


def test_a_member_draws_pairs_of_lists_as_often_as_any_label() -> None:
    drawn = np.concatenate([held(interview(labels=300, seed=seed), [100] * 3).multiplicity for seed in range(12)])
    shares = np.bincount(drawn.ravel(), minlength=5)[:5] / drawn.size
    np.testing.assert_allclose(shares, np.exp(-1) / np.array([1, 1, 2, 6, 24]), atol=0.03)  # pairs are not independent


def test_skipped_newcomers_stay_out_and_lists_end() -> None:
    one = interview(RankedList(questions=20), labeler=Sometimes())
    known = held(one, [60])
    account = known.account()
    assert 0 < account["skipped"] < 60 and account["labels"] == 60 == account["answered"] + account["skipped"]
    assert one.members is not None and len(one.members.features) == len(one.order.ranks) <= 21
    few = interview()
    few.hold(10, pool(2), Silent(), 0.0, 0, 0)
    assert few.comparisons.asked == 1  # there is only one pair


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"labeler": "human"}, "'ranked_list' with labeler 'human': each question follows from the answer before"),
        (
            {"task": "atari/pong", "policy": "a2c", "reward_model": {"label_buffer": 0}},
            "'ranked_list' on atari/pong@1: it compares vectors, not pixels",
        ),
        ({"reward_model": {"label_buffer": 10}}, "a list keeps its segments"),
        ({"query": {"name": "ranked_list", "questions": 0}}, "questions = 0: at least 1"),
        ({"query": {"name": "sequential_list", "pairs": -1}}, "pairs = -1: at least 0"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        RunSpec.of({"task": "mujoco/hopper", "labels": 20, "query": "ranked_list", **change})
