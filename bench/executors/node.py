"""What runs on a node of a cluster: a worker process, its folder, and the way of its files home.

Knows no cluster: an executor calls it through one, with plain values and bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import store
from bench.executors.process import WorkerProcess
from bench.files import write_atomic
from prefrl_core import checkpoint

FAILURE = ("failed.json", "traceback.txt")  # what a failed run leaves, and a new attempt takes away
_LAST = ("checkpoint.safetensors", "done.json")  # what builds on the other files, in this order
_LISTEN = 1.0, 0.2  # seconds that `poll` waits for the first words, and then for more
Stamps = dict[str, tuple[int, int]]  # of a folder's files: when written, how long
Files = Mapping[str, tuple[tuple[int, int], bytes]]  # name -> stamp and content
Polled = tuple[str, tuple[int, str] | None, Files]


class NodeWorker:
    """Lives on a node, and does one run after another there: ``look``, ``begin``, ``poll`` until its end, ``stop``."""

    def __init__(self) -> None:
        self._scratch = ""
        self._process: WorkerProcess | None = None
        self._end: tuple[int, str] | None = None

    def look(self, token: str) -> tuple[str, bool]:
        """The node's name, and whether it sees this file, and so the results folder."""
        return socket.gethostname(), Path(token).exists()

    def begin(self, folder: str, files: Mapping[str, bytes] | None) -> Polled:
        """Start the worker: in ``folder``, or with ``files`` in a folder of its name on this node's own disk. The
        answer has the form of ``poll``'s, and says nothing yet."""
        self._folder = Path(folder)
        if files is not None:
            self._scratch = tempfile.mkdtemp(prefix="prefrl-")
            self._folder = Path(self._scratch) / self._folder.name
            self._folder.mkdir()
            (self._folder.parent / store.STAGES).symlink_to(node_stages())
            for name, data in files.items():
                (self._folder / name).write_bytes(data)
        self._process = WorkerProcess(self._folder)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process, selectors.EVENT_READ)
        return "[]", None, {}

    def poll(self, known: Stamps, send: bool) -> Polled:
        """What the worker told since the last call (JSON), how it ended, and files that are not as ``known``: if asked
        to send them or at the end."""
        assert self._process is not None, "nothing was begun"
        events: list[dict[str, Any]] = []
        until = time.monotonic() + _LISTEN[0]
        while self._end is None and (rest := until - time.monotonic()) > 0:
            if self._selector.select(rest):
                until = min(until, time.monotonic() + _LISTEN[1])
                events += self._process.read()
                if self._process.silent:
                    self._selector.unregister(self._process)
                    end = self._process.wait()
                    self._end = end.code, end.last_words
        wanted = self._scratch and (send or self._end)
        return json.dumps(events), self._end, changed(self._folder, known) if wanted else {}

    def stop(self, known: Stamps) -> Files:
        """End the worker and leave nothing on the node; its files that are not as ``known``."""
        files: Files = {}
        if self._process is not None:
            if self._end is None:
                self._process.terminate()
                self._process.kill_after(3)
                self._process.wait()
            files = changed(self._folder, known) if self._scratch else {}
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch, self._process, self._end = "", None, None
        return files


def node_stages() -> Path:
    """Where runs on this node's own disk keep what several of them begin with; made by the first that does, and it
    stays until somebody removes it."""
    return Path(tempfile.gettempdir()) / f"prefrl-{store.STAGES}-{os.getuid()}"


def changed(folder: Path, known: Stamps) -> Files:
    """Files that are not as ``known``, with their stamps. Those that build on others are read first: what they build on
    is written before them, and only grows."""
    found: dict[str, tuple[tuple[int, int], bytes]] = {}
    for path in sorted(folder.iterdir(), key=_place, reverse=True):
        if path.name != ".lock" and path.suffix != ".tmp":
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                stamp = status.st_mtime_ns, status.st_size
                if known.get(path.name) != stamp:
                    found[path.name] = stamp, path.read_bytes()
    return found


def bring_home(folder: Path, files: Files) -> None:
    """Write a node's files into the run's folder, those that build on the others last."""
    for path in sorted((folder / name for name in files), key=_place):
        write_atomic(path, files[path.name][1])
    if "done.json" in files:
        checkpoint.remove_sides(folder / "checkpoint.safetensors")  # the node has removed its own


def _place(path: Path) -> int:
    """In the order in which files are written."""
    return _LAST.index(path.name) + 1 if path.name in _LAST else 0
