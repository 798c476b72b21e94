"""Everything a run needs to go on as if nothing had happened, in one safetensors file, and beside it logs that grow.

A state is a nested dictionary whose leaves are arrays and plain values. Arrays become tensors under their path in the
dictionary; plain values become one JSON text in the file's header. What only ever grows is a ``Log``: it stands in a
file of its own, to which each checkpoint appends. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from prefrl_core.errors import UserError

_SEPARATOR = "/"
_LOGS = ".rows"  # ends the names of side files
_BLOCK = 1 << 22  # bytes of a log that are in memory at once: a replay of frames is a gigabyte


@dataclass(frozen=True)
class Log:
    """Rows that a state only ever adds to. ``save`` appends those that are new to a side file of the checkpoint's, and
    writes none of them again. ``rows(start, stop)`` gives those with these numbers, for ``first <= start``, as a
    structured array of ``dtype``; it may ask the living state, so save it before that goes on."""

    dtype: np.dtype[Any]
    total: int  # rows ever added
    first: int  # number of the oldest that can still be given
    rows: Callable[[int, int], NDArray[Any]]

    def blocks(self, start: int) -> Iterator[NDArray[Any]]:
        """The rows from ``start`` to the newest, some megabytes at a time."""
        size = max(1, _BLOCK // self.dtype.itemsize)
        return (self.rows(first, min(first + size, self.total)) for first in range(start, self.total, size))


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` to ``path``, whole or not at all: to a temporary name, flushed to disk, then renamed. Its logs go
    to side files first; what stands in these behind the rows that the last whole checkpoint has is written over.

    Raises:
        UserError: a key holds a slash or is no text, or a leaf is neither an array, a log nor a plain JSON value.
    """
    arrays: dict[str, np.ndarray] = {}
    logs: dict[str, Log] = {}
    plain = _split(state, "", arrays, logs)
    before = _kept(path) if logs and path.exists() else {}
    kept = {key: _append(path, key, log, before.get(key)) for key, log in logs.items()}
    header = {
        "plain": json.dumps(plain, allow_nan=False, sort_keys=True),
        **({"logs": json.dumps(kept, sort_keys=True)} if logs else {}),
    }
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(to_bytes(arrays, metadata=header))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)
    for key, old in before.items():  # those that could not be gone on with
        if key not in kept or kept[key]["begun"] != old.get("begun", 0):
            _side(path, key, old).unlink(missing_ok=True)


def load(path: Path, logs: bool = True) -> dict[str, Any]:
    """The state that ``save`` wrote; without ``logs`` they are left out: a finished run does not keep them.

    Raises:
        UserError: a file is missing, truncated or no checkpoint.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata()
            state: dict[str, Any] = dict(json.loads(metadata["plain"]))
            for key in file.keys():  # noqa: SIM118 - not iterable itself
                _put(state, key, file.get_tensor(key))
            for key, kept in json.loads(metadata.get("logs", "{}")).items() if logs else ():
                _put(state, key, _read(_side(path, key, kept), kept))
    except Exception as error:  # bytes that make no sense may fail in any way
        raise UserError(f"{path} is damaged or no checkpoint ({error}): delete it, and the run starts over") from error
    return state


def sides(path: Path) -> list[Path]:
    """The side files of a checkpoint that there are."""
    return sorted(path.parent.glob(f"{path.stem}.*{_LOGS}"))


def remove(path: Path) -> None:
    """Delete a checkpoint and its side files."""
    path.unlink(missing_ok=True)
    remove_sides(path)


def remove_sides(path: Path) -> None:
    """Delete the side files, which only a run needs that goes on. ``load`` then needs ``logs=False``."""
    for side in sides(path):
        side.unlink(missing_ok=True)


def _side(path: Path, key: str, kept: dict[str, Any]) -> Path:
    """The side file that ``kept`` is of: one that was begun again has a number."""
    number = f".{kept['begun']}" if kept.get("begun") else ""
    return path.with_name(f"{path.stem}.{key.replace(_SEPARATOR, '.')}{number}{_LOGS}")


def _kept(path: Path) -> dict[str, Any]:
    """What the checkpoint at ``path`` says of its logs; nothing if it is damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            kept: dict[str, Any] = json.loads(file.metadata().get("logs", "{}"))
            return kept
    except (SafetensorError, OSError, ValueError):
        return {}


def _append(checkpoint: Path, key: str, log: Log, kept: dict[str, Any] | None) -> dict[str, Any]:
    """Bring a side file up to ``log``, on from where the last whole checkpoint says; what the next is to say. A file
    that cannot be gone on with is left to that checkpoint, and another one begun."""
    start, checksum, first, count, begun = log.first, 0, log.first, 0, 0
    if kept is not None:
        begun = kept.get("begun", 0)
        if kept["type"] == _type(log) and _holds_the_last(_side(checkpoint, key, kept), log, kept):
            first, count, checksum = kept["first"], kept["count"], kept["checksum"]
            start = first + count
        else:
            begun += 1
    path = _side(checkpoint, key, {"begun": begun})
    with open(path, "r+b" if count else "wb") as file:
        file.truncate(count * log.dtype.itemsize)
        file.seek(0, os.SEEK_END)
        for rows in log.blocks(start):
            data = rows.tobytes()
            checksum = zlib.crc32(data, checksum)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return {"type": _type(log), "first": first, "count": log.total - first, "checksum": checksum, "begun": begun}


def _holds_the_last(path: Path, log: Log, kept: dict[str, Any]) -> bool:
    """Whether the side file is this log's, as far as it goes: its last row is the log's, and the next can be added."""
    size, end = log.dtype.itemsize, kept["first"] + kept["count"]
    if not (path.exists() and kept["count"] and log.first < end <= log.total):
        return False
    with open(path, "rb") as file:
        file.seek((kept["count"] - 1) * size)
        return file.read(size) == log.rows(end - 1, end).tobytes()


def _read(path: Path, kept: dict[str, Any]) -> Log:
    """A log from its side file; what was added after the checkpoint is cut off.

    Raises:
        OSError: it is missing, or not what the checkpoint says.
    """
    dtype = np.dtype([(name, kind, tuple(shape)) for name, kind, shape in kept["type"]])
    first, count = kept["first"], kept["count"]
    with open(path, "rb") as file:
        left, checksum = count * dtype.itemsize, 0
        while data := file.read(min(_BLOCK, left)):
            left, checksum = left - len(data), zlib.crc32(data, checksum)
    if left or checksum != kept["checksum"]:
        raise OSError(f"its {path.name} is truncated or not what it wrote")
    rows = np.memmap(path, dtype, "r", shape=(count,)) if count else np.empty(0, dtype)  # read where it is used
    return Log(dtype, first + count, first, lambda start, stop: rows[start - first : stop - first])


def _type(log: Log) -> list[Any]:
    kinds = [(name, log.dtype[name]) for name in log.dtype.names or ()]
    return [[name, kind.base.str, list(kind.shape)] for name, kind in kinds]


def _put(state: dict[str, Any], key: str, value: Any) -> None:
    *parents, name = key.split(_SEPARATOR)
    for parent in parents:
        state = state[parent]
    state[name] = value


def _split(state: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray], logs: dict[str, Log]) -> dict[str, Any]:
    """The plain part of ``state``; its arrays and logs go to ``arrays`` and ``logs`` under their path."""
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if not isinstance(key, str) or _SEPARATOR in key:
            raise UserError(f"checkpoint key {key!r} in {prefix!r}: a text without {_SEPARATOR!r} is needed")
        if isinstance(value, dict):
            plain[key] = _split(value, f"{prefix}{key}{_SEPARATOR}", arrays, logs)
        elif isinstance(value, Log):
            logs[prefix + key] = value
        elif isinstance(value, np.ndarray):
            arrays[prefix + key] = np.asarray(value, order="C")
        elif isinstance(value, np.generic):
            plain[key] = value.item()
        else:
            _require_plain(value, f"{prefix}{key}")
            plain[key] = value
    return plain


def _require_plain(value: Any, place: str) -> None:
    """Raise UserError for what JSON cannot hold, an array in a list for example, by its place in the state."""
    if isinstance(value, (list, tuple)):
        for number, entry in enumerate(value):
            _require_plain(entry, f"{place}[{number}]")
    elif isinstance(value, dict):
        for key, entry in value.items():
            _require_plain(entry, f"{place}[{key!r}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"the state's {place} is {value}: keep a number that may be so in an array")
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise UserError(
            f"the state's {place} is of type {type(value).__name__}: get_state() gives arrays and plain values, in "
            "dictionaries; arrays in a list go into a dictionary, or are stacked"
        )
