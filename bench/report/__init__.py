"""The report of a suite: ``write_report`` turns a folder of runs into one page and its parts.

Plotting and templates are imported only when a report is written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench.files import alone, kind, present, read, write_atomic
from prefrl_core.errors import UserError, unknown

if TYPE_CHECKING:
    from bench.report.data import DescribedSuite, Run, Study
    from bench.suite import Planned

_MADE = "files.json"  # the names of a report's files, so that the next one leaves none of them behind
_PAGE = "index.html"


@dataclass(frozen=True)
class Asked:
    """What a user asked for beyond the suite's own report."""

    tables: tuple[str, ...] = ()  # these alone, no page
    style: str = ""  # bench.report.style.load
    beside: Path | None = None  # bench.report.beside
    beyond: tuple[Run, ...] = ()  # finished runs that are not in the plan


def write_report(
    suite: DescribedSuite, planned: Sequence[Planned], out: Path, to: Path, command: str, asked: Asked = Asked()
) -> Path:
    """Write the report of the ``planned`` runs found in ``out`` into the folder ``to``; returns its page, or the first
    table where tables alone were asked for. What an earlier report left there and this one does not make is removed.

    ``command`` is printed under each figure. The same runs give the same bytes. A suite that is not finished is
    reported as far as it is, with what is missing marked; a damaged run is named, counted and left out.

    Raises:
        UserError: nothing was run yet, all runs are damaged, versions of MuJoCo are mixed, a table or style that is
            none, or ``to`` cannot be written or has a file of somebody else under the name of one of these.
    """
    from bench.report import beside, data, style

    own = style.load(asked.style) if asked.style else {}
    study = data.load(suite, planned, out, command, keep_damaged=True)
    figures = beside.read(asked.beside, study.tasks) if asked.beside else ()
    with style.of_own(own):
        files = _build(replace(study, beyond=asked.beyond, beside=figures), asked.tables)
    try:
        if to.parent == out and kind(to) == "a link":
            raise UserError(f"{to} is a link, which is not followed there: remove it, or name a folder with --to")
        to.mkdir(parents=True, exist_ok=True)
        with alone(to):
            _write(to, files)
    except OSError as error:
        raise UserError(f"{to} cannot be written ({error.strerror}): free it, or choose another folder") from error
    return to / (f"{asked.tables[0]}.md" if asked.tables else _PAGE)


def _build(study: Study, only: Sequence[str]) -> dict[str, bytes]:
    """All files of the report by name, or those of some tables. The kind of the suite's runs decides which report that
    is."""
    from bench import tracks
    from bench.report import page
    from bench.report.language import page as language

    kind_of = language if tracks.of(study.tasks[0]).name == "language" else page
    if not only:
        return kind_of.build(study)
    made = kind_of.tables_of(study)
    for name in only:
        if name not in made:
            raise unknown("table in --only:", name, made)
    return page.table_files({name: made[name] for name in only})


def _write(to: Path, files: dict[str, bytes]) -> None:
    """Write the files, then remove what an earlier report made and this one did not. Its names are on record before a
    file of it is there, so that an interrupted report is written anew and nobody else's file is taken for one of it.

    Raises:
        UserError: a file that no report made has the name of one of these.
    """
    earlier, removable = _made(to)
    strange = [name for name in (*files, _MADE) if name not in earlier and kind(to / name) != "nothing"]
    if strange:
        raise UserError(f"{to / strange[0]} was not made by a report: move it, or choose another folder with --to")
    _record(to, earlier | files.keys())
    for name, content in files.items():
        write_atomic(to / name, content)  # a link that lies there is replaced, not followed
    for name in earlier - files.keys() - {_MADE} if removable else ():
        if kind(to / name) == "file":
            (to / name).unlink()
    _record(to, files.keys())


def _record(to: Path, names: Iterable[str]) -> None:
    made = {"made_by": "prefrl report", "files": sorted({*names} - {_MADE})}
    write_atomic(to / _MADE, (json.dumps(made, indent=1) + "\n").encode())


def _made(to: Path) -> tuple[set[str], bool]:
    """Names of an earlier report's files in the folder itself, its record among them; none where there is no record.
    And whether they may be removed: a plain list of names, as reports wrote it once, may be somebody else's file."""
    if not present(to / _MADE):
        return set(), False
    try:
        found = json.loads(read(to / _MADE))
    except (ValueError, UserError):
        return set(), False
    ours = isinstance(found, dict) and found.get("made_by") == "prefrl report"
    names = found.get("files") if ours else found
    listed = names if isinstance(names, list) else []
    named = {name for name in listed if isinstance(name, str) and Path(name).name == name}
    return ({*named, _MADE} if ours or _PAGE in named else set()), ours
