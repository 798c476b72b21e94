"""Feedback efficiency: how much is learned from how many labels. Everything that carries the name is defined here.

The measure of what was learned is the normalised return ``s``: 0 for the untrained policy, 1 for the same harness's own
runs on the true reward (``bench.stats``). ``s(n)`` is its mean over seeds at a budget of n labels, and between
budgets that were run it is taken to be linear in log(n).

- Labels to reach a share p of the true-reward run: the smallest n with s(n) >= p, s the closest curve that never
  falls (isotonic least squares, weighted by seeds); "at most" the smallest budget that was run, where that is enough;
  infinite, reported as "not reached", where no budget is enough.
- Area under s against log(n), divided by the range of log(n): the mean normalised return over budgets, each factor of
  labels weighing the same.
- Normalised return per hour of labeling, at ``SECONDS_AN_ANSWER`` for each label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from bench import stats

SHARES = (0.5, 0.9, 1.0)  # shares of the true-reward run, for "labels to reach"
SECONDS_AN_ANSWER = 4.0  # Christiano et al. 2017 report 3 to 5 seconds


def monotone(curves: ArrayLike, weights: ArrayLike | None = None) -> stats.Array:
    """The closest curves that never fall (isotonic least squares): more labels are taken not to harm.

    Args:
        curves: ``(..., budgets)``.
        weights: ``(budgets,)``, above 0, the seeds behind each point; alike by default.

    Returns:
        ``(..., budgets)``, by the max-min formula: the largest over beginnings up to a budget of the smallest over ends
        from it on of the weighted mean between (Barlow et al. 1972). NaN makes all of its curve NaN.
    """
    curves = np.asarray(curves, float)
    count = curves.shape[-1]
    weight = np.ones(count) if weights is None else np.asarray(weights, float)
    total = np.concatenate([np.zeros((*curves.shape[:-1], 1)), np.cumsum(curves * weight, axis=-1)], axis=-1)
    mass = np.concatenate([[0.0], np.cumsum(weight)])
    fitted = np.full(curves.shape, -np.inf)
    for first in range(count):
        means = (total[..., first + 1 :] - total[..., first : first + 1]) / (mass[first + 1 :] - mass[first])
        lowest = np.minimum.accumulate(means[..., ::-1], axis=-1)[..., ::-1]  # over ends from each budget on
        fitted[..., first:] = np.maximum(fitted[..., first:], lowest)
    return np.where(np.isnan(curves).any(axis=-1, keepdims=True), np.nan, fitted)


def crossing(budgets: ArrayLike, curves: ArrayLike, share: float) -> stats.Array:
    """Labels at which each curve first reaches ``share``, linear in log(labels) between budgets.

    Args:
        budgets: ``(budgets,)``, ascending, above 0.
        curves: ``(..., budgets)`` normalised returns.

    Returns:
        ``(...)``: the smallest budget if that is enough (read it as "at most"), inf where no budget is, NaN where
        the curve is.
    """
    budgets, curves = _checked(budgets), np.asarray(curves, float)
    above = curves >= share
    first = above.argmax(axis=-1)
    before = np.maximum(first - 1, 0)
    low, high = (np.take_along_axis(curves, i[..., None], axis=-1)[..., 0] for i in (before, first))
    with np.errstate(invalid="ignore", divide="ignore"):
        weight = np.where(first > 0, (share - low) / (high - low), 0.0)
    labels = np.exp((1 - weight) * np.log(budgets[before]) + weight * np.log(budgets[first]))
    labels = np.where(first > 0, labels, budgets[0])
    return np.where(np.isnan(curves).any(axis=-1), np.nan, np.where(above.any(axis=-1), labels, np.inf))


def labels_to_reach(
    budgets: ArrayLike, scores: stats.Scores, share: float = 0.9, seeds: ArrayLike | None = None
) -> stats.Estimate:
    """Labels that reach ``share`` of the true-reward run; inf, in the value or at an end, is "not reached".

    Value and interval use the monotone fit, weighted by the ``seeds`` (budgets,) of each budget. Without it, a curve
    that only noise lifts above the share would be reported as a success.
    """
    value, draws = (crossing(budgets, monotone(curves, seeds), share) for curves in (scores.values, scores.draws))
    return stats.estimate(value, draws)


def area(budgets: ArrayLike, curves: ArrayLike) -> stats.Array:
    """Mean of each curve over log(labels).

    Args:
        budgets: ``(budgets,)``, at least two, ascending, above 0.
        curves: ``(..., budgets)`` normalised returns.

    Returns:
        ``(...)``.
    """
    where = np.log(_checked(budgets))
    if len(where) < 2:
        raise ValueError("an area needs at least two budgets")
    return np.asarray(np.trapezoid(np.asarray(curves, float), where, axis=-1) / (where[-1] - where[0]), float)


def area_under(budgets: ArrayLike, scores: stats.Scores) -> stats.Estimate:
    """The area with its interval."""
    return stats.estimate(area(budgets, scores.values), area(budgets, scores.draws))


def per_hour(score: stats.Estimate, labels: float) -> stats.Estimate:
    """Normalised return per hour of labeling."""
    hours = labels * SECONDS_AN_ANSWER / 3600
    return stats.Estimate(score.value / hours, score.low / hours, score.high / hours)


def _checked(budgets: ArrayLike) -> stats.Array:
    budgets = np.asarray(budgets, float)
    if not len(budgets) or budgets[0] <= 0 or np.any(np.diff(budgets) <= 0):
        raise ValueError(f"budgets must ascend and be above 0, not {budgets.tolist()}")
    return budgets
