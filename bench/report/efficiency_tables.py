"""The tables of feedback efficiency (``bench.efficiency``) and of aggregates over tasks."""

from __future__ import annotations

from collections.abc import Sequence

from bench import efficiency, stats
from bench.report import results
from bench.report.data import Series, Study
from bench.report.formats import NONE, Entry, Table, entry, labels_entry
from bench.report.tables import ALL_TASKS, fields


def labels_to_reach(study: Study) -> Table | None:
    """Labels to reach shares of the true-reward run, and the area under the curve: a row for each task and series; None
    where no arms differ in labels alone."""
    if not study.sweeps_labels:
        return None
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for name, tasks in _groups(study):
        for series in study.series:
            found = results.feedback_efficiency(study, series, tasks)
            first = series is study.series[0]
            rows.append([Entry(name if first else ""), Entry(series.label), *_entries(found)])
            records += [] if found is None else _records(name, series, found)
    caption = (
        "Labels to reach shares of the true-reward run, interpolated linearly in log(labels) between the budgets that "
        "were run, and the mean normalised return over log(labels), with 95 % intervals over seeds."
    )
    header = ["Task", "Labels from", *(percent(share) for share in efficiency.SHARES), "Area under the curve"]
    return Table("labels-to-reach", caption, header, rows, records, labels=2)


def percent(share: float) -> str:
    """0.9 as "90 %"."""
    return f"{share * 100:.0f} %"


def _groups(study: Study) -> list[tuple[str, list[str]]]:
    """Each task that can be normalised, and all of them together."""
    groups = [(study.task_names[task], [task]) for task in study.normalisable]
    return [*groups, (ALL_TASKS, list(study.normalisable))] if len(groups) > 1 else groups


def _entries(found: results.Efficiency | None) -> list[Entry]:
    if found is None:
        return [Entry(NONE)] * (len(efficiency.SHARES) + 1)
    notes = [f"only {found.budgets[0]} labels were tried"] if len(found.budgets) + len(found.missing) == 1 else []
    notes += [f"without the {', '.join(map(str, found.missing))}-label runs"] if found.missing else []
    reached = [labels_entry(one, found.budgets, "; ".join(notes)) for one in found.reach.values()]
    return [*reached, Entry(NONE) if found.area is None else entry(found.area, 1.0)]


def _records(name: str, series: Series, found: results.Efficiency) -> list[dict[str, object]]:
    told: dict[str, object] = {"task": name, "series": series.label, "budgets": " ".join(map(str, found.budgets))}
    made = [
        {**told, "measure": f"labels to {percent(share)}", **fields("value", e)} for share, e in found.reach.items()
    ]
    return made if found.area is None else [*made, {**told, "measure": "area", **fields("value", found.area)}]


def per_hour(study: Study) -> Table | None:
    """Normalised return per hour of labeling: rows are tasks, columns arms; None where no arm has labels."""
    arms = [arm for arm in study.arms if study.of_arm(arm)[0].spec.labels]
    if not arms or not study.normalisable:
        return None
    rows, records = [], []
    for name, tasks in _groups(study):
        row = [Entry(name)]
        for arm in arms:
            found = _score(study, arm, tasks)
            if found is None:
                row.append(Entry(NONE))
                continue
            rate = efficiency.per_hour(found, study.of_arm(arm)[0].spec.labels)
            row.append(entry(rate))
            records.append({"task": name, "arm": arm, **fields("normalised_per_hour", rate)})
        rows.append(row)
    caption = (
        f"Normalised return per hour of labeling at {efficiency.SECONDS_AN_ANSWER:g} seconds an answer, with 95 % "
        "intervals over seeds."
    )
    return Table("per-hour", caption, ["Task", *arms], rows, records)


def _score(study: Study, arm: str, tasks: Sequence[str]) -> stats.Estimate | None:
    """Normalised return on one task, the IQM of several; None without a finished run on each."""
    if not all((cell := study.cell(arm, task)) and len(cell.returns) for task in tasks):
        return None
    return results.normalised(study, tasks[0], arm) if len(tasks) == 1 else results.aggregate(study, arm)[0]


def aggregates(study: Study) -> Table | None:
    """Aggregates of normalised return over all tasks: rows are arms; None for a single task."""
    if len(study.normalisable) < 2:
        return None
    rows, records = [], []
    for arm in study.arms:
        found, tasks = results.aggregates(study, arm)
        note = "" if len(tasks) == len(study.normalisable) else f"{len(tasks)} of {len(study.normalisable)} tasks"
        rows.append([Entry(arm, note=note), *(entry(one, 1.0) for one in found.values())])
        rows[-1] += [Entry(NONE)] * (len(results.AGGREGATES) + 1 - len(rows[-1]))
        if found:
            told: dict[str, object] = {"arm": arm, "tasks": len(tasks)}
            records.append({**told, **{k: v for name, one in found.items() for k, v in fields(name, one).items()}})
    caption = (
        "Normalised return over all tasks (Agarwal et al. 2021), with 95 % intervals over seeds within "
        "tasks: interquartile mean over runs, median and mean over tasks, and the optimality gap (how far runs stay "
        "below 1; less is better)."
    )
    return Table("aggregates", caption, ["Arm", *results.AGGREGATES], rows, records)
