"""``bench run --until-decided``: seeds for the comparisons that are open, and what was decided."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench import suite
from bench.commands.shared import deadline, table
from bench.decide import drive, sweep


def command(options: argparse.Namespace, execute: Callable[..., int]) -> int:
    """Run until decided, or with --dry-run say what is; 0, also where the time was not enough."""
    driver = drive.Driver(suite.load(options.suite), options.out, options.steps, options.labels)
    if options.dry_run:
        _show(driver, driver.state())
        return 0
    state, code = driver.run(lambda planned, end: execute(options, planned, end), deadline(options.hours))
    _show(driver, state)
    return code


def _show(driver: drive.Driver, state: sweep.Sweep | None) -> None:
    if state is None:
        print("nothing is decided: every arm needs its first seeds before the first look")
        return
    print(table(drive.rows(driver.decide, state)))
    looked = any(one.seeds for one in state.comparisons)
    if state.open:
        print(f"{len(state.open)} of {len(state.comparisons)} open: run it again, and it goes on")
    elif looked:
        print(drive.spared(driver, state))
