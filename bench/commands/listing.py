"""``bench list``: what a suite file can name."""

from __future__ import annotations

import argparse

from bench.commands.shared import Shared, table
from prefrl_core.errors import UserError


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("list", help="suites, tasks, policies, reward models, labelers and query strategies")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """What a suite file can name."""
    from bench import suite, tracks
    from prefrl_core import registry

    parts = {
        "suites": [_suite(name) for name in suite.names()],
        "tasks": [[name] for track in tracks.every() for name in track.tasks()],
        "policies": [[name] for name in registry.names("policy")],
        "reward models": [[name] for name in registry.names("reward")],
        "labelers": [[name] for name in registry.names("labeler")],
        "query strategies": [[name] for name in registry.names("query")],
    }
    print("\n".join(f"{title}\n{table(rows)}" for title, rows in parts.items()))
    return 0


def _suite(name: str) -> list[str]:
    """Its name, runs and title, or why it cannot be run here."""
    from bench import suite

    try:
        one = suite.load(name)
    except UserError as error:
        return [name, "-", str(error)]
    return [one.name, f"{len(one)} runs", one.title]
