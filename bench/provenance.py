"""Where a run was made: the code, the software, the machine and the moment."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Protocol

import numpy as np

_SOURCE = Path(__file__).resolve().parent.parent
_CODE = ("bench", "prefrl", "prefrl_core")
_CPUINFO = Path("/proc/cpuinfo")
_CARDS = Path("/proc/driver/nvidia/gpus")
_PACKAGES = ("numpy", "prefrl-bench")  # of every run; a track has others


class Source(Protocol):
    """Where a part's code is that does not come with the project (``prefrl_core.sources``)."""

    @property
    def module(self) -> str: ...
    @property
    def file(self) -> Path | None: ...


def collect(packages: Iterable[str] = (), plugins: Mapping[str, Source] | None = None) -> dict[str, Any]:
    """``provenance.json`` of a run that begins now and depends on ``packages``; takes no part in its key or numbers.
    The code of each of ``plugins`` has a revision of its own, apart from that of the project."""
    foreign = {name: _plugin(source) for name, source in (plugins or {}).items()}
    return {
        "git": _git(),
        **({"plugins": foreign} if foreign else {}),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in (*packages, *_PACKAGES)}},
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        **({"cards": cards} if (cards := _cards()) else {}),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _plugin(source: Source) -> dict[str, Any]:
    """Module, code and revision of a part; the revision is that of the tree its file lies in, None outside of one."""
    folder = source.file.parent if source.file else None
    top = _command("git", "rev-parse", "--show-toplevel", folder=folder) if folder else None
    git = None
    if folder is not None and source.file is not None and top is not None:
        revision = _command("git", "rev-parse", "--verify", "--quiet", "HEAD", folder=folder)
        tracked = _command("git", "ls-files", "--error-unmatch", source.file.name, folder=folder) is not None
        changed = _command("git", "status", "--porcelain", "--", ".", folder=folder) != ""
        git = {"revision": revision, "dirty": changed} if tracked else None
    return {"module": source.module, "code": str(source), "git": git}


def _git() -> dict[str, Any] | None:
    """Revision of the source tree and whether its code was changed since; None where the code is not run from its tree.

    Other files do not make a run's code unknown, such as a results folder in the tree.
    """
    top = _command("git", "rev-parse", "--show-toplevel")
    if top is None or Path(top) != _SOURCE:
        return None
    revision = _command("git", "rev-parse", "--verify", "--quiet", "HEAD")
    return {"revision": revision, "dirty": _command("git", "status", "--porcelain", "--", *_CODE) != ""}


def _command(*words: str, folder: Path | None = None) -> str | None:
    """What a command prints in a folder, ours if none is named; None if it cannot be run or fails."""
    try:
        done = subprocess.run(
            words, cwd=folder or _SOURCE, capture_output=True, text=True, errors="replace", timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cards() -> list[str]:
    """The names of this machine's graphics cards, as their driver gives them, without loading it."""
    names = []
    for card in sorted(_CARDS.glob("*/information")):
        with contextlib.suppress(OSError):
            told = dict(line.partition(":")[::2] for line in card.read_text("utf-8", "replace").splitlines())
            names.append(told.get("Model", "unknown").strip())
    return names


def _cpu() -> str:
    """The processor's name as the system gives it, its generation, and the instructions that NumPy chooses here: rented
    machines of several generations have one name, and other instructions may round otherwise."""
    told: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for line in _CPUINFO.read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            told.setdefault(name.strip(), value.strip())
    generation = [f"{name.split()[-1]} {told[name]}" for name in ("cpu family", "model") if name in told]
    known: Any = np.show_config(mode="dicts")
    instructions = known["SIMD Extensions"]["found"][-1:] or known["SIMD Extensions"]["baseline"][-1:]
    name = told.get("model name") or platform.processor() or platform.machine()
    return f"{name} ({', '.join([*generation, *instructions])})"
