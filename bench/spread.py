"""Intervals from few seeds: how much a cell's mean may be off, learned from the cells beside it.

The deviation of three seeds says little about their spread: if all three fell into one of two modes, it is far too
small, and any interval made from that cell alone fails. So a cell is taken together with its companions, the cells of
the same quantity in the same units (the arms of one task). The variance assumed for its seeds is

    v = max(s^2, w S^2 + (1 - w) s^2),    w = min(1, 4 / (n - 1)),

with n its seeds, s^2 their variance and S^2 the mean variance of all K cells. Up to five seeds it is never below S^2.
With more seeds the own variance gets more weight. An own variance that is larger always counts in full. The interval is
Student's, mean +- t v^0.5 / n^0.5. Its degrees of freedom are those of the cell plus w times those of the others, but
at most min(2 K, 6) max(1, n / 10), because spreads differ from cell to cell and are not normal. With fewer than
EVIDENCE degrees of freedom in all cells together there is no interval. ``python -m bench.simulations`` shows the effect
of each choice, beside the percentile, studentised and BCa bootstraps, Student's own interval, and an empirical Bayes
estimate of the variance (Smyth 2004); docs/metrics.md has its tables.

Statistics of several cells (of runs over tasks, of a curve over budgets) take ``stats.Draws``: where each cell's mean
may lie, drawn from the same t distribution, independently from cell to cell (a confidence distribution; of the
difference of two means this is Fisher's solution of the Behrens-Fisher problem).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy import special

from bench.stats import Array, Draws, Estimate

REPLICATES = 10_000
EVIDENCE = 8  # degrees of freedom in all companions that an interval needs
CLEARLY = 0.99  # level of the interval of a control's gain that must not include 0
FADES = 4  # degrees of freedom of a cell up to which its companions' spread counts in full


@dataclass(frozen=True)
class Pool:
    """Variance in the companions of a cell, the cell included: the mean variance ``(...)`` of the cells that have one,
    their number, and their degrees of freedom in all."""

    variance: Array
    cells: int = 0
    freedom: int = 0


def pool(cells: Iterable[ArrayLike], unlike: bool = False) -> Pool:
    """The pool of cells ``(seeds, ...)``. Cells with fewer than two seeds are ignored, and at each point those that are
    NaN there.

    If spreads are ``unlike`` by orders of magnitude, the largest would dominate the mean. Then S^2 is the median of the
    variances, each divided by the ratio of median to mean of its chi-squared distribution."""
    several = [cell for cell in (np.asarray(one, float) for one in cells) if len(cell) > 1]
    if not several:
        return Pool(np.asarray(np.nan))
    found = np.array([cell.var(axis=0, ddof=1) for cell in several])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where all are NaN, so is the pool
        if unlike:
            expected = np.array([special.chdtri(len(cell) - 1, 0.5) / (len(cell) - 1) for cell in several])
            variance = np.nanmedian((found.T / expected).T, axis=0)
        else:
            variance = np.nanmean(found, axis=0)
    return Pool(np.asarray(variance, float), len(several), sum(len(cell) - 1 for cell in several))


def believed(variance: ArrayLike, seeds: int, beside: Pool, least: ArrayLike = 0.0) -> tuple[Array, float]:
    """The variance ``(...)`` assumed for a cell's seeds, given their own and the ``least`` possible one, and its
    degrees of freedom; NaN and 0 where there are too few seeds."""
    own = np.asarray(variance, float)
    if seeds < 2 or beside.freedom < EVIDENCE:
        return np.full_like(own, np.nan), 0.0
    weight = min(1.0, FADES / (seeds - 1))
    usual = weight * beside.variance + (1 - weight) * own
    freedom = seeds - 1 + weight * (beside.freedom - (seeds - 1))
    most = min(2 * beside.cells, 6) * max(1.0, seeds / 10)
    return np.maximum(np.maximum(own, usual), least), min(freedom, most)


def error(values: ArrayLike, beside: Pool, least: ArrayLike = 0.0) -> tuple[Array, float]:
    """Standard error of a cell's mean and its degrees of freedom; ``values`` is ``(seeds, ...)``."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return np.full(values.shape[1:], np.nan), 0.0
    variance, freedom = believed(values.var(axis=0, ddof=1), len(values), beside, least)
    return np.sqrt(variance / len(values)), freedom


def of_mean(seeds: Sequence[ArrayLike]) -> float:
    """The variance of a seed's mean that comes from drawing its prompts: per seed ``(prompts,)``; 0 without any."""
    found = [np.asarray(one, float) for one in seeds]
    return float(np.mean([one.var(ddof=1) / len(one) for one in found if len(one) > 1] or [0.0]))


def quantile(freedom: ArrayLike, level: float = 0.95) -> Array:
    """How many standard errors an interval reaches to each side; NaN without a degree of freedom."""
    freedom = np.asarray(freedom, float)
    found = special.stdtrit(np.maximum(freedom, 1e-9), (1 + level) / 2)
    return np.asarray(np.where(freedom > 0, found, np.nan), float)


def mean_estimate(values: ArrayLike, beside: Pool | None = None, least: float = 0.0, level: float = 0.95) -> Estimate:
    """Mean of one cell ``(seeds,)`` with its interval; NaN for an empty cell. Without a pool only its own seeds count.
    ``least`` is a known lower bound of a seed's variance: for a mean over prompts, that of drawing the prompts."""
    values = np.asarray(values, float)
    if not len(values):
        return Estimate(np.nan, -np.inf, np.inf)
    wrong, freedom = error(values, pool([values]) if beside is None else beside, least)
    reach = float(wrong * quantile(freedom, level))
    middle = float(values.mean())
    return Estimate(middle, -np.inf, np.inf) if np.isnan(reach) else Estimate(middle, middle - reach, middle + reach)


def gain(returns: ArrayLike, untrained: float, beside: Pool) -> Estimate:
    """What a control ``(seeds,)`` has gained over the untrained policy, with a 99 % interval: a scale where that is
    above 0, as a ratio to a gain that may be nothing has no bounded interval (Fieller 1954). Where too few seeds tell
    an interval, its lower end is the gain itself."""
    found = mean_estimate(np.asarray(returns, float) - untrained, beside, level=CLEARLY)
    return found if np.isfinite(found.low) else Estimate(found.value, found.value, np.inf)


def band(curves: ArrayLike, beside: Pool | None = None) -> tuple[Array, Array]:
    """Interval of the mean over seeds at each point: ``(seeds, points)`` -> low, high, each ``(points,)``; NaN where
    there is none, and at points at which a seed is NaN. The pool's variance is ``(points,)`` too."""
    curves = np.asarray(curves, float)
    wrong, freedom = error(curves, pool([curves]) if beside is None else beside)
    reach, middle = wrong * quantile(freedom), curves.mean(axis=0)
    return np.asarray(middle - reach, float), np.asarray(middle + reach, float)


def draws(values: ArrayLike, beside: Pool, rng: Generator, replicates: int = REPLICATES) -> Draws:
    """A cell ``(seeds,)`` with draws of where its mean may lie."""
    values = np.asarray(values, float)
    wrong, freedom = error(values, beside)
    if not freedom:
        return Draws(values, np.full(replicates, np.nan))
    return Draws(values, np.asarray(wrong * rng.standard_t(freedom, size=replicates), float))
