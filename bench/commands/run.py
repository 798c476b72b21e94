"""``bench run``: execute what is missing of a suite."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import executors
from bench.commands.shared import Shared, plan, positive, table
from prefrl_core.errors import require

if TYPE_CHECKING:
    from bench.progress import Job
    from bench.suite import Planned


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("run", parents=[shared.suite], help="execute what is missing of a suite")
    made.add_argument("--workers", type=positive, metavar="N", help="runs at a time (default: one a core)")
    made.add_argument(
        "--executor",
        choices=executors.NAMES,
        default="local",
        help="where runs are done (default: local, this machine)",
    )
    made.add_argument("--address", metavar="HOST:PORT", help="of the Ray cluster, or auto: the one on this machine")
    made.add_argument(
        "--ship",
        type=float,
        nargs="?",
        const=30.0,
        metavar="SECONDS",
        help="nodes work on their own disks, and send checkpoints home so often (default where no disk is shared: 30)",
    )
    made.add_argument("--dry-run", action="store_true", help="print the runs and their state, and do nothing")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Execute a suite, or say what would be."""
    _check(options)
    planned = plan(options)[1]
    if options.dry_run:
        print(_plan_table(planned, options.out))
        return 0
    from bench import progress, runner

    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"

    def executor(jobs: list[Job]) -> executors.Executor:
        if options.executor == "ray":
            from bench.executors.ray import RayExecutor

            return RayExecutor(options.address, options.out, jobs, options.workers, options.ship)
        from bench.executors.local import LocalExecutor

        return LocalExecutor(options.workers or runner.cores())

    return runner.execute(planned, options.out, executor, progress.Live if live else progress.Plain)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that belong to another executor."""
    ray = options.executor == "ray"
    require(not ray or options.address, "--executor ray needs --address HOST:PORT, as `ray start --head` prints it")
    require(ray or not options.address, "--address names a Ray cluster: add --executor ray")
    require(ray or options.ship is None, "--ship is for clusters: add --executor ray")
    require(options.ship is None or options.ship > 0, f"--ship {options.ship}: give seconds, above 0")


def _plan_table(planned: Sequence[Planned], out: Path) -> str:
    from bench import store

    rows: list[list[Any]] = [["key", "task", "arm", "seed", "steps", "labels", "status"]]
    for one in planned:
        run = store.Run(out / one.key)
        rows.append([one.key, one.task, one.arm, one.seed, f"{one.spec.total_steps:,}", one.spec.labels, run.status])
    return table(rows)
