"""Normalised returns of arms (rows) on tasks (columns) as a map, each value printed in its field."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bench import stats
from bench.report import comparison, results
from bench.report.data import Study
from bench.report.figures import Image, render
from bench.report.formats import NONE, number
from bench.report.style import styled

_LOW, _HIGH = 0.0, 1.2  # ends of the colour scale; what lies beyond has the end's colour


def heatmap(study: Study) -> list[Image]:
    """The map; none where the suite names no arm to compare with."""
    made = heat(study)
    if made is None:
        return []
    arms, tasks, values = made
    colours = mpl.colormaps["cividis"]
    with styled():
        figure = Figure(figsize=(1.9 + 0.95 * len(tasks), 0.75 + 0.3 * len(arms)), layout="constrained")
        axis = figure.subplots()
        axis.grid(False)
        drawn = axis.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=_LOW, vmax=_HIGH, aspect="auto")
        axis.set_xticks(range(len(tasks)), tasks)
        axis.set_yticks(range(len(arms)), [f"{arm} (baseline)" if arm == study.baseline else arm for arm in arms])
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        if len(tasks) > 1:
            axis.axvline(len(tasks) - 1.5, color="white", linewidth=3)
        for (row, column), value in np.ndenumerate(values):
            dark = not np.isfinite(value) or value > (_LOW + _HIGH) / 2
            text = number(value, 1.0) if np.isfinite(value) else NONE
            axis.text(column, row, text, ha="center", va="center", color="black" if dark else "white")
        figure.colorbar(drawn, ax=axis, label="Normalised return", extend="both", shrink=0.9)
        png, svg = render(figure, 256)
    alt = f"normalised return of {len(arms)} arms on {', '.join(tasks)}, printed in each field"
    return [Image("heatmap", f"Map of the {alt}.", png, svg)]


def heat(study: Study) -> tuple[list[str], list[str], stats.Array] | None:
    """Arms, task names and mean normalised returns ``(arms, tasks + 1)``, the last column the mean of all tasks where
    there are several; NaN where there is none. None where the suite names no baseline."""
    arms, tasks = comparison.learned_arms(study), list(study.normalisable)
    if study.baseline not in arms or not tasks:
        return None
    found = [[results.normalised(study, t, arm).value if study.has(arm, t) else np.nan for t in tasks] for arm in arms]
    values = np.array(found)
    names = [study.task_names[task] for task in tasks]
    if len(tasks) == 1:
        return arms, names, values
    return arms, [*names, "Mean"], np.column_stack([values, values.mean(axis=1)])
