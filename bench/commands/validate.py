"""``bench validate``: does a part of one's own keep the laws?"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from bench.commands.shared import Shared, settings, table

if TYPE_CHECKING:
    from bench.conformance import Verdict


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "validate", help="does a task, policy, reward model, labeler or query strategy keep the laws of its kind?"
    )
    made.add_argument(
        "parts",
        nargs="+",
        metavar="PART",
        help="package.module:Name, a module that registers components, or a name: labeler:bpref, mujoco/hopper@1",
    )
    made.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="K=V",
        help="a setting of the component, if not its default; repeatable",
    )
    made.add_argument("--json", action="store_true", help="print the verdicts as JSON")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Print a verdict for each law; 1 if any is broken."""
    from bench.conformance import apart

    chosen = settings(options.set)
    broken, found = 0, []
    for one in apart.check(options.parts, chosen):
        broken += sum(verdict.state == "broken" for verdict in one.laws)
        found.append(asdict(one))
        if not options.json:
            print(_table(f"{one.kind} {one.name}", one.laws), flush=True)
    if options.json:
        print(json.dumps({"schema": 1, "kept": not broken, "parts": found}, indent=1))
    return 1 if broken else 0


def _table(title: str, verdicts: list[Verdict]) -> str:
    broken = [verdict.law for verdict in verdicts if verdict.state == "broken"]
    said = f"broken: {', '.join(broken)}" if broken else "every law is kept"
    return f"{title}\n{table([[one.law, one.state, one.seen] for one in verdicts])}\n  {said}"
