"""Looking again and again at an error that is spent but once (Lan and DeMets 1983).

A comparison is looked at after each of its seeds. Up to the share t of the most seeds that it may have, a two-sided
error of alpha t^2 may have been spent (the power family of Kim and DeMets 1987: early looks may decide what is plain,
and most is left for the end). The nominal level of each look follows from the joint distribution of the standardised
difference at all looks, that of a Brownian motion at the times t, by recursive integration over a grid (Armitage,
McPherson and Rowe 1969). Each level is then used as that of a t interval (Jennison and Turnbull's repeated confidence
intervals, 1984): the intervals of all looks hold the truth at once with probability 1 - alpha, whatever made one stop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import optimize, special

from bench.stats import Array

POWER = 2.0
_POINTS = 401


def spent(time: Array, error: float) -> Array:
    """Error that may have been spent at shares ``(looks,)`` of all information."""
    return np.asarray(error * np.minimum(time, 1.0) ** POWER, float)


@cache
def levels(times: tuple[float, ...], error: float, spending: Callable[[Array, float], Array] = spent) -> Array:
    """The two-sided nominal level of each look ``(looks,)``, at ascending shares of information, the last at most 1."""
    budget = np.diff(spending(np.array(times), error), prepend=0.0)
    grid, density, before, found = np.array([0.0]), np.array([1.0]), 0.0, []
    for time, share in zip(times, budget, strict=True):
        step = np.sqrt(time - before)
        bound = _bound(grid, density, step, float(share)) / np.sqrt(time)  # in standard errors
        found.append(2 * float(special.ndtr(-bound)))
        grid, density = _next(grid, density, step, bound * np.sqrt(time))
        before = time
    return np.array(found)


def _bound(grid: Array, density: Array, step: float, share: float) -> float:
    """Where the next sum lies beyond, to either side, with the probability ``share`` (the density is not 1 in all)."""

    def beyond(bound: float) -> float:
        tails = special.ndtr((grid - bound) / step) + special.ndtr((-bound - grid) / step)
        return float(np.log(max((density * tails).sum(), 1e-300)) - np.log(share))

    return float(optimize.brentq(beyond, 1e-9, step * 12 + float(np.abs(grid).max())))


def _next(grid: Array, density: Array, step: float, bound: float) -> tuple[Array, Array]:
    """Masses of the next sum on a new grid within the bound, where the comparison goes on."""
    edges = np.linspace(-bound, bound, _POINTS + 1)
    share = special.ndtr((edges[:, None] - grid) / step)
    return (edges[1:] + edges[:-1]) / 2, np.asarray(np.diff(share, axis=0) @ density, float)


def at_seeds(first: int, most: int, error: float) -> dict[int, float]:
    """The nominal level of the look at each number of seeds."""
    looks: Sequence[int] = range(first, most + 1)
    found = levels(tuple(look / most for look in looks), error)
    return dict(zip(looks, map(float, found), strict=True))
