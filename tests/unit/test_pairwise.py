"""Two arms: permutation tests against SciPy's and against enumeration, Holm by hand, Newcombe's printed intervals."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import scipy.stats

from bench import pairwise


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_one_task_is_scipys_exact_test() -> None:
    x, y = rng(1).normal(0.8, 1, 5), rng(2).normal(0, 1, 6)
    theirs = scipy.stats.permutation_test(
        (x, y), lambda a, b, axis: abs(a.mean(axis) - b.mean(axis)), n_resamples=np.inf, alternative="greater"
    )
    assert pairwise.permutation([(x, y)], rng()) == pytest.approx(theirs.pvalue)


def test_several_tasks_are_a_slow_loop_over_all_divisions() -> None:
    pairs = [(rng(i).normal(0.5, 1, 3), rng(9 + i).normal(0, 1, 3)) for i in range(2)]
    sums = []
    for x, y in pairs:
        both = np.concatenate([x, y])
        chosen = [list(c) for c in combinations(range(6), 3)]
        sums.append([both[c].mean() - np.delete(both, c).mean() for c in chosen])
    seen = sum(x.mean() - y.mean() for x, y in pairs)
    slow = np.mean([abs(a + b) >= abs(seen) - 1e-12 for a in sums[0] for b in sums[1]])
    assert pairwise.permutation(pairs, rng()) == pytest.approx(slow)
    assert pairwise.permutation(pairs, rng(), shuffles=390) == pytest.approx(slow, abs=0.1)  # drawn, not counted


def test_three_seeds_of_one_task_can_never_be_told_apart() -> None:
    assert pairwise.permutation([([1.0, 2, 3], [7.0, 8, 9])], rng()) == pytest.approx(0.1)
    assert pairwise.permutation([([1.0, 2, 3], [7.0, 8, 9])] * 3, rng()) == pytest.approx(2 / 8000)


def test_equal_arms_are_told_apart_as_seldom_as_promised() -> None:
    random = rng(3)
    found = [
        pairwise.permutation([(random.lognormal(size=3), random.lognormal(size=5)) for _ in range(2)], random, 500)
        for _ in range(400)
    ]
    assert np.mean(np.array(found) <= 0.05) <= 0.075


def test_holm_by_hand() -> None:
    assert pairwise.holm([0.01, 0.04, 0.03, 0.5]).tolist() == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert pairwise.holm([0.6, 0.9]).tolist() == [1.0, 1.0]


def test_newcombes_interval_solves_his_equation() -> None:
    """Method 5: the distance to either end is 1.96 standard errors as they are there."""
    x, y = rng(4).normal(0.7, 1, 8), rng(5).normal(0, 1, 6)
    made = pairwise.probability_of_improvement([(x, y)])
    for end in (made.low, made.high):
        extra = 6.0
        se = np.sqrt(end * (1 - end) * (1 + extra * (1 - end) / (2 - end) + extra * end / (1 + end)) / 48)
        assert abs(end - made.value) == pytest.approx(1.959964 * se, rel=1e-5)


@pytest.mark.parametrize(("x", "y", "value"), [([3.0, 4, 5], [0.0, 1, 2], 1.0), ([0.0, 1, 2], [3.0, 4, 5], 0.0)])
def test_arms_wholly_apart_still_have_an_interval(x: list[float], y: list[float], value: float) -> None:
    made = pairwise.probability_of_improvement([(x, y)])
    assert made.value == value and 0.3 < made.high - made.low < 0.7 and value in (made.low, made.high)
