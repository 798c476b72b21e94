"""A worker process on this machine, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench import worker
from bench.executors import Ended
from prefrl_core.hardware import THREADS


class WorkerProcess:
    """``bench.worker`` on one folder. It ends with this process. A selector can wait for it.

    Args:
        words: further words of its command.
        threads: that step its environments where a graphics card does the learning; None leaves it to the run. What
            the environment says already counts more.
    """

    def __init__(self, folder: Path, *words: str, threads: int | None = None) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  (read after the worker's end)
        self._process = subprocess.Popen(
            worker.words_for("bench.worker", str(folder), "--parent", str(os.getpid()), *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env={**({THREADS: str(threads)} if threads else {}), **os.environ, **worker.ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end them
        )
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._said = b""  # and not ended with a newline
        self.silent = False  # it has closed its output: it is about to end

    def fileno(self) -> int:
        return self._output.fileno()

    def read(self) -> list[dict[str, Any]]:
        """What it has told; blocks until there is something."""
        data = os.read(self.fileno(), 1 << 16)
        self.silent = not data
        *lines, self._said = (self._said + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait(self) -> Ended:
        """Wait for its end, and close our end of its output."""
        self._output.close()
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        return Ended(code, lines[-1] if lines else "it said nothing")

    def terminate(self) -> None:
        """Ask it to end."""
        self._process.terminate()

    def kill_after(self, seconds: float) -> None:
        """Wait for its end no longer than that, then force it."""
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
