"""``bench run``: execute what is missing of a suite."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from bench import executors, tracks
from bench.commands.shared import Shared, deadline, plan, real, whole
from prefrl_core.errors import require

if TYPE_CHECKING:
    from bench.progress import Job
    from bench.suite import Planned


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("run", parents=[shared.suite], help="execute the missing runs of a suite")
    made.add_argument("--workers", type=whole(1, 4096), metavar="N", help="runs at a time (default: one per core)")
    made.add_argument(
        "--executor",
        choices=executors.NAMES,
        default="local",
        help="where runs are done (default: local, this machine)",
    )
    made.add_argument(
        "--address", metavar="HOST:PORT", help="address of the Ray cluster; auto: the one on this machine"
    )
    made.add_argument(
        "--ship",
        type=real(0.1, 86_400),
        nargs="?",
        const=30.0,
        metavar="SECONDS",
        help="nodes work on their own disks, and send checkpoints back this often (default without a shared disk: 30)",
    )
    made.add_argument("--dry-run", action="store_true", help="say what would run, and what it would cost")
    made.add_argument(
        "--no-probe", action="store_true", help="with --dry-run: do not measure the costs on this machine"
    )
    made.add_argument("--verbose", action="store_true", help="with --dry-run: list every run of a large suite")
    made.add_argument("--tensorboard", action="store_true", help="write event files to DIR/tensorboard during the runs")
    made.add_argument(
        "--until-decided",
        action="store_true",
        help="give undecided comparisons more seeds, as [decide] says",
    )
    made.add_argument("--hours", type=real(-1e6, 1e6), metavar="H", help="stop after H hours, finished or not")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Execute a suite, or say what would be."""
    _check(options)
    if options.until_decided:
        from bench.commands import until_decided

        return until_decided.command(options, execute)
    planned = plan(options)[1]
    if options.dry_run:
        from bench.commands import dry_run

        return dry_run.command(options, planned)
    return execute(options, planned, deadline(options.hours))


def execute(options: argparse.Namespace, planned: Sequence[Planned], until: float = math.inf) -> int:
    """Do these runs where the options say, until a time of time.monotonic; the exit code."""
    from bench import progress, resources, runner

    if options.executor == "local":  # a cluster's nodes have disks of their own
        for task in sorted({one.task for one in planned}):
            tracks.of(task).require_data(task)
    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    display: Callable[[list[Job], int], progress.Display] = progress.Live if live else progress.Plain
    if options.tensorboard:
        from bench import events

        display = events.watched(display, options.out)

    def executor(jobs: list[Job]) -> executors.Executor:
        if options.executor == "ray":
            from bench.executors.ray import RayExecutor

            return RayExecutor(options.address, options.out, jobs, options.workers, options.ship)
        from bench.executors.local import LocalExecutor

        return LocalExecutor(options.workers or resources.cores())

    return runner.execute(planned, options.out, executor, display, until)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that would do nothing."""
    ray = options.executor == "ray"
    require(not ray or options.address, "--executor ray needs --address HOST:PORT, as `ray start --head` prints it")
    require(ray or not options.address, "--address names a Ray cluster: add --executor ray")
    require(ray or options.ship is None, "--ship is for clusters: add --executor ray")
    for name in ("no_probe", "verbose"):
        require(options.dry_run or not getattr(options, name), f"--{name.replace('_', '-')} needs --dry-run")
    idle = options.dry_run and options.hours is not None and not options.until_decided
    require(not idle, "--hours with --dry-run: nothing runs that it could stop; leave one out")
    require(options.hours is None or options.hours > 0, f"--hours {options.hours}: no time left, give hours above 0")
    narrowed = options.until_decided and (options.only or options.seeds)
    require(not narrowed, "--until-decided chooses the runs itself: leave --only and --seeds out")
