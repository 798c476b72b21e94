"""``python -m bench``: list what there is, run a suite, report it, show one run.

What a command needs is imported when it is run, so that asking for help costs nothing. A ``UserError`` is one line
on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrl_core.errors import UserError

if TYPE_CHECKING:
    from bench.store import Run
    from bench.suite import Planned

_CURVE = (60, 10)  # columns and lines of the curve that `show` draws


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = parser().parse_args(arguments)
    options.words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.strerror or error}: {error.filename or 'no file named'}")
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    made = argparse.ArgumentParser(
        prog="python -m bench", description="Run suites of experiments, and show what came out."
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    out = argparse.ArgumentParser(add_help=False)
    out.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="results folder (default: runs)")
    suite = argparse.ArgumentParser(add_help=False, parents=[out])
    suite.add_argument("suite", metavar="SUITE", help="a suite's name, or the path of a .toml file")
    suite.add_argument("--seeds", type=_positive, metavar="N", help="so many seeds instead of the suite's")
    suite.add_argument("--steps", type=_positive, metavar="N", help="steps of every run instead of the suite's")
    suite.add_argument(
        "--only", action="append", default=[], metavar="K=V", help="only what matches task=, arm= or seed=; repeatable"
    )
    lists = commands.add_parser("list", help="suites, tasks, policies, labelers and query strategies")
    lists.set_defaults(command=list_command)
    run = commands.add_parser("run", parents=[suite], help="execute what is missing of a suite")
    run.add_argument("--workers", type=_positive, metavar="N", help="processes at a time (default: one a core)")
    run.add_argument("--dry-run", action="store_true", help="print the runs and their state, and do nothing")
    run.set_defaults(command=run_command)
    report = commands.add_parser("report", parents=[suite], help="figures and tables of a suite, as one page")
    report.add_argument("--to", type=Path, metavar="DIR", help="folder of the report (default: in the results folder)")
    report.set_defaults(command=report_command)
    show = commands.add_parser("show", parents=[out], help="what one run is and how it went")
    show.add_argument("run", metavar="RUN", help="a run's key, or the beginning of it")
    show.set_defaults(command=show_command)
    return made


def list_command(options: argparse.Namespace) -> int:
    """What a suite file can name."""
    from bench import suite
    from prefrl_core import registry, tasks

    suites = [suite.load(name) for name in suite.names()]
    parts = {
        "suites": [[one.name, f"{len(one)} runs", one.title] for one in suites],
        "tasks": [[name] for name in tasks.names()],
        "policies": [[name] for name in registry.names("policy")],
        "labelers": [[name] for name in registry.names("labeler")],
        "query strategies": [[name] for name in registry.names("query")],
    }
    print("\n".join(f"{title}\n{_table(rows)}" for title, rows in parts.items()))
    return 0


def run_command(options: argparse.Namespace) -> int:
    """Execute a suite, or say what would be."""
    planned = _planned(options)[1]
    if options.dry_run:
        print(_plan_table(planned, options.out))
        return 0
    from bench import progress, runner

    live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    workers = options.workers or runner.cores()
    return runner.execute(planned, options.out, workers, progress.Live if live else progress.Plain)


def report_command(options: argparse.Namespace) -> int:
    """Write a suite's report and print where it is."""
    suite, planned = _planned(options)
    from bench.report import write_report

    to = options.to or options.out / f"report-{suite.name}"
    print(write_report(suite, planned, options.out, to, f"python -m bench {shlex.join(options.words)}"))
    return 0


def show_command(options: argparse.Namespace) -> int:
    """Print one run."""
    from bench import store

    print(describe(store.find(options.out, options.run)))
    return 0


def describe(run: Run) -> str:
    """A run as text: its spec, state, provenance, curve and last row."""
    sections = [
        ("run", [["key", run.key], ["status", run.status], *([["error", run.error]] if run.error else [])]),
        ("spec", _pairs(run.spec)),
        ("versions", _pairs(run.versions)),
        ("provenance", _pairs(run.provenance)),
        ("finished", _pairs(run.done)),
    ]
    rows = run.rows
    arrays = run.comparisons()
    sections += [
        ("comparisons", [["recorded", max((len(array) for array in arrays.values() if array.ndim), default=0)]]),
        ("last row", _pairs(rows[-1] if rows else {})),
    ]
    text = "\n".join(f"{title}\n{_table(lines)}" for title, lines in sections if lines)
    points = [(row["step"], row["true_return"]) for row in rows if row.get("true_return") is not None]
    return f"{text}\n{curve(points)}" if points else text


def curve(points: Sequence[tuple[float, float]]) -> str:
    """True return against steps: the mean of the points that fall into each column."""
    columns, lines = _CURVE
    last = max(step for step, _ in points)
    bins: dict[int, list[float]] = {}
    for step, value in points:
        bins.setdefault(min(int(step / last * columns), columns - 1), []).append(value)
    means = {column: sum(values) / len(values) for column, values in bins.items()}
    low, high = min(means.values()), max(means.values())
    heights = {x: round((y - low) / (high - low) * (lines - 1)) if high > low else 0 for x, y in means.items()}
    labels = {lines - 1: f"{high:.1f}", 0: f"{low:.1f}"}
    drawn = ["true return"]
    for height in reversed(range(lines)):
        dots = "".join("*" if heights.get(x) == height else " " for x in range(columns))
        drawn.append(f"{labels.get(height, ''):>10} |{dots}".rstrip())
    return "\n".join([*drawn, f"{'':>10} +{'-' * columns}", f"{'0':>12}{f'{last:,} steps':>{columns}}"])


def _planned(options: argparse.Namespace) -> tuple[Any, list[Planned]]:
    from bench import suite

    loaded = suite.load(options.suite)
    return loaded, loaded.runs(options.seeds, options.steps, options.only)


def _plan_table(planned: Sequence[Planned], out: Path) -> str:
    from bench import store

    rows: list[list[Any]] = [["key", "task", "arm", "seed", "steps", "labels", "status"]]
    for one in planned:
        run = store.Run(out / one.key)
        rows.append([one.key, one.task, one.arm, one.seed, f"{one.spec.total_steps:,}", one.spec.labels, run.status])
    return _table(rows)


def _pairs(values: dict[str, Any], prefix: str = "") -> list[list[Any]]:
    """Name and value a line, nested tables as ``outer.inner``."""
    pairs = []
    for name, value in values.items():
        pairs += _pairs(value, f"{prefix}{name}.") if isinstance(value, dict) else [[prefix + name, value]]
    return pairs


def _table(rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns, indented."""
    cells = [[str(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in cells)


def _complain(text: str) -> int:
    print(f"bench: {' '.join(text.split())}", file=sys.stderr)
    return 2


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number
