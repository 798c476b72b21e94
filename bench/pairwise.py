"""Two arms on the same tasks: the probability that one is better, and a test against chance.

Pairs are ``(x, y)``, the returns ``(seeds,)`` of either arm on one task; the seeds of the two are independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy import optimize, special

from bench.stats import Array, Estimate

_TINY = 1e-12  # 0 and 1 solve Newcombe's equation as well
Pairs = Sequence[tuple[ArrayLike, ArrayLike]]
SHUFFLES = 20_000  # permutations of a test; if there are fewer in all, each is counted once


def probability_of_improvement(pairs: Pairs, level: float = 0.95) -> Estimate:
    """Probability that a run of X is better than one of Y on the same task, averaged over tasks; a tie counts half
    (Agarwal et al. 2021, section 4.3: the Mann-Whitney U statistic over the number of pairs).

    A task's interval is Newcombe's (2006, method 5), which holds where all runs of X are above all of Y; those of
    several tasks are combined by their squared half-widths. A single seed gives no interval.
    """
    found = [_of_task(np.asarray(x, float), np.asarray(y, float), level) for x, y in pairs]
    values, lows, highs = (np.array(ends) for ends in zip(*found, strict=True))
    middle = float(values.mean())
    down, up = (math.sqrt(((values - ends) ** 2).sum()) / len(found) for ends in (lows, highs))
    if not math.isfinite(down + up):
        return Estimate(middle, -np.inf, np.inf)
    return Estimate(middle, max(0.0, middle - down), min(1.0, middle + up))


def _of_task(x: Array, y: Array, level: float) -> tuple[float, float, float]:
    share = float((np.sign(x[:, None] - y) / 2 + 0.5).mean())
    if min(len(x), len(y)) < 2:
        return share, -np.inf, np.inf
    z = float(special.ndtri((1 + level) / 2))
    extra = (len(x) + len(y)) / 2 - 1

    def beyond(true: float) -> float:
        """Above 0 where a true probability is further from the observed one than chance takes it."""
        variance = true * (1 - true) * (1 + extra * (1 - true) / (2 - true) + extra * true / (1 + true))
        return abs(true - share) - z * math.sqrt(variance / (len(x) * len(y)))

    low = 0.0 if share == 0 else float(optimize.brentq(beyond, 0.0, min(share, 1 - _TINY)))
    return share, low, 1.0 if share == 1 else float(optimize.brentq(beyond, max(share, _TINY), 1.0))


def permutation(pairs: Pairs, rng: Generator, shuffles: int = SHUFFLES) -> float:
    """Two-sided p of the mean over tasks of the difference of means, if only chance decides which seeds are X's.

    Seeds are exchanged within tasks. All divisions are counted where they are no more than ``shuffles``, else that many
    are drawn, the observed one counted among them.
    """
    exact = math.prod(math.comb(len(x) + len(y), len(x)) for x, y in _arrays(pairs)) <= shuffles
    gaps = [_every(x, y) if exact else _drawn(x, y, rng, shuffles) for x, y in _arrays(pairs)]
    seen = sum(float(x.mean() - y.mean()) for x, y in _arrays(pairs))
    total = gaps[0]
    for one in gaps[1:]:
        total = np.add.outer(total, one).ravel() if exact else total + one
    slack = 1e-9 * max(1.0, float(np.abs(total).max()))
    above = int((np.abs(total) >= abs(seen) - slack).sum())
    return above / len(total) if exact else (above + 1) / (len(total) + 1)


def holm(p: ArrayLike) -> Array:
    """The p of each of several tests, adjusted so that it bounds the probability of any false finding (Holm 1979)."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    steps = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    adjusted = np.empty_like(p)
    adjusted[order] = steps
    return adjusted


def _arrays(pairs: Pairs) -> list[tuple[Array, Array]]:
    return [(np.asarray(x, float), np.asarray(y, float)) for x, y in pairs]


def _every(x: Array, y: Array) -> Array:
    """The difference of means of every division of the seeds."""
    both = np.concatenate([x, y])
    chosen = np.array(list(combinations(range(len(both)), len(x))))
    return _gap(both[chosen].sum(axis=1), both.sum(), len(x), len(y))


def _drawn(x: Array, y: Array, rng: Generator, shuffles: int) -> Array:
    both = np.concatenate([x, y])
    shuffled = rng.permuted(np.broadcast_to(both, (shuffles, len(both))), axis=1)
    return _gap(shuffled[:, : len(x)].sum(axis=1), both.sum(), len(x), len(y))


def _gap(first: Array, total: float, ours: int, theirs: int) -> Array:
    return np.asarray(first / ours - (total - first) / theirs, float)
