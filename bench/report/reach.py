"""How soon the level of the paper's own control is reached: in labels, and in processor seconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import efficiency, stats
from bench.report import published
from bench.report.data import Study
from bench.report.formats import NONE, Entry, Table, labels_entry, number
from bench.report.runs import Run
from bench.report.tables import fields

_BINS = 40  # over a run; its return is the mean of the episodes that end in a bin


def papers_level(study: Study) -> Table | None:
    """Labels and processor seconds until the return of the paper's run on the true reward (its figure 2 or 3): a row a
    task. None where the paper has no task of the suite, or no arms differ in labels alone."""
    tasks = [task for task in study.tasks if published.known(task) and task in study.controls]
    if not tasks or not study.sweeps_labels:
        return None
    timed = _timed_arms(study)
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in tasks:
        level = published.returns(task)["true_reward"]
        budgets, reach = labels_to(study, task, level)
        told: dict[str, object] = {"task": study.task_names[task], "paper_return": level, **fields("labels", reach)}
        row = [Entry(study.task_names[task]), Entry(number(level))]
        row.append(labels_entry(reach, budgets) if budgets else Entry(NONE))
        for arm in timed:
            seconds = [seconds_to(run, level) for run in cell.finished] if (cell := study.cell(arm, task)) else []
            row.append(_seconds(seconds))
            reached = [one for one in seconds if np.isfinite(one)]
            told |= {f"seconds: {arm}": float(np.mean(reached)) if reached else float("nan")}
            told |= {f"seeds: {arm}": f"{len(reached)} of {len(seconds)}"}
        rows.append(row)
        records.append(told)
    caption = (
        "Until the return of the paper's own run on the true reward: labels, through the monotone curve over budgets, "
        "with 95 % intervals over seeds; and processor seconds of one core, the mean of the seeds that came so far. A "
        f"run's return is the mean over a {_BINS}th of its steps."
    )
    header = ["Task", "The paper's return", "Labels", *(f"Seconds: {arm}" for arm in timed)]
    return Table("papers-level", caption, header, rows, records)


def labels_to(study: Study, task: str, level: float) -> tuple[list[int], stats.Estimate]:
    """The budgets of the first series that are finished on a task, and the labels at which its return reaches
    ``level``; infinite where no budget does."""
    cells = [cell for arm in study.series[0].arms if (cell := study.cell(arm, task)) and len(cell.returns)]
    cells.sort(key=lambda cell: cell.spec.labels)
    if not cells:
        return [], stats.Estimate(np.nan, -np.inf, np.inf)
    draws = [study.draws(cell.runs[0].arm, task) for cell in cells]
    curves = stats.Scores(
        np.array([one.values.mean() for one in draws]), np.stack([one.means for one in draws], axis=1)
    )
    budgets = [cell.spec.labels for cell in cells]
    return budgets, efficiency.labels_to_reach(budgets, curves, level, [len(cell.returns) for cell in cells])


def seconds_to(run: Run, level: float) -> float:
    """Processor seconds at the end of the first bin in which a finished run's return is ``level`` or more; inf where it
    never is. Processor time is taken to pass as evenly as the clock over the run."""
    edges = np.linspace(0, run.spec.total_steps, _BINS + 1)
    returns = stats.binned(run.metrics["step"], run.metrics["true_return"], run.metrics["episodes"], edges)
    above = np.flatnonzero(returns >= level)
    step, seconds = run.clock
    if not len(above) or not len(step):
        return float("inf")
    clock = np.interp(edges[above[0] + 1], step, seconds)
    return float(clock / seconds[-1] * run.done["cpu_seconds"])


def _timed_arms(study: Study) -> list[str]:
    """The control and the arm that the suite compares with."""
    controls = list(dict.fromkeys(study.controls.values()))
    return [*controls, *([study.baseline] if study.baseline and study.baseline not in controls else [])]


def _seconds(seconds: Sequence[float]) -> Entry:
    reached = [one for one in seconds if np.isfinite(one)]
    if not seconds:
        return Entry(NONE)
    note = "" if len(reached) == len(seconds) else f"{len(reached)} of {len(seconds)} seeds"
    return Entry(number(float(np.mean(reached)), 100) if reached else "not reached", note=note)
