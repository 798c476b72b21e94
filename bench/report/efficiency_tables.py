"""The tables of feedback efficiency (``bench.efficiency``), of aggregates over tasks, and of how soon the level of the
paper's own control is reached."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import efficiency, stats
from bench.report import published, results
from bench.report.data import Study
from bench.report.formats import NOTHING, Column, Entry, Fact, Table, entry, labels_entry, number, part, table, wide
from bench.report.results import Efficiency
from bench.report.runs import Run
from bench.report.tables import ALL_TASKS

REACHED = [*(f"{share * 100:.0f} %" for share in efficiency.SHARES), "Area under the curve"]  # columns of an efficiency
_BINS = 40  # over a run, for the seconds to a level; its return is the mean of the episodes that end in a bin


def labels_to_reach(study: Study) -> Table | None:
    """Labels to reach shares of the true-reward run, and the area under the curve: a row for each task and series; None
    where no arms differ in labels alone."""
    if not study.sweeps_labels:
        return None
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for name, tasks in _groups(study):
        for series in study.series:
            found = results.feedback_efficiency(study, series, tasks)
            first = name if series is study.series[0] else ""
            rows.append([first, series.label, *reached(found, _note(found) if found else "")])
            facts += measures({"task": name, "series": series.label}, found, "labels")
    caption = (
        "Labels to reach shares of the true-reward run, interpolated linearly in log(labels) between the budgets that "
        "were run, and the mean normalised return over log(labels), with 95 % intervals over seeds."
    )
    return wide("labels-to-reach", caption, ["Task", "Labels from", *REACHED], rows, facts, labels=2)


def reached(found: Efficiency | None, note: str) -> list[object]:
    """The entries of an efficiency in the columns REACHED."""
    if found is None:
        return [None] * len(REACHED)
    return [*(labels_entry(one, found.budgets, note) for one in found.reach.values()), found.area]


def measures(about: Fact, found: Efficiency | None, what: str, **more: object) -> list[Fact]:
    """The facts of an efficiency, one a measure."""
    if found is None:
        return []
    about = {**about, "budgets": " ".join(map(str, found.budgets)), **more}
    names = [f"{what} to {share}" for share in REACHED[:-1]] + ["area"]
    values = [*found.reach.values(), found.area]
    return [{**about, "measure": name, "value": one} for name, one in zip(names, values, strict=True) if one]


def _groups(study: Study) -> list[tuple[str, list[str]]]:
    """Each task that can be normalised, and all of them together."""
    groups = [(study.task_names[task], [task]) for task in study.normalisable]
    return [*groups, (ALL_TASKS, list(study.normalisable))] if len(groups) > 1 else groups


def _note(found: Efficiency) -> str:
    notes = [f"only {found.budgets[0]} labels were tried"] if len(found.budgets) + len(found.missing) == 1 else []
    notes += [f"without the {', '.join(map(str, found.missing))}-label runs"] if found.missing else []
    return "; ".join(notes)


def per_hour(study: Study) -> Table | None:
    """Normalised return per hour of labeling: rows are tasks, columns arms; None where no arm has labels."""
    arms = [arm for arm in study.arms if all(cell.spec.labels for cell in study.of_arm(arm))]
    if not arms or not study.normalisable:
        return None
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for name, tasks in _groups(study):
        scores = {arm: results.score(study, arm, tasks) for arm in arms if study.has(arm, *tasks)}
        labels = {arm: float(np.mean([study.labels(arm, task) for task in tasks])) for arm in scores}
        rates = {arm: efficiency.per_hour(score, labels[arm]) for arm, score in scores.items()}
        rows.append([name, *(entry(rates[arm]) if arm in rates else None for arm in arms)])
        facts += [{"task": name, "arm": arm, "normalised_per_hour": rate} for arm, rate in rates.items()]
    caption = (
        f"Normalised return per hour of labeling at {efficiency.SECONDS_AN_ANSWER:g} seconds an answer, with 95 % "
        "intervals over seeds."
    )
    return wide("per-hour", caption, ["Task", *arms], rows, facts)


def aggregates(study: Study) -> Table | None:
    """Aggregates of normalised return over all tasks: rows are arms; None for a single task."""
    if len(study.normalisable) < 2:
        return None
    facts: list[Fact] = []
    for arm in study.arms:
        found, tasks = results.aggregates(study, arm)
        name = Entry(arm, note=part(tasks, study.normalisable, "tasks"))
        facts.append({"arm": name, "tasks": len(tasks) or None, **found})
    caption = (
        "Normalised return over all tasks (Agarwal et al. 2021), with 95 % intervals over seeds within "
        "tasks: interquartile mean over runs, median and mean over tasks, and the optimality gap (how far runs stay "
        "below 1; less is better)."
    )
    columns: dict[str, Column] = {"Arm": "arm", **{name: name for name in results.AGGREGATES}}
    return table("aggregates", caption, facts, columns)


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
    if not study.series:
        return [], NOTHING
    arms = study.budgets(study.series[0], [task])
    found = {labels: study.draws(arm, task) for labels, arm in arms.items() if study.has(arm, task)}
    if not found:
        return [], NOTHING
    budgets, draws = list(found), list(found.values())
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
