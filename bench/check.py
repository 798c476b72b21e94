"""What state the runs in a results folder are in: which are damaged, incomplete or from other software.

Reading only: nothing is repaired or removed here. Each finding says what to do about it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench import store, tracks, worker
from prefrl_core.errors import UserError

Kind = Literal["ok", "other software", "other defaults", "running", "incomplete", "failed", "leftover", "damaged"]
FAULTS: tuple[Kind, ...] = ("incomplete", "failed", "leftover", "damaged")  # a folder with one of these is not sound
_ALWAYS = ("spec.json", "provenance.json")  # kept even of published results, which leave out what is large
_DRAFT = re.compile(r"\.[0-9a-f]{16}\..+")  # a run's folder that was being made when its maker was killed


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
        if name in runs:
            yield _of_run(runs[name])
        elif _DRAFT.fullmatch(name):
            yield Finding(out / name, "leftover", "a run's folder that was never finished making: delete it")
        elif (out / name / "spec.json").exists():
            yield Finding(out / name, "damaged", "a run's folder under a name that is not its key: rename it")
    yield from _of_stages(out / store.STAGES)


def _of_stages(folder: Path) -> Iterator[Finding]:
    """What several runs began with, where it is not whole."""
    from prefrl_core import checkpoint

    for path in sorted(folder.glob("*")):
        if path.suffix == ".tmp":
            yield Finding(path, "leftover", "a stage that was never finished making: delete it")
        elif path.suffix == ".safetensors":
            try:
                checkpoint.load(path)
            except UserError:
                yield Finding(path, "damaged", "a stage that cannot be read: delete it, the next run makes it anew")


def _of_run(run: store.Run) -> Finding:
    try:
        run.identity  # noqa: B018  (raises if the spec is not the one that named the folder)
        if run.done:
            _require_whole(run)
            return _of_software(run)
    except UserError as error:
        return Finding(run.folder, "damaged", str(error))
    if who := worker.holder(run.folder):
        return Finding(run.folder, "running", f"{who} works on it")
    if run.status == "failed":
        return Finding(run.folder, "failed", run.error or "")
    total = run.spec.get("total_steps")
    came = f"{_steps(run)} of {total} steps" if total else f"stopped at step {_steps(run)}"
    return Finding(run.folder, "incomplete", f"{came}: run its suite again")


def _require_whole(run: store.Run) -> None:
    """Raise UserError for the first thing about a finished run that is not as it was when it ended."""
    rows, done = run.rows, run.done  # `rows` compares the checksum of the metrics
    last = rows[-1] if rows else {}
    for name, column in (("steps", "step"), ("labels", tracks.of(run.spec["task"]).labels)):
        recorded = last.get(column) or 0
        if done.get(name) != recorded:
            raise UserError(f"{run.folder / 'done.json'} tells {done.get(name)} {name}, its metrics {recorded}")
    known: Mapping[str, Any] = done.get("sha256") or {}
    for name, expected in known.items():
        found = store.checksum(run.folder / name)
        if found != expected and (found is not None or name in _ALWAYS):
            how = "is missing" if found is None else "is not what the run wrote (its sha256 differs)"
            raise UserError(f"{run.folder / name} {how}: restore it, or delete {run.folder} and run again")


def _of_software(run: store.Run) -> Finding:
    """A finished, whole run; said so where this software would not have made it."""
    try:
        worker.own_spec(run)
    except worker.OtherDefaults as error:
        return Finding(run.folder, "other defaults", str(error))
    except UserError as error:
        return Finding(run.folder, "other software", str(error))
    from prefrl_core import checkpoint

    sides = checkpoint.sides(run.folder / "checkpoint.safetensors")  # of a run killed when it was done
    left = [path.name for path in (*run.folder.glob("*.tmp"), *sides)]
    return Finding(run.folder, "leftover", f"{', '.join(left)}: delete it") if left else Finding(run.folder, "ok")


def _steps(run: store.Run) -> int:
    try:
        rows = run.rows
    except UserError:  # a damaged line; the run goes on from its checkpoint or starts over
        return 0
    return int(rows[-1]["step"]) if rows else 0
