"""What several commands share: options, the plan of a suite, text in columns."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrl_core.errors import UserError

if TYPE_CHECKING:
    from bench.suite import Planned, Suite


@dataclass(frozen=True)
class Shared:
    """Options that several commands have, to be given to ``add_parser`` as ``parents``."""

    out: argparse.ArgumentParser  # --out
    narrow: argparse.ArgumentParser  # --seeds, --steps, --labels and --only: which of a suite's runs
    suite: argparse.ArgumentParser  # SUITE, --out and what narrows it down

    @classmethod
    def make(cls) -> Shared:
        out = argparse.ArgumentParser(add_help=False)
        out.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="results folder (default: runs)")
        narrow = argparse.ArgumentParser(add_help=False)
        narrow.add_argument("--seeds", type=positive, metavar="N", help="so many seeds instead of the suite's")
        narrow.add_argument("--steps", type=positive, metavar="N", help="steps of every run instead of the suite's")
        narrow.add_argument("--labels", type=positive, metavar="N", help="labels of every run that asks for any")
        narrow.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="K=V",
            help="only what matches task=, arm= or seed=; repeatable",
        )
        suite = argparse.ArgumentParser(add_help=False, parents=[out, narrow])
        suite.add_argument("suite", metavar="SUITE", help="a suite's name, or the path of a .toml file")
        return cls(out, narrow, suite)


def plan(options: argparse.Namespace) -> tuple[Suite, list[Planned]]:
    """The suite that the options name, and its runs."""
    from bench import suite

    loaded = suite.load(options.suite)
    return loaded, loaded.runs(options.seeds, options.steps, options.only, options.labels)


def pairs(values: dict[str, Any], prefix: str = "") -> list[list[Any]]:
    """Name and value a line, nested tables as ``outer.inner``."""
    found = []
    for name, value in values.items():
        found += pairs(value, f"{prefix}{name}.") if isinstance(value, dict) else [[prefix + name, value]]
    return found


def table(rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns, indented."""
    cells = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def positive(text: str) -> int:
    """A whole number above 0, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """What ``--set`` was given, each ``name=value``."""
    return dict(setting(text) for text in texts)


def setting(text: str) -> tuple[str, Any]:
    """``name=value``, the value as in a suite file; a bare word is a text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {text!r}: write name=value, as in --set mistake=0.1")
    try:
        return name.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value
