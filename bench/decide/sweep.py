"""A sweep that stops when it knows: pure functions of the returns that are there.

All arms have their first seeds before the first look. At the look of n seeds each open comparison is judged by exactly
the first n seeds of either arm, at the level that ``bench.decide.spending`` leaves it, its share of the error being one
of as many as there are comparisons (Bonferroni). So what is decided depends on the returns alone, not on the order in
which they came, nor on where or how often the sweep was interrupted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench import spread
from bench.decide import spending
from bench.purpose import Decide
from bench.stats import Array

Verdict = Literal["better", "worse", "alike", "open", "undecided"]
Returns = Mapping[str, Array]  # by arm (tasks, seeds): final returns in the order of the seeds, NaN where there is none


@dataclass(frozen=True)
class Scale:
    """What 1 is on each task: the control's gain over the untrained policy, its standard error, and the variance of its
    seeds, each ``(tasks,)``; and how many seeds it has, the same on all."""

    gain: Array
    error: Array
    variance: Array
    seeds: int

    @classmethod
    def of(cls, returns: Array, untrained: Array) -> Scale:
        """From the control's final returns ``(tasks, seeds)``."""
        variance = returns.var(axis=1, ddof=1)
        error = np.sqrt(variance / returns.shape[1])
        return cls(returns.mean(axis=1) - untrained, error, variance, returns.shape[1])


@dataclass(frozen=True)
class Comparison:
    """One arm beside the one that all are compared with, at its last look; normalised return."""

    arm: str
    value: float
    low: float
    high: float
    seeds: int
    verdict: Verdict


@dataclass(frozen=True)
class Sweep:
    """How far it has come: ``next`` is the number of seeds that the open comparisons need, None when all is said."""

    comparisons: tuple[Comparison, ...]
    next: int | None

    @property
    def open(self) -> list[str]:
        """The arms that are not decided."""
        return [one.arm for one in self.comparisons if one.verdict == "open"]


def replay(decide: Decide, first: int, scale: Scale, returns: Returns) -> Sweep:
    """Every look from the first on, until all is decided or a return is missing."""
    levels = spending.at_seeds(first, decide.seeds, decide.error / len(decide.arms))
    seeds = dict.fromkeys((decide.against, *decide.arms), first)
    found = {arm: Comparison(arm, np.nan, -np.inf, np.inf, 0, "open") for arm in decide.arms}
    for look, level in levels.items():
        going = [arm for arm, one in found.items() if one.verdict == "open"]
        needed = (decide.against, *going)
        if not going:
            break
        if not all(np.isfinite(returns[arm][:, :look]).all() and returns[arm].shape[1] >= look for arm in needed):
            return Sweep(tuple(found.values()), look)
        seeds |= dict.fromkeys(needed, look)
        beside = pool([returns[arm][:, :count] for arm, count in seeds.items()], scale)
        for arm in going:
            ours, theirs = (returns[one][:, :look] for one in (arm, decide.against))
            value, error, freedom = compared(ours, theirs, scale, beside)
            reach = error * float(spread.quantile(freedom, 1 - level)) if error else 0.0  # all returns are equal
            reach = reach if np.isfinite(reach) else np.inf  # too few seeds to tell the spread
            verdict = judge(value - reach, value + reach, decide.difference, look == decide.seeds)
            found[arm] = Comparison(arm, value, value - reach, value + reach, look, verdict)
    return Sweep(tuple(found.values()), None)


def judge(low: float, high: float, difference: float, last: bool) -> Verdict:
    """What an interval of a difference says."""
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    if -difference < low and high < difference:
        return "alike"
    return "undecided" if last else "open"


def pool(cells: Sequence[Array], scale: Scale) -> spread.Pool:
    """What all arms ``(tasks, seeds)`` and the control tell of the spread on each task."""
    variance = np.mean([*(cell.var(axis=1, ddof=1) for cell in cells), scale.variance], axis=0)
    freedom = sum(cell.shape[1] - 1 for cell in cells) + scale.seeds - 1
    return spread.Pool(variance, len(cells) + 1, freedom)


def compared(ours: Array, theirs: Array, scale: Scale, beside: spread.Pool) -> tuple[float, float, float]:
    """Mean over tasks of the normalised difference of two arms ``(tasks, seeds)``, its standard error and degrees of
    freedom (Welch and Satterthwaite); the scale's own error enters to first order."""
    tasks, gaps = len(ours), (ours.mean(axis=1) - theirs.mean(axis=1)) / scale.gain
    parts, freedoms = [(gaps * scale.error / scale.gain) ** 2], [float(max(1, scale.seeds - 1))]
    for cell in (ours, theirs):
        variance, freedom = spread.believed(cell.var(axis=1, ddof=1), cell.shape[1], beside)
        parts.append(variance / cell.shape[1] / scale.gain**2)
        freedoms.append(freedom)
    total = float(np.sum(parts)) / tasks**2
    weights = sum(float((part**2).sum()) / max(free, 1e-9) for part, free in zip(parts, freedoms, strict=True))
    return float(gaps.mean()), float(np.sqrt(total)), total**2 * tasks**4 / max(weights, 1e-300)
