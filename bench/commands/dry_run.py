"""``bench run --dry-run``: what would run, and what it would cost."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import estimate, resources, store
from bench.commands.shared import table
from bench.progress import duration
from bench.runner import job_of
from bench.suite import Planned
from bench.text import counted

_MANY = 200  # runs; more are shown by cell


def command(options: argparse.Namespace, planned: Sequence[Planned]) -> int:
    """Print the plan, and what is left to do costs; nothing is written. 1 if a run's folder is damaged, or else 0."""
    jobs = [job_of(one, options.out) for one in planned]
    states = ["damaged" if job.state == "failed" else store.Run(job.folder).status for job in jobs]
    whole = options.verbose or len(planned) <= _MANY
    print(runs_table(planned, states) if whole else cells_table(planned, states))
    left = [job.planned for job in jobs if job.state == "waiting"]
    steps = sum(one.spec.total_steps for one in left)
    print(f"{counted(len(planned), 'run')}, {len(left):,} to do: {steps:,} steps")
    if left and not options.no_probe:
        workers = options.workers or resources.cores()
        print(cost(left, workers, options.out))
    damaged = [job for job in jobs if job.state == "failed"]
    for job in damaged:
        print(f"damaged: {job.name} ({job.planned.key}): {job.error}")
    return 1 if damaged else 0


def runs_table(planned: Sequence[Planned], states: Sequence[str]) -> str:
    """A line a run."""
    rows: list[list[Any]] = [["key", "task", "arm", "seed", "steps", "labels", "status"]]
    for one, state in zip(planned, states, strict=True):
        rows.append([one.key, one.task, one.arm, one.seed, f"{one.spec.total_steps:,}", one.spec.labels, state])
    return table(rows)


def cells_table(planned: Sequence[Planned], states: Sequence[str]) -> str:
    """A line a cell: how many of its runs are in which state."""
    counts: dict[tuple[Any, ...], Counter[str]] = {}
    for one, state in zip(planned, states, strict=True):
        cell = one.task, one.arm, f"{one.spec.total_steps:,}", one.spec.labels
        counts.setdefault(cell, Counter())[state] += 1
    order = ("done", "unfinished", "failed", "damaged", "not started")
    rows = [["task", "arm", "steps", "labels", "runs", *order]]
    return table(rows + [[*cell, count.total(), *(count[state] for state in order)] for cell, count in counts.items()])


def cost(left: Sequence[Planned], workers: int, out: Path) -> str:
    """What these runs take on so many workers, in words."""
    beside = min(workers, resources.cores())
    probed = estimate.probe(left, beside)
    found = estimate.estimate(left, probed, workers)
    inferred = [kind for kind in probed.costs if kind not in probed.measured]
    lines = [
        f"on {workers} workers, as fast as {beside} of this machine's {resources.cores()} cores were just now:",
        f"  wall time  {duration(found.wall)} ({duration(found.work)} of one core)",
        f"  memory     {_size(found.memory)} ({_size(found.largest)} the largest run)",
        f"  disk       {_size(found.disk)} in {out}",
        f"measured in {probed.seconds:.0f} s: {len(probed.measured)} of {len(probed.costs)} kinds of work; inferred: "
        + (f"{len(inferred)}, from the most similar measured: {_some(inferred)}" if inferred else "none"),
    ]
    return "\n".join(lines)


def _size(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _some(kinds: Sequence[estimate.Kind], most: int = 4) -> str:
    told = list(dict.fromkeys(map(str, kinds)))
    return "; ".join(told[:most]) + (f"; and {len(told) - most} more" if len(told) > most else "")
