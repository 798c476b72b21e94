"""Who taught the runs that people taught: how many answers, how fast, how right, and how much they agree."""

from __future__ import annotations

from bench.answers.people import Account, sitting
from bench.report.data import Study
from bench.report.formats import NONE, Entry, Table
from bench.report.runs import Run

_CAPTION = (
    "People who gave labels. Accuracy: share of their answers of left or right that the true returns agree with; "
    "caught: the same of pairs whose better side is beyond doubt. Alpha: Krippendorff's, over pairs that several "
    "people answered."
)


def people(study: Study) -> Table | None:
    """A row for each person and run; None where nobody taught."""
    found = [
        (run, account, sat.alpha)
        for run in study.runs
        if run.status != "missing" and (sat := sitting(run.folder))
        for account in sat.people
    ]
    if not found:
        return None
    about = ["Task", "Arm", "Seed", "Person"]
    header = [*about, "answers", "equal", "skipped", "s an answer", "accuracy", "caught", "alpha"]
    rows = [_row(study, run, account, alpha) for run, account, alpha in found]
    records = [
        {"task": study.task_names[run.task], "arm": run.arm, "seed": run.seed, **vars(account), "alpha": alpha}
        for run, account, alpha in found
    ]
    return Table("people", _CAPTION, header, rows, records, labels=4)


def _row(study: Study, run: Run, account: Account, alpha: float | None) -> list[Entry]:
    names = [study.task_names[run.task], run.arm, str(run.seed), account.name]
    counts = [str(account.answers), str(account.equal), str(account.skipped), f"{account.seconds:.1f}"]
    shares = [NONE if share is None else f"{share:.2f}" for share in (account.accuracy, account.caught, alpha)]
    return [Entry(text) for text in (*names, *counts, *shares)]
