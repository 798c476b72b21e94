"""``bench export``: the comparisons of finished runs as a data set."""

from __future__ import annotations

import argparse

from bench.commands.shared import Shared, folder, plan
from prefrl_core.errors import UserError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "export", parents=[shared.out, shared.narrow], help="write the comparisons of finished runs as a data set"
    )
    made.add_argument("run", nargs="?", metavar="RUN", help="a run's key, or the beginning of it")
    made.add_argument("--suite", metavar="SUITE", help="all finished runs of a suite instead of one run")
    made.add_argument("--to", type=folder, required=True, metavar="DIR", help="folder to write, new or empty")
    made.add_argument(
        "--format",
        choices=("safetensors", "parquet"),
        default="safetensors",
        help="format of the data files (default: safetensors)",
    )
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Write the folder and say what is in it."""
    from bench import export, store

    if (options.run is None) == (options.suite is None):
        raise UserError("export takes either the key of a RUN or --suite SUITE")
    if options.run is not None:
        runs = [store.find(options.out, options.run)]
    else:
        asked = [one for one in plan(options)[1] if one.spec.labels]
        runs = [run for one in asked if (run := store.Run(options.out / one.key)).status == "done"]
        if len(runs) < len(asked):
            print(f"{len(asked) - len(runs)} of {len(asked)} runs with labels are not finished: left out")
    print(export.summary(export.write(runs, options.to, options.format)))
    return 0
