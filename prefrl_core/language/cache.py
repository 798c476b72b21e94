"""Finished stages by the hash of everything that they depend on, in a folder or in memory."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from prefrl_core import checkpoint
from prefrl_core.errors import UserError

State = dict[str, Any]


def digest(stage: str, depends_on: Mapping[str, Any]) -> str:
    """The name of a stage's result: what it is made of, and by which software."""
    software = {name: importlib.metadata.version(name) for name in ("numpy", "torch")}
    text = json.dumps({"stage": stage, "software": software, **depends_on}, sort_keys=True)
    return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


class Cache:
    """Gives a stage's result, making it where it is not there yet. Several processes may share the folder: the second
    that wants a stage waits for the first to finish it."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self._kept: dict[str, State] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def get(self, name: str, make: Callable[[], State]) -> State:
        """The result called ``name``; ``make`` makes it. A damaged file is made anew."""
        if name not in self._kept:
            self._kept[name] = make() if self.folder is None else self._from_folder(self.folder, name, make)
        return self._kept[name]

    def _from_folder(self, folder: Path, name: str, make: Callable[[], State]) -> State:
        path = folder / f"{name}.safetensors"
        if path.exists() and (found := _load(path)) is not None:
            return found
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.exists() and (found := _load(path)) is not None:
                return found  # another process made it while this one waited
            checkpoint.save(path, make())
        return checkpoint.load(path)


def _load(path: Path) -> State | None:
    try:
        return checkpoint.load(path)
    except UserError:
        return None
