"""Feedback efficiency against cases worked out by hand and against what its definition implies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import efficiency, stats


def test_crossing_by_hand() -> None:
    budgets = [60, 240, 960]
    assert efficiency.crossing(budgets, [0.5, 0.8, 1.0], 0.9) == pytest.approx(480)  # half-way in log(labels)
    assert efficiency.crossing(budgets, [0.5, 0.9, 1.0], 0.9) == pytest.approx(240)
    assert efficiency.crossing(budgets, [0.95, 0.8, 1.0], 0.9) == 60  # the smallest was enough
    assert efficiency.crossing(budgets, [0.5, 0.6, 0.89], 0.9) == math.inf
    assert math.isnan(efficiency.crossing(budgets, [0.5, np.nan, 1.0], 0.9))
    assert efficiency.crossing([200], [0.7], 0.9) == math.inf


@pytest.mark.parametrize("budgets", [[], [0, 60], [200, 60], [60, 60]])
def test_crossing_needs_ascending_budgets_above_0(budgets: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        efficiency.crossing(budgets, np.ones(len(budgets)), 0.9)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float64, 4, elements=st.floats(0, 1.5)), st.floats(0.1, 1.0), st.floats(0.0, 0.4))
def test_a_higher_share_or_a_worse_curve_needs_no_fewer_labels(curve: np.ndarray, share: float, more: float) -> None:
    budgets = [60, 200, 700, 1400]
    needed = efficiency.crossing(budgets, curve, share)
    assert needed == math.inf or 60 <= needed <= 1400 * (1 + 1e-9)
    assert efficiency.crossing(budgets, curve, share + more) >= needed * (1 - 1e-9)
    assert efficiency.crossing(budgets, curve - more, share) >= needed * (1 - 1e-9)


def test_labels_to_reach_carries_not_reached_into_its_interval() -> None:
    draws = np.array([[0.5, 1.0]] * 90 + [[0.5, 0.8]] * 10)
    made = efficiency.labels_to_reach([100, 400], stats.Scores(np.array([0.5, 1.0]), draws))
    assert made.value == pytest.approx(100 * 4**0.8)
    assert made.low == pytest.approx(made.value)
    assert made.high == math.inf


def test_area_by_hand() -> None:
    assert efficiency.area([10, 1000], [0.0, 1.0]) == pytest.approx(0.5)
    assert efficiency.area([10, 100, 1000], [0.0, 1.0, 1.0]) == pytest.approx(0.75)  # each factor of ten weighs alike
    assert efficiency.area([10, 100, 100_000], [0.0, 1.0, 1.0]) == pytest.approx((0.5 + 3) / 4)
    np.testing.assert_allclose(efficiency.area([5, 50], [[0.2, 0.4], [1.0, 1.0]]), [0.3, 1.0])


def test_area_needs_two_budgets() -> None:
    with pytest.raises(ValueError, match="two budgets"):
        efficiency.area([100], [0.5])


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, 4, elements=st.floats(0, 1.5)), st.floats(2.0, 50.0))
def test_area_is_a_mean_and_knows_no_unit_of_labels(curve: np.ndarray, factor: float) -> None:
    budgets = np.array([60.0, 200, 700, 1400])
    found = float(efficiency.area(budgets, curve))
    assert curve.min() - 1e-9 <= found <= curve.max() + 1e-9
    assert efficiency.area(budgets * factor, curve) == pytest.approx(found)


def test_area_has_the_interval_of_its_draws() -> None:
    draws = np.array([[0.0, 0.0], [1.0, 1.0]] * 50)
    made = efficiency.area_under([10, 100], stats.Scores(np.array([0.2, 0.6]), draws))
    assert (made.value, made.low, made.high) == (pytest.approx(0.4), 0.0, 1.0)


def test_an_hour_of_labeling_is_900_answers() -> None:
    made = efficiency.per_hour(stats.Estimate(0.9, 0.6, 1.2), 450)
    assert (made.value, made.low, made.high) == (1.8, 1.2, 2.4)
