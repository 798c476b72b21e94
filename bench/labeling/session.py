"""A sitting: the learner's process, the server of the page, and what joins them, the ledger in the run's folder."""

from __future__ import annotations

import html
import importlib.util
import logging
import secrets
import socket
import tempfile
import threading
import time
import webbrowser
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from bench import files, store, tracks
from bench.answers.ledger import NAME, Ledger
from bench.executors.process import WorkerProcess
from prefrl_core.errors import UserError

_PAUSE = 5.0  # seconds before a learner that fell over is started again
_TRIES = 3


def begin(values: Mapping[str, Any], out: Path) -> store.Run:
    """The folder of the run of these settings, made if it is not there.

    Raises:
        UserError: the settings are none of a run.
    """
    from prefrl_core.spec import RunSpec

    spec = RunSpec.of(values)
    versions = tracks.of(spec.task).versions(spec)
    files.writable(out)
    run = store.create(out, store.key_of(spec.canonical(), versions), spec.canonical(), versions)
    tracks.of(spec.task).place(spec, run.folder)
    return run


class Trainer:
    """The learner's process, started again when it falls over; it ends with this one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = "starting"
        self._stopping = threading.Event()
        self._process: WorkerProcess | None = None
        self._thread = threading.Thread(target=self._watch, name="trainer", daemon=True)
        self._thread.start()

    def state(self) -> str:
        """``starting``, ``training``, ``done``, or what is wrong, in a sentence for the page."""
        return self._state

    def stop(self) -> None:
        """End it; what it had is in the run's checkpoint."""
        self._stopping.set()
        if self._process is not None:
            self._process.terminate()
        self._thread.join(timeout=10)

    def _watch(self) -> None:
        for left in reversed(range(_TRIES)):
            self._process = WorkerProcess(self._folder, "--people")
            while not self._process.silent:
                for told in self._process.read():
                    self._hear(told)
            ended = self._process.wait()
            if self._stopping.is_set():
                return
            if ended.code == 0:
                self._state = "done"
                return
            self._state = f"Training has stopped ({ended.last_words}). Answers are kept; " + (
                "it is started again." if left else "see the window where `bench label` runs."
            )
            logging.getLogger("bench.label").error("the learner ended with code %s: %s", ended.code, ended.last_words)
            if self._stopping.wait(_PAUSE):
                return

    def _hear(self, told: Mapping[str, Any]) -> None:
        if told["event"] == "row":
            self._state = "training"
        elif told["event"] == "done":
            self._state = "done"


def serve(run: store.Run, listening: socket.socket, host: str, token: str | None, overlap: int, browse: bool) -> int:
    """Train and serve until interrupted, where ``listen`` listens for the host.

    Raises:
        UserError: a package or OpenGL is not to be had.
    """
    require_packages()
    from bench.labeling.clips import Studio
    from bench.labeling.connections import Server
    from bench.labeling.guard import LOOPBACK
    from bench.labeling.progress import Progress
    from bench.labeling.server import application

    alone = host in LOOPBACK
    token = token or (None if alone else secrets.token_urlsafe(16))
    ledger = Ledger(run.folder / NAME, overlap)
    studio = Studio(run.spec["task"], ledger)
    trainer = Trainer(run.folder)
    try:
        app = application(ledger, studio, Progress(run, ledger, trainer.state), token)
        address = _address(host, listening.getsockname()[1], token)
        print(f"run {run.key}: {run.spec['labels']} labels on {run.spec['task']}", flush=True)

        def ready() -> None:
            print(f"the page: {address}   (Ctrl-C stops; the same command goes on)", flush=True)
            if browse:
                threading.Thread(target=_browse, args=[address], daemon=True).start()

        Server(app, ready).run(sockets=[listening])
    finally:
        trainer.stop()
        studio.close()
        ledger.close()
    return 0


def require_packages() -> None:
    """Refuse to begin where the page could not show anything.

    Raises:
        UserError: a package is missing.
    """
    for name in ("fastapi", "uvicorn", "h11", "av"):
        if importlib.util.find_spec(name) is None:
            raise UserError(f"the labeling page needs the package {name!r}: pip install 'prefrl-bench[label]'")


def _browse(address: str) -> None:
    """Open the page. A browser's command line can be read by everybody on this machine, so it gets a file's name; the
    file, which leads to the address and its token, can be read by its owner alone."""
    with tempfile.NamedTemporaryFile("w", suffix=".html", prefix="prefrl-label-", encoding="utf-8") as file:
        file.write(f'<!DOCTYPE html><meta http-equiv="refresh" content="0; url={html.escape(address)}">')
        file.flush()
        webbrowser.open(Path(file.name).as_uri())
        time.sleep(60)  # until the browser has read it


def listen(host: str, port: int) -> socket.socket:
    """A socket at an address.

    Raises:
        UserError: it is not to be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{host}:{port} cannot be listened on ({reason}): choose others (--host, --port)") from error
    return listening


def _address(host: str, port: int, token: str | None) -> str:
    name = socket.gethostname() if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={quote(token, safe='')}" if token else "")
