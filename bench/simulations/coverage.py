"""How often an interval holds the truth: every statistic of the reports, over every shape, at 3, 5 and 10 seeds.

Each simulated suite has four tasks and four arms a task, the fewest of which three seeds are told (``bench.spread``).
Where arms are "unlike", the spreads of the cells differ by factors of standard deviation e^0.5. Beside our interval
stands the percentile bootstrap over seeds, and for the mean the other candidates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import special

from bench import efficiency, spread, stats
from bench.simulations.shapes import SHAPES, UNLIKE, cells
from bench.stats import Array

SEEDS = (3, 5, 10)
ARMS, TASKS = 4, 4
SPREAD = 0.2  # of the seeds of one cell, in units of what the control gains
DRAWS = 500
LEVELS = (0.6, 0.8, 0.9, 1.0)  # of the arm on the tasks, and of the control 1
BUDGETS = np.array([25.0, 50, 100, 200, 400, 800, 1600])
CURVES = {
    "flat at 0.85": np.full(len(BUDGETS), 0.85),
    "rising": np.linspace(0.3, 1.1, len(BUDGETS)),
    "reached at once": np.full(len(BUDGETS), 0.97),
}


@dataclass(frozen=True)
class Case:
    """A simulated kind of suite."""

    shape: str
    seeds: int
    unlike: float
    trials: int = 1000


Found = dict[str, float]  # coverage by method
Simulation = Callable[[Generator, Case], Found]


def held(low: Array, high: Array, truth: Array | float) -> float:
    """Share of the intervals that have the truth in them."""
    return float(((low <= truth + 1e-9) & (truth <= high + 1e-9)).mean())


def errors(values: Array, arms: int) -> tuple[Array, float]:
    """Standard errors ``(trials, cells)`` as ``bench.spread`` has them, and their degrees of freedom; ``values`` is
    ``(trials, cells, seeds)``, so many neighbouring ones of which are of one task."""
    seeds, variance = values.shape[2], values.var(axis=2, ddof=1)
    usual = variance.reshape(len(values), -1, arms).mean(axis=2)
    beside = spread.Pool(np.repeat(usual, arms, axis=1), arms, arms * (seeds - 1))
    believed, freedom = spread.believed(variance, seeds, beside)
    return np.sqrt(believed / seeds), freedom


def moved(rng: Generator, values: Array, arms: int) -> Array:
    """Draws of each cell's deviation ``(trials, DRAWS, cells)``."""
    wrong, freedom = errors(values, arms)
    return wrong[:, None] * rng.standard_t(freedom, size=(len(values), DRAWS, values.shape[1]))


def resampled(rng: Generator, values: Array) -> Array:
    """Bootstrap samples ``(trials, DRAWS, cells, seeds)``."""
    seeds = values.shape[2]
    chosen = rng.integers(seeds, size=(len(values), DRAWS, *values.shape[1:]))
    return np.take_along_axis(values[:, None], chosen, axis=3)


def quantiles(draws: Array) -> tuple[Array, Array]:
    """Ends over the second axis of ``(trials, DRAWS)``."""
    low, high = stats.interval(np.moveaxis(draws, 1, 0))
    return low, high


def mean(rng: Generator, case: Case) -> Found:
    """The mean of a cell, by every candidate."""
    values = cells(rng, case.shape, case.trials // 2, ARMS, case.seeds, case.unlike)
    wrong, freedom = errors(values, ARMS)
    middle, reach = values.mean(axis=2), spread.quantile(freedom) * wrong
    alone = values.std(axis=2, ddof=1) / np.sqrt(case.seeds)
    students = spread.quantile(case.seeds - 1) * alone
    samples = resampled(rng, values)
    means = samples.mean(axis=3)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (means - middle[:, None]) / (samples.std(axis=3, ddof=1) / np.sqrt(case.seeds))
    first, last = quantiles(np.where(np.isfinite(ratio), ratio, np.nan))
    squeezed, theirs = _smyth(values.var(axis=2, ddof=1), case.seeds - 1)
    fitted = spread.quantile(theirs) * np.sqrt(squeezed / case.seeds)
    return {
        "ours": held(middle - reach, middle + reach, 0.0),
        "percentile": held(*quantiles(means), 0.0),
        "BCa": held(*_bca(values, means), 0.0),
        "studentised": held(middle - last * alone, middle - first * alone, 0.0),
        "Student's alone": held(middle - students, middle + students, 0.0),
        "empirical Bayes": held(middle - fitted, middle + fitted, 0.0),
    }


def _bca(values: Array, means: Array) -> tuple[Array, Array]:
    """Bias-corrected and accelerated ends (Efron 1987)."""
    seeds, middle = values.shape[2], values.mean(axis=2)
    below = (means < middle[:, None]).mean(axis=1) + (means == middle[:, None]).mean(axis=1) / 2
    bias = special.ndtri(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS))
    left = (values.sum(axis=2, keepdims=True) - values) / (seeds - 1)
    away = left.mean(axis=2, keepdims=True) - left
    speed = (away**3).sum(axis=2) / np.maximum(6 * (away**2).sum(axis=2) ** 1.5, 1e-300)
    ordered, ends = np.sort(means, axis=1), []
    for tail in (0.025, 0.975):
        z = bias + special.ndtri(tail)
        at = special.ndtr(bias + z / (1 - speed * z)) * (DRAWS - 1)
        ends.append(np.take_along_axis(ordered, np.round(at).astype(int)[:, None], axis=1)[:, 0])
    return ends[0], ends[1]


def _smyth(variance: Array, freedom: int) -> tuple[Array, Array]:
    """Variances squeezed towards a prior fitted to all cells of a suite, and their degrees of freedom (Smyth 2004)."""
    logs = np.log(variance) - special.digamma(freedom / 2) + np.log(freedom / 2)
    excess = logs.var(axis=1, ddof=1) - special.polygamma(1, freedom / 2)
    prior = np.full(len(logs), 1e6)
    for row in np.flatnonzero(excess > 1e-6):
        grid = np.geomspace(1e-3, 1e4, 400)
        prior[row] = 2 * grid[np.abs(special.polygamma(1, grid) - excess[row]).argmin()]
    usual = np.exp(logs.mean(axis=1) + special.digamma(prior / 2) - np.log(prior / 2))
    weight = (prior / (prior + freedom))[:, None]
    return weight * usual[:, None] + (1 - weight) * variance, (prior + freedom)[:, None]


def normalised(rng: Generator, case: Case) -> Found:
    """A task's mean over its control's, where that is clearly above nothing."""
    values = SPREAD * cells(rng, case.shape, case.trials, ARMS, case.seeds, case.unlike)
    values += np.array([0.7, 0.5, 0.9, 1.0])[:, None]
    wrong, freedom = errors(values, ARMS)
    clear = values[:, 3].mean(axis=1) > spread.quantile(freedom, 0.99) * wrong[:, 3]
    draws = values.mean(axis=2)[:, None] + moved(rng, values, ARMS)
    old = resampled(rng, values).mean(axis=3)
    return {
        "ours": held(*quantiles(_ratio(draws[..., 0], draws[..., 3])[clear]), 0.7),
        "percentile": held(*quantiles(_ratio(old[..., 0], old[..., 3])), 0.7),
        "drawn": float(clear.mean()),
    }


def _ratio(above: Array, below: Array) -> Array:
    return np.asarray(above / np.where(below > 0, below, np.nan), float)


def iqm(rng: Generator, case: Case) -> Found:
    """The interquartile mean of the normalised returns of all runs over four tasks."""
    ours, old = [], []
    for _ in range(20):  # in parts, for the memory
        few = Case(case.shape, case.seeds, case.unlike, case.trials // 20)
        values, truth = _suite(rng, few)
        arm, control = values[:, 0::ARMS], values[:, 3::ARMS].mean(axis=2)
        shift = moved(rng, values, ARMS)
        level = control[:, None] + shift[..., 3::ARMS]
        runs = (arm[:, None] + shift[..., 0::ARMS, None]) / np.where(level > 0, level, np.nan)[..., None]
        ours.append(held(*quantiles(_iqm(runs)), truth))
        samples = resampled(rng, values)
        runs = samples[:, :, 0::ARMS] / samples[:, :, 3::ARMS].mean(axis=3)[..., None]
        old.append(held(*quantiles(_iqm(runs)), truth))
    return {"ours": float(np.mean(ours)), "percentile": float(np.mean(old))}


def _suite(rng: Generator, case: Case) -> tuple[Array, Array]:
    """Values ``(trials, tasks x arms, seeds)``, the arm first and the control last, and the true IQM of the arm."""
    count, many = TASKS * ARMS, 2000
    scale = np.exp(case.unlike * rng.standard_normal((case.trials, count, 1)) - case.unlike**2) * SPREAD
    level = np.ones((count, 1))
    level[0::ARMS, 0] = LEVELS
    values = level + scale * SHAPES[case.shape](rng, (case.trials, count, case.seeds))
    endless = level[0::ARMS] + scale[:, 0::ARMS] * SHAPES[case.shape](rng, (case.trials, TASKS, many))
    return values, stats.iqm(endless.reshape(case.trials, -1), axis=1)


def _iqm(runs: Array) -> Array:
    return stats.iqm(runs.reshape(*runs.shape[:2], -1), axis=2)


def difference(rng: Generator, case: Case) -> Found:
    """The mean difference of two arms over four tasks, in units of each control."""
    values = SPREAD * cells(rng, case.shape, case.trials, TASKS * ARMS, case.seeds, case.unlike)
    values += np.tile([0.9, 0.8, 0.7, 1.0], TASKS)[:, None]
    draws = values.mean(axis=2)[:, None] + moved(rng, values, ARMS)
    old = resampled(rng, values).mean(axis=3)
    ends = [
        quantiles(_ratio(one[..., 0::ARMS] - one[..., 1::ARMS], one[..., 3::ARMS]).mean(axis=2)) for one in (draws, old)
    ]
    return {"ours": held(*ends[0], 0.1), "percentile": held(*ends[1], 0.1)}


def nested(rng: Generator, case: Case) -> Found:
    """The mean over seeds of means over 40 prompts; the spread of prompts is three times that of seeds."""
    prompts = 40
    seeds = cells(rng, case.shape, case.trials, ARMS, case.seeds, case.unlike)
    answers = seeds[..., None] + 3 * rng.standard_normal((*seeds.shape, prompts))
    values, least = answers.mean(axis=3), answers[:, 0].var(axis=2, ddof=1).mean(axis=1) / prompts
    wrong, freedom = errors(values, ARMS)
    reach = spread.quantile(freedom) * np.maximum(wrong[:, 0], np.sqrt(least / case.seeds))
    middle = values[:, 0].mean(axis=1)
    old = np.stack([_nested(rng, one) for one in answers[:, 0]])
    return {"ours": held(middle - reach, middle + reach, 0.0), "percentile": held(*quantiles(old), 0.0)}


def _nested(rng: Generator, answers: Array) -> Array:
    """Bootstrap of seeds, and in each drawn seed of prompts ``(DRAWS,)``."""
    seeds, prompts = answers.shape
    seed = rng.integers(seeds, size=(DRAWS, seeds, 1))
    return np.asarray(answers[seed, rng.integers(prompts, size=(DRAWS, seeds, prompts))].mean(axis=(1, 2)), float)


def reached(curve: Array) -> Simulation:
    """Labels to 90 % of the control along a true curve."""
    truth = float(efficiency.crossing(BUDGETS, curve, 0.9))

    def simulate(rng: Generator, case: Case) -> Found:
        count = len(BUDGETS) + 1
        values = SPREAD * cells(rng, case.shape, case.trials // 2, count, case.seeds, case.unlike)
        values += np.append(curve, 1.0)[:, None]
        draws = values.mean(axis=2)[:, None] + moved(rng, values, count)
        fitted = efficiency.monotone(_ratio(draws[..., :-1], draws[..., -1:]))
        samples = resampled(rng, values).mean(axis=3)
        first = efficiency.crossing(BUDGETS, _ratio(samples[..., :-1], samples[..., -1:]), 0.9)
        means = values.mean(axis=2)
        told = efficiency.crossing(BUDGETS, efficiency.monotone(_ratio(means[:, :-1], means[:, -1:])), 0.9)
        before = efficiency.crossing(BUDGETS, _ratio(means[:, :-1], means[:, -1:]), 0.9)
        return {
            "ours": held(*quantiles(efficiency.crossing(BUDGETS, fitted, 0.9)), truth),
            "percentile": held(*quantiles(first), truth),
            "says a number": float(np.isfinite(told).mean()),
            "said a number": float(np.isfinite(before).mean()),
        }

    return simulate


STATISTICS: dict[str, Simulation] = {
    "mean": mean,
    "normalised task": normalised,
    "IQM over four tasks": iqm,
    "difference over four tasks": difference,
    "mean over seeds and prompts": nested,
    **{f"labels to reach 90 %, {name}": reached(curve) for name, curve in CURVES.items()},
}


def table(trials: int = 1000) -> Iterator[dict[str, object]]:
    """A record for each statistic, shape, likeness and number of seeds."""
    for name, simulate in STATISTICS.items():
        for shape in SHAPES:
            for likeness, unlike in UNLIKE.items():
                for seeds in SEEDS:
                    rng = np.random.default_rng([20170612, seeds, *map(ord, name + shape + likeness)])
                    found = simulate(rng, Case(shape, seeds, unlike, trials))
                    yield {"statistic": name, "shape": shape, "cells": likeness, "seeds": seeds, **found}
