"""``bench verify``: make runs anew from their specs, and say whether the metrics are the same bytes."""

from __future__ import annotations

import argparse
import re

from bench.commands.shared import Shared, table, whole
from bench.text import short
from prefrl_core.errors import require


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "verify", parents=[shared.out, shared.narrow], help="make runs anew from their specs and compare the bytes"
    )
    made.add_argument("what", metavar="RUN|SUITE", help="a run's key or the beginning of it, or a suite")
    made.add_argument(
        "--sample", type=whole(1, 10**6), metavar="N", help="number of finished runs to verify (default: all)"
    )
    made.add_argument("--draw", type=whole(0, 2**53), default=0, metavar="SEED", help="seed of the sample (default: 0)")
    made.add_argument("--workers", type=whole(1, 4096), metavar="N", help="processes at a time (default: one per core)")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """0: every run came out the same; 1: one did not; 2: for one it cannot be told here."""
    from bench import progress, resources, store, suite, verify

    if options.what in suite.names() or not re.fullmatch("[0-9A-Fa-f]{1,16}", options.what):
        planned = suite.load(options.what).runs(options.seeds, options.steps, options.only, options.labels)
        runs = verify.sample([store.Run(options.out / one.key) for one in planned], options.sample, options.draw)
    else:
        for name in ("seeds", "steps", "labels", "only", "sample"):
            require(not getattr(options, name), f"--{name} chooses runs of a suite: {short(options.what)} is one run")
        runs = verify.sample([store.find(options.out, options.what)], None)
    verdicts = list(verify.verify(runs, options.workers or resources.cores(), progress.Plain))
    words = {True: "same bytes", False: "DIFFERS", None: "cannot tell"}
    print(table([[words[one.same], one.run.key, one.what] for one in verdicts]))
    same = sum(one.same is True for one in verdicts)
    print(f"{same} of {len(verdicts)} runs came out the same, byte by byte")
    return 1 if any(one.same is False for one in verdicts) else 0 if same == len(verdicts) else 2
