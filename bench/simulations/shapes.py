"""Simulated seeds: the shapes that returns of finished runs have, each of mean 0 and standard deviation 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator

from bench.stats import Array

SHARE = 0.3  # of the seeds that find the better of two modes
SKEW = 0.8  # standard deviation of the logarithm


def normal(rng: Generator, shape: tuple[int, ...]) -> Array:
    """The bell."""
    return rng.standard_normal(shape)


def modes(rng: Generator, shape: tuple[int, ...]) -> Array:
    """Two modes: three seeds in ten learn the gait, the others do not."""
    values = (rng.random(shape) < SHARE) - SHARE + 0.05 * rng.standard_normal(shape)
    return np.asarray(values / np.sqrt(SHARE * (1 - SHARE) + 0.05**2), float)


def lognormal(rng: Generator, shape: tuple[int, ...]) -> Array:
    """A long tail upwards."""
    variance = np.expm1(SKEW**2) * np.exp(SKEW**2)
    return np.asarray((np.exp(SKEW * rng.standard_normal(shape)) - np.exp(SKEW**2 / 2)) / np.sqrt(variance), float)


SHAPES: dict[str, Callable[[Generator, tuple[int, ...]], Array]] = {
    "normal": normal,
    "two modes": modes,
    "lognormal": lognormal,
}
UNLIKE = {"alike": 0.0, "unlike": 0.5}  # standard deviation of the logarithm of the cells' spreads


def cells(rng: Generator, shape: str, trials: int, count: int, seeds: int, unlike: float) -> Array:
    """``(trials, cells, seeds)`` deviations; the cells' spreads differ by factors of standard deviation ``unlike``."""
    scale = np.exp(unlike * rng.standard_normal((trials, count, 1)) - unlike**2)  # mean of the variances is 1
    return np.asarray(scale * SHAPES[shape](rng, (trials, count, seeds)), float)
