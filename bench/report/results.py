"""The numbers behind figures and tables, each with a bootstrap generator of its own name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench import efficiency, stats
from bench.report.data import Cell, Run, Series, Study, generator

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
    made = (_curve(study, arm, task, cell, column, weight, edges) for arm, cell in study.of_task(task))
    return [curve for curve in made if curve is not None]


def _curve(
    study: Study, arm: str, task: str, cell: Cell, column: str, weight: str | None, edges: stats.Array
) -> Curve | None:
    shown = [*cell.finished, *(run for run in cell.started if run.status != "done")]
    lines = [_binned(run, column, weight, edges) for run in shown]
    if not lines or not np.isfinite(lines).any():
        return None
    counted = np.array(lines[: len(cell.finished) or None])
    low, high = stats.curve_interval(counted, generator(column, arm, task))
    x = (edges[1:] + edges[:-1]) / 2
    return Curve(arm, x, np.array(lines), counted.mean(axis=0), low, high, len(counted), cell.count)


def _binned(run: Run, column: str, weight: str | None, edges: stats.Array) -> stats.Array:
    values = run.metrics[column]
    weights = run.metrics[weight] if weight else np.ones(len(values))
    return stats.binned(run.metrics["step"], values, weights, edges)


def normalised(study: Study, task: str, arm: str) -> stats.Estimate:
    """Normalised return of an arm on a task that can be normalised; exactly 1 for the control."""
    if study.controls[task] == arm:
        return stats.Estimate(1.0, -np.inf, np.inf)
    return _scores(study, [arm], [task], stats.mean_over_tasks, f"normalised/{arm}").estimates()[0]


def aggregate(study: Study, arm: str) -> tuple[stats.Estimate | None, list[str]]:
    """IQM of normalised return over all runs of all tasks that the arm finished, and those tasks."""
    tasks = [t for t in study.normalisable if (cell := study.cell(arm, t)) and len(cell.returns)]
    if not tasks:
        return None, []
    if all(study.controls[task] == arm for task in tasks):
        return stats.Estimate(1.0, -np.inf, np.inf), tasks
    return _scores(study, [arm], tasks, stats.iqm_over_runs, f"aggregate/{arm}").estimates()[0], tasks


def aggregates(study: Study, arm: str) -> tuple[dict[str, stats.Estimate], list[str]]:
    """Each of AGGREGATES of the arm's normalised returns over the tasks that it finished, and those tasks."""
    tasks = [t for t in study.normalisable if (cell := study.cell(arm, t)) and len(cell.returns)]
    if not tasks:
        return {}, []
    found = {name: _scores(study, [arm], tasks, one, f"aggregate/{arm}") for name, one in AGGREGATES.items()}
    return {name: scores.estimates()[0] for name, scores in found.items()}, tasks


@dataclass(frozen=True)
class Profile:
    """Share of runs above each of LEVELS: ``share``, ``low`` and ``high``, each (levels,); the ends are infinite where
    a task has one seed, which tells no interval."""

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
        scores = _scores(study, [arm], tasks, lambda s: stats.performance_profile(s, LEVELS), f"profile/{arm}", 2_000)
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
    scores = _scores(study, list(whole.values()), tasks, statistic, f"reach/{series.label}")
    budgets = tuple(whole)
    reach = {share: efficiency.labels_to_reach(budgets, scores, share) for share in efficiency.SHARES}
    area = efficiency.area_under(budgets, scores) if len(budgets) > 1 else None
    return Efficiency(reach, area, budgets, tuple(sorted(set(by_budget) - set(whole))))


def difference(study: Study, arm: str, other: str, tasks: Sequence[str]) -> tuple[stats.Estimate, stats.Estimate]:
    """Mean normalised return of an arm over ``tasks``, each weighing the same however many seeds it has, and how much
    higher it is than another's; one draw of the true-reward runs serves both."""
    scores = _scores(study, [arm, other], tasks, stats.mean_over_tasks, f"difference/{arm}/{other}")
    return scores.estimates()[0], scores.difference(0, 1)


def levels(study: Study, arms: Sequence[str], tasks: Sequence[str]) -> stats.Scores:
    """Mean normalised return of each arm over ``tasks``; one draw of the true-reward runs serves all."""
    return _scores(study, arms, tasks, stats.mean_over_tasks, "levels")


def improvement(study: Study, arm: str, other: str, tasks: Sequence[str]) -> stats.Estimate:
    """Probability that a run of an arm is better than one of the other on the same task, averaged over ``tasks``."""
    pairs = [(study.cells[arm, task].returns, study.cells[other, task].returns) for task in tasks]
    return stats.probability_of_improvement(pairs, generator("improvement", arm, other, *tasks))


def final_estimate(study: Study, arm: str, task: str, column: str, weight: str | None = None) -> stats.Estimate:
    """Mean over finished seeds of a metric at the end of training."""
    return stats.mean_estimate(study.cells[arm, task].finals(column, weight), generator("final", column, arm, task))


def _budget(study: Study, arm: str, tasks: Sequence[str]) -> int:
    return study.cells[arm, tasks[0]].spec.labels


def _scores(
    study: Study,
    arms: Sequence[str],
    tasks: Sequence[str],
    statistic: Statistic,
    name: str,
    replicates: int = stats.REPLICATES,
) -> stats.Scores:
    """Normalised scores, one an arm."""
    return stats.normalised_scores(
        [[study.cells[arm, task].returns for arm in arms] for task in tasks],
        [study.control_returns(task) for task in tasks],
        [study.untrained[task] for task in tasks],
        generator(name, *tasks),
        statistic,
        replicates,
    )
