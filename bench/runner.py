"""Executes planned runs: skips what is done, resumes what is not, one process a run, and never does work twice.

A worker that dies takes nothing with it: its folder tells how far it came, and its siblings go on. Several
runners may work on one results folder (on one machine, or on several through a shared disk): each run's folder is
locked while it is worked on.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from bench import store, worker
from bench.progress import Display, Job, State
from bench.suite import Planned
from prefrl_core.errors import UserError

_RESTARTS = 2  # times that a worker killed by a signal (out of memory, by hand) goes on within one command
_ASK_AGAIN = 1.0  # seconds between looks at a run that another process has


@dataclass
class _Worker:
    """A running worker process and what it has said but not ended with a newline."""

    job: Job
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    said: bytes = b""
    failure: str | None = None

    def last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@dataclass
class Runner:
    """The jobs of one command and its worker processes."""

    jobs: list[Job]
    out: Path
    workers: int
    display: Display
    _running: dict[int, _Worker] = field(default_factory=dict)  # by the descriptor of their stdout
    _selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)

    def run(self) -> None:
        """Work until every job is done or failed; leaves no process behind, however it ends."""
        try:
            while self._running or any(job.state == "waiting" for job in self.jobs):
                self._fill()
                for key, _ in self._selector.select(timeout=0.2):
                    self._read(self._running[key.fd])
                self.display.tick()
        finally:
            self._stop()

    def _fill(self) -> None:
        for job in self.jobs:
            if len(self._running) >= self.workers:
                return
            if job.state == "waiting" and time.monotonic() >= job.not_before:
                self._take(job)

    def _take(self, job: Job) -> None:
        """Start the job, unless another process has it or has done it."""
        planned = job.planned
        run = store.create(self.out, planned.key, planned.spec.canonical(), _versions(planned))
        if run.status == "done":
            self._end(job, "done")
        elif who := worker.holder(job.folder):
            self._held(job, who)
        else:
            self._start(job)

    def _start(self, job: Job) -> None:
        errors = tempfile.TemporaryFile()  # noqa: SIM115  (read after the worker's end)
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", str(job.folder), "--parent", str(os.getpid())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, **worker.ONE_THREAD},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end them
        )
        assert process.stdout is not None
        self._running[process.stdout.fileno()] = _Worker(job, process, errors)
        self._selector.register(process.stdout, selectors.EVENT_READ)
        job.state, job.began, job.held_by = "running", None, None
        self.display.changed(job)

    def _read(self, one: _Worker) -> None:
        assert one.process.stdout is not None
        data = os.read(one.process.stdout.fileno(), 1 << 16)
        *lines, one.said = (one.said + data).split(b"\n")
        for line in lines:
            self._heard(one, json.loads(line))
        if not data:
            self._ended(one)

    def _heard(self, one: _Worker, event: dict[str, Any]) -> None:
        match event["event"]:
            case "row":
                one.job.on_row(event)
            case "warning":
                self.display.note(event["message"])
            case "failed":
                one.failure = event["error"]
            case "held":
                self._held(one.job, event["by"])

    def _ended(self, one: _Worker) -> None:
        code = self._forget(one)
        job = one.job
        if code == worker.HELD:
            return
        if code == worker.DONE and store.Run(job.folder).status == "done":
            self._end(job, "done")
        elif code < 0 and job.restarts < _RESTARTS:
            job.restarts += 1
            job.state = "waiting"
            self.display.note(f"{job.name}: its worker was killed by {_signal(code)}; it goes on")
        else:
            died = f"its worker was killed by {_signal(code)} (out of memory?)" if code < 0 else one.last_words()
            self._end(job, "failed", one.failure or died)

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        job.state, job.error = state, error
        if state == "done":
            job.step = job.total
        self.display.changed(job)

    def _held(self, job: Job, who: str) -> None:
        if job.held_by != who:
            self.display.note(f"{job.name}: {who} runs it; waiting for that")
        job.state, job.held_by, job.not_before = "waiting", who, time.monotonic() + _ASK_AGAIN

    def _forget(self, one: _Worker) -> int:
        """Wait for the process, close our end of its output; its exit code, negative for a signal."""
        assert one.process.stdout is not None
        self._selector.unregister(one.process.stdout)
        del self._running[one.process.stdout.fileno()]
        one.process.stdout.close()
        return one.process.wait()

    def _stop(self) -> None:
        """End all workers; each loses what came after its last checkpoint, which is computed again."""
        for one in self._running.values():
            one.process.terminate()
        for one in list(self._running.values()):
            try:
                one.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                one.process.kill()
            self._forget(one)


def execute(planned: Sequence[Planned], out: Path, workers: int, display: Callable[[list[Job], int], Display]) -> int:
    """Do all planned runs; the command's exit code: 0, or 1 if any failed, or 130 after Ctrl-C.

    Raises:
        UserError: nothing can be written to ``out``, or a folder there is not the run that its name says.
    """
    writable(out)
    jobs = [_job(one, out) for one in planned]
    shown = display(jobs, workers)
    try:
        with shown:
            Runner(jobs, out, workers, shown).run()
    except KeyboardInterrupt:
        shown.note(f"{_tally(jobs)}. Stopped: run the same command again, and it goes on from the last checkpoints.")
        return 130
    shown.note(_tally(jobs) + ".")
    for job in (job for job in jobs if job.state == "failed"):
        shown.note(f"failed: {job.name} ({job.planned.key}): {job.error}")
    return 1 if any(job.state == "failed" for job in jobs) else 0


def writable(out: Path) -> None:
    """Make the results folder.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise UserError(f"{out} cannot be written to ({error.strerror}): choose another folder with --out") from error


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _job(planned: Planned, out: Path) -> Job:
    run = store.Run(out / planned.key)
    job = Job(planned, run.folder)
    if run.status != "missing":
        run.identity  # noqa: B018  (refuse a folder that is not what its name says before anything is started)
    if run.status == "done":
        job.state, job.before, job.step = "done", True, job.total
    return job


def _versions(planned: Planned) -> dict[str, Any]:
    from bench.suite import versions_of

    return versions_of(planned.task)


def _tally(jobs: list[Job]) -> str:
    count = Counter(job.state for job in jobs)
    before = sum(job.before for job in jobs)
    text = f"{len(jobs)} runs: {count['done']} done" + (f" ({before} of them before)" if before else "")
    left = count["waiting"] + count["running"]
    return (
        text + (f", {count['failed']} failed" if count["failed"] else "") + (f", {left} not finished" if left else "")
    )


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
