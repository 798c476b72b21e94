"""``bench list``: what a suite file can name."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bench.commands.shared import Shared, table
from prefrl_core.errors import UserError

if TYPE_CHECKING:
    from prefrl_core.registry import Kind

_TITLES: dict[Kind, str] = {
    "policy": "policies",
    "reward": "reward models",
    "labeler": "labelers",
    "query": "query strategies",
}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser("list", help="suites, tasks, policies, reward models, labelers and query strategies")
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """What a suite file can name."""
    from bench import suite, tracks
    from prefrl_core import registry, tasks

    broken = tasks.loaded()[1]
    parts = {
        "suites": [_suite(name) for name in suite.names()],
        "tasks": [[name] for track in tracks.every() for name in track.tasks()],
    }
    for kind, title in _TITLES.items():
        sound, unsound = registry.loaded(kind)
        parts[title] = [[name] for name in sound]
        broken |= unsound
    if broken:
        parts["parts of other packages that cannot be loaded"] = [[name, why] for name, why in broken.items()]
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
