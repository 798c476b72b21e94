"""Figures: how all are drawn, and the curves over training.

Drawn without pyplot (no global state) and saved without dates or random ids, so that the same runs give the same
bytes.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import PIL.Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench import stats
from bench.report import beside, results
from bench.report.data import Study
from bench.report.formats import count
from bench.report.names import slug
from bench.report.parallel import side_by_side
from bench.report.style import BLACK, LINES, Look, look, styled

_DPI = 200
COLUMN = 3.4  # inches: a column of a two-column paper
_TITLE = 36  # letters that fit above a panel
_CROWD = 8  # arms, from which on bands of all would hide each other
_THIN = 30  # lines of single seeds in a panel, above which they would hide the means


@dataclass(frozen=True)
class Image:
    """A figure as bytes, with what it shows in words (for those who do not see it)."""

    name: str
    alt: str
    png: bytes
    svg: bytes
    whole: bool = False  # all panels of a kind side by side, for papers


Legend = dict[str, tuple[Line2D, str]]  # by name: how it is drawn, and what the reader must know ("2 of 3 seeds")
Draw = Callable[[Axes], Legend]  # fills one panel


def looks(study: Study) -> dict[str, Look]:
    """Each arm's look: black for controls, the palette in the suite's order for the rest. Where all arms learn from the
    true reward, only the first is the control."""
    controls = {arm for (arm, _), cell in study.cells.items() if cell.spec.reward == "true"}
    black = [arm for arm in study.arms if arm in controls]
    if len(black) == len(study.arms):
        black = black[:1]
    rest = [arm for arm in study.arms if arm not in black]
    return {arm: Look(BLACK, LINES[i % len(LINES)], "*") for i, arm in enumerate(black)} | {
        arm: look(i) for i, arm in enumerate(rest)
    }


def banded(study: Study) -> frozenset[str]:
    """The arms that are drawn with their spread: all, or in a crowd the controls and the baseline."""
    if len(study.arms) < _CROWD:
        return frozenset(study.arms)
    return frozenset(arm for arm, look in looks(study).items() if look.color == BLACK or arm == study.baseline)


def learning(study: Study, curves: Mapping[str, Sequence[results.Curve]]) -> list[Image]:
    """True return against environment steps: a figure a task, and one of all."""
    panels = {study.task_names[t]: partial(_learning, study, t, drawn) for t, drawn in curves.items() if drawn}
    alt = "true return per episode against environment steps, one line an arm, with 95 % intervals over seeds"
    return images("curves", alt, panels)


def _learning(study: Study, task: str, curves: Sequence[results.Curve], axis: Axes) -> Legend:
    legend = _over_steps(study, task, curves, "True return per episode", axis)
    published = beside.curves(study.beside, task, "return")
    for index, (name, (steps, values)) in enumerate(published.items()):
        kept = sum(step <= study.total_steps(task) for step in steps)  # as far as our own go
        look = {"color": "#777777", "linestyle": LINES[-1 - index % len(LINES)], "marker": "x"}
        legend[name] = (axis.plot(steps[:kept], values[:kept], **look)[0], "")
    return legend


def accuracy(study: Study, curves: Mapping[str, Sequence[results.Curve]]) -> list[Image]:
    """Accuracy of the reward model on fresh pairs against environment steps."""
    panels = {study.task_names[t]: partial(_accuracy, study, t, drawn) for t, drawn in curves.items() if drawn}
    alt = "share of fresh pairs whose better side the reward model predicts, against environment steps"
    return images("accuracy", alt, panels)


def _accuracy(study: Study, task: str, curves: Sequence[results.Curve], axis: Axes) -> Legend:
    legend = _over_steps(study, task, curves, "Accuracy on fresh pairs", axis)
    lowest = min(float(np.nanmin(curve.runs)) for curve in curves)
    axis.set_ylim(min(0.45, lowest - 0.02), 1.0)
    return legend | {"chance": (level(axis, 0.5), "")}


def profiles(study: Study) -> list[Image]:
    """Performance profiles: the share of runs above each level of normalised return, one line an arm."""
    found = results.profiles(study)

    def draw(axis: Axes) -> Legend:
        axis.set(xlabel="Normalised return τ", ylabel="Share of runs above τ", ylim=(0, 1.02))
        return _lines(axis, study, found)

    alt = "share of runs whose normalised return is above each level, averaged over tasks, with 95 % intervals"
    return images("profiles", alt, {"All tasks": draw}) if found else []


def images(name: str, alt: str, panels: Mapping[str, Draw]) -> list[Image]:
    """One image a panel, and one of all side by side (last, named as the kind is)."""
    if not panels:
        return []
    calls = [partial(image, name, f"{', '.join(panels)}: {alt}.", panels)]  # the longest
    for panel, draw in panels.items() if len(panels) > 1 else ():
        calls.append(partial(image, _named(name, panel), f"{panel}: {alt}.", {panel: draw}))
    whole, *single = side_by_side(calls)
    if not single:  # the one panel is all of them
        (panel,) = panels
        single = [replace(whole, name=_named(name, panel))]
    return [*single, replace(whole, whole=True)]


def _named(name: str, panel: str) -> str:
    return f"{name}-{slug(panel)}"


def image(name: str, alt: str, panels: Mapping[str, Draw]) -> Image:
    """The panels side by side, with one legend."""
    columns = min(len(panels), 4)
    lines = -(-len(panels) // columns)
    with styled():
        figure = Figure(figsize=(COLUMN * columns, 2.5 * lines), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False)
        legends = []
        for axis, (panel, draw) in zip(axes.flat, panels.items(), strict=False):
            axis.set_title(textwrap.fill(panel, _TITLE), loc="left", fontweight="bold")
            legends.append(draw(axis))
        for axis in axes.flat[len(panels) :]:
            axis.set_axis_off()
        if legend := _merged(legends):
            _legend(figure, legend, COLUMN * columns)
        return Image(name, alt, *render(figure))


def _merged(legends: Sequence[Legend]) -> dict[str, Line2D]:
    """One legend for several panels, with a note in common or, where theirs differ, a general one."""
    merged = {}
    for name in dict.fromkeys(name for legend in legends for name in legend):
        handles = [legend[name] for legend in legends if name in legend]
        told = {note for _, note in handles}
        note = told.pop() if len(told) == 1 else "some seeds missing"
        merged[f"{name} ({note})" if note else name] = handles[0][0]
    return merged


def _legend(figure: Figure, legend: Mapping[str, Line2D], width: float) -> None:
    """Below the panels, where it covers no data; the figure grows by its height."""
    columns = max(n for n in range(1, len(legend) + 1) if n == 1 or _legend_width(list(legend), n) <= width)
    rows = -(-len(legend) // columns)
    figure.set_size_inches(figure.get_figwidth(), figure.get_figheight() + 0.17 * rows)
    figure.legend(
        list(legend.values()),
        list(legend),
        loc="outside lower center",
        ncols=columns,
        handlelength=2.8,
        columnspacing=1.2,
    )


def _legend_width(labels: Sequence[str], columns: int) -> float:
    """About how many inches a legend takes; like Matplotlib's, the first columns take what is left over."""
    filled = np.array_split(np.array([len(label) for label in labels]), columns)
    return float(sum(0.5 + 0.063 * max(lengths, default=0) for lengths in filled))


def _over_steps(study: Study, task: str, curves: Sequence[results.Curve], label: str, axis: Axes) -> Legend:
    axis.set(xlabel="Environment steps", ylabel=label, xlim=(0, study.total_steps(task)))
    axis.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    axis.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    return _lines(axis, study, curves)


def _lines(axis: Axes, study: Study, curves: Sequence[results.Curve]) -> Legend:
    """Means; of the arms that are ``banded`` their bands and, faint, every seed, where these are not too many."""
    styles, spread, legend = looks(study), banded(study), Legend()
    thin = sum(len(curve.runs) for curve in curves if curve.arm in spread) <= _THIN
    for index, curve in enumerate(curves):
        look = styles[curve.arm]
        if curve.arm in spread:
            if thin:
                axis.plot(curve.x, curve.runs.T, color=look.color, linewidth=0.6, alpha=0.4)
            band(axis, curve.x, curve.low, curve.high, look.color)
        points = np.flatnonzero(np.isfinite(curve.mean))
        every = max(len(points) // 6, 1)
        marked = points[index * every // len(curves) :: every].tolist()  # staggered: markers do not pile up
        (line,) = axis.plot(curve.x, curve.mean, **vars(look), markevery=marked)
        legend[curve.arm] = (line, curve.note)
    return legend


def band(axis: Axes, x: stats.Array, low: stats.Array, high: stats.Array, color: str) -> None:
    """An interval around a line, where there is one."""
    if np.isfinite([low, high]).any():
        axis.fill_between(x, low, high, color=color, alpha=0.15, linewidth=0)


def level(axis: Axes, value: float) -> Line2D:
    """A level that is no measurement of an arm."""
    return axis.axhline(value, color="#666666", linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)


def render(figure: Figure, colors: int = 128) -> tuple[bytes, bytes]:
    """A figure as PNG with so many colors, which do for lines (at most 256, for gradients), and as SVG."""
    png = _bytes(figure, "png", colors)
    figure.set_layout_engine("none")  # laid out by now; a second time would cost as much again
    return png, _bytes(figure, "svg")


def _bytes(figure: Figure, kind: str, colors: int = 0) -> bytes:
    file = io.BytesIO()
    nothing = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    figure.savefig(file, format=kind, dpi=_DPI, metadata=nothing)
    return _of_few_colors(file, colors) if colors else file.getvalue()


def _of_few_colors(png: io.BytesIO, colors: int) -> bytes:
    """The same picture with a palette: a third of the size, and no difference that one sees."""
    picture = PIL.Image.open(png).convert("RGB").quantize(colors, dither=PIL.Image.Dither.NONE)
    file = io.BytesIO()
    picture.save(file, "png", dpi=(_DPI, _DPI), optimize=True)
    return file.getvalue()
