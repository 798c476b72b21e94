"""Normalised returns of arms (rows) on tasks (columns) as a map, each value printed in its field."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from bench.report import comparison
from bench.report.data import Study
from bench.report.figures import Image, render
from bench.report.formats import NONE, number
from bench.report.style import styled

_LOW, _HIGH = 0.0, 1.2  # ends of the colour scale; what lies beyond has the end's colour


def heatmap(study: Study) -> list[Image]:
    """The map; none where the suite names no arm to compare with."""
    made = comparison.heat(study)
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
        axis.axvline(len(tasks) - 1.5, color="white", linewidth=3)
        for (row, column), value in np.ndenumerate(values):
            dark = not np.isfinite(value) or value > (_LOW + _HIGH) / 2
            text = number(value, 1.0) if np.isfinite(value) else NONE
            axis.text(column, row, text, ha="center", va="center", color="black" if dark else "white")
        figure.colorbar(drawn, ax=axis, label="Normalised return", extend="both", shrink=0.9)
        png, svg = render(figure)
    alt = f"normalised return of {len(arms)} arms on {', '.join(tasks)}, printed in each field"
    return [Image("heatmap", f"Map of the {alt}.", png, svg)]
