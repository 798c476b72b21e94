"""The table of a user's published figures beside ours."""

from __future__ import annotations

from bench import stats
from bench.report import results
from bench.report.beside import Figure
from bench.report.data import Study
from bench.report.formats import Column, Table, entry, table


def beside(study: Study) -> Table | None:
    """A row for each final value of the file, ours where the suite has the arm; None where there is none."""
    facts = [
        {
            "task": study.task_names[one.task],
            "arm": one.arm,
            "unit": one.unit,
            "source": one.source,
            "published": one.value,
            "ours": _ours(study, one),
        }
        for one in study.beside
        if one.step is None
    ]
    columns: dict[str, Column] = {"Task": "task", "Arm": "arm", "Unit": "unit", "Ours": ("ours", entry)}
    columns |= {"Published": "published", "Source": "source"}
    return table("beside", "Figures of the file that was named, beside ours.", facts, columns, labels=3)


def _ours(study: Study, one: Figure) -> stats.Estimate | None:
    if not study.has(one.arm, one.task):
        return None
    if one.unit == "return":
        return results.final_estimate(study, one.arm, one.task)
    return results.normalised(study, one.task, one.arm) if one.task in study.normalisable else None
