"""``bench list``: what a suite file can name."""

from __future__ import annotations

import argparse

from bench.commands.shared import Shared, table


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("list", help="suites, tasks, policies, labelers and query strategies")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """What a suite file can name."""
    from bench import suite, tracks
    from prefrl_core import registry

    suites = [suite.load(name) for name in suite.names()]
    parts = {
        "suites": [[one.name, f"{len(one)} runs", one.title] for one in suites],
        "tasks": [[name] for track in tracks.every() for name in track.tasks()],
        "policies": [[name] for name in registry.names("policy")],
        "labelers": [[name] for name in registry.names("labeler")],
        "query strategies": [[name] for name in registry.names("query")],
    }
    print("\n".join(f"{title}\n{table(rows)}" for title, rows in parts.items()))
    return 0
