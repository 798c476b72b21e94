"""The table of a user's published figures beside ours."""

from __future__ import annotations

from bench import stats
from bench.report import results
from bench.report.beside import Figure
from bench.report.data import Study
from bench.report.formats import NONE, Entry, Table, entry, number
from bench.report.tables import fields


def beside(study: Study) -> Table | None:
    """A row for each final value of the file, ours where the suite has the arm; None where there is none."""
    finals = [one for one in study.beside if one.step is None]
    if not finals:
        return None
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for one in finals:
        ours = _ours(study, one)
        told = study.task_names[one.task], one.arm, one.unit
        rows.append([Entry(text) for text in told] + [entry(ours) if ours else Entry(NONE)])
        rows[-1] += [Entry(number(one.value)), Entry(one.source)]
        record: dict[str, object] = dict(zip(("task", "arm", "unit"), told, strict=True))
        record |= {"source": one.source, "published": one.value}
        records.append(record | (fields("ours", ours) if ours else {}))
    header = ["Task", "Arm", "Unit", "Ours", "Published", "Source"]
    return Table("beside", "Figures of the file that was named, beside ours.", header, rows, records, labels=3)


def _ours(study: Study, one: Figure) -> stats.Estimate | None:
    cell = study.cell(one.arm, one.task)
    if cell is None or not len(cell.returns):
        return None
    if one.unit == "return":
        return results.final_estimate(study, one.arm, one.task, "true_return", "episodes")
    return results.normalised(study, one.task, one.arm) if one.task in study.normalisable else None
