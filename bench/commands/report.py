"""``bench report``: figures and tables of a suite, as one page."""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bench.commands.shared import Shared, folder, plan
from bench.text import short
from prefrl_core.errors import require, unknown

if TYPE_CHECKING:
    from bench.report import Asked
    from bench.suite import Planned, Suite

_LONGEST = 80  # letters of what a folder's name says of the runs in it


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "report",
        parents=[shared.suite],
        help="figures and tables of a suite, as one page",
        epilog="--only table=NAME writes that table alone. A part of a suite is reported in a folder of its own, "
        "beside that of the whole suite.",
    )
    made.add_argument("--to", type=folder, metavar="DIR", help="folder of the report (default: in the results folder)")
    made.add_argument("--baseline", metavar="ARM", help="the arm that others are compared with (default: the suite's)")
    made.add_argument("--all-seeds", action="store_true", help="also use finished runs of seeds beyond the plan")
    made.add_argument(
        "--style", default="", metavar="FILE", help="a Matplotlib style or its name; matplotlibrc: that of this machine"
    )
    made.add_argument(
        "--beside", type=Path, metavar="FILE", help="published numbers: CSV of source, task, arm, unit, value, step"
    )
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Write a suite's report and print where it is."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "0")  # Matplotlib dates its files by it
    known = epoch.isascii() and epoch.isdigit() and len(epoch) < 12
    require(known, f"SOURCE_DATE_EPOCH = {short(epoch)}: give a whole number of seconds since 1970, or leave it out")
    narrowed = _narrowed(options)
    tables = tuple(one.partition("=")[2] for one in options.only if one.startswith("table="))
    options.only = [one for one in options.only if not one.startswith("table=")]
    suite, planned = plan(options)
    if options.baseline is not None:
        arms = [arm.name for arm in suite.arms]
        if options.baseline not in arms:
            raise unknown("arm in --baseline:", options.baseline, arms)
        suite = dataclasses.replace(suite, baseline=options.baseline)
    from bench.report import write_report

    planned, asked = _asked(options, suite, planned, tables)
    to = options.to or options.out / f"report-{suite.name}{narrowed}"
    print(write_report(suite, planned, options.out, to, f"python -m bench {shlex.join(options.words)}", asked))
    return 0


def _asked(
    options: argparse.Namespace, suite: Suite, planned: list[Planned], tables: tuple[str, ...]
) -> tuple[list[Planned], Asked]:
    """The runs, those of seeds beyond the plan among them if they are to be, and what else was asked for."""
    from bench import suite as suites
    from bench.report import Asked, runs

    known = () if options.all_seeds else [run.key for run in suite.runs(None, options.steps, (), options.labels)]
    more = runs.beyond(planned, options.out, known)
    if options.all_seeds:
        planned = planned + [suites.Planned(run.arm, run.task, run.seed, run.spec, run.key) for run in more]
        more = []
    return planned, Asked(tables, options.style, options.beside, tuple(more))


def _narrowed(options: argparse.Namespace) -> str:
    """What tells a part of a suite from the whole, as part of a folder's name."""
    from bench.report.names import slug

    told = [
        *options.only,
        *(f"{name}-{value}" for name in ("seeds", "steps", "labels") if (value := vars(options)[name])),
    ]
    text = " ".join(told)
    short_name = slug(text)[:_LONGEST]
    if not text.isascii() or len(slug(text)) > _LONGEST:  # two names could come to the same
        short_name += f"-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:6]}"
    return f"-{short_name}" if told else ""
