"""Statistics of learning from feedback: pure functions on plain arrays, randomness from the generator passed in.

Two shapes occur. A *cell* is the vector ``(seeds,)`` of one arm's returns on one task. A *ragged matrix* of runs x
tasks is a sequence with one cell a task; cells may differ in length, as runs may be missing. Returns are true
returns per episode; a *normalised* return is 0 for the untrained policy and 1 for the true-reward runs of the same
harness, never for a published figure or for an observed extreme (which would move when a run is added).

How far a cell's mean may be off is drawn in ``bench.spread``. A statistic of several cells takes these draws
(``Draws``), and its interval lies between two of their quantiles. An unknown interval is (-inf, inf).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
FINAL_SHARES = (0.05, 0.10)  # Christiano et al. 2017 average the last 5 %; the second share is for long episodes


@dataclass(frozen=True)
class Estimate:
    """A point estimate with its interval; an unknown interval is (-inf, inf)."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Draws:
    """A cell: ``values`` (seeds,), and draws of how far its true mean may be off, ``shifts`` (replicates,), which are
    NaN where this is unknown (``bench.spread.draws``)."""

    values: Array
    shifts: Array

    @property
    def runs(self) -> Array:
        """``(replicates, seeds)``: the seeds moved to each drawn mean."""
        return np.asarray(self.values + self.shifts[:, None], float)

    @property
    def means(self) -> Array:
        """``(replicates,)``"""
        return np.asarray(self.values.mean() + self.shifts, float)


def iqm(scores: ArrayLike, axis: int | None = None) -> Array:
    """Interquartile mean: the lowest and highest quarter are left out, the rest averaged; NaN where a score is.

    ``scores`` has any shape; the default takes all runs x tasks together.
    """
    ordered = np.sort(np.asarray(scores, float), axis=axis)
    count = ordered.shape[-1 if axis is None else axis]
    cut = int(0.25 * count)
    middle = np.take(ordered, range(cut, count - cut), axis=axis or 0).mean(axis=axis)
    highest = np.take(ordered, -1, axis=axis or 0)  # sorting puts NaN last, where it would be cut off unseen
    return np.where(np.isnan(highest), np.nan, middle)


def mean(scores: ArrayLike, axis: int | None = None) -> Array:
    """The mean, in the form of ``iqm``."""
    return np.asarray(np.mean(np.asarray(scores, float), axis=axis), float)


def median_over_tasks(scores: Sequence[ArrayLike]) -> Array:
    """Median over tasks of the mean over runs (Agarwal et al. 2021): ``scores[task]`` is ``(..., seeds)``; -> (...)."""
    return np.asarray(np.median([mean(cell, axis=-1) for cell in scores], axis=0), float)


def mean_over_tasks(scores: Sequence[ArrayLike]) -> Array:
    """Mean over tasks of the mean over runs, in the form of ``median_over_tasks``."""
    return np.asarray(np.mean([mean(cell, axis=-1) for cell in scores], axis=0), float)


def iqm_over_runs(scores: Sequence[ArrayLike]) -> Array:
    """Interquartile mean of all runs of all tasks together, in the form of ``median_over_tasks``."""
    return iqm(np.concatenate([np.asarray(cell, float) for cell in scores], axis=-1), axis=-1)


def optimality_gap(scores: Sequence[ArrayLike], target: float = 1.0) -> Array:
    """How far runs stay below ``target`` on average; scores above it count as ``target`` (Agarwal et al. 2021, 4.3):
    ``target`` - mean over tasks of the mean of min(score, target); in the form of ``median_over_tasks``."""
    return target - mean_over_tasks([np.minimum(cell, target) for cell in scores])


def performance_profile(scores: Sequence[ArrayLike], levels: ArrayLike) -> Array:
    """Share of runs with a score above each level, averaged over tasks (Agarwal et al. 2021, section 4.2).

    Args:
        scores: ``scores[task]`` is ``(..., seeds)``.
        levels: ``(levels,)``.

    Returns:
        ``(..., levels)``; NaN where a score is.
    """
    levels, cells = np.asarray(levels, float), [np.asarray(cell, float)[..., None] for cell in scores]
    above = [np.where(np.isnan(cell), np.nan, cell > levels).mean(axis=-2) for cell in cells]
    return mean(above, axis=0)


def interval(draws: ArrayLike, level: float = 0.95) -> tuple[Array, Array]:
    """Percentile interval over the first axis of ``draws``: (low, high), each of the remaining shape.

    An undefined draw (NaN) could be anything, so it counts as -inf below and as +inf above. The order statistics
    outside the quantiles are taken, not an interpolation, because draws may be infinite.
    """
    draws = np.asarray(draws, float)
    tail = (1 - level) / 2
    unknown = np.isnan(draws)
    low = np.quantile(np.where(unknown, -np.inf, draws), tail, axis=0, method="lower")
    high = np.quantile(np.where(unknown, np.inf, draws), 1 - tail, axis=0, method="higher")
    return np.asarray(low, float), np.asarray(high, float)


def normalise(returns: ArrayLike, untrained: float, control: ArrayLike) -> Array:
    """(return - untrained) / (control - untrained); NaN where the control is not above the untrained policy."""
    gap = np.asarray(control, float) - untrained
    return np.asarray((np.asarray(returns, float) - untrained) / np.where(gap > 0, gap, np.nan), float)


@dataclass(frozen=True)
class Scores:
    """Normalised scores of several budgets: ``values`` (budgets, ...) and ``draws`` of them (replicates, budgets,
    ...); what follows is the statistic's own shape, none for a plain number."""

    values: Array
    draws: Array

    def estimates(self) -> list[Estimate]:
        """One estimate a budget."""
        return [estimate(value, draws) for value, draws in zip(self.values, self.draws.T, strict=True)]

    def difference(self, one: int, other: int) -> Estimate:
        """How much higher the score is at one budget than at another."""
        return estimate(self.values[one] - self.values[other], self.draws[:, one] - self.draws[:, other])


def normalised_scores(
    cells: Sequence[Sequence[Draws]],
    controls: Sequence[Draws],
    untrained: Sequence[float],
    statistic: Callable[[Sequence[Array]], Array],
) -> Scores:
    """Normalised return over tasks at each budget.

    Args:
        cells: ``cells[task][budget]``; one budget is a plain list of one.
        controls: per task the true-reward runs. The level of the control is measured, not known, and the same draws of
            it serve all cells; a control that is among the cells is divided by its own draws, so its mean is 1.
        untrained: per task the level of the untrained policy, taken as known (it averages over every run).
        statistic: of all runs of all tasks, as ``mean_over_tasks`` and its like are.
    """
    levels = [mean(control.values) for control in controls]
    level_draws = [control.means[:, None] for control in controls]
    values, draws = [], []
    for budget in range(len(cells[0])):
        column = [cells[task][budget] for task in range(len(cells))]
        known = [normalise(*triple) for triple in zip([c.values for c in column], untrained, levels, strict=True)]
        drawn = [normalise(*triple) for triple in zip([c.runs for c in column], untrained, level_draws, strict=True)]
        values.append(statistic(known))
        draws.append(statistic(drawn))
    return Scores(np.array(values), np.stack(draws, axis=1))


def together(values: ArrayLike, draws: ArrayLike, level: float = 0.95) -> list[Estimate]:
    """Intervals that all hold at once: every one of several truths lies in its interval in ``level`` of studies (max-t
    bands: Hothorn et al. 2008, section 3).

    Args:
        values: ``(statistics,)``.
        draws: ``(replicates, statistics)``, drawn together. A column with nothing but NaN has no interval, and the
            others do not wait for it.

    Each deviation is divided by half the distance between the 16 % and the 84 % quantile of its own draws, which heavy
    tails do not move.
    """
    values, draws = np.asarray(values, float), np.asarray(draws, float)
    known = np.isfinite(draws).any(axis=0)
    away = np.where(np.isnan(draws), np.inf, np.abs(draws - values))[:, known]
    low, high = interval(draws[:, known], 0.68)
    scale = np.maximum((high - low) / 2, np.finfo(float).tiny)
    reach = np.full(len(values), np.inf)
    if known.any():
        reach[known] = scale * np.quantile((away / scale).max(axis=1), level, method="higher")
    return [Estimate(float(v), float(v - r), float(v + r)) for v, r in zip(values, reach, strict=True)]


def ranks(scores: ArrayLike) -> Array:
    """Ranks along the last axis, 1 the highest; ties share the mean of their ranks, and NaN makes all of them NaN."""
    scores = np.asarray(scores, float)
    behind = np.sign(scores[..., None, :] - scores[..., :, None])
    return np.asarray(1 + (scores.shape[-1] - 1 + behind.sum(axis=-1)) / 2, float)


def kendall(scores: ArrayLike, reference: ArrayLike) -> Array:
    """Kendall's tau (a) of two orders of the same things: ``(..., things)`` beside ``(things,)`` -> (...).

    The share of pairs in the same order less the share of those in the opposite; a tie counts as neither.
    """
    scores, reference = np.asarray(scores, float), np.asarray(reference, float)
    one, other = np.triu_indices(len(reference), 1)
    same = np.sign(scores[..., one] - scores[..., other]) * np.sign(reference[one] - reference[other])
    return mean(same, axis=-1)


def final_mean(step: ArrayLike, value: ArrayLike, weight: ArrayLike, total_steps: int) -> float:
    """A run's value at the end of training: the weighted mean of its rows in the last 5 % of its steps.

    The window widens to 10 % if nothing was recorded in it. All arguments are ``(rows,)``; for returns the weight
    is the number of episodes. NaN if nothing was recorded in the wider window either.
    """
    step, value, weight = np.asarray(step), np.asarray(value, float), np.asarray(weight, float)
    counted = (weight > 0) & np.isfinite(value)
    for share in FINAL_SHARES:
        rows = counted & (step > (1 - share) * total_steps)
        if rows.any():
            return float(np.average(value[rows], weights=weight[rows]))
    return float("nan")


def weighted_mean(value: ArrayLike, weight: ArrayLike) -> float:
    """Weighted mean of the rows that have a finite value and a weight above 0; NaN if none has."""
    value, weight = np.asarray(value, float), np.asarray(weight, float)
    rows = (weight > 0) & np.isfinite(value)
    return float(np.average(value[rows], weights=weight[rows])) if rows.any() else float("nan")


def binned(step: ArrayLike, value: ArrayLike, weight: ArrayLike, edges: ArrayLike) -> Array:
    """One run on a common grid: the weighted mean of its rows in each bin (edges[i], edges[i+1]].

    Bins without a row between two that have one are interpolated (all episodes may end in the same step, which
    leaves bins empty); before the first and after the last they are NaN. Returns ``(len(edges) - 1,)``.
    """
    step, value, weight, edges = (np.asarray(part, float) for part in (step, value, weight, edges))
    rows = (weight > 0) & np.isfinite(value) & (step > edges[0]) & (step <= edges[-1])
    where = np.searchsorted(edges, step[rows], side="left") - 1
    bins = len(edges) - 1
    total = np.bincount(where, weight[rows], bins)
    summed = np.bincount(where, weight[rows] * value[rows], bins)
    filled = np.flatnonzero(total)
    if not len(filled):
        return np.full(bins, np.nan)
    known = summed[filled] / total[filled]
    return np.asarray(np.interp(np.arange(bins), filled, known, left=np.nan, right=np.nan), float)


def estimate(value: Array, draws: Array) -> Estimate:
    """A value with the interval of ``draws`` (replicates,) of where the truth may lie."""
    low, high = interval(draws)
    return Estimate(float(value), float(low), float(high))
