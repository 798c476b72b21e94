"""``bench archive``: finished runs as one file that can be published, and back."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from bench import files
from bench.commands.shared import Shared, plan
from bench.text import counted
from prefrl_core.errors import require


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("archive", help="pack finished runs into one small file, and unpack them to the byte")
    kinds = made.add_subparsers(required=True, metavar="COMMAND")
    pack = kinds.add_parser("pack", parents=[shared.suite], help="write a suite's finished runs into one Parquet file")
    pack.add_argument("--to", type=Path, required=True, metavar="FILE", help="the file to write")
    pack.add_argument(
        "--without",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="leave out runs that are in this file; repeatable",
    )
    pack.set_defaults(command=_pack)
    unpack = kinds.add_parser(
        "unpack", parents=[shared.out], help="unpack the runs of such files into a results folder"
    )
    unpack.add_argument("files", type=Path, nargs="+", metavar="FILE", help="a file that archive pack wrote")
    unpack.set_defaults(command=_unpack)


def _pack(options: argparse.Namespace) -> int:
    """Write the file and say what is in it."""
    from bench import store
    from bench.archive import runs

    to = Path(os.path.realpath(options.to))  # the user's own link is followed
    if files.present(to):
        with files.opened(to, "give another name, or remove it") as descriptor:
            parquet = os.read(descriptor, 4) == b"PAR1"
        require(parquet, f"{options.to} is there and is no Parquet file: give another name, or remove it")
    planned = plan(options)[1]
    elsewhere = {key for path in options.without for key in runs.keys(path)}
    asked = [store.Run(options.out / run.key) for run in planned if run.key not in elsewhere]
    kept = runs.pack(asked, options.to)
    print(f"{options.to}: {len(kept)} of {len(planned)} runs in {options.to.stat().st_size:,} bytes")
    return 0


def _unpack(options: argparse.Namespace) -> int:
    """Put them there and say how many are new."""
    from bench.archive import runs

    for path in options.files:
        new, here = runs.unpack(path, options.out)
        print(f"{path}: {counted(new, 'run')} put into {options.out}" + (f", {here} were there" if here else ""))
    return 0
