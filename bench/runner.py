"""Executes planned runs: skips what is done, resumes what is not, and never does work twice. What is here decides
which run is next and what becomes of it; where its worker runs is an executor's business (``bench.executors``).

A worker that dies takes nothing with it: its folder tells how far it came, and its siblings go on. Several
runners may work on one results folder (on one machine, or on several through a shared disk): each run's folder is
locked while it is worked on.
"""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import fault, files, store, tracks, worker
from bench.executors import Ended, Executor
from bench.progress import Display, Job, State
from bench.suite import Planned, versions_of
from bench.text import counted
from prefrl_core.errors import UserError, require

_RESTARTS = 2  # times that a worker killed by a signal (out of memory, by hand) goes on within one command
_MOVES = 5  # times that a run goes on elsewhere when its node died; not the run's fault, as far as one can tell
INTERRUPTED = 130  # exit code after Ctrl-C
_ASK_AGAIN = 1.0  # seconds between looks at a run that another process has


@dataclass
class Runner:
    """The jobs of one command, and who does them."""

    jobs: list[Job]
    out: Path
    executor: Executor
    display: Display
    until: float = math.inf  # of time.monotonic: when to stop, as Ctrl-C would

    def run(self) -> None:
        """Work until every job is done or failed; leaves no process behind, however it ends."""
        try:
            while time.monotonic() < self.until and any(job.state in ("waiting", "running") for job in self.jobs):
                self._fill()
                for job, event in self.executor.heard(seconds=0.2):
                    self._ended(job, event) if isinstance(event, Ended) else self._heard(job, event)
                self.display.tick()
        finally:
            self.executor.stop()

    def _fill(self) -> None:
        """In the suite's order; runs that would wait for a stage which another is making are put off while there are
        others to do."""
        for put_off in (True, False):
            for job in self.jobs:
                ready = job.state == "waiting" and time.monotonic() >= job.not_before
                if ready and not (put_off and self._shares(job)) and self.executor.room(job):
                    self._take(job)

    def _shares(self, job: Job) -> bool:
        """Whether a run that is under way begins with the same stages."""
        stages = job.planned.shares
        return bool(stages) and any(one.state == "running" and one.planned.shares == stages for one in self.jobs)

    def _take(self, job: Job) -> None:
        """Start the job, unless another process has it or has done it."""
        try:
            self._begin(job)
        except (UserError, OSError) as error:
            self._end(job, "failed", worker.in_words(job.folder, error))

    def _begin(self, job: Job) -> None:
        planned = job.planned
        run = store.create(self.out, planned.key, planned.spec.canonical(), versions_of(planned.spec))
        tracks.of(planned.task).place(planned.spec, run.folder)
        if run.status == "done":
            self._end(job, "done")
        elif who := worker.holder(job.folder):
            self._held(job, who)
        else:
            self.executor.start(job)
            job.state, job.began, job.held_by, job.error = "running", None, None, None
            self.display.changed(job)

    def _heard(self, job: Job, event: dict[str, Any]) -> None:
        match event["event"]:
            case "row":
                job.on_row(event)
            case "warning":
                self.display.note(event["message"])
            case "failed":
                job.error, job.fault = event["error"], event.get("fault", False)
            case "held":
                self._held(job, event["by"])

    def _ended(self, job: Job, end: Ended) -> None:
        killed = end.lost or (f"its worker was killed by {_signal(end.code)}" if end.code < 0 else "")
        if end.code == worker.HELD and job.state == "waiting":  # it said who has the run
            return
        if not killed and end.code == worker.DONE and store.Run(job.folder).status == "done":
            self._end(job, "done")
        elif killed and job.restarts < (_MOVES if end.lost else _RESTARTS):
            job.restarts += 1
            job.state = "waiting"
            self.display.note(f"{job.name}: {killed}; it goes on")
        else:
            died = killed + ("" if end.lost else " (out of memory?)") if killed else _left(end)
            self._end(job, "failed", job.error or died)

    def _end(self, job: Job, state: State, error: str | None = None) -> None:
        job.state, job.error = state, error
        if state == "done":
            job.step = job.total
        self.display.changed(job)

    def _held(self, job: Job, who: str) -> None:
        if job.held_by != who:
            self.display.note(f"{job.name}: {who} runs it; waiting for that")
        job.state, job.held_by, job.not_before = "waiting", who, time.monotonic() + _ASK_AGAIN


def execute(
    planned: Sequence[Planned],
    out: Path,
    executor: Callable[[list[Job]], Executor],
    display: Callable[[list[Job], int], Display],
    until: float = math.inf,
) -> int:
    """Do all planned runs, or what of them can be done ``until`` a time of time.monotonic; the command's exit code: 0,
    or 1 if any failed (70 by a fault of ours), or 130 after Ctrl-C.

    Raises:
        UserError: nothing can be written to ``out``, or the executor cannot do the jobs.
    """
    files.writable(out)
    jobs = [job_of(one, out) for one in planned]
    doing = executor(jobs)
    shown = display(jobs, doing.workers)
    try:
        with shown:
            Runner(jobs, out, doing, shown, until).run()
    except KeyboardInterrupt:
        shown.note(f"{_tally(jobs)}. Stopped: run the same command again, and it goes on from the last checkpoints.")
        return INTERRUPTED
    shown.note(_tally(jobs) + ".")
    for job in (job for job in jobs if job.state == "failed"):
        shown.note(f"failed: {job.name} ({job.planned.key}): {job.error}")
    failed = [job for job in jobs if job.state == "failed"]
    return fault.CODE if any(job.fault for job in failed) else 1 if failed else 0


def job_of(planned: Planned, out: Path) -> Job:
    """What is known of a run before anything is started: done or waiting. One whose folder is not what its name says,
    or that is finished and has lost its metrics, has failed."""
    run = store.Run(out / planned.key)
    job = Job(planned, run.folder)
    try:
        if run.status != "not started":
            run.identity  # noqa: B018  (raises)
        if run.done:
            metrics = run.folder / "metrics.jsonl"  # without it there is nothing that a report could show
            require(
                files.present(metrics),
                f"{metrics} of a finished run is missing: restore it, or delete {run.folder} and run again",
            )
            job.state, job.before, job.step = "done", True, job.total
    except (UserError, OSError) as error:
        job.state, job.error = "failed", worker.in_words(run.folder, error)
    return job


def _tally(jobs: list[Job]) -> str:
    count = Counter(job.state for job in jobs)
    before = sum(job.before for job in jobs)
    text = f"{counted(len(jobs), 'run')}: {count['done']} done" + (f" ({before} of them before)" if before else "")
    left = count["waiting"] + count["running"]
    return (
        text + (f", {count['failed']} failed" if count["failed"] else "") + (f", {left} not finished" if left else "")
    )


def _left(end: Ended) -> str:
    """Why a worker that nothing killed is no longer there."""
    if end.code == worker.DONE:
        return "its worker ended before the run did: a plug-in may have called os._exit or sys.exit"
    return end.last_words


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
