"""``bench report``: figures and tables of a suite, as one page."""

from __future__ import annotations

import argparse
import dataclasses
import shlex
from pathlib import Path

from bench.commands.shared import Shared, plan
from prefrl_core.errors import unknown


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("report", parents=[shared.suite], help="figures and tables of a suite, as one page")
    made.add_argument("--to", type=Path, metavar="DIR", help="folder of the report (default: in the results folder)")
    made.add_argument("--baseline", metavar="ARM", help="the arm that others are compared with (default: the suite's)")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Write a suite's report and print where it is."""
    suite, planned = plan(options)
    if options.baseline is not None:
        arms = [arm.name for arm in suite.arms]
        if options.baseline not in arms:
            raise unknown("arm in --baseline:", options.baseline, arms)
        suite = dataclasses.replace(suite, baseline=options.baseline)
    from bench.report import write_report

    to = options.to or options.out / f"report-{suite.name}"
    print(write_report(suite, planned, options.out, to, f"python -m bench {shlex.join(options.words)}"))
    return 0
