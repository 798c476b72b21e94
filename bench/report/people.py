"""Who taught the runs that people taught: how many answers, how fast, how right, and how much they agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.answers.people import sitting
from bench.report.data import Study
from bench.report.formats import Column, Table, table

_CAPTION = (
    "People who gave labels. Accuracy: share of their answers of left or right that the true returns agree with; "
    "caught: the same of pairs whose better side is beyond doubt. Alpha: Krippendorff's, over pairs that several "
    "people answered."
)


def people(study: Study) -> Table | None:
    """A row for each person and run; None where nobody taught."""
    facts = [
        {name: np.nan if value is None else value for name, value in told.items()}
        for run in study.runs
        if run.status != "not started" and (sat := sitting(run.folder))
        for one in sat.people
        for about in [{"task": study.task_names[run.task], "arm": run.arm, "seed": run.seed}]
        for told in [{**about, **vars(one), "alpha": sat.alpha}]
    ]
    columns: dict[str, Column] = {"Task": "task", "Arm": "arm", "Seed": "seed", "Person": "name"}
    columns |= {one: one for one in ("answers", "equal", "skipped")} | {"s an answer": ("seconds", _fixed(1))}
    columns |= {one: (one, _fixed(2)) for one in ("accuracy", "caught", "alpha")}
    return table("people", _CAPTION, facts, columns, labels=4)


def _fixed(decimals: int) -> Any:
    return lambda value: np.nan if np.isnan(value) else f"{value:.{decimals}f}"
