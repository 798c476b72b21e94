"""What several commands share: options, the plan of a suite, text in columns."""

from __future__ import annotations

import argparse
import math
import re
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bench.text import printable, short
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
        out.add_argument(
            "--out", type=folder, default=Path("runs"), metavar="DIR", help="results folder (default: runs)"
        )
        narrow = argparse.ArgumentParser(add_help=False)
        narrow.add_argument(
            "--seeds", type=whole(1, 10_000), metavar="N", help="number of seeds (default: the suite's)"
        )
        narrow.add_argument(
            "--steps", type=whole(1, 10**12), metavar="N", help="steps of every run (default: the suite's)"
        )
        narrow.add_argument(
            "--labels", type=whole(1, 10**9), metavar="N", help="labels of every run that asks for labels"
        )
        narrow.add_argument(
            "--only",
            action="append",
            default=[],
            metavar="K=V",
            help="only runs that match task=, arm= or seed=; repeatable",
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
    cells = [[printable(str(value)).replace("\n", "\\n") for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def folder(text: str) -> Path:
    """A folder's name, for argparse; an empty one, as of a variable that is not set, would be the current folder."""
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty: write . for the current one")
    return Path(text)


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number from ``low`` to ``high``, for argparse."""

    def parse(text: str) -> int:
        digits = re.fullmatch(r"[+-]?[0-9](_?[0-9]){0,17}", text.strip())
        if not digits or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{short(text)} is not a whole number from {low} to {high:,}")
        return int(text)

    return parse


def real(low: float, high: float) -> Callable[[str], float]:
    """A finite number from ``low`` to ``high``, for argparse."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"{short(text)} is not a number from {low:g} to {high:g}")
        return number

    return parse


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (see {self.prog} --help)")


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """What ``--set`` was given, each ``name=value``."""
    return dict(setting(text) for text in texts)


def setting(text: str) -> tuple[str, Any]:
    """``name=value``, the value as in a suite file; a bare word is a text."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {text!r}: write name=value, as in --set mistake=0.1")
    try:
        table = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return name.strip(), value
    if len(table) > 1:
        raise UserError(f"--set {short(text)}: give one setting at a time")
    return name.strip(), table["value"]


def deadline(hours: float | None) -> float:
    """The time of time.monotonic so many hours from now; infinity for None."""
    return math.inf if hours is None else time.monotonic() + 3600 * hours
