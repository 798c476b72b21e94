"""Simulated sweeps that stop when they know: how often something that was said is wrong, and how many runs they saved.

Seven arms beside an eighth over four tasks, as in our suite of query strategies, from three to twenty seeds. A claim is
wrong if an arm is called better or worse and is not, or is called alike and differs by what matters or more.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.random import Generator

from bench.decide import sweep
from bench.purpose import Decide
from bench.simulations.shapes import SHAPES
from bench.stats import Array

ARMS, TASKS, CONTROL, FIRST, MOST, DIFFERENCE = 7, 4, 10, 3, 20, 0.1
SPREAD = 0.15  # of the seeds, in units of what the control gains; that of our suites is 0.1 to 0.3
EFFECTS = {
    "all equal": np.zeros(ARMS),
    "all by just what matters": np.full(ARMS, DIFFERENCE),
    "of all kinds": np.array([-0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.3]),
}
SETTINGS = Decide(tuple(f"arm {i}" for i in range(ARMS)), "base", ("",) * TASKS, DIFFERENCE, 0.05, MOST)


def table(trials: int = 1000) -> Iterator[dict[str, object]]:
    """A record for each shape and set of true differences."""
    for shape in SHAPES:
        for name, effects in EFFECTS.items():
            rng = np.random.default_rng([20170612, *map(ord, shape + name)])
            found = np.array([one_sweep(rng, shape, effects) for _ in range(trials)])
            wrong, told, alike, runs = found.mean(axis=0).tolist()
            saved = 1 - runs / ((ARMS + 1) * TASKS * MOST)
            columns = {"wrong": wrong, "told apart": told, "called alike": alike, "runs saved": saved}
            yield {"shape": shape, "true differences": name, **columns}


def one_sweep(rng: Generator, shape: str, effects: Array) -> tuple[bool, float, float, int]:
    """Whether anything said was wrong, shares of arms told apart and called alike, and the runs it took."""
    unlike = np.exp(0.3 * rng.standard_normal((ARMS + 1, TASKS, 1)))
    noise = SPREAD * unlike * SHAPES[shape](rng, (ARMS + 1, TASKS, MOST))
    control = 1 + SPREAD * SHAPES[shape](rng, (TASKS, CONTROL))
    names = (SETTINGS.against, *SETTINGS.arms)
    levels = dict(zip(names, 0.7 + np.append(0.0, effects), strict=True))
    returns = {arm: levels[arm] + noise[i] for i, arm in enumerate(names)}
    made = sweep.replay(SETTINGS, FIRST, sweep.Scale.of(control, np.zeros(TASKS)), returns).comparisons
    wrong = any(_wrong(one.verdict, effect) for one, effect in zip(made, effects, strict=True))
    seeds = [one.seeds for one in made]
    told, alike = (sum(one.verdict in kind for one in made) / ARMS for kind in (("better", "worse"), ("alike",)))
    return wrong, told, alike, TASKS * (sum(seeds) + max(seeds))


def _wrong(verdict: sweep.Verdict, effect: float) -> bool:
    match verdict:
        case "better":
            return effect <= 0
        case "worse":
            return effect >= 0
        case "alike":
            return abs(effect) >= DIFFERENCE
        case _:
            return False
