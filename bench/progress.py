"""What is seen of a suite while it runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from bench.suite import Planned
from bench.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

State = Literal["waiting", "running", "done", "failed"]
_BAR = 10  # columns of a run's bar
_SUMMARY_EVERY = 30.0  # seconds between the summaries of the plain display


@dataclass
class Job:
    """One planned run and what is known of it; the display reads this."""

    planned: Planned
    folder: Path
    state: State = "waiting"
    step: int = 0
    labels: int = 0
    outcome: float | None = None  # the latest value of the column that its track is judged by
    error: str | None = None
    fault: bool = False  # of ours, that nobody foresaw
    before: bool = False  # it was done when the command began
    began: tuple[float, int] | None = None  # time and step of the first row that this worker sent
    latest: float = 0.0  # time of the last one
    restarts: int = 0
    not_before: float = 0.0
    held_by: str | None = None

    @property
    def name(self) -> str:
        return f"{self.planned.task} | {self.planned.arm} | seed {self.planned.seed}"

    @property
    def total(self) -> int:
        return self.planned.spec.total_steps

    @property
    def rate(self) -> float | None:
        """Steps a second, measured from the first row on, so that starting and resuming do not count."""
        if self.began is None or self.latest <= self.began[0]:
            return None
        return (self.step - self.began[1]) / (self.latest - self.began[0])

    def on_row(self, row: dict[str, Any]) -> None:
        self.latest = time.monotonic()
        self.step, self.labels = row["step"], row.get("labels") or 0
        self.began = self.began or (self.latest, self.step)
        if row.get("outcome") is not None:
            self.outcome = row["outcome"]


class Display(Protocol):
    """Shows the jobs; see ``Plain`` and ``Live``."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...
    def changed(self, job: Job) -> None:
        """A job began or ended."""

    def note(self, text: str) -> None:
        """A line that the user should see."""

    def tick(self) -> None:
        """Called some times a second."""


def remaining(jobs: Sequence[Job], workers: int) -> float | None:
    """Seconds until all jobs are done, from the steps and seconds measured so far (a task without any takes the mean of
    the others); None before there is any. Never less than what the longest running job alone needs."""
    measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for job in jobs:
        if job.rate and job.began:
            measured[job.planned.task].append((job.step - job.began[1], job.latest - job.began[0]))
    if not measured:
        return None
    means = {task: sum(s for s, _ in pairs) / sum(t for _, t in pairs) for task, pairs in measured.items()}
    anywhere = sum(means.values()) / len(means)
    left = [(job.total - job.step) / (job.rate or means.get(job.planned.task, anywhere)) for job in unfinished(jobs)]
    return max([sum(left) / workers, *left], default=0.0)


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.state in ("waiting", "running")]


def duration(seconds: float) -> str:
    """About how long, in the two units that matter."""
    minutes, hours = round(seconds / 60), round(seconds / 3600, 1)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{hours:g} h"


def summary(jobs: Sequence[Job], workers: int) -> str:
    """One line about the whole suite."""
    count = Counter(job.state for job in jobs)
    left = remaining(jobs, workers)
    parts = [f"{count['done']} of {len(jobs)} runs done"]
    parts += [f"{count['failed']} failed"] if count["failed"] else []
    parts += [f"{count['running']} running"] if count["running"] else []
    parts += (
        [f"about {duration(left)} left" if left is not None else "measuring the time left"] if unfinished(jobs) else []
    )
    return ", ".join(parts)


class Plain:
    """A line when a run begins or ends, and a summary every half minute: for logs and pipes."""

    def __init__(self, jobs: list[Job], workers: int) -> None:
        self._jobs, self._workers, self._next = jobs, workers, time.monotonic() + _SUMMARY_EVERY

    def __enter__(self) -> Self:
        self.note(summary(self._jobs, self._workers))
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def changed(self, job: Job) -> None:
        rate = f", {job.rate:.0f} steps/s" if job.rate and job.state == "done" else ""
        self.note(f"{job.state}: {job.name} ({job.planned.key}){rate}{f': {job.error}' if job.error else ''}")

    def note(self, text: str) -> None:
        print(printable(text), flush=True)

    def tick(self) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _SUMMARY_EVERY
            self.note(summary(self._jobs, self._workers))


class Live:
    """A table that is drawn again in place, a line a running job, and the whole suite under it."""

    def __init__(self, jobs: list[Job], workers: int) -> None:
        from rich.console import Console
        from rich.live import Live as RichLive

        self._jobs, self._workers = jobs, workers
        self._console = Console()
        self._live = RichLive(console=self._console, get_renderable=self._render, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def changed(self, job: Job) -> None:
        if job.state == "failed":
            self.note(f"failed: {job.name}: {job.error}")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def tick(self) -> None:
        self._live.refresh()

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, padding=(0, 1, 0, 0))
        for name in ("task", "arm"):  # these give way in a narrow terminal; the numbers do not
            table.add_column(name, no_wrap=True, overflow="ellipsis")
        for name, width in (("seed", 4), ("", _BAR), ("steps", 9), ("outcome", 8), ("labels", 9), ("steps/s", 7)):
            table.add_column(name, min_width=width, justify="right", no_wrap=True)
        for job in self._jobs:
            if job.state == "running":
                table.add_row(*_cells(job))
        return Group(*([table] if table.row_count else []), Text(summary(self._jobs, self._workers)))


def number(value: float) -> str:
    """Returns go into the hundreds, gold scores hardly beyond 1."""
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _cells(job: Job) -> list[RenderableType]:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    return [
        Text(job.planned.task),
        Text(job.planned.arm),
        str(job.planned.seed),
        ProgressBar(total=job.total, completed=job.step, width=_BAR),
        f"{job.step:,}",
        "-" if job.outcome is None else number(job.outcome),
        f"{job.labels}/{job.planned.spec.labels}",
        "-" if job.rate is None else f"{job.rate:,.0f}",
    ]
