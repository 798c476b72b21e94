"""``bench power``: the seeds and hours that a suite needs to see a difference."""

from __future__ import annotations

import argparse

from bench.commands.shared import Shared, plan, table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "power",
        parents=[shared.suite],
        help="seeds and hours that it takes to detect a difference, from the finished runs",
    )
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Print seeds and hours."""
    suite, planned = plan(options)
    from bench.decide import power
    from bench.report import data

    study = data.load(suite, planned, options.out, "")
    print(table(power.rows(study)))
    print(power.note(study))
    return 0
