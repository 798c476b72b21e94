"""The figures of a language suite. An arm has one look in all of them; gold is full, the proxy dashed and hollow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench import spread, stats
from bench.report import figures
from bench.report.feedback import over_labels
from bench.report.figures import COLUMN, Draw, Image, Legend, images, level
from bench.report.formats import count
from bench.report.language import frontier, tables
from bench.report.language.data import Language, Result, once
from bench.report.language.efficiency import COLUMN as GOLD
from bench.report.language.efficiency import control, lines
from bench.report.names import slug
from bench.report.style import BLACK, Look, colours, styled
from bench.report.style import look as look_of

GREY = "#666666"
_BUDGET = re.compile(r"^[\d,]+ rankings$")
_PROXY = "proxy_mean"
_DISTANCE = "√KL to SFT (KL in nats)"
_DASHED: Any = (0, (4, 2))
Panels = dict[str, list[Result]]
Pen = dict[str, Any]  # colour and line style
Trace = Callable[[Axes, Result, str, Pen], Any]  # draws a measure of a result, and says where it ends (x, y), or None


def label(result: Result) -> str:
    """An arm's name without its budget, so that one policy has one line in the panels of all budgets."""
    return ", ".join(part for part in result.arm.split(", ") if not _BUDGET.match(part)) or result.arm


def looks(language: Language) -> dict[str, Look]:
    """By label, the control's black."""
    labels = dict.fromkeys(label(one) for one in language.results if one.method not in ("gold", "base", "sft"))
    control = {label(one): Look(BLACK, "-", "*") for one in language.results if one.method == "gold"}
    return {name: look_of(i) for i, name in enumerate(labels)} | control


def panels(language: Language, task: str, *methods: str) -> Panels:
    """Arms to be drawn together: beside the baseline those that differ from it in the same settings, or, without a
    baseline, those of one budget; the run on gold beside each."""
    arms = once(language.of_task(task, *methods))
    gold = [one for one in arms if one.method == "gold"]
    base, made = language.baseline(task), Panels()
    for one in (arm for arm in arms if arm.method != "gold" and arm is not base):
        made.setdefault(_differing(one, base) if base else f"{one.spec.labels} rankings", []).append(one)
    if len(language.study.tasks) > 1:
        made = {f"{language.study.task_names[task]}, {name}": ones for name, ones in made.items()}
    return {name: [*gold, *([base] if base in arms and base else []), *ones] for name, ones in made.items()}


def _differing(one: Result, base: Result) -> str:
    keys = [key for key in {**base.flat, **one.flat} if base.flat.get(key) != one.flat.get(key)]
    return ", ".join(dict.fromkeys("labeler" if key.startswith("labeler.") else key for key in keys)) or "same"


def _traced(language: Language, results: Sequence[Result], measures: Sequence[str], trace: Trace, axis: Axes) -> Legend:
    """Traces of some measures in the looks of the arms, marked where they end; the proxy's dashed and hollow."""
    styles, legend = looks(language), Legend()
    for one in results:
        look = styles[label(one)]
        for measure in measures if one.method != "gold" else measures[:1]:
            proxy = measure == _PROXY
            dashes: Any = _DASHED if proxy else "-" if measure == GOLD else look.linestyle
            if (end := trace(axis, one, measure, {"color": look.color, "linestyle": dashes})) is None:
                continue
            face = "white" if proxy else look.color
            mark: Pen = {"color": look.color, "marker": look.marker, "markerfacecolor": face}
            axis.plot(*end, **mark, markersize=5.5, linestyle="none")
            if not proxy:
                legend[label(one)] = (Line2D([], [], **mark, linestyle=dashes), one.note)
    return legend


def _gains(language: Language, results: Sequence[Result], trace: Trace, name: str, axis: Axes) -> Legend:
    """Gold and proxy, counted from SFT's."""
    legend = _traced(language, results, (GOLD, _PROXY), trace, axis)
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    axis.set(xlabel=name, ylabel="Gain over SFT (SD)", xlim=(0, None))
    axis.xaxis.set_major_formatter(lambda value, _: count(value))
    for called, dashes, face in (("gold", "-", GREY), ("proxy", _DASHED, "white")):
        pen: Pen = {"color": GREY, "linestyle": dashes, "marker": "o", "markerfacecolor": face}
        legend[called] = (Line2D([], [], **pen), "")
    return legend


def frontiers(language: Language) -> list[Image]:
    """Gold and proxy against the square root of KL, each seed thin and Gao's curve thick."""

    def trace(axis: Axes, one: Result, measure: str, pen: Pen) -> stats.Array | None:
        seeds = frontier.points(language, one, measure)
        if not seeds:
            return None
        for pairs in seeds:
            axis.plot(*pairs.T, **pen, linewidth=0.6, alpha=0.45)
        if fitted := frontier.of(language, one, measure):
            d = np.linspace(1e-3, max(pairs[:, 0].max() for pairs in seeds), 200)
            axis.plot(d, fitted.at(d), **pen, linewidth=1.6)
        best = one.method == "best_of_n"
        return np.mean([pairs[pairs[:, 0].argmax() if best else -1] for pairs in seeds], axis=0)

    found = _every(language, "best_of_n", "ppo", "gold")
    drawn = {name: partial(_gains, language, ones, trace, _DISTANCE) for name, ones in found.items()}
    alt = "gold and proxy against the square root of KL to SFT, thin lines single seeds, thick ones fits"
    return images("frontier", alt, drawn)


def overoptimisation(language: Language) -> list[Image]:
    """Gold and proxy over the episodes of PPO."""
    found = _every(language, "ppo", "gold")
    drawn = {name: partial(_gains, language, ones, _over, "PPO episodes") for name, ones in found.items()}
    alt = "gold and proxy over the episodes of PPO, means over seeds with 95 % intervals of gold"
    return images("overoptimisation", alt, drawn)


def _over(axis: Axes, one: Result, measure: str, pen: Pen) -> tuple[float, float] | None:
    """The mean over seeds, and of gold its interval, at the points that all seeds have."""
    shared, values = _shared(one, measure)
    if not len(shared):
        return None
    if measure == _PROXY:  # counted from SFT's, with which PPO begins
        values = values - values[:, :1]
    mean = values.mean(axis=0)
    axis.plot(shared, mean, **pen)
    if measure == GOLD:
        family = [_shared(other, measure) for other in one.family if other.runs]
        alike = [curves for points, curves in family if np.array_equal(points, shared)]
        figures.band(axis, shared, *spread.band(values, spread.pool(alike or [values], unlike=True)), pen["color"])
    return shared[-1], mean[-1]


def _shared(one: Result, measure: str) -> tuple[stats.Array, stats.Array]:
    """The points ``(points,)`` that all seeds have, and their values ``(seeds, points)``."""
    seeds = [dict(told.curve("episodes", measure)[:, :2].tolist()) for told in one.runs]
    shared = sorted(set.intersection(*(set(seed) for seed in seeds)))
    return np.array(shared, float), np.array([[seed[at] for at in shared] for seed in seeds], float)


def taxes(language: Language) -> list[Image]:
    """What PPO takes against how far it has moved: text, and facts."""
    drawn: dict[str, Draw] = {}
    panels = (("text", "ptx_nll", "Text NLL (nats a token)"), ("facts", "qa_acc", "Facts right"))
    for name, ones in _every(language, "ppo", "gold").items():
        for what, column, title in panels:
            measured = [len(told.curve("kl_exact", column)) for one in ones for told in one.runs]
            if any(measured):  # a task without questions has no facts
                drawn[f"{name}: {what}"] = partial(_against_kl, language, ones, column, title)
    alt = "loss on held-out pretraining text and facts answered right against the square root of KL to SFT over PPO"
    return images("tax", alt, drawn)


def _against_kl(language: Language, results: Sequence[Result], column: str, name: str, axis: Axes) -> Legend:
    legend = _traced(language, results, (column,), _distances, axis)
    before = [told.before(column) for one in results for told in one.runs]
    if np.isfinite(before).any():
        legend["SFT"] = (level(axis, float(np.nanmean(before))), "")
    axis.set(xlabel=_DISTANCE, ylabel=name, xlim=(0, None))
    return legend


def _distances(axis: Axes, one: Result, column: str, pen: Pen) -> stats.Array | None:
    """A column against the square root of KL, as in the other figures: one arm may go far."""
    curves = [curve for told in one.runs if len(curve := told.curve("kl_exact", column))]
    for curve in curves:
        curve[:, 0] = np.sqrt(np.maximum(curve[:, 0], 0))
        axis.plot(*curve.T, **pen, linewidth=0.8, alpha=0.6)
    return np.mean([curve[-1] for curve in curves], axis=0) if curves else None


def by_labels(language: Language) -> list[Image]:
    """Gold at the end against rankings, with the run on gold and half of its gain."""
    drawn: dict[str, Draw] = {}
    for task, name in language.study.task_names.items():
        found = lines(language, task)
        if any(len(line.results) + len(line.missing) > 1 for line in found):
            points = {line.label: {one.spec.labels: one.estimate(GOLD) for one in line.results} for line in found}
            more = partial(_known, control(language, task))
            about = ("Rankings", "Gold gain over SFT (SD)", more, looks(language), ())
            drawn[name] = partial(over_labels, points, *about)
    alt = "gold at the end of training against the number of rankings, with the level of PPO on gold"
    return images("labels", alt, drawn)


def _known(gains: stats.Array | None, axis: Axes) -> Legend:
    """What PPO on gold gains, and half of it."""
    axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
    if gains is None:
        return {}
    top = float(gains.mean())
    line = axis.axhline(top, color=BLACK, linewidth=1.2, zorder=1.5)
    return {"PPO on gold": (line, ""), "half of its gain": (level(axis, top / 2), "")}


def reward_models(language: Language) -> list[Image]:
    """Accuracy and calibration error against rankings, where reward models differ in these alone."""
    drawn: dict[str, Draw] = {}
    error = {column: title for column, title in tables.RM.items() if column.endswith("ece")}
    accuracy = {column: title for column, title in tables.RM.items() if column not in error}
    for task, name in language.study.task_names.items():
        groups: dict[str, list[Result]] = {}
        for one in language.reward_models(task):
            groups.setdefault(one.reward_model.replace(f"'rankings': '{one.spec.labels}'", ""), []).append(one)
        swept = [sorted(ones, key=lambda one: one.spec.labels) for ones in groups.values() if len(ones) > 1]
        first = f"{name}, " if len(language.study.tasks) > 1 else ""
        if swept:
            drawn[f"{first}accuracy"] = _models(swept, accuracy, "Accuracy on held-out pairs", 0.5)
            drawn[f"{first}calibration"] = _models(swept, error, "Expected calibration error", 0.0)
    alt = "accuracy of the reward model on held-out pairs and its calibration error against the number of rankings"
    return images("reward-model", alt, drawn)


def _models(groups: Sequence[Sequence[Result]], columns: Mapping[str, str], name: str, floor: float) -> Draw:
    points: dict[str, dict[int, stats.Estimate]] = {}
    for group in groups:
        told = "" if len(groups) == 1 else f"{label(group[0])}: "
        for column, short in columns.items():
            found = {one.spec.labels: one.estimate(column) for one in group}
            points[told + short] = {labels: one for labels, one in found.items() if np.isfinite(one.value)}
    known = {told: found for told, found in points.items() if found}
    budgets = {one.spec.labels for group in groups for one in group}
    return partial(over_labels, known, "Rankings", name, partial(_floor, floor), {}, budgets)


def _floor(value: float, axis: Axes) -> Legend:
    level(axis, value)
    return {}


def win_rates(language: Language) -> list[Image]:
    """How often each arm is preferred to SFT, by the held-out labeler and by gold."""
    found = {task: [one for one in language.shown(task) if _judged(one)] for task in language.study.tasks}
    return [_forest(language, task, results) for task, results in found.items() if results]


def _judged(result: Result) -> bool:
    return any(told.samples for told in result.runs)


def _forest(language: Language, task: str, results: Sequence[Result]) -> Image:
    name = language.study.task_names[task]
    with styled():
        figure = Figure(figsize=(COLUMN * 1.6, 1.0 + 0.2 * len(results)), layout="constrained")
        axis = figure.subplots()
        axis.set_title(name, loc="left", fontweight="bold")
        _estimates(axis, results, "win_judge", -0.14, colours()[0], "by a held-out labeler")
        _estimates(axis, results, "win_gold", 0.14, "white", "by gold")
        axis.axvline(0.5, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
        axis.set_yticks(range(len(results)), [f"{one.name}{f' ({one.note})' if one.note else ''}" for one in results])
        axis.set(xlabel="Win rate against SFT", ylim=(len(results) - 0.4, -0.6))
        figure.legend(loc="outside lower center", ncols=2)
        png, svg = figures.render(figure)
    alt = (
        f"{name}: win rate against SFT of {len(results)} arms, by a held-out labeler and by gold, with 95 % intervals."
    )
    file = "win-rates" if len(language.study.tasks) == 1 else f"win-rates-{slug(name)}"
    return Image(file, alt, png, svg)


def _estimates(axis: Axes, results: Sequence[Result], array: str, shift: float, face: str, told: str) -> None:
    """A point with its interval on each arm's line."""
    found = [one.estimate(f"mean:{array}") for one in results]
    x = np.array([one.value for one in found])
    ends = np.array([[one.low for one in found], [one.high for one in found]])
    spread = np.where(np.isfinite(ends), np.abs(ends - x), 0)
    look: Any = {"color": colours()[0], "markerfacecolor": face, "markersize": 3.5, "elinewidth": 1, "capsize": 2}
    axis.errorbar(x, np.arange(len(results)) + shift, xerr=spread, fmt="o", label=told, **look)


def _every(language: Language, *methods: str) -> Panels:
    """The panels of all tasks."""
    made = Panels()
    for task in language.study.tasks:
        made |= panels(language, task, *methods)
    return made


ALL: dict[str, tuple[Callable[[Language], list[Image]], str]] = {  # and the files of their data
    "win-rates": (win_rates, "outcomes.csv"),
    "labels": (by_labels, "labels-to-reach.csv"),
    "frontier": (frontiers, "curves.csv"),
    "overoptimisation": (overoptimisation, "curves.csv"),
    "tax": (taxes, "curves.csv"),
    "reward-model": (reward_models, "reward-model.csv"),
}
