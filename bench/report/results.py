"""The numbers behind figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import efficiency, pairwise, spread, stats
from bench.report.data import Cell, Series, Study, generator
from bench.report.runs import Run

Statistic = Callable[[Sequence[stats.Array]], stats.Array]

BINS = 50  # points of a curve
SHARE = 0.9  # of the true-reward run: the one of ``efficiency.SHARES`` that figures show
AGGREGATES: dict[str, Statistic] = {
    "IQM": stats.iqm_over_runs,
    "median": stats.median_over_tasks,
    "mean": stats.mean_over_tasks,
    "optimality gap": stats.optimality_gap,
}
LEVELS = np.linspace(0.0, 1.5, 61)  # of a performance profile


@dataclass(frozen=True)
class Curve:
    """One arm on one task over training: ``x`` (points,), ``runs`` (seeds, points), mean and band (points,)."""

    arm: str
    x: stats.Array
    seeds: tuple[int, ...]
    runs: stats.Array
    mean: stats.Array
    low: stats.Array
    high: stats.Array
    counted: int  # seeds in the mean: the finished ones, or all that started if none is finished
    note: str


def curves(study: Study, task: str, column: str, weight: str | None = None) -> list[Curve]:
    """A metric over environment steps on the task's common grid, one curve an arm that recorded it."""
    total = max(cell.spec.total_steps for _, cell in study.of_task(task))
    edges = np.linspace(0, total, BINS + 1)
    x = (edges[1:] + edges[:-1]) / 2
    found = {arm: (cell, _lines(cell, column, weight, edges)) for arm, cell in study.of_task(task)}
    found = {arm: (cell, lines) for arm, (cell, lines) in found.items() if np.isfinite(lines).any()}
    counted = {arm: lines[: len(cell.finished) or None] for arm, (cell, lines) in found.items()}
    beside = spread.pool(counted.values())
    made = []
    for arm, (cell, lines) in found.items():
        low, high = spread.band(counted[arm], beside)
        mean, count = counted[arm].mean(axis=0), len(counted[arm])
        made.append(Curve(arm, x, _seeds(cell), lines, mean, low, high, count, cell.count))
    return made


def _lines(cell: Cell, column: str, weight: str | None, edges: stats.Array) -> stats.Array:
    """``(runs, points)``, the finished runs first."""
    return np.array([_binned(run, column, weight, edges) for run in _shown(cell)])


def _shown(cell: Cell) -> list[Run]:
    return [*cell.finished, *(run for run in cell.started if run.status != "done")]


def _seeds(cell: Cell) -> tuple[int, ...]:
    return tuple(run.seed for run in _shown(cell))


def _binned(run: Run, column: str, weight: str | None, edges: stats.Array) -> stats.Array:
    values = run.metrics[column]
    weights = run.metrics[weight] if weight else np.ones(len(values))
    return stats.binned(run.metrics["step"], values, weights, edges)


def normalised(study: Study, task: str, arm: str) -> stats.Estimate:
    """Normalised return of an arm on a task that can be normalised; exactly 1 for the control."""
    if study.controls[task] == arm:
        return stats.Estimate(1.0, -np.inf, np.inf)
    return _scores(study, [arm], [task], stats.mean_over_tasks).estimates()[0]


def aggregate(study: Study, arm: str) -> tuple[stats.Estimate | None, list[str]]:
    """IQM of normalised return over all runs of all tasks that the arm finished, and those tasks."""
    tasks = [t for t in study.normalisable if (cell := study.cell(arm, t)) and len(cell.returns)]
    if not tasks:
        return None, []
    return _scores(study, [arm], tasks, stats.iqm_over_runs).estimates()[0], tasks


def aggregates(study: Study, arm: str) -> tuple[dict[str, stats.Estimate], list[str]]:
    """Each of AGGREGATES of the arm's normalised returns over the tasks that it finished, and those tasks."""
    tasks = [t for t in study.normalisable if (cell := study.cell(arm, t)) and len(cell.returns)]
    if not tasks:
        return {}, []
    found = {name: _scores(study, [arm], tasks, one) for name, one in AGGREGATES.items()}
    return {name: scores.estimates()[0] for name, scores in found.items()}, tasks


@dataclass(frozen=True)
class Profile:
    """Share of runs above each of LEVELS: ``share``, ``low`` and ``high``, each (levels,); the ends are infinite where
    too few seeds tell no interval."""

    arm: str
    share: stats.Array
    low: stats.Array
    high: stats.Array


def profiles(study: Study) -> list[Profile]:
    """The performance profile of each arm that finished a run on every task that can be normalised."""
    tasks = study.normalisable
    whole = [arm for arm in study.arms if all((c := study.cell(arm, t)) and len(c.returns) for t in tasks)]
    made = []
    for arm in whole if tasks else ():
        scores = _scores(study, [arm], tasks, lambda s: stats.performance_profile(s, LEVELS), 2_000)
        made.append(Profile(arm, scores.values[0], *stats.interval(scores.draws[:, 0])))
    return made


@dataclass(frozen=True)
class Efficiency:
    """Feedback efficiency of a series: labels to reach each of ``efficiency.SHARES``, the area under its curve (None
    where one budget was tried), and the budgets that it was measured at."""

    reach: dict[float, stats.Estimate]
    area: stats.Estimate | None
    budgets: tuple[int, ...]
    missing: tuple[int, ...]  # planned budgets without a finished run on every task


def feedback_efficiency(study: Study, series: Series, tasks: Sequence[str]) -> Efficiency | None:
    """Of one task on its mean, of several on the IQM over all their runs; None if no budget is finished."""
    by_budget = {_budget(study, arm, tasks): arm for arm in series.arms if study.cell(arm, tasks[0])}
    whole = {b: arm for b, arm in by_budget.items() if all((c := study.cell(arm, t)) and len(c.returns) for t in tasks)}
    if not whole:
        return None
    statistic = stats.mean_over_tasks if len(tasks) == 1 else stats.iqm_over_runs
    scores = _scores(study, list(whole.values()), tasks, statistic)
    budgets, seeds = tuple(whole), [sum(len(study.cells[arm, t].returns) for t in tasks) for arm in whole.values()]
    reach = {share: efficiency.labels_to_reach(budgets, scores, share, seeds) for share in efficiency.SHARES}
    area = efficiency.area_under(budgets, scores) if len(budgets) > 1 else None
    return Efficiency(reach, area, budgets, tuple(sorted(set(by_budget) - set(whole))))


def level(study: Study, arm: str, tasks: Sequence[str]) -> stats.Estimate:
    """Mean normalised return of an arm over ``tasks``, each weighing the same however many seeds it has."""
    return levels(study, [arm], tasks).estimates()[0]


def differences(study: Study, other: str, tasks: Mapping[str, Sequence[str]]) -> dict[str, stats.Estimate]:
    """How much higher the mean normalised return of each arm is than another's, over the ``tasks`` of each arm; all
    intervals hold at once, so that many arms do not make one of them look different."""
    found = {arm: levels(study, [arm, other], of_arm) for arm, of_arm in tasks.items() if of_arm and arm != other}
    if not found:
        return {}
    values = [scores.values[0] - scores.values[1] for scores in found.values()]
    draws = np.stack([scores.draws[:, 0] - scores.draws[:, 1] for scores in found.values()], axis=1)
    return dict(zip(found, stats.together(values, draws), strict=True))


def chance(study: Study, other: str, tasks: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """For each arm the p of a permutation test within its ``tasks`` against another arm, adjusted for their number
    (Holm 1979)."""
    arms = [arm for arm, of_arm in tasks.items() if of_arm and arm != other]
    found = [permutation(study, arm, other, tasks[arm]) for arm in arms]
    return dict(zip(arms, map(float, pairwise.holm(found)), strict=True))


def permutation(study: Study, arm: str, other: str, tasks: Sequence[str]) -> float:
    """p of the mean difference over ``tasks`` in units of each task's control, seeds exchanged within tasks."""
    gains = [study.gain(task).value if task in study.normalisable else 1.0 for task in tasks]
    pairs = [
        (study.cells[arm, task].returns / gain, study.cells[other, task].returns / gain)
        for task, gain in zip(tasks, gains, strict=True)
    ]
    return pairwise.permutation(pairs, generator("permutation", arm, other, *tasks))


def levels(study: Study, arms: Sequence[str], tasks: Sequence[str]) -> stats.Scores:
    """Mean normalised return of each arm over ``tasks``."""
    return _scores(study, arms, tasks, stats.mean_over_tasks)


def improvement(study: Study, arm: str, other: str, tasks: Sequence[str]) -> stats.Estimate:
    """Probability that a run of an arm is better than one of the other on the same task, averaged over ``tasks``."""
    pairs = [(study.cells[arm, task].returns, study.cells[other, task].returns) for task in tasks]
    return pairwise.probability_of_improvement(pairs)


def final_estimate(study: Study, arm: str, task: str, column: str, weight: str | None = None) -> stats.Estimate:
    """Mean over finished seeds of a metric at the end of training."""
    return spread.mean_estimate(study.cells[arm, task].finals(column, weight), study.pool(task, column, weight))


def _budget(study: Study, arm: str, tasks: Sequence[str]) -> int:
    return study.cells[arm, tasks[0]].spec.labels


def _scores(
    study: Study,
    arms: Sequence[str],
    tasks: Sequence[str],
    statistic: Statistic,
    replicates: int = spread.REPLICATES,
) -> stats.Scores:
    """Normalised scores, one an arm; a cell's draws, the control's among them, are the same wherever it occurs."""

    def drawn(arm: str, task: str) -> stats.Draws:
        cell = study.draws(arm, task)
        return stats.Draws(cell.values, cell.shifts[:replicates])

    return stats.normalised_scores(
        [[drawn(arm, task) for arm in arms] for task in tasks],
        [drawn(study.controls[task], task) for task in tasks],
        [study.untrained[task] for task in tasks],
        statistic,
    )
