"""``bench run``: execute what is missing of a suite."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.shared import Shared, plan, positive, table

if TYPE_CHECKING:
    from bench.suite import Planned


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("run", parents=[shared.suite], help="execute what is missing of a suite")
    made.add_argument("--workers", type=positive, metavar="N", help="processes at a time (default: one a core)")
    made.add_argument("--dry-run", action="store_true", help="print the runs and their state, and do nothing")
    made.add_argument(
        "--tensorboard", action="store_true", help="write event files to DIR/tensorboard as the runs go on"
    )
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Execute a suite, or say what would be."""
    planned = plan(options)[1]
    if options.dry_run:
        print(_plan_table(planned, options.out))
        return 0
    from bench import progress, runner

    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    workers = options.workers or runner.cores()
    display: Callable[[list[progress.Job], int], progress.Display] = progress.Live if live else progress.Plain
    if options.tensorboard:
        from bench import events

        display = events.watched(display, options.out)
    return runner.execute(planned, options.out, workers, display)


def _plan_table(planned: Sequence[Planned], out: Path) -> str:
    from bench import store

    rows: list[list[Any]] = [["key", "task", "arm", "seed", "steps", "labels", "status"]]
    for one in planned:
        run = store.Run(out / one.key)
        rows.append([one.key, one.task, one.arm, one.seed, f"{one.spec.total_steps:,}", one.spec.labels, run.status])
    return table(rows)
