"""Query strategies: the laws that all keep, and each against a slow loop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefrl_core.errors import UserError
from prefrl_core.feedback import queries
from prefrl_core.feedback.queries import Candidates, draw_pairs
from prefrl_core.registry import find, names
from prefrl_core.spec import RunSpec

OURS = [name for name in names("query") if find("query", name).__module__ == queries.__name__]
SCORED = [
    name for name in OURS if name not in ("uniform", "near_on_policy")
]  # their choice does not depend on the order


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def candidates(count: int = 60, segments: int = 30, asked: int = 5, seed: int = 0, members: int = 3) -> Candidates:
    random = rng(seed)
    pairs = draw_pairs(segments, count, random)
    return Candidates(
        pairs,
        random.random((members, len(pairs)), np.float32),
        (5 + 3 * random.standard_normal((segments, 4, 3))).astype(np.float32),
        (5 + 3 * random.standard_normal((asked, 2, 4, 3))).astype(np.float32),
    )


def slow_entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def slow_points(given: Candidates) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The points that stand for candidate pairs and for asked ones, one by one."""
    means = np.array([segment.astype(float).mean(0) for segment in given.segments])
    scaled = lambda segment: (segment.astype(float).mean(0) - means.mean(0)) / means.std(0)  # noqa: E731

    def point(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        one, other = scaled(left), scaled(right)
        return np.concatenate([(one + other) / 2, abs(one - other)])

    here = [point(given.segments[i], given.segments[j]) for i, j in given.pairs]
    return here, [point(left, right) for left, right in given.asked]


def slow_spread(given: Candidates, eligible: list[int], count: int) -> list[int]:
    points, centers = slow_points(given)
    chosen: list[int] = []
    for _ in range(count):
        best = max(
            (index for index in eligible if index not in chosen),
            key=lambda index: min(float(np.sum((points[index] - center) ** 2)) for center in centers),
        )
        chosen.append(best)
        centers.append(points[best])
    return chosen


def slow_choice(name: str, given: Candidates, count: int) -> list[int]:
    columns = given.probabilities.T.astype(float).tolist()
    mean = [sum(column) / len(column) for column in columns]
    variance = [sum((p - m) ** 2 for p in column) / len(column) for column, m in zip(columns, mean, strict=True)]
    entropy = [slow_entropy(m) for m in mean]
    information = [h - sum(map(slow_entropy, column)) / len(column) for h, column in zip(entropy, columns, strict=True)]
    by_member = [sum(map(slow_entropy, column)) / len(column) for column in columns]
    everything = list(range(len(columns)))

    def best(scores: list[float], number: int) -> list[int]:
        return sorted(everything, key=lambda index: -scores[index])[:number]

    half = len(columns) // 2
    return {
        "disagreement": lambda: best(variance, count),
        "entropy": lambda: best(entropy, count),
        "mutual_information": lambda: best(information, count),
        "k_center": lambda: slow_spread(given, everything, count),
        "disagreement_k_center": lambda: slow_spread(given, best(variance, half), count),
        "entropy_k_center": lambda: slow_spread(given, best(entropy, half), count),
        "member_entropy": lambda: best(by_member, count),
        "member_entropy_k_center": lambda: slow_spread(given, best(by_member, half), count),
    }[name]()


def test_all_strategies_are_known() -> None:
    assert set(OURS) == {
        *("uniform", "disagreement", "entropy", "mutual_information", "near_on_policy"),
        *("k_center", "disagreement_k_center", "entropy_k_center", "member_entropy", "member_entropy_k_center"),
    }


@pytest.mark.parametrize("name", OURS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_choices_are_valid_pure_and_deterministic(name: str, data: st.DataObject) -> None:
    segments = data.draw(st.integers(2, 12))
    made = candidates(
        data.draw(st.integers(1, 40)), segments, data.draw(st.integers(0, 3)), data.draw(st.integers(0, 9))
    )
    if data.draw(st.booleans()):  # all alike
        made.probabilities[:] = 0.5
        made.segments[:] = 1
    count = data.draw(st.integers(1, len(made.pairs)))
    for array in (made.pairs, made.probabilities, made.segments, made.asked):
        array.setflags(write=False)
    strategy = find("query", name)()
    chosen = strategy.choose(made, count, rng())
    assert chosen.shape == (count,) and len(set(chosen.tolist())) == count
    assert chosen.min() >= 0 and chosen.max() < len(made.pairs)
    assert (made.pairs[chosen, 0] != made.pairs[chosen, 1]).all()
    np.testing.assert_array_equal(chosen, strategy.choose(made, count, rng()))


@pytest.mark.parametrize("name", SCORED)
@pytest.mark.parametrize("seed", range(3))
def test_choice_equals_a_slow_loop(name: str, seed: int) -> None:
    made = candidates(seed=seed)
    assert find("query", name)().choose(made, 7, rng()).tolist() == slow_choice(name, made, 7)


@pytest.mark.parametrize("name", SCORED)
def test_the_order_of_candidates_and_of_members_makes_no_difference(name: str) -> None:
    made, order = candidates(), rng(1).permutation(60)
    shuffled = Candidates(made.pairs[order], made.probabilities[::-1][:, order], made.segments, made.asked)
    strategy = find("query", name)()
    assert order[strategy.choose(shuffled, 9, rng())].tolist() == strategy.choose(made, 9, rng()).tolist()


@pytest.mark.parametrize("name", OURS)
def test_the_side_that_a_segment_is_on_makes_no_difference(name: str) -> None:
    made, strategy = candidates(), find("query", name)()
    mirrored = Candidates(made.pairs[:, ::-1], 1 - made.probabilities, made.segments, made.asked[:, ::-1])
    assert set(strategy.choose(mirrored, 9, rng()).tolist()) == set(strategy.choose(made, 9, rng()).tolist())


@pytest.mark.parametrize("name", ["disagreement", "entropy", "mutual_information"])
def test_of_equal_scores_the_earlier_is_chosen(name: str) -> None:
    made = candidates()
    made.probabilities[:] = 0.5
    assert find("query", name)().choose(made, 3, rng()).tolist() == [0, 1, 2]


def test_uniform_takes_the_first() -> None:
    assert queries.Uniform().choose(candidates(), 3, rng()).tolist() == [0, 1, 2]


def test_mutual_information_tells_doubt_from_disagreement() -> None:
    """All members undecided: nothing to learn about them. Two certain and opposed: a whole bit."""
    made = candidates(2, members=2)
    made.probabilities[:] = [[0.5, 0.0], [0.5, 1.0]]
    np.testing.assert_allclose(queries.mutual_information(made), [0, math.log(2)], atol=1e-9)
    np.testing.assert_allclose(queries.entropy(made), [math.log(2)] * 2)


def test_k_center_goes_where_nothing_was_asked() -> None:
    """Two far groups of segments, and questions so far about one of them."""
    segments = np.zeros((20, 4, 2), np.float32)
    segments[10:] = 8
    segments += 0.1 * rng().standard_normal(segments.shape, np.float32)
    pairs = np.array([[0, 1], [2, 3], [10, 11], [4, 5]])
    made = Candidates(pairs, np.full((3, 4), 0.5, np.float32), segments, segments[[[6, 7], [8, 9]]])
    assert queries.KCenter().choose(made, 1, rng()).tolist() == [2]


@pytest.mark.parametrize("name", ["disagreement", "mutual_information", "disagreement_k_center"])
def test_a_strategy_of_the_ensemble_is_refused_without_one(name: str) -> None:
    spec: dict[str, Any] = {"task": "mujoco/hopper", "labels": 10, "reward_model": {"members": 1}}
    with pytest.raises(UserError, match=f"query '{name}' with reward_model.members = 1"):
        RunSpec.of({**spec, "query": name})
    RunSpec.of({**spec, "query": "entropy"})
    RunSpec.of({"task": "mujoco/hopper", "reward": "true", "reward_model": {"members": 1}})


@pytest.mark.parametrize("name", [name for name in names("query") if name.endswith("k_center")])
def test_distances_between_pixels_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"query '{name}' on atari/pong@1: it compares vectors"):
        RunSpec.of({"task": "atari/pong", "query": name})


@pytest.mark.parametrize(("setting", "value"), [("factor", 0), ("window", 1)])
def test_settings_out_of_range_are_refused(setting: str, value: int) -> None:
    with pytest.raises(UserError, match=f"query setting {setting} = {value}"):
        RunSpec.of({"task": "mujoco/hopper", "query": {"name": "near_on_policy", setting: value}})
