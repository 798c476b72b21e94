"""``bench show``: what one run is and how it went."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.commands.shared import Shared, pairs, table
from prefrl_core.errors import UserError

if TYPE_CHECKING:
    from bench.store import Run

_CURVE = (60, 10)  # columns and lines of the curve


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser], shared: Shared) -> None:
    """The command and its options."""
    made = commands.add_parser(
        "show", parents=[shared.out], help="print one run: settings, origin, curve and comparisons"
    )
    made.add_argument("run", metavar="RUN", help="a run's key, or the beginning of it")
    made.add_argument("--picture", type=Path, metavar="FILE", help="draw predicted against true reward (.png or .svg)")
    made.add_argument(
        "--video", type=Path, metavar="FILE", help="film the trained agent (.mp4), its predicted reward below"
    )
    made.add_argument(
        "--saliency",
        type=Path,
        metavar="FILE",
        help="draw what a reward model over pixels attends to in the trained agent's play (.png or .svg)",
    )
    made.set_defaults(command=command)


def command(options: argparse.Namespace) -> int:
    """Print one run."""
    from bench import store

    run = store.find(options.out, options.run)
    print(describe(run))
    if options.picture:
        draw(run, options.picture)
    if options.video:
        film(run, options.video)
    if options.saliency:
        attend(run, options.saliency)
    return 0


def film(run: Run, to: Path) -> None:
    """What the agent has learned to do, as a clip.

    Raises:
        UserError: the run cannot be filmed, or the file's name is not that of a clip.
    """
    from bench import files, video

    if to.suffix != ".mp4":
        raise UserError(f"--video {to}: give a name that ends in .mp4")
    data, told = video.of_run(run)
    files.write_to(to, data)
    print(f"{to}: {told}")


def draw(run: Run, to: Path) -> None:
    """Predicted against true return of segments over training, as a picture.

    Raises:
        UserError: the run has no predictions to draw, or the file's name is not that of a picture.
    """
    from bench import files, tracks
    from bench.report import agreement

    tracks.require_environment(run.spec["task"], "bench show --picture")
    _require_picture("--picture", to)
    run.require_file("segments.safetensors")
    made = agreement.of_run(run.segments(), run.spec["total_steps"])
    if made is None:
        raise UserError(
            f"run {run.key} has no predictions to draw: it is not finished, or learned from the true reward"
        )
    files.write_to(to, made.png if to.suffix == ".png" else made.svg)
    print(f"{to}: predicted against true return of segments, over training")


def attend(run: Run, to: Path) -> None:
    """What the reward model attends to, as a strip of frames with a map under each.

    Raises:
        UserError: the task has no pixels, there is no reward model or no checkpoint, or the file's name is not that of
            a picture.
    """
    from bench import files, saliency

    _require_picture("--saliency", to)
    made, told = saliency.of_run(run)
    files.write_to(to, made.png if to.suffix == ".png" else made.svg)
    print(f"{to}: {told}")


def _require_picture(option: str, to: Path) -> None:
    if to.suffix not in (".png", ".svg"):
        raise UserError(f"{option} {to}: give a name that ends in .png or .svg")


def describe(run: Run) -> str:
    """A run as text: its spec, state, provenance, curve and last row."""
    from bench import tracks

    sections = [
        ("run", [["key", run.key], ["status", run.status], *([["error", run.error]] if run.error else [])]),
        ("spec", pairs(run.spec)),
        ("versions", pairs(run.versions)),
        ("provenance", pairs(run.provenance)),
        ("finished", pairs(run.done)),
    ]
    rows = run.rows
    sections += [
        ("comparisons", [["recorded", len(run.comparisons().get("mu", ()))]]),
        ("predicted against true return of segments (correlation)", _agreement(run)),
        ("people", _people(run)),
        ("last row", pairs(rows[-1] if rows else {})),
    ]
    text = "\n".join(f"{title}\n{table(lines)}" for title, lines in sections if lines)
    outcome = tracks.of(run.spec["task"]).outcome
    points = [(row["step"], row[outcome]) for row in rows if row.get(outcome) is not None]
    return f"{text}\n{curve(points, outcome.replace('_', ' '))}" if points else text


def _people(run: Run) -> list[list[Any]]:
    """Who taught it, a line each."""
    from bench.answers.people import sitting

    if (found := sitting(run.folder)) is None:
        return []
    lines: list[list[Any]] = []
    for one in found.people:
        right = f"right: {_percent(one.accuracy)} (catches: {_percent(one.caught)})"
        lines.append([one.name, f"{one.answers} answers, {one.seconds:.1f} s each, {right}"])
    return [*lines, ["Krippendorff's alpha", f"{found.alpha:.2f}"]] if found.alpha is not None else lines


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _agreement(run: Run) -> list[list[Any]]:
    """Period of training and correlation a line."""
    if not len((arrays := run.segments()).get("step", ())):
        return []
    from bench.report import agreement

    return [[when, f"{value:.2f}"] for when, value in agreement.correlations(arrays, run.spec["total_steps"]).items()]


def curve(points: Sequence[tuple[float, float]], title: str = "true return") -> str:
    """A value against steps: the mean of the points that fall into each column."""
    columns, lines = _CURVE
    last = max(step for step, _ in points) or 1
    bins: dict[int, list[float]] = {}
    for step, value in points:
        bins.setdefault(min(int(step / last * columns), columns - 1), []).append(value)
    means = {column: sum(values) / len(values) for column, values in bins.items()}
    low, high = min(means.values()), max(means.values())
    heights = {x: round((y - low) / (high - low) * (lines - 1)) if high > low else 0 for x, y in means.items()}
    labels = {lines - 1: f"{high:.1f}", 0: f"{low:.1f}"}
    drawn = [title]
    for height in reversed(range(lines)):
        dots = "".join("*" if heights.get(x) == height else " " for x in range(columns))
        drawn.append(f"{labels.get(height, ''):>10} |{dots}".rstrip())
    return "\n".join([*drawn, f"{'':>10} +{'-' * columns}", f"{'0':>12}{f'{last:,} steps':>{columns}}"])
