"""Statistics against SciPy, against hand-computed cases, and against what an interval promises."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import pairwise, spread, stats

CELLS = arrays(np.float64, st.integers(2, 12), elements=st.floats(-1e4, 1e4, width=32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Point estimates


def test_iqm_by_hand() -> None:
    assert stats.iqm([0, 1, 2, 100]) == 1.5
    assert stats.iqm([[5, 1], [1, 9]]) == 3.0  # all runs x tasks together
    assert stats.iqm([1, 2, 6]) == 3.0  # a quarter of three runs is none
    assert np.isnan(stats.iqm([0, 1, 2, np.nan]))  # which would be the one that is cut off
    np.testing.assert_array_equal(stats.iqm([[0, 1, 2, np.nan], [0, 1, 2, 100]], axis=-1), [np.nan, 1.5])


def test_a_task_of_one_seed_leaves_the_iqm_without_an_interval() -> None:
    """Nobody knows how far its mean may be off. Its draws were sorted last, and cut off as if they were the best."""
    rng = np.random.default_rng(0)
    many = [stats.Draws(rng.normal(0.5, 0.1, 5), rng.normal(0, 0.05, 500)) for _ in range(3)]
    single = stats.Draws(np.array([0.5]), np.full(500, np.nan))
    controls = [stats.Draws(np.ones(5), np.zeros(500)) for _ in range(4)]
    for cells, told in ((many, True), ([*many, single], False)):
        made = stats.normalised_scores(
            [[cell] for cell in cells], controls[: len(cells)], [0.0] * len(cells), stats.iqm_over_runs
        )
        (found,) = made.estimates()
        assert 0.3 < found.value < 0.7 and (np.isfinite([found.low, found.high]).all() == told)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 5)), elements=st.floats(-1e4, 1e4, width=32)))
def test_iqm_is_scipys_trimmed_mean(scores: np.ndarray) -> None:
    assert stats.iqm(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=None), abs=1e-9)
    assert stats.iqm(scores, axis=1) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=1), abs=1e-9)


def test_normalise_puts_the_untrained_policy_at_0_and_the_control_at_1() -> None:
    assert stats.normalise([-50, 875, 1800, 2725], -50, 1800).tolist() == [0, 0.5, 1, 1.5]
    assert np.isnan(stats.normalise([100], 50, 50)).all()  # a control that learned nothing is no scale
    assert np.isnan(stats.normalise([100], 50, 40)).all()


def test_final_mean_weighs_episodes_in_the_last_twentieth() -> None:
    step, value, weight = [900, 951, 1000], [0.0, 10.0, 40.0], [9, 2, 1]
    assert stats.final_mean(step, value, weight, 1000) == 20.0  # step 950 and before are out
    assert stats.final_mean([901, 950], [3.0, 5.0], [1, 1], 1000) == 4.0  # widened to the last tenth
    assert math.isnan(stats.final_mean([500, 900], [3.0, 5.0], [1, 1], 1000))
    assert stats.final_mean([960, 990], [7.0, np.nan], [1, 0], 1000) == 7.0  # no episode ended in the last row


def test_weighted_mean_ignores_what_is_not_there() -> None:
    assert stats.weighted_mean([1.0, 4.0, np.nan], [2, 1, 5]) == 2.0
    assert math.isnan(stats.weighted_mean([np.nan], [0]))


def test_binned_by_hand() -> None:
    step, value, weight = [10, 20, 35, 50], [1.0, 2.0, 8.0, 9.0], [1, 3, 2, 0]
    made = stats.binned(step, value, weight, [0, 10, 20, 30, 40, 50])
    np.testing.assert_allclose(made, [1, 2, 5, 8, np.nan])  # a gap is bridged, an end is not


# Intervals


def test_undefined_draws_widen_the_interval() -> None:
    draws = np.r_[np.arange(100.0), np.full(5, np.nan)]
    low, high = stats.interval(draws)
    assert low == -math.inf
    assert high == math.inf


# Normalised scores


def drawn(values: list[float], seed: int, error: float = 0.05) -> stats.Draws:
    return stats.Draws(np.array(values), error * np.random.default_rng(seed).standard_normal(10_000))


def scores_of(
    cells: list[list[list[float]]],
    controls: list[list[float]],
    untrained: list[float],
    statistic: Callable[..., np.ndarray] = stats.mean_over_tasks,
    errors: tuple[float, float] = (1.0, 1.0),
) -> stats.Scores:
    seeds = iter(range(1000))
    drawn_cells = [[drawn(cell, next(seeds), errors[0]) for cell in task] for task in cells]
    drawn_controls = [drawn(control, next(seeds), errors[1]) for control in controls]
    return stats.normalised_scores(drawn_cells, drawn_controls, untrained, statistic)


def test_normalised_mean_by_hand() -> None:
    made = scores_of([[[50.0, 70.0], [90.0, 110.0]]], [[90.0, 110.0]], [0.0])
    assert made.values.tolist() == [0.6, 1.0]
    assert made.draws.shape == (10_000, 2)


def test_aggregate_is_the_iqm_over_all_runs_of_all_tasks() -> None:
    cells, controls, untrained = [[[0.0, 100.0]], [[10.0, 12.0]]], [[100.0, 100.0], [20.0, 20.0]], [0.0, 0.0]
    made = scores_of(cells, controls, untrained, statistic=stats.iqm_over_runs)
    assert made.values[0] == pytest.approx(np.mean([0.5, 0.6]))  # of 0, 0.5, 0.6, 1 one is cut at each end


def test_the_level_of_the_control_is_uncertain_too() -> None:
    """Of a ratio to first order: the relative errors add up as squares."""
    (one,) = scores_of([[[70.0] * 4]], [[100.0] * 4], [0.0], errors=(0.7, 3.0)).estimates()
    expected = 0.7 * np.hypot(0.01, 0.03)
    assert (one.high - one.low) / 2 / 1.96 == pytest.approx(expected, rel=0.05)


def test_a_control_divided_by_itself_is_one_in_every_draw() -> None:
    control = drawn([60.0, 90.0, 150.0], 0, 30.0)
    made = stats.normalised_scores([[control, drawn([50.0, 60.0], 1)]], [control], [0.0], stats.mean_over_tasks)
    np.testing.assert_allclose(made.draws[:, 0][np.isfinite(made.draws[:, 0])], 1.0)
    assert np.nanstd(made.draws[:, 1]) > 0.1


def test_what_nobody_knows_gives_no_interval() -> None:
    (one,) = scores_of([[[50.0, 60.0]]], [[100.0]], [0.0], errors=(1.0, np.nan)).estimates()
    assert one.value == pytest.approx(0.55)
    assert (one.low, one.high) == (-math.inf, math.inf)


# Several intervals at once


def test_bands_of_independent_normals_are_sidaks() -> None:
    draws = np.random.default_rng(3).standard_normal((200_000, 10)) * np.arange(1, 11)
    made = stats.together(np.zeros(10), draws)
    reach = scipy.stats.norm.ppf((1 + 0.95 ** (1 / 10)) / 2)
    np.testing.assert_allclose([one.high for one in made], reach * np.arange(1, 11), rtol=0.02)


def test_bands_of_the_same_thing_said_twice_are_those_of_once() -> None:
    draws = np.random.default_rng(4).standard_normal((50_000, 1))
    (once,) = stats.together([0.0], draws)
    both = stats.together([0.0, 0.0, 0.0], np.repeat(draws, 3, axis=1))
    assert [one.high for one in both] == pytest.approx([once.high] * 3)
    assert once.high == pytest.approx(1.96, rel=0.02)


def test_what_has_no_interval_does_not_take_the_others() -> None:
    draws = np.random.default_rng(5).standard_normal((10_000, 2))
    draws += [0.0, 2.0]
    draws[:, 0] = np.nan
    unknown, known = stats.together([1.0, 2.0], draws)
    assert (unknown.value, unknown.low, unknown.high) == (1.0, -math.inf, math.inf)
    assert known.high == pytest.approx(3.96, abs=0.1)
    assert [one.high for one in stats.together([1.0], np.full((9, 1), np.nan))] == [math.inf]


# Aggregates over tasks

# What rliable 1.2.0 gives for SCORES[task][run] (with pandas 2; 50,000 replicates, NumPy's global seed 0).
SCORES = [
    [0.81, 1.03, 0.38, 0.51, 0.84, 1.07],
    [0.7, 0.85, 0.87, 0.51, 0.31, 1.13],
    [0.63, 0.79, 0.79, 1.24, 0.86, 1.12],
    [0.83, 0.36, 0.32, 0.76, 1.98, 0.55],
    [0.62, 0.25, 0.87, 0.83, 0.4, 0.63],
]
OTHERS = [
    [0.41, 1.39, 0.33, 0.88, 0.37, 0.47],
    [0.2, 0.64, 0.86, 0.69, 0.92, 2.36],
    [0.53, 0.9, 0.84, 1.88, 1.4, 1.26],
    [1.46, 0.57, 0.29, 0.17, 0.54, 1.35],
    [1.34, 1.1, 0.56, 1.61, 0.47, 0.94],
]
RLIABLE = {stats.median_over_tasks: 0.773333, stats.iqm_over_runs: 0.741875, stats.mean_over_tasks: 0.761333}
RLIABLE[stats.optimality_gap] = 0.291


@pytest.mark.parametrize("statistic", RLIABLE, ids=lambda one: one.__name__)
def test_aggregates_are_rliables(statistic: Callable[..., np.ndarray]) -> None:
    assert statistic(SCORES) == pytest.approx(RLIABLE[statistic], abs=1e-6)


def test_performance_profile_is_rliables() -> None:
    levels = [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5]
    found = stats.performance_profile(SCORES, levels)
    np.testing.assert_allclose(found, [1, 0.966667, 0.8, 0.566667, 0.2, 0.033333, 0.033333], atol=1e-6)


def test_performance_profile_weighs_tasks_alike_however_many_runs_they_have() -> None:
    assert stats.performance_profile([[1.0], [0.0, 0.0, 0.0]], [0.5]) == [0.5]
    assert stats.performance_profile([[0.5]], [0.5]) == [0.0]  # above, not at


def test_profile_of_what_is_not_known_is_not_known() -> None:
    assert np.isnan(stats.performance_profile([[1.0, np.nan], [1.0]], [0.5])).all()


def test_profile_of_many_draws_is_the_profile_of_each() -> None:
    draws = [np.array([[0.2, 0.9], [1.0, 1.1]]), np.array([[0.4, 0.4], [0.0, 2.0]])]
    found = stats.performance_profile(draws, [0.3, 1.0])
    for index in range(2):
        np.testing.assert_array_equal(
            found[index], stats.performance_profile([one[index] for one in draws], [0.3, 1.0])
        )


def test_probability_of_improvement_is_rliables() -> None:
    assert pairwise.probability_of_improvement(list(zip(SCORES, OTHERS, strict=True))).value == pytest.approx(0.45)


def test_optimality_gap_counts_nothing_above_the_target() -> None:
    assert stats.optimality_gap([[0.5, 3.0]]) == 0.25
    assert stats.optimality_gap([[0.5, 3.0]], target=2.0) == 0.75


def test_ten_thousand_replicates_of_eight_tasks_take_no_time() -> None:
    start = time.process_time()
    random = rng(13)
    rows = random.normal(1.0, 0.2, size=(8, 10))
    cells = [[spread.draws(row, spread.pool(rows), random)] for row in rows]
    made = stats.normalised_scores(cells, [drawn([1.0, 1.0], 0, 0.001)] * 8, [0.0] * 8, stats.iqm_over_runs)
    seconds = time.process_time() - start
    (one,) = made.estimates()
    assert 0.9 < one.low < one.value < one.high < 1.1
    assert seconds < 4  # 0.3 on a quiet machine


def test_ranks_are_scipys() -> None:
    scores = rng().integers(0, 5, size=(40, 6)).astype(float)  # with ties
    np.testing.assert_array_equal(stats.ranks(scores), scipy.stats.rankdata(-scores, axis=-1))
    scores[3, 2] = np.nan
    assert np.isnan(stats.ranks(scores)[3]).all()


def test_kendalls_tau_is_the_slow_loops() -> None:
    reference, scores = rng(1).normal(size=7), rng().integers(0, 9, size=(30, 7)).astype(float)
    slow = np.zeros(30)
    for row, line in enumerate(scores):
        for i in range(7):
            for j in range(i):
                slow[row] += np.sign((line[i] - line[j]) * (reference[i] - reference[j])) / 21
    np.testing.assert_allclose(stats.kendall(scores, reference), slow)
    untied = rng(2).normal(size=7)
    assert stats.kendall(untied, reference) == pytest.approx(scipy.stats.kendalltau(untied, reference).statistic)
    assert stats.kendall(reference, reference) == 1 and stats.kendall(-reference, reference) == -1
    assert np.isnan(stats.kendall(np.where(np.arange(7) == 2, np.nan, untied), reference))
