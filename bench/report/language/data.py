"""The finished runs of a language suite with their rows and final samples, sorted into what can be compared.

The unit is a ``Result``: what one arm came to on one task over its seeds. A run of best of n gives one for each n.
Every value is in the units of ``prefrl_core.language.rows``: gold in standard deviations over demonstrations, the proxy
over what SFT answers, KL in nats a response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from bench import spread, stats, store
from bench.report import names
from bench.report.data import Study
from bench.report.runs import Run, number
from bench.tracks import Spec

SHOWN_N = (4, 16, 64)  # of best of n, in tables; figures show all
_NOT_OF_A_REWARD_MODEL = ("method", "ppo", "best_of_n", "evaluation", "seed")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Told:
    """One finished run; ``n`` as in ``Result``."""

    run: Run
    rows: Sequence[Row]
    samples: Mapping[str, stats.Array]
    texts: Mapping[str, Sequence[str]]
    n: int | None = None

    @cached_property
    def final(self) -> Row:
        """What it was measured to be in the end; empty if it ends without a row of that stage."""
        return next((row for row in reversed(self.rows) if row["stage"] == "final" and row.get("n") == self.n), {})

    def value(self, column: str) -> float:
        """Of the final row; NaN where there is nothing to tell."""
        return number(self.final.get(column))

    def sampled(self, name: str) -> float:
        """Mean over prompts of one of the arrays of samples; NaN where there are none."""
        return float(self.sample(name).mean()) if self.samples else float("nan")

    def before(self, column: str) -> float:
        """Of SFT, where PPO began; NaN without PPO."""
        return next((number(row.get(column)) for row in self.rows if row["stage"] == "ppo"), float("nan"))

    def last(self, column: str, stage: str) -> float:
        """The last value of a column within a stage; NaN if it has none."""
        found = [row[column] for row in self.rows if row["stage"] == stage and row.get(column) is not None]
        return number(found[-1] if found else None)

    def curve(self, *columns: str) -> stats.Array:
        """These columns ``(points, columns)`` over PPO, on prompts of the validation split, from SFT on; only rows in
        which all of them were measured."""
        rows = [row for row in self.rows if row["stage"] == "ppo"]
        values = np.array([[number(row.get(name)) for name in columns] for row in rows], float).reshape(
            -1, len(columns)
        )
        return np.asarray(values[np.isfinite(values).all(axis=1)], float)

    def sample(self, name: str) -> stats.Array:
        """One of the arrays of samples ``(prompts,)``, of best of n that of its n; "gain" is gold less SFT's."""
        if name == "gain":
            return self.sample("gold") - self.sample("gold_sft")
        values = np.asarray(self.samples[name], float)
        return (
            values if values.ndim == 1 else values[:, list(self.run.spec.canonical()["best_of_n"]["n"]).index(self.n)]
        )


@dataclass(frozen=True)
class Result:
    """What an arm came to on a task; ``n`` of best of n, None elsewhere."""

    task: str
    arm: str
    n: int | None
    spec: Spec
    runs: tuple[Told, ...]  # the finished ones, by seed
    planned: int  # seeds
    family: list[Result] = field(default_factory=list, compare=False, repr=False)  # all results of the task

    @property
    def name(self) -> str:
        return self.arm if self.n is None else f"{self.arm}, n = {self.n}"

    @property
    def note(self) -> str:
        """ "" when whole, otherwise "2 of 3 seeds"."""
        return "" if len(self.runs) == self.planned else f"{len(self.runs)} of {self.planned} seeds"

    @cached_property
    def settings(self) -> dict[str, Any]:
        return self.spec.canonical()

    @property
    def method(self) -> str:
        """base, sft, best_of_n, ppo, and for the PPO that learns from gold itself: gold."""
        return "gold" if self.spec.reward == "gold" else str(self.settings["method"])

    @property
    def pairs(self) -> int:
        """What its rankings come to in pairs."""
        return self.spec.labels * self.settings["k"] * (self.settings["k"] - 1) // 2

    def values(self, column: str) -> stats.Array:
        """A column's final values ``(seeds,)`` of the seeds that have one."""
        return _finite([one.value(column) for one in self.runs])

    def estimate(self, column: str) -> stats.Estimate:
        """Mean over seeds of a column's final value."""
        return spread.mean_estimate(self.values(column), self.pool(lambda told: told.value(column)))

    def over_prompts(self, name: str) -> stats.Estimate:
        """Mean over seeds of the mean over prompts of a sampled array; seeds differ at least as prompts let them."""
        values = [one.sample(name) for one in self.runs if one.samples]
        beside = self.pool(lambda told: told.sampled(name))
        return spread.mean_estimate([one.mean() for one in values], beside, spread.of_mean(values))

    def pool(self, value: Callable[[Told], float]) -> spread.Pool:
        """What the arms of the task tell of the spread of a value; of best of n one n an arm: the same runs."""
        arms = {one.arm: one for one in (*self.family, self)}
        return spread.pool([list(one.by_seed(value).values()) for one in arms.values()])

    def by_seed(self, value: Callable[[Told], float]) -> dict[int, float]:
        """Some value of each run that has it, by seed."""
        found = {one.run.seed: value(one) for one in self.runs}
        return {seed: one for seed, one in found.items() if np.isfinite(one)}

    @cached_property
    def flat(self) -> dict[str, str]:
        """Its settings but the seed, nested ones by dotted names."""
        return names.flat({key: value for key, value in self.settings.items() if key != "seed"})

    @cached_property
    def reward_model(self) -> str:
        """What its reward model depends on: arms in which this is equal share it."""
        kept = {key: value for key, value in self.settings.items() if key not in _NOT_OF_A_REWARD_MODEL}
        return str(names.flat(kept)) if self.spec.labels else ""


@dataclass(frozen=True)
class Language:
    """A study's results by task, in the order of its arms."""

    study: Study
    results: tuple[Result, ...]

    def of_task(self, task: str, *methods: str) -> list[Result]:
        """Results with a finished run, of these methods or of all."""
        return [one for one in self.results if one.task == task and one.runs and (not methods or one.method in methods)]

    def shown(self, task: str) -> list[Result]:
        """As ``of_task``, best of n at a few n alone."""
        return [one for one in self.of_task(task) if one.n is None or one.n in shown_n(one)]

    def baseline(self, task: str) -> Result | None:
        """That of the suite's baseline, if it has a finished run."""
        return next((one for one in self.of_task(task) if one.arm == self.study.baseline), None)


def shown_n(result: Result) -> list[int]:
    """Those of SHOWN_N that were measured; the largest if none of them was."""
    measured = result.settings["best_of_n"]["n"]
    return [n for n in SHOWN_N if n in measured] or [max(measured)]


def load(study: Study) -> Language:
    """What the study's finished runs have recorded, read from disk."""
    results: list[Result] = []
    for task in study.tasks:
        family: list[Result] = []
        for arm, cell in study.of_task(task):
            told = tuple(_told(run) for run in cell.finished)
            spec = cell.spec
            numbers = spec.canonical()["best_of_n"]["n"] if spec.canonical()["method"] == "best_of_n" else [None]
            for n in numbers:
                runs = tuple(replace(one, n=n) for one in told)
                family.append(Result(task, arm, n, spec, runs, len(cell.runs), family))
        results += family
    return Language(study, tuple(results))


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> stats.Array:
    """Differences ``(seeds,)`` over the seeds that both have."""
    return np.array([one[seed] - other[seed] for seed in sorted(one.keys() & other.keys())], float)


def _told(run: Run) -> Told:
    folder = store.Run(run.folder)
    samples, texts = folder.samples()
    return Told(run, folder.rows, samples, texts)


def _finite(values: Sequence[float]) -> stats.Array:
    return np.array([value for value in values if np.isfinite(value)], float)
