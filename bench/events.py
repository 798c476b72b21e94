"""TensorBoard event files, written beside the runs from what they have recorded: ``<out>/tensorboard/``.

Row n of a run's ``metrics.jsonl`` becomes record n + 1 of its event file, and nothing else does. So an event file says
by itself how far it has come; and as a resumed run computes the rows behind its checkpoint again to the same bytes,
those that were followed before the kill are neither doubled nor missed. The run knows nothing of this.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from bench import files, store
from bench.progress import Display, Job
from prefrl_core.errors import UserError

_EVERY = 1.0  # seconds between two looks at the running runs
_NOT_SCALARS = ("step", "iteration", "stage_step")
_FRAME = 16  # bytes of a record besides its data: length, its checksum, the data's checksum


class EventFile:
    """One run's event file, behind its ``metrics.jsonl``. Only one process may have it open.

    Raises:
        BlockingIOError: another process writes it.
    """

    def __init__(self, run: store.Run, path: Path) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        path.parent.mkdir(parents=True, exist_ok=True)
        self._run, self._file = run, open(files.own(path, os.O_RDWR | os.O_APPEND), "a+b")  # noqa: SIM115  (open as long as the run is followed)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise
        records, size = _whole_records(files.read(path))
        self._file.truncate(size)  # a record that was cut off is written again
        self._writer = RecordWriter(self._file)
        self._row, self._offset = max(0, records - 1), None if records > 1 else 0
        if not records:
            self._write(0.0, file_version="brain.Event:2")

    def follow(self) -> None:
        """Append what the run has recorded since the last call."""
        lines = self._new_lines()
        if not lines:
            return
        began, timing = _began(self._run), self._run.timing
        for line in lines:
            row = json.loads(line)
            seconds = timing[min(self._row, len(timing) - 1)]["seconds"] if timing else 0.0
            self._write(began + seconds, step=row["step"], summary=_summary(row))
            self._row += 1
        self._file.flush()

    def _new_lines(self) -> list[bytes]:
        """Whole lines behind those that are in the event file; none while a resumed run has not come that far again."""
        path = self._run.folder / "metrics.jsonl"
        if not path.exists():
            return []
        with open(path, "rb") as file:
            if self._offset is None:
                *known, _ = file.read().split(b"\n")
                if len(known) < self._row:
                    return []
                self._offset = sum(len(line) + 1 for line in known[: self._row])
            file.seek(self._offset)
            *lines, _ = file.read().split(b"\n")
        self._offset += sum(len(line) + 1 for line in lines)
        return lines

    def _write(self, wall_time: float, **values: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self._writer.write(Event(wall_time=wall_time, **values).SerializeToString(deterministic=True))

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class Watched:
    """A display that also keeps the event files of its jobs up to date."""

    def __init__(self, shown: Display, jobs: list[Job], out: Path) -> None:
        self._shown, self._jobs, self._root = shown, jobs, out / "tensorboard"
        self._open: dict[str, EventFile] = {}
        self._next, self._stopped = 0.0, False

    def __enter__(self) -> Self:
        self._shown.__enter__()
        self._look(self._jobs)
        return self

    def __exit__(self, *exc: object) -> None:
        self._look(self._jobs)
        self._shown.__exit__(*exc)

    def changed(self, job: Job) -> None:
        self._shown.changed(job)
        self._look([job])

    def note(self, text: str) -> None:
        self._shown.note(text)

    def tick(self) -> None:
        self._shown.tick()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._look([job for job in self._jobs if job.state == "running"])

    def _look(self, jobs: list[Job]) -> None:
        """Follow these; files of runs that are not running are closed again, so that a thousand need no thousand."""
        try:
            for job in [] if self._stopped else jobs:
                self._follow(job)
        except (OSError, UserError) as error:  # no reason to stop the runs
            self._stopped = True
            self.note(f"no more TensorBoard events: {' '.join(str(error).split())}; the same command adds them later")

    def _follow(self, job: Job) -> None:
        key = job.planned.key
        if key not in self._open:
            run = store.Run(job.folder)
            if run.status == "not started":
                return
            try:
                self._open[key] = EventFile(run, path(self._root, job))
            except BlockingIOError:  # another command follows this run
                return
        self._open[key].follow()
        if job.state != "running":
            self._open.pop(key).close()


def watched(display: Callable[[list[Job], int], Display], out: Path) -> Callable[[list[Job], int], Display]:
    """``display`` with event files.

    Raises:
        UserError: TensorBoard is not installed.
    """
    try:
        import tensorboard.compat.proto.event_pb2  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError("--tensorboard needs TensorBoard: pip install 'prefrl-bench[tensorboard]'") from error
    return lambda jobs, workers: Watched(display(jobs, workers), jobs, out)


def path(root: Path, job: Job) -> Path:
    """The event file of a job: its folder's path is the run's name in TensorBoard."""
    planned = job.planned
    arm = planned.arm.replace("/", "-")
    return root / planned.task / arm / f"seed {planned.seed} {planned.key[:6]}" / f"events.out.tfevents.{planned.key}"


def _summary(row: dict[str, Any]) -> Any:
    """The row's numbers as scalars, in TensorBoard's sections by the first word of their names."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    scalars = {
        name: value for name, value in row.items() if name not in _NOT_SCALARS and isinstance(value, (int, float))
    }
    return Summary(
        value=[Summary.Value(tag=f"{_section(name)}/{name}", simple_value=value) for name, value in scalars.items()]
    )


def _section(name: str) -> str:
    if name.endswith("_return") or name == "episodes":
        return "return"
    if name in ("answered", "ties", "skipped") or name.startswith("labels"):
        return "labels"
    if name.startswith(("gold", "proxy", "win_rate")):
        return "gold"
    return "reward model" if name.startswith(("reward_", "rm_")) else "policy"


def _began(run: store.Run) -> float:
    """When the run began, in seconds since 1970; 0 where that is not known."""
    started = run.provenance.get("started")
    return datetime.fromisoformat(started).timestamp() if started else 0.0


def _whole_records(data: bytes) -> tuple[int, int]:
    """Number of whole records, and the bytes that they take."""
    records = place = 0
    while place + _FRAME <= len(data):
        end = place + _FRAME + struct.unpack_from("<Q", data, place)[0]
        if end > len(data):
            break
        records, place = records + 1, end
    return records, place
