"""How soon the level of the paper's own control is reached: in labels, and in processor seconds."""

from __future__ import annotations

import numpy as np

from bench import efficiency, stats
from bench.report import published
from bench.report.data import Study
from bench.report.formats import NOTHING, Entry, Fact, Table, labels_entry, number, part, table
from bench.report.runs import Run

_BINS = 40  # over a run; its return is the mean of the episodes that end in a bin


def papers_level(study: Study) -> Table | None:
    """Labels and processor seconds until the return of the paper's run on the true reward (its figure 2 or 3): a row a
    task. None where the paper has no task of the suite, or no arms differ in labels alone."""
    tasks = [task for task in study.tasks if published.known(task) and task in study.controls]
    if not tasks or not study.sweeps_labels:
        return None
    facts: list[Fact] = []
    timed = list(dict.fromkeys([*study.controls.values(), *([study.baseline] if study.baseline else [])]))
    for task in tasks:
        level = published.returns(task)["true_reward"]
        budgets, reach = labels_to(study, task, level)
        shown = labels_entry(reach, budgets) if budgets else None
        fact = {"task": study.task_names[task], "paper_return": level, "labels": reach, "_labels": shown}
        for arm in timed:
            seconds = [seconds_to(run, level) for run in cell.finished] if (cell := study.cell(arm, task)) else []
            reached = [one for one in seconds if np.isfinite(one)]
            mean = float(np.mean(reached)) if reached else np.nan
            fact |= {f"seconds: {arm}": mean, f"seeds: {arm}": f"{len(reached)} of {len(seconds)}"}
            text = number(mean, 100) if reached else "not reached"
            fact |= {f"_{arm}": Entry(text, note=part(reached, seconds, "seeds")) if seconds else None}
        facts.append(fact)
    caption = (
        "Until the return of the paper's own run on the true reward: labels, through the monotone curve over budgets, "
        "with 95 % intervals over seeds; and processor seconds of one core, the mean of the seeds that came so far. A "
        f"run's return is the mean over a {_BINS}th of its steps."
    )
    columns = {"Task": "task", "The paper's return": "paper_return", "Labels": "_labels"}
    return table("papers-level", caption, facts, columns | {f"Seconds: {arm}": f"_{arm}" for arm in timed})


def labels_to(study: Study, task: str, level: float) -> tuple[list[int], stats.Estimate]:
    """The budgets of the first series that are finished on a task, and the labels at which its return reaches
    ``level``; infinite where no budget does."""
    found = {study.labels(arm, task): study.draws(arm, task) for arm in study.series[0].arms if study.has(arm, task)}
    if not found:
        return [], NOTHING
    budgets = sorted(found)
    draws = [found[budget] for budget in budgets]
    means = np.array([one.values.mean() for one in draws])
    curves = stats.Scores(means, np.stack([one.means for one in draws], axis=1))
    return budgets, efficiency.labels_to_reach(budgets, curves, level, [len(one.values) for one in draws])


def seconds_to(run: Run, level: float) -> float:
    """Processor seconds at the end of the first bin in which a finished run's return is ``level`` or more; inf where it
    never is. Processor time is taken to pass as evenly as the clock over the run."""
    edges = np.linspace(0, run.spec.total_steps, _BINS + 1)
    above = np.flatnonzero(run.binned("true_return", edges) >= level)
    step, seconds = run.clock
    if not len(above) or not len(step):
        return float("inf")
    clock = np.interp(edges[above[0] + 1], step, seconds)
    return float(clock / seconds[-1] * run.done["cpu_seconds"])
