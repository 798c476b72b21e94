"""The finished runs of a language suite with their rows and final samples, sorted into what can be compared.

The unit is a ``Result``: what one arm came to on one task over its seeds. A run of best of n gives one for each n.
Every value is in the units of ``prefrl_core.language.rows``: gold in standard deviations over demonstrations, the proxy
over what SFT answers, KL in nats a response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from bench import spread, stats, store
from bench.report import names
from bench.report.data import Study
from bench.report.formats import part
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

    def value(self, name: str) -> float:
        """A measure by name: a column of the final row; "mean:win_gold", the mean over prompts of an array of samples;
        "tax:ptx_nll", a final value less that of the SFT which PPO began with; "reward_model:rm_ece", the last value of
        a stage, or else the final one. NaN where there is nothing to tell."""
        kind, _, column = name.rpartition(":")
        if kind == "mean":
            return float(self.sample(column).mean()) if self.samples else float("nan")
        if kind == "tax":
            return self.value(column) - self.before(column)
        found = [row[column] for row in self.rows if row["stage"] == kind and row.get(column) is not None]
        return number(found[-1] if found else self.final.get(column))

    def before(self, column: str) -> float:
        """Of SFT, where PPO began; NaN without PPO."""
        return next((number(row.get(column)) for row in self.rows if row["stage"] == "ppo"), float("nan"))

    def curve(self, *columns: str) -> stats.Array:
        """These columns ``(points, columns)`` over PPO, on prompts of the validation split, from SFT on; only rows in
        which all of them were measured."""
        rows = [[number(row.get(name)) for name in columns] for row in self.rows if row["stage"] == "ppo"]
        values = np.array(rows, float).reshape(-1, len(columns))
        return np.asarray(values[np.isfinite(values).all(axis=1)], float)

    def sample(self, name: str) -> stats.Array:
        """One of the arrays of samples ``(prompts,)``, of best of n that of its n; "gain" is gold less SFT's."""
        if name == "gain":
            return self.sample("gold") - self.sample("gold_sft")
        values, spec = np.asarray(self.samples[name], float), self.run.spec.canonical()
        return values if values.ndim == 1 else values[:, list(spec["best_of_n"]["n"]).index(self.n)]


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
        return part(self.runs, range(self.planned), "seeds")

    @cached_property
    def settings(self) -> dict[str, Any]:
        return self.spec.canonical()

    @property
    def method(self) -> str:
        """base, sft, best_of_n, ppo, and for the PPO that learns from gold itself: gold."""
        method = str(self.settings["method"])
        return "gold" if method == "ppo" and self.spec.reward == "gold" else method

    @property
    def pairs(self) -> int:
        """What its rankings come to in pairs."""
        return self.spec.labels * self.settings["k"] * (self.settings["k"] - 1) // 2

    def by_seed(self, name: str) -> dict[int, float]:
        """A measure of each run that has it (``Told.value``), by seed."""
        return {one.run.seed: value for one in self.runs if np.isfinite(value := one.value(name))}

    def values(self, name: str, beside: Result | None = None) -> stats.Array:
        """A measure ``(seeds,)`` of the seeds that have it, or its differences to another result in the seeds that both
        have."""
        ours, theirs = self.by_seed(name), beside.by_seed(name) if beside else None
        found = ours if theirs is None else {seed: ours[seed] - theirs[seed] for seed in ours if seed in theirs}
        return np.array(list(found.values()), float)

    def estimate(self, name: str, beside: Result | None = None, among: int = 1) -> stats.Estimate:
        """Mean over seeds of a measure, or of how much higher it is than another result's, paired by seed.

        The spread is believed to be what is usual among all arms of the task, and of a mean over prompts at least what
        prompts let it be. Where all seeds agree, what is so by definition has an interval of no width, and the interval
        of what was measured cannot be told: a rare event was not seen. Intervals of ``among`` comparisons hold all at
        once (Bonferroni).
        """
        least, values = spread.of_mean(self._prompts(name, beside)), self.values(name, beside)
        if len(values) > 1 and not least and np.ptp(values) == 0:
            known = self._defined(name) and (beside is None or beside._defined(name))
            agreed = float(values[0])
            return stats.Estimate(agreed, agreed if known else np.nan, agreed if known else np.nan)
        return spread.mean_estimate(values, self.pool(name, beside), least, 1 - 0.05 / among)

    def _defined(self, name: str) -> bool:
        """A measure that follows from definitions: best of n's distance from SFT, what SFT is beside itself, and how
        often a labeler that never errs is right."""
        column = name.rpartition(":")[2]
        beside_itself = self.method == "sft" and column in ("kl_exact", "gain", "win_gold", "win_judge")
        return beside_itself or (self.method, column) == ("best_of_n", "kl_exact") or column.startswith("labels.")

    def pool(self, name: str, beside: Result | None = None) -> spread.Pool:
        """What the arms of the task tell of the spread of a measure; of best of n one n an arm: the same runs."""
        arms = {one.arm: one for one in (*self.family, self) if beside is None or one.arm != beside.arm}
        return spread.pool([one.values(name, beside) for one in arms.values()], unlike=True)

    def _prompts(self, name: str, beside: Result | None) -> list[stats.Array]:
        """Of each seed the values ``(prompts,)`` that a measure is the mean of; none of other measures."""
        kind, _, column = name.rpartition(":")
        if kind != "mean":
            return []
        ours = {one.run.seed: one.sample(column) for one in self.runs if one.samples}
        if beside is None:
            return list(ours.values())
        pairs = [(one, ours[one.run.seed]) for one in beside.runs if one.samples and one.run.seed in ours]
        return [own - one.sample(column) for one, own in pairs]

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

    def reward_models(self, task: str) -> list[Result]:
        """One result for each reward model, however many arms learn from it."""
        return once([one for one in self.of_task(task) if one.spec.labels], lambda one: one.reward_model)

    def baseline(self, task: str) -> Result | None:
        """That of the suite's baseline, if it has a finished run."""
        return next((one for one in self.of_task(task) if one.arm == self.study.baseline), None)


def shown_n(result: Result) -> list[int]:
    """Those of SHOWN_N that were measured; the largest if none of them was."""
    measured = result.settings["best_of_n"]["n"]
    return [n for n in SHOWN_N if n in measured] or [max(measured)]


def once(results: Sequence[Result], by: Callable[[Result], str] = attrgetter("arm")) -> list[Result]:
    """The first result of each arm, or of those alike in something else."""
    found: dict[str, Result] = {}
    for one in results:
        found.setdefault(by(one), one)
    return list(found.values())


def load(study: Study) -> Language:
    """What the study's finished runs have recorded, read from disk."""
    results: list[Result] = []
    for task in study.tasks:
        family: list[Result] = []
        for arm, cell in study.of_task(task):
            told, spec = [_told(run) for run in cell.finished], cell.spec.canonical()
            for n in spec["best_of_n"]["n"] if spec["method"] == "best_of_n" else [None]:
                runs = tuple(replace(one, n=n) for one in told)
                family.append(Result(task, arm, n, cell.spec, runs, len(cell.runs), family))
        results += family
    return Language(study, tuple(results))


def _told(run: Run) -> Told:
    folder = store.Run(run.folder)
    return Told(run, folder.rows, *folder.samples())
