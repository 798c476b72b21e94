"""Predicted against true return of segments: the picture that tells whether reward learning worked, and where not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bench import stats
from bench.report.data import Study
from bench.report.figures import Draw, Image, Legend, image, images, looks
from bench.report.style import Look, look

ALT = "predicted against true return of fresh segments that nobody was asked about"
_PERIODS = 4  # of training, in the picture of one run


def of_suite(study: Study) -> list[Image]:
    """The last quarter of training, a panel a task and a colour an arm: its first seed that kept its segments."""
    panels = {study.task_names[task]: draw for task in study.tasks if (draw := _of_task(study, task))}
    return images("agreement", f"{ALT}, last quarter of training", panels)


def _of_task(study: Study, task: str) -> Draw | None:
    late = {}
    for arm, cell in study.of_task(task):
        if arrays := next((kept for run in cell.finished if (kept := run.segments)), None):
            late[arm] = _between(arrays, 0.75, 1.0, cell.spec.total_steps)
    drawn = {arm: points for arm, points in late.items() if len(points[0])}
    return partial(_cloud, drawn, looks(study)) if drawn else None


def of_run(arrays: Mapping[str, stats.Array], total_steps: int) -> Image | None:
    """One run, a panel a period of training; None where it has no segments."""
    panels: dict[str, Draw] = {}
    for name, true, predicted in _periods(arrays, total_steps):
        if len(true):
            told = f"{name}: r = {correlation(true, predicted):.2f}"
            panels[told] = partial(_cloud, {"": (true, predicted)}, {"": look(0)})
    if not panels:
        return None
    return image("agreement", f"{', '.join(panels)}: {ALT}.", panels)


def correlations(arrays: Mapping[str, stats.Array], total_steps: int) -> dict[str, float]:
    """Pearson's correlation of predicted and true returns in each period of training, by the period's name."""
    return {name: correlation(true, predicted) for name, true, predicted in _periods(arrays, total_steps)}


def _periods(arrays: Mapping[str, stats.Array], total: int) -> Iterator[tuple[str, stats.Array, stats.Array]]:
    for period in range(_PERIODS if arrays else 0):
        low, high = period / _PERIODS, (period + 1) / _PERIODS
        yield f"{low:.0%} to {high:.0%}", *_between(arrays, low, high, total)


def correlation(true: stats.Array, predicted: stats.Array) -> float:
    """Pearson's; NaN where one of them does not vary."""
    varied = len(true) > 1 and np.std(true) > 0 and np.std(predicted) > 0
    return float(np.corrcoef(true, predicted)[0, 1]) if varied else float("nan")


def _between(arrays: Mapping[str, stats.Array], low: float, high: float, total: int) -> tuple[stats.Array, stats.Array]:
    """True and predicted returns of the segments seen between two shares of the run's steps."""
    share = np.asarray(arrays["step"]) / total
    rows = (share > low) & (share <= high)
    return np.asarray(arrays["true"], float)[rows], np.asarray(arrays["predicted"], float)[rows]


def _cloud(clouds: Mapping[str, tuple[stats.Array, stats.Array]], styles: Mapping[str, Look], axis: Axes) -> Legend:
    axis.set(xlabel="True return of a segment", ylabel="Predicted return")
    axis.xaxis.set_major_locator(MaxNLocator(5))
    pen: Any = {"linestyle": "", "markersize": 3, "alpha": 0.5, "rasterized": True}
    drawn = {
        name: axis.plot(*both, color=styles[name].color, marker=styles[name].marker, **pen)[0]
        for name, both in clouds.items()
    }
    return {name: (points, "") for name, points in drawn.items() if name}
