"""``bench check``: which runs of a results folder are damaged, unfinished or from other software."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from bench.commands.shared import Shared, folder, table
from bench.text import counted


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("check", help="find runs that are damaged, unfinished or from other software")
    made.add_argument(
        "folder", type=folder, nargs="?", default=Path("runs"), metavar="DIR", help="results folder (default: runs)"
    )
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Print what is not sound, and a count of everything; 1 if there is a fault."""
    from bench import check

    found = list(check.inspect(options.folder))
    count = Counter(one.kind for one in found)
    told = [[one.kind, one.path.name, one.what] for one in found if one.kind != "ok"]
    if told:
        print(table(told))
    for what, number in Counter(one.what for one in found if one.kind == "ok" and one.what).items():
        print(f"{counted(number, 'run')}, ok: {what}")
    print(f"{options.folder}: " + (", ".join(f"{number} {kind}" for kind, number in count.most_common()) or "no runs"))
    return 1 if any(count[kind] for kind in check.FAULTS) else 0
