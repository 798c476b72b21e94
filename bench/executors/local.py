"""This machine's cores: a process a run."""

from __future__ import annotations

import selectors

from bench import resources
from bench.executors import Event
from bench.executors.process import WorkerProcess
from bench.progress import Job


class LocalExecutor:
    """So many worker processes at a time."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._running: dict[WorkerProcess, Job] = {}
        self._selector = selectors.DefaultSelector()

    def room(self, job: Job) -> bool:
        return len(self._running) < self.workers

    def start(self, job: Job) -> None:
        process = WorkerProcess(job.folder, threads=max(1, resources.cores() // self.workers))
        self._running[process] = job
        self._selector.register(process, selectors.EVENT_READ)

    def heard(self, seconds: float) -> list[tuple[Job, Event]]:
        events: list[tuple[Job, Event]] = []
        for key, _ in self._selector.select(seconds):
            process: WorkerProcess = key.fileobj  # type: ignore[assignment]
            job = self._running[process]
            events += [(job, told) for told in process.read()]
            if process.silent:
                self._selector.unregister(process)
                del self._running[process]
                events.append((job, process.wait()))
        return events

    def stop(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.kill_after(5)
            self._selector.unregister(process)
            process.wait()
        self._running.clear()
