"""The report of a suite: ``write_report`` turns a folder of runs into one page and its parts.

Plotting and templates are imported only when a report is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prefrl_core.errors import UserError

if TYPE_CHECKING:
    from bench.report.data import DescribedSuite, Study
    from bench.report.runs import PlannedRun


def write_report(suite: DescribedSuite, planned: Sequence[PlannedRun], out: Path, to: Path, command: str) -> Path:
    """Write the report of the ``planned`` runs found in ``out`` into the folder ``to``; returns its page.

    ``command`` is printed under each figure. The same runs give the same bytes. A suite that is not finished is
    reported as far as it is, with what is missing marked.

    Raises:
        UserError: nothing was run yet, a run is damaged, versions of MuJoCo are mixed, or ``to`` cannot be written.
    """
    from bench.report import data

    study = data.load(suite, planned, out, command)
    files = _build(study)
    try:
        to.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (to / name).write_bytes(content)
    except OSError as error:
        raise UserError(f"{to} cannot be written ({error.strerror}): free it, or choose another folder") from error
    return to / "index.html"


def _build(study: Study) -> dict[str, bytes]:
    """All files of the report by name. The kind of the suite's runs decides which report that is."""
    from bench import tracks

    if tracks.of(study.tasks[0]).name == "language":
        from bench.report.language import page as language

        return language.build(study)
    from bench.report import page

    return page.build(study)
