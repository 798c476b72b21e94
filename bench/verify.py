"""Do runs on disk come out again, to the byte, when they are made anew from their specs?"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import files, provenance, runner, store, tracks, worker
from bench.answers import record
from bench.answers.ledger import NAME as _ANSWERS
from bench.executors.local import LocalExecutor
from bench.progress import Display, Job
from bench.suite import Planned
from prefrl_core.errors import UserError

_MACHINE = ("cpu", "platform", "versions")  # of a provenance; numbers may differ where one of these does


@dataclass(frozen=True)
class Verdict:
    """``same``: the new run's metrics are the old one's, byte by byte; None where that cannot be told."""

    run: store.Run
    same: bool | None
    what: str = ""


def sample(runs: Sequence[store.Run], count: int | None, seed: int = 0) -> list[store.Run]:
    """``count`` finished runs, drawn without repeats; all of them for None.

    Raises:
        UserError: none is finished.
    """
    done = [run for run in runs if run.status == "done"]
    if not done:
        raise UserError("no finished run to verify: run its suite first, or name the results folder with --out")
    if count is None or count >= len(done):
        return done
    chosen = np.random.default_rng(seed).choice(len(done), count, replace=False)
    return [done[index] for index in sorted(chosen)]


def verify(runs: Sequence[store.Run], workers: int, display: Callable[[list[Job], int], Display]) -> Iterator[Verdict]:
    """Make each run anew in a temporary folder, and compare."""
    planned, refused = {}, {}
    for run in runs:
        try:
            run.rows  # noqa: B018  (raises if they are not what the run recorded)
        except UserError as error:
            refused[run.key] = Verdict(run, False, str(error))
            continue
        try:
            planned[run.key] = _planned(run)
        except UserError as error:
            refused[run.key] = Verdict(run, None, str(error))
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        for run in runs:
            try:
                if run.key in planned:
                    _take_inputs(run, Path(folder))
            except UserError as error:
                del planned[run.key]
                refused[run.key] = Verdict(run, None, str(error))
        if planned:
            code = runner.execute(list(planned.values()), Path(folder), lambda _: LocalExecutor(workers), display)
            if code == runner.INTERRUPTED:
                raise KeyboardInterrupt
        for run in runs:
            yield refused.get(run.key) or _compare(run, store.Run(Path(folder) / run.key))


def _take_inputs(run: store.Run, folder: Path) -> None:
    """What people answered in a run, and what it began with, is part of what it is made from."""
    for known in run.folder.glob("known-*.safetensors"):
        again = store.create(folder, run.key, run.spec, run.versions)
        (again.folder / known.name).write_bytes(files.read(known))
    if (answers := record.path_of(run.folder)) is None:
        return
    again = store.create(folder, run.key, run.spec, run.versions)
    with record.reading(answers) as there, contextlib.closing(sqlite3.connect(again.folder / _ANSWERS)) as here:
        there.backup(here)


def _planned(run: store.Run) -> Planned:
    spec = worker.own_spec(run)
    return Planned("again", spec.task, spec.seed, spec, run.key)


def _compare(old: store.Run, new: store.Run) -> Verdict:
    if new.status != "done":
        return Verdict(old, None, f"the new run did not finish: {new.error or 'it was stopped'}")
    if old.done["metrics_sha256"] == new.done["metrics_sha256"]:
        return Verdict(old, True)
    return Verdict(old, False, f"{parting(old.rows, new.rows)}; {_differences(old)}")


def parting(old: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> str:
    """Where two runs' rows part: the first row, and what differs in it."""
    for number, (one, other) in enumerate(zip(old, new, strict=False), start=1):
        if one != other:
            names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            told = ", ".join(f"{name} {_short(one.get(name))} -> {_short(other.get(name))}" for name in names[:3])
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            return f"they part at row {number} (step {one.get('step')}): {told}{more}"
    if len(old) != len(new):
        return f"their first {min(len(old), len(new))} rows agree, then one goes on ({len(old)} and {len(new)} rows)"
    return "their values agree, their bytes do not (written by another version of JSON?)"


def _differences(old: store.Run) -> str:
    """What differs between the machine that made the run and this one."""
    then, now = old.provenance, provenance.collect(tracks.of(old.spec["task"]).packages)
    changed = [
        f"{name} {_short(then.get(name))} -> {_short(now[name])}" for name in _MACHINE if then.get(name) != now[name]
    ]
    return f"this is another machine: {'; '.join(changed)}" if changed else "same processor and software"


def _short(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
