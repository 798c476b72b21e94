"""The numbers behind figures and tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import efficiency, pairwise, spread, stats
from bench.report.data import Series, Study, generator

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
    """An arm's line: ``x`` (points,), ``runs`` (seeds, points), mean and band (points,)."""

    arm: str
    x: stats.Array
    seeds: tuple[int, ...]
    runs: stats.Array
    mean: stats.Array
    low: stats.Array
    high: stats.Array
    counted: int  # seeds in the mean: the finished ones, or all that started if none is finished
    note: str


def curves(study: Study, task: str, column: str) -> list[Curve]:
    """A metric over environment steps on the task's common grid, one curve an arm that recorded it."""
    edges = np.linspace(0, study.total_steps(task), BINS + 1)
    shown = {arm: cell.drawn for arm, cell in study.of_task(task)}
    lines = {arm: np.array([run.binned(column, edges) for run in runs]) for arm, runs in shown.items()}
    counted = {
        arm: of_arm[: len(study.cells[arm, task].finished) or None]  # the finished ones come first
        for arm, of_arm in lines.items()
        if np.isfinite(of_arm).any()
    }
    finished = [of_arm for arm, of_arm in counted.items() if study.cells[arm, task].finished]
    beside, x, made = spread.pool(finished), (edges[1:] + edges[:-1]) / 2, []
    for arm, of_arm in counted.items():
        seeds, note = tuple(run.seed for run in shown[arm]), study.cells[arm, task].count
        ends = spread.band(of_arm, beside)
        made.append(Curve(arm, x, seeds, lines[arm], of_arm.mean(axis=0), *ends, len(of_arm), note))
    return made


def normalised(study: Study, task: str, arm: str) -> stats.Estimate:
    """Normalised return of an arm on a task that can be normalised; exactly 1 for the control."""
    if study.controls[task] == arm:
        return stats.Estimate(1.0, -np.inf, np.inf)
    return _scores(study, [arm], [task], stats.mean_over_tasks).estimates()[0]


def score(study: Study, arm: str, tasks: Sequence[str]) -> stats.Estimate:
    """Normalised return of an arm on one task, IQM of its runs on several, each of which it finished."""
    if len(tasks) == 1:
        return normalised(study, tasks[0], arm)
    return _scores(study, [arm], tasks, stats.iqm_over_runs).estimates()[0]


def aggregates(
    study: Study, arm: str, names: Sequence[str] = tuple(AGGREGATES)
) -> tuple[dict[str, stats.Estimate], list[str]]:
    """Each of AGGREGATES of the arm's normalised returns over the tasks that it finished, and those tasks."""
    tasks = study.shared(arm)
    found = {name: _scores(study, [arm], tasks, AGGREGATES[name]).estimates()[0] for name in names if tasks}
    return found, tasks


def profiles(study: Study) -> list[Curve]:
    """The performance profile of each arm that finished a run on every task that can be normalised: the share of runs
    above each of LEVELS; the ends are infinite where too few seeds tell no interval."""
    tasks, made = study.normalisable, []
    for arm in study.arms if tasks else ():
        if study.has(arm, *tasks):
            scores = _scores(study, [arm], tasks, lambda s: stats.performance_profile(s, LEVELS), 2_000)
            ends = stats.interval(scores.draws[:, 0])
            made.append(Curve(arm, LEVELS, (), np.zeros((0, len(LEVELS))), scores.values[0], *ends, len(tasks), ""))
    return made


@dataclass(frozen=True)
class Efficiency:
    """Feedback efficiency of a series: labels to reach each of ``efficiency.SHARES``, the area under its curve (None
    where one budget was tried), and the budgets that it was measured at."""

    reach: dict[float, stats.Estimate]
    area: stats.Estimate | None
    budgets: tuple[int, ...]
    missing: tuple[int, ...]  # planned budgets without a finished run on every task

    @classmethod
    def of(cls, scores: stats.Scores, seeds: Mapping[int, int], missing: Iterable[int]) -> Efficiency:
        """From the scores of ascending budgets, and the ``seeds`` behind each."""
        budgets, counts = tuple(seeds), list(seeds.values())
        reach = {share: efficiency.labels_to_reach(budgets, scores, share, counts) for share in efficiency.SHARES}
        area = efficiency.area_under(budgets, scores) if len(budgets) > 1 else None
        return cls(reach, area, budgets, tuple(missing))


def feedback_efficiency(study: Study, series: Series, tasks: Sequence[str]) -> Efficiency | None:
    """Of one task on its mean, of several on the IQM over all their runs; None if no budget is finished."""
    planned = study.budgets(series, tasks)
    whole = {budget: arm for budget, arm in planned.items() if study.has(arm, *tasks)}
    if not whole:
        return None
    statistic = stats.mean_over_tasks if len(tasks) == 1 else stats.iqm_over_runs
    scores = _scores(study, list(whole.values()), tasks, statistic)
    seeds = {budget: sum(len(study.cells[arm, t].returns) for t in tasks) for budget, arm in whole.items()}
    return Efficiency.of(scores, seeds, sorted(planned.keys() - whole.keys()))


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


def final_estimate(study: Study, arm: str, task: str, column: str = "true_return") -> stats.Estimate:
    """Mean over finished seeds of a metric at the end of training."""
    return spread.mean_estimate(study.cells[arm, task].finals(column), study.pool(task, column))


def _scores(
    study: Study, arms: Sequence[str], tasks: Sequence[str], statistic: Statistic, replicates: int = spread.REPLICATES
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
