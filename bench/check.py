"""What state the runs in a results folder are in: which are damaged, unfinished or from other software.

Reading only: nothing is repaired or removed here, no module of a plug-in is imported, no name is followed out of the
folder, and nothing is waited for. Each finding says what to do about it. What is called unfinished, ``run`` completes.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench import files, store, tracks, worker
from bench.answers import record
from bench.recorder import Kept
from bench.schemas import SAMPLES
from bench.text import one_line, short
from prefrl_core.errors import UserError

Kind = Literal["ok", "other software", "other defaults", "running", "unfinished", "failed", "leftover", "damaged"]
FAULTS: tuple[Kind, ...] = ("unfinished", "failed", "leftover", "damaged")  # a folder with one of these is not sound
_ALWAYS = ("spec.json", "provenance.json")  # kept even of published results, which leave out what is large
_DRAFT = re.compile(r"\.[0-9a-f]{16}\..+")  # a run's folder that was being made when its maker was killed
_PARTS = re.compile(r"report-.*|tensorboard|stages")  # other folders of ours in a results folder
_CHECKPOINT = "checkpoint.safetensors"
_DEEPEST = 6  # folders within folders, in search of leftovers


@dataclass(frozen=True)
class Finding:
    """One thing in a results folder; ``what`` is empty where there is nothing to say."""

    path: Path
    kind: Kind
    what: str = ""


def inspect(out: Path) -> Iterator[Finding]:
    """A finding for each run in ``out`` and each thing there that a killed process left, ordered by name.

    Raises:
        UserError: there is no such folder.
    """
    runs = {run.key: run for run in store.load(out)}
    for name in sorted(os.listdir(out)):
        path, what = out / name, files.kind(out / name)
        if name in runs:
            yield from _safely(runs[name])
        elif _DRAFT.fullmatch(name):
            yield Finding(path, "leftover", "a run's folder that was never finished making: delete it")
        elif name.endswith(".tmp"):
            yield Finding(path, "leftover", "half a file that was never finished: delete it")
        elif store.is_key(name):
            yield Finding(path, "damaged", f"{what} under the name of a run: remove it, or put the run's folder there")
        elif what == "a folder" and files.present(path / "spec.json"):
            yield Finding(path, "damaged", "a run's folder under a name that is not its key: rename it")
        elif what == "a folder" and _PARTS.fullmatch(name):
            yield from _leftovers(path)
    yield from _of_stages(out / store.STAGES)


def _safely(run: store.Run) -> Iterator[Finding]:
    """The findings on one run; what cannot be read is one too."""
    try:
        yield _of_run(run)
        yield from _of_files(run)
    except (UserError, OSError) as error:
        yield Finding(run.folder, "damaged", one_line(error))


def _leftovers(folder: Path, depth: int = 0) -> Iterator[Finding]:
    """Halves of files in a folder and those in it."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            path = folder / entry.name
            stage = entry.name.removesuffix(".safetensors.tmp")
            if stage != entry.name and files.locked(folder / f"{stage}.lock"):
                continue  # another process makes it now
            if entry.name.endswith(".tmp"):
                yield Finding(path, "leftover", "half a file that was never finished: delete it")
            elif depth < _DEEPEST and entry.is_dir(follow_symlinks=False):
                yield from _leftovers(path, depth + 1)


def _of_stages(folder: Path) -> Iterator[Finding]:
    """What several runs began with, where it is not whole."""
    from prefrl_core import checkpoint

    for path in sorted(folder.glob("*.safetensors")) if files.kind(folder) == "a folder" else ():
        try:
            with files.opened(path):
                pass
            checkpoint.load(path)
        except UserError:
            yield Finding(path, "damaged", "a stage that cannot be read: delete it, the next run makes it anew")


def _of_run(run: store.Run) -> Finding:
    run.identity  # noqa: B018  (raises if the spec is not the one that named the folder)
    if run.done:
        _require_whole(run)
        found = _of_software(run)
        if record.path_of(run.folder) is None and run.done.get("answers_sha256"):  # an archive has none
            missing = Finding(run.folder, "ok", "people's answers are not here, so it cannot be made again")
            return missing if found.kind == "ok" else found
        record.require_whole(run.folder, run.done.get("answers_sha256"))
        return found
    if who := worker.holder(run.folder):
        return Finding(run.folder, "running", f"{who} works on it")
    record.require_whole(run.folder, None, needed=_heard(run) and files.present(run.folder / _CHECKPOINT))
    if run.status == "failed":
        return Finding(run.folder, "failed", one_line(run.error or ""))
    total = run.spec.get("total_steps")
    came = f"{_steps(run)} of {total} steps" if total else f"stopped at step {_steps(run)}"
    remedy = f"go on with `prefrl label {run.key}`" if _taught(run) else "run its suite again"
    return Finding(run.folder, "unfinished", f"{came}{_checkpoint(run)}: {remedy}")


def _of_files(run: store.Run) -> Iterator[Finding]:
    """What lies in a run's folder and is no regular file, or half a one."""
    from prefrl_core import checkpoint

    running = worker.holder(run.folder)
    sides = checkpoint.sides(run.folder / _CHECKPOINT) if run.done else []  # of a run killed when it was done
    for name in sorted(os.listdir(run.folder)):
        path, what = run.folder / name, files.kind(run.folder / name)
        if what not in ("file", "nothing"):
            yield Finding(path, "damaged", f"it is {what}, not a file: remove it")
        elif (name.endswith(".tmp") and not running) or path in sides:
            yield Finding(run.folder, "leftover", f"{name}: delete it")


def _require_whole(run: store.Run) -> None:
    """Raise UserError for the first thing about a finished run that is not as it was when it ended."""
    rows, done = run.rows, run.done  # `rows` compares the checksum of the metrics
    last = rows[-1] if rows else {}
    for name, column in (("steps", "step"), ("labels", tracks.labels_of(run.spec["task"]))):
        recorded = last.get(column) or 0
        if done[name] != recorded:
            raise UserError(f"{run.folder / 'done.json'} tells {done[name]} {name}, its metrics {recorded}")
    for name in dict.fromkeys([*_ALWAYS, *done["sha256"], *SAMPLES]):
        expected, found = done["sha256"].get(name), files.checksum(run.folder / name)
        if found != expected and (found is not None or name in _ALWAYS):
            how = "is missing" if found is None else "is not what the run wrote (its sha256 differs)"
            raise UserError(f"{run.folder / name} {how}: restore it, or delete {run.folder} and run again")
    run.provenance  # noqa: B018  (raises if it is none)
    if problem := _checkpoint(run):
        raise UserError(f"{run.folder / _CHECKPOINT} is of no use{problem}: delete it; the run is finished without")


def _checkpoint(run: store.Run) -> str:
    """What is wrong with the checkpoint, in words that go on with a sentence; empty if there is a sound one or none."""
    from prefrl_core import checkpoint

    path = run.folder / _CHECKPOINT
    if not files.present(path):
        return ""
    try:
        with files.opened(path):
            pass
        Kept.taken_from(checkpoint.load(path, logs=not run.done), run.folder, times=not run.done)
    except UserError as error:
        return f" ({one_line(error)})" if run.done else f", and starts over ({one_line(error)})"
    return ""


def _taught(run: store.Run) -> bool:
    """Whether people teach it."""
    labeler = run.spec.get("labeler")
    return isinstance(labeler, dict) and labeler.get("name") == "human"


def _heard(run: store.Run) -> bool:
    """Whether it has heard people's answers: not while the untrained policy acts, before the first question."""
    try:
        return _taught(run) and any(row.get("phase") == "learning" for row in run.rows)
    except UserError:  # a damaged line: its checkpoint alone says that it went on
        return _taught(run)


def _of_software(run: store.Run) -> Finding:
    """A finished, whole run; said so where this software would not have made it, or that cannot be told here."""
    if foreign := _foreign(run.spec):
        return Finding(run.folder, "ok", f"whether this software would make it so is not looked at: {foreign}")
    try:
        worker.own_spec(run)
    except worker.OtherDefaults as error:
        return Finding(run.folder, "other defaults", str(error))
    except UserError as error:
        return Finding(run.folder, "other software", one_line(error))
    return Finding(run.folder, "ok")


def _foreign(spec: dict[str, Any]) -> str:
    """Whose modules would have to be imported to make the run again; empty for nobody's."""
    if plugins := spec.get("plugins"):
        return f"plug-ins {short(plugins)} are not imported here"
    named = [(table, spec.get(table), key) for table, key in (("reward_model", "module"), ("model", "checkpoint"))]
    for table, values, key in named:  # to tell its version, a package would be imported, or a folder read
        if isinstance(values, dict) and values.get(key):
            return f"{table}.{key} = {short(values[key])} is not imported here"
    return ""


def _steps(run: store.Run) -> int:
    try:
        rows = run.rows
    except UserError:  # a damaged line; the run goes on from its checkpoint or starts over
        return 0
    return int(rows[-1]["step"]) if rows else 0
