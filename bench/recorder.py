"""Keeps what a run measures in its folder, so that it can be cut off anywhere and go on from the last checkpoint."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import files, parse, store
from bench.parse import Amount, Count, Sha256
from prefrl_core.errors import UserError

if TYPE_CHECKING:
    import numpy as np


_NOTHING = hashlib.sha256().hexdigest()


class Lines:
    """An append-only file of JSON lines; each line is one write."""

    def __init__(self, path: Path, keep: int) -> None:
        """Open ``path`` and cut it to its first ``keep`` bytes."""
        self._file = files.own(path, os.O_RDWR)
        os.ftruncate(self._file, keep)
        os.lseek(self._file, keep, os.SEEK_SET)
        self.size = keep

    def append(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:  # a disk that fills up writes a part first and raises the next time
            rest = rest[os.write(self._file, rest) :]
        self.size += len(line)

    def sync(self) -> None:
        os.fsync(self._file)


@dataclass(frozen=True)
class Kept:
    """What the laboratory adds to a checkpoint: how much of the recorded files belongs to it."""

    metrics_bytes: Count = 0
    metrics_sha256: Sha256 = _NOTHING
    timing_bytes: Count = 0
    seconds: Amount = 0.0  # that the work up to here took; work that was lost to a kill does not count
    cpu_seconds: Amount = 0.0  # the same in processor time, which a busy machine does not lengthen
    idle_seconds: Amount = 0.0  # neither computing nor waiting for a processor: asleep, or waiting for a disk
    peak_memory_bytes: Count = 0
    state_sha256: str = ""  # of the rest of the checkpoint; empty in those of versions that did not write it

    @classmethod
    def taken_from(cls, state: dict[str, Any], folder: Path, times: bool = True) -> Kept:
        """Our part, taken out of ``state``. Without ``times`` the file of them may be missing: a finished run writes no
        more.

        Raises:
            UserError: the checkpoint was changed, or the files are not those that it was made with.
        """
        names = [one.name for one in fields(cls)]
        state.setdefault("state_sha256", "")
        if missing := [name for name in names if name not in state]:
            raise UserError(f"the checkpoint in {folder} has no {missing[0]!r}")
        found = {name: state.pop(name) for name in names}
        kept: Kept = parse.parse(Kept, found, f"the checkpoint in {folder}")
        if kept.state_sha256 not in ("", digest({**state, **found, "state_sha256": ""})):
            raise UserError(f"the checkpoint in {folder} was changed since it was written (its sha256 differs)")
        wanted = {"metrics.jsonl": kept.metrics_bytes} | ({"timing.jsonl": kept.timing_bytes} if times else {})
        for name, size in wanted.items():
            if _size(folder / name) < size:
                raise UserError(f"{folder / name} is shorter than the checkpoint says")
        if _sha256(folder / "metrics.jsonl", kept.metrics_bytes).hexdigest() != kept.metrics_sha256:
            raise UserError(f"{folder / 'metrics.jsonl'} was changed since the checkpoint")
        return kept


def digest(state: Mapping[str, Any]) -> str:
    """SHA-256 of a checkpoint's state: names, arrays to the bit, plain values as JSON has them."""
    import numpy as np

    from prefrl_core import checkpoint

    made = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, checkpoint.Log):
            continue  # a file of its own, whose checksum the checkpoint has
        if isinstance(value, Mapping):
            told, data = "table", digest(value).encode()
        elif isinstance(value, np.ndarray):
            told, data = f"{value.dtype.str}{value.shape}", np.ascontiguousarray(value).tobytes()
        else:
            told, data = "value", json.dumps(value, sort_keys=True, default=_plain).encode()
        made.update(f"{name}\n{told}\n".encode())
        made.update(data)
    return made.hexdigest()


class FolderRecorder:
    """Keeps what a run measures in its folder (the ``Recorder`` of ``prefrl_core.loop``)."""

    def __init__(
        self,
        folder: Path,
        kept: Kept,
        tell: Callable[..., None],
        outcome: str = "true_return",
        labels: str = "labels",
    ) -> None:
        """Go on behind what was ``kept``; ``tell("row", ...)`` hears of each row, and of what is in these columns."""
        self._folder, self._kept, self._tell = folder, kept, tell
        self._outcome, self._labels = outcome, labels
        self._start, self._cpu_start, self._queued_start = time.monotonic(), time.process_time(), queued_seconds()
        self._metrics = Lines(folder / "metrics.jsonl", kept.metrics_bytes)
        self._timing = Lines(folder / "timing.jsonl", kept.timing_bytes)
        self._hash = _sha256(folder / "metrics.jsonl", kept.metrics_bytes)
        self.last: dict[str, Any] = {}
        self.effort: Mapping[str, int | None] = {}  # what learning took, by its name in done.json

    def warn(self, line: str) -> None:
        """Tell whoever watches the run what it should know."""
        self._tell("warning", message=f"run {self._folder.name}: {line}")

    def row(self, row: dict[str, int | float | str | None]) -> None:
        """Append one row.

        Raises:
            UserError: a value that JSON does not have.
        """
        line = encode(row)
        self._metrics.append(line)
        self._hash.update(line)
        self._timing.append(encode({"step": row.get("step"), "seconds": round(self._seconds(), 6)}))
        self.last = row
        self._tell("row", step=row.get("step"), labels=row.get(self._labels), outcome=row.get(self._outcome))

    def comparisons(self, arrays: dict[str, np.ndarray]) -> None:
        """Write everything compared so far."""
        self._write("comparisons.safetensors", arrays)

    def segments(self, arrays: dict[str, np.ndarray]) -> None:
        """Write the sample of predicted and true segment returns."""
        self._write("segments.safetensors", arrays)

    def samples(self, arrays: dict[str, np.ndarray], texts: dict[str, list[str]]) -> None:
        """Write what a language model answers in the end: numbers and texts, a row a prompt."""
        self._write("samples.safetensors", arrays)
        store.write_json(self._folder / "samples.json", texts)

    def _write(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        import numpy as np
        from safetensors.numpy import save

        data = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
        files.write_atomic(self._folder / name, data)

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint, after the rows that it builds on."""
        from prefrl_core import checkpoint

        self._metrics.sync()
        self._timing.sync()
        ours = asdict(self._now())
        if taken := ours.keys() & state.keys():
            raise ValueError(f"the learner's state has our keys: {sorted(taken)}")
        whole = {**state, **ours, "state_sha256": ""}
        checkpoint.save(self._folder / "checkpoint.safetensors", {**whole, "state_sha256": digest(whole)})

    def finish(
        self,
        total_steps: int,
        bare_speed: Callable[[], float | None] = lambda: None,
        answers: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Mark the run as done; nothing is written after this. ``bare_speed`` gives the steps a second of the task's
        bare physics in this process; it is called when the run's own account is closed.
        ``answers`` gives the digest of what people answered, where they did.

        Raises:
            UserError: nothing was measured.
        """
        from prefrl_core import checkpoint

        if not self.last and self._metrics.size:
            self.last = store.Run(self._folder).rows[-1]
        if not self.last:
            raise UserError(f"total_steps = {total_steps} is too little for one step of all environments: take more")
        if self.last["step"] > total_steps:
            raise RuntimeError(f"the learner took {self.last['step']} steps, its budget is {total_steps}")
        self._metrics.sync()
        self._timing.sync()
        now = self._now()
        values = {
            "schema": store.SCHEMA,
            "steps": self.last["step"],
            "labels": self.last.get(self._labels) or 0,
            "wall_seconds": round(now.seconds, 3),
            "cpu_seconds": round(now.cpu_seconds, 3),
            "idle_seconds": round(now.idle_seconds, 3),
            "bare_steps_per_second": (bare := bare_speed()) and round(bare),
            "peak_memory_bytes": now.peak_memory_bytes,
            **self.effort,
            "metrics_sha256": now.metrics_sha256,
            "sha256": store.checksums(self._folder),
        }
        if (heard := answers()) is not None:
            values["answers_sha256"] = heard
        store.write_json(self._folder / "done.json", values)
        checkpoint.remove_sides(self._folder / "checkpoint.safetensors")

    def _now(self) -> Kept:
        peak = max(self._kept.peak_memory_bytes, peak_memory())
        cpu, queued = time.process_time() - self._cpu_start, queued_seconds() - self._queued_start
        idle = max(0.0, time.monotonic() - self._start - cpu - queued)
        return Kept(
            self._metrics.size,
            self._hash.hexdigest(),
            self._timing.size,
            self._seconds(),
            self._kept.cpu_seconds + cpu,
            self._kept.idle_seconds + idle,
            peak,
        )

    def _seconds(self) -> float:
        return self._kept.seconds + time.monotonic() - self._start


def peak_memory() -> int:
    """Most memory this process ever had, in bytes (the kernel's figure for this program alone: ``ru_maxrss`` would
    begin with what the parent had when it started us)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


def queued_seconds() -> float:
    """How long this process (its first thread) has been ready to run while others ran, as Linux counts it; 0 where the
    system does not tell."""
    try:
        return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


def encode(values: dict[str, Any]) -> bytes:
    """One JSON line.

    Raises:
        UserError: a number is NaN or infinite, which JSON does not have.
    """
    try:
        return (json.dumps(values, allow_nan=False, default=_plain) + "\n").encode()
    except ValueError as error:
        bad = [name for name, value in values.items() if isinstance(value, float) and not abs(value) < float("inf")]
        raise UserError(
            f"metric {bad} at step {values.get('step')} is not a finite number: "
            "the run diverged; lower its learning rates"
        ) from error


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's."""
    return value.item()


def _size(path: Path) -> int:
    return path.stat().st_size if files.kind(path) == "file" else 0


def _sha256(path: Path, size: int) -> Any:
    return hashlib.sha256(files.read(path)[:size] if size else b"")
