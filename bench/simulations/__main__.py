"""``python -m bench.simulations [coverage|familywise|sweeps] [--trials N]``: one table as Markdown."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping

TABLES = ("coverage", "familywise", "sweeps")


def main() -> None:
    """Print a table, a line as soon as it is known."""
    made = argparse.ArgumentParser(prog="python -m bench.simulations", description=__doc__)
    made.add_argument("table", choices=TABLES)
    made.add_argument("--trials", type=int, default=1000, metavar="N", help="simulated suites a line (1000)")
    options = made.parse_args()
    from importlib import import_module

    show(import_module(f"bench.simulations.{options.table}").table(options.trials))


def show(records: Iterable[Mapping[str, object]]) -> None:
    """Records as Markdown; a header where the columns change."""
    header: list[str] = []
    for record in records:
        if list(record) != header:
            header = list(record)
            print(f"\n| {' | '.join(header)} |\n|{' --- |' * len(header)}")
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in record.values()]
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
