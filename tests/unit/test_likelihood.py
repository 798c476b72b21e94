"""Preferences and the losses of compared segments against their formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special

from prefrl_core.preference import preference
from prefrl_core.reward.likelihood import cross_entropy, squared_error


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


SUMS = np.linspace(-9, 9, 37)


def test_preference_is_the_logistic_function_of_the_difference() -> None:
    np.testing.assert_allclose(preference(SUMS + 3, np.full(37, 3.0)), scipy.special.expit(SUMS), rtol=1e-12)


@pytest.mark.parametrize("uniform", [0.0, 0.1])
@pytest.mark.parametrize("mu", [0.0, 0.5, 1.0])
def test_cross_entropy_equals_the_formula_and_its_finite_differences(mu: float, uniform: float) -> None:
    def plain(left: np.ndarray) -> np.ndarray:
        p = (1 - uniform) * np.exp(left) / (np.exp(left) + np.exp(2.0)) + uniform / 2
        return -mu * np.log(p) - (1 - mu) * np.log(1 - p)

    loss, slope = cross_entropy(SUMS, np.full(37, 2.0), np.full(37, mu), uniform)
    np.testing.assert_allclose(loss, plain(SUMS), rtol=1e-8)
    np.testing.assert_allclose(slope, (plain(SUMS + 1e-5) - plain(SUMS - 1e-5)) / 2e-5, atol=1e-6)


@pytest.mark.parametrize("uniform", [0.0, 0.1])
def test_left_and_right_are_alike(uniform: float) -> None:
    left, right, mu = *rng().standard_normal((2, 20)), rng(1).choice([0, 0.5, 1], 20)
    loss, slope = cross_entropy(left, right, mu, uniform)
    mirrored, opposite = cross_entropy(right, left, 1 - mu, uniform)
    np.testing.assert_allclose(mirrored, loss, rtol=1e-12)
    np.testing.assert_allclose(opposite, -slope, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("uniform", [0.0, 0.1])
def test_extreme_sums_stay_finite(dtype: Any, uniform: float) -> None:
    left = np.repeat(np.array([-1e30, -1e4, -100, 100, 1e4, 1e30], dtype), 3)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        loss, slope = cross_entropy(left, np.zeros(18, dtype), np.tile([0, 0.5, 1.0], 6), uniform)
    assert np.isfinite(loss).all() and (loss >= 0).all() and (np.abs(slope) <= 1).all()
    if uniform:  # a wrong label costs no more than -log(e / 2)
        assert loss.max() == pytest.approx(-np.log(0.05), rel=1e-5)
    else:  # and without that allowance it pulls with full weight
        np.testing.assert_allclose(slope, [0, -0.5, -1] * 3 + [1, 0.5, 0] * 3, atol=1e-40)


@pytest.mark.parametrize(("dtype", "difference"), [(np.float32, 20), (np.float64, 50)])
def test_the_loss_of_a_saturated_wrong_prediction_is_the_difference(dtype: Any, difference: float) -> None:
    for uniform in (0.0, 1e-8, 9e-7):  # to float32 each is 0
        loss, slope = cross_entropy(np.array([difference], dtype), np.zeros(1, dtype), np.zeros(1), uniform)
        assert loss[0] == pytest.approx(difference, rel=1e-5) and slope[0] == pytest.approx(1)


def test_squared_error_equals_its_finite_differences() -> None:
    sums, returns = rng().standard_normal((2, 5, 2))
    loss, slope = squared_error(sums, returns)
    np.testing.assert_allclose(loss, [((a - b) ** 2).sum() / 2 for a, b in zip(sums, returns, strict=True)])
    for side in range(2):
        moved = sums.copy()
        moved[:, side] += 1e-6
        np.testing.assert_allclose((squared_error(moved, returns)[0] - loss) / 1e-6, slope[:, side], atol=1e-5)
