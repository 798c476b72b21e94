"""How often an ablation table in which all arms are equal says of at least one that it differs from the baseline.

Eleven arms over four tasks, ten of them beside the eleventh, the baseline; and a control, with ten seeds as it has in
our suites. ``others`` and ``base`` are the seeds of the ten and of the baseline.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from bench import spread, stats
from bench.simulations.coverage import SPREAD
from bench.simulations.shapes import SHAPES
from bench.stats import Array

ARMS, TASKS, CONTROL = 11, 4, 10
SEEDS = ((3, 3), (3, 10), (5, 5))  # of the others and of the baseline
METHODS = ("bands", "single intervals", "percentile")


def table(trials: int = 1000, draws: int = 1000) -> Iterator[dict[str, object]]:
    """A record for each shape and number of seeds: share of tables with at least one difference, by method."""
    for shape in SHAPES:
        for others, base in SEEDS:
            rng = np.random.default_rng([20170612, others, base, *map(ord, shape)])
            found = np.array([one_table(rng, shape, others, base, draws) for _ in range(trials)])
            shares = dict(zip(METHODS, found.mean(axis=0).tolist(), strict=True))
            yield {"shape": shape, "seeds": others, "of the baseline": base, **shares}


def one_table(rng: Generator, shape: str, others: int, base: int, draws: int) -> list[bool]:
    """Whether a simulated table tells any arm apart, by each of METHODS."""
    tasks = [_task(rng, shape, others, base) for _ in range(TASKS)]
    made = [_drawn(rng, arms, control, draws) for arms, control in tasks]
    values, shifts = (np.mean([one[part] for one in made], axis=0) for part in (0, 1))
    gaps, moved = values[1:] - values[0], shifts[:, 1:] - shifts[:, :1]
    bands = stats.together(gaps, moved)
    low, high = stats.interval(moved)
    old = np.mean([_resampled(rng, arms, control, draws) for arms, control in tasks], axis=0)
    first, last = stats.interval(old[:, 1:] - old[:, :1])
    return [
        any(one.low > 0 or one.high < 0 for one in bands),
        bool(((low > 0) | (high < 0)).any()),
        bool(((first > 0) | (last < 0)).any()),
    ]


def _task(rng: Generator, shape: str, others: int, base: int) -> tuple[list[Array], Array]:
    """Returns of the baseline and of the others, all equal, and of the control, in units of its true gain."""
    counts = [base, *[others] * (ARMS - 1)]
    return [0.8 + SPREAD * SHAPES[shape](rng, (n,)) for n in counts], 1 + SPREAD * SHAPES[shape](rng, (CONTROL,))


def _drawn(rng: Generator, arms: list[Array], control: Array, draws: int) -> tuple[Array, Array]:
    """Normalised means ``(arms,)`` and draws of them ``(draws, arms)``."""
    beside = spread.pool([*arms, control])
    level = spread.draws(control, beside, rng, draws).means
    means = [spread.draws(arm, beside, rng, draws).means / level for arm in arms]
    return np.array([arm.mean() for arm in arms]) / control.mean(), np.stack(means, axis=1)


def _resampled(rng: Generator, arms: list[Array], control: Array, draws: int) -> Array:
    """The same by the percentile bootstrap."""
    means = [cell[rng.integers(len(cell), size=(draws, len(cell)))].mean(axis=1) for cell in (*arms, control)]
    return np.stack(means[:-1], axis=1) / means[-1][:, None]
