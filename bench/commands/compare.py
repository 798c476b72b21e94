"""``bench compare``: two arms, of one suite or of two."""

from __future__ import annotations

import argparse

from bench.commands.shared import Shared, table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "compare",
        parents=[shared.out, shared.narrow],
        help="compare two arms: difference, interval, p-value, detectable difference",
    )
    made.add_argument("arms", nargs=2, metavar="ARM", help="an arm, or suite:arm")
    made.add_argument("--suite", metavar="SUITE", help="the suite of arms given without a suite")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Print the comparison."""
    from bench.decide import compare

    narrowed = options.seeds, options.steps, options.only, options.labels
    study, one, other = compare.study(options.arms, options.suite, options.out, narrowed)
    print(f"{one} less {other}, finished runs in {options.out}")
    print(table(compare.rows(study, one, other)))
    for line in compare.notes(study, one, other):
        print(line)
    return 0
