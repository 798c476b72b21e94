"""The tables of feedback efficiency (``bench.efficiency``) and of aggregates over tasks."""

from __future__ import annotations

from collections.abc import Sequence

from bench import efficiency
from bench.report import results
from bench.report.data import Study
from bench.report.formats import Column, Entry, Fact, Table, entry, labels_entry, part, table, wide
from bench.report.results import Efficiency
from bench.report.tables import ALL_TASKS

REACHED = [*(f"{share * 100:.0f} %" for share in efficiency.SHARES), "Area under the curve"]  # columns of an efficiency


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
    arms = [arm for arm in study.arms if study.labels(arm)]
    if not arms or not study.normalisable:
        return None
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for name, tasks in _groups(study):
        scores = {arm: results.score(study, arm, tasks) for arm in arms if study.has(arm, *tasks)}
        rates = {arm: efficiency.per_hour(score, study.labels(arm)) for arm, score in scores.items()}
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
