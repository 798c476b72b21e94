"""Figures of feedback efficiency: return against the number of labels, with the level of the true reward, where each
series crosses 90 % of it, and published values beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from bench import stats
from bench.report import published, results
from bench.report.data import Series, Study
from bench.report.figures import Draw, Image, Legend, images, level
from bench.report.style import BLACK, Look, look
from bench.report.tables import ALL_TASKS


def feedback(study: Study) -> list[Image]:
    """Return against the number of labels: a figure a task, one of the aggregate, and one of all."""
    if not study.sweeps_labels:
        return []
    panels = {study.task_names[task]: draw for task in study.tasks if (draw := _feedback(study, [task]))}
    if len(study.normalisable) > 1 and (draw := _feedback(study, study.normalisable)):
        panels[ALL_TASKS] = draw
    alt = "return at the end of training against the number of labels, with the level of the true reward"
    return images("feedback", alt, panels)


def _feedback(study: Study, tasks: Sequence[str]) -> Draw | None:
    """Normalised return against labels, of several tasks in all; the raw return where a task cannot be normalised."""
    known = set(tasks) <= set(study.normalisable)
    whole: list[Series] = []
    lines: dict[str, dict[int, stats.Estimate]] = {}
    for series in study.series:
        points = {
            labels: results.score(study, arm, tasks) if known else results.final_estimate(study, arm, tasks[0])
            for labels, arm in study.budgets(series, tasks).items()
            if study.has(arm, *tasks)
        }
        if points:
            whole.append(series)
            lines[series.label] = points
    theirs = published.normalised(tasks[0]) if known and len(tasks) == 1 and published.known(tasks[0]) else {}
    more: Draw = partial(_beside, study, whole, tasks, theirs) if known else lambda axis: {}
    name = "Normalised return" if known else "True return per episode"
    return partial(over_labels, lines, "Labels", name, more, _looks(study), theirs) if lines else None


def _looks(study: Study) -> dict[str, Look]:
    """Each series by its place in the suite: the same in all panels, whatever is finished."""
    return {series.label: look(index) for index, series in enumerate(study.series)}


def _beside(
    study: Study, drawn: Sequence[Series], tasks: Sequence[str], theirs: Mapping[int, float], axis: Axes
) -> Legend:
    """Published values, where each series crosses 90 % of the true reward, and its level."""
    legend = Legend()
    if theirs:
        look_of: Any = {"color": "#777777", "linestyle": (0, (4, 2)), "marker": "x", "zorder": 2}
        (line,) = axis.plot(list(theirs), list(theirs.values()), **look_of)
        legend[f"published ({published.SOURCE})"] = (line, "")
    looks = _looks(study)
    for series in drawn:
        _crossing(axis, study, series, tasks, looks[series.label])
    legend["true reward"] = (axis.axhline(1.0, color=BLACK, linewidth=1.2, zorder=1.5), "")
    legend["90 % of it"] = (level(axis, results.SHARE), "")
    axis.set_ylim(min(0.0, axis.get_ylim()[0]), max(1.1, axis.get_ylim()[1]))
    return legend


def over_labels(
    lines: Mapping[str, Mapping[int, stats.Estimate]],
    unit: str,
    name: str,
    more: Draw,
    styles: Mapping[str, Look],
    budgets: Iterable[int],
    axis: Axes,
) -> Legend:
    """Estimates with their intervals by number of labels, lines side by side at one budget, and what ``more`` draws;
    ``budgets`` are marked on the axis as well."""
    legend = Legend()
    for index, (label, points) in enumerate(lines.items()):
        shift = 1.05 ** (index - (len(lines) - 1) / 2)
        legend[label] = (_points_line(axis, points, styles.get(label) or look(len(styles) + index), shift), "")
    legend |= more(axis)
    _label_axis(axis, {labels for points in lines.values() for labels in points}, set(budgets))
    axis.set(xlabel=f"{unit} (log scale)", ylabel=name)
    return legend


def _crossing(axis: Axes, study: Study, series: Series, tasks: Sequence[str], look: Look) -> None:
    """Where a series first reaches the share of the true reward, and between which labels that lies: a bracket."""
    found = results.feedback_efficiency(study, series, tasks)
    if found is None or not np.isfinite(found.reach[results.SHARE].value) or len(found.budgets) == 1:
        return
    reach = found.reach[results.SHARE]
    if np.isfinite(reach.low):  # else there are too few seeds to tell
        ends, level = np.clip([reach.low, reach.high], found.budgets[0], found.budgets[-1]), [results.SHARE] * 2
        axis.plot(ends, level, color=look.color, linewidth=3, alpha=0.35, solid_capstyle="butt", zorder=1.6)
    axis.plot(reach.value, results.SHARE, marker="|", markersize=9, markeredgewidth=1.6, color=look.color)


def _points_line(axis: Axes, points: Mapping[int, stats.Estimate], look: Look, shift: float) -> Line2D:
    """Estimates by number of labels, with their intervals; ``shift`` keeps lines beside one another apart."""
    x = np.array(list(points)) * shift
    value, low, high = (np.array([getattr(p, end) for p in points.values()]) for end in ("value", "low", "high"))
    spread = np.where(np.isfinite([low, high]), np.abs(np.array([low, high]) - value), 0)
    axis.errorbar(x, value, spread, fmt="none", ecolor=look.color, elinewidth=1, capsize=2.5)
    (line,) = axis.plot(x, value, **vars(look))
    return line


def _label_axis(axis: Axes, own: set[int], others: set[int]) -> None:
    """A logarithmic axis with a mark at each budget, and its number where there is room: the lines' own first."""
    axis.set_xscale("log")
    budgets = sorted(own | others)
    room = (budgets[-1] / budgets[0] * 1.25**2) ** 0.1  # a tenth of the axis
    numbered: list[int] = []
    for budget in (*sorted(own), *sorted(others - own)):
        if all(max(budget, one) >= min(budget, one) * room for one in numbered):
            numbered.append(budget)
    axis.set_xticks(budgets, [str(budget) if budget in numbered else "" for budget in budgets])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlim(budgets[0] / 1.25, budgets[-1] * 1.25)
