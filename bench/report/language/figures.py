"""The figures of a language suite. An arm has one look in all of them; gold is full, the proxy dashed and hollow."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench import spread, stats
from bench.report import figures
from bench.report.feedback import label_axis, points_line
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
_MEASURES: dict[str, tuple[str, Any]] = {"gold_gain": ("gold", "-"), "proxy_mean": ("proxy", (0, (4, 2)))}
Panels = dict[str, list[Result]]


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


def frontiers(language: Language) -> list[Image]:
    """Gold and proxy against the square root of KL, each seed thin and Gao's curve thick."""
    found = _every(language, "best_of_n", "ppo", "gold")
    drawn = {name: _frontier(language, ones) for name, ones in found.items()}
    alt = "gold and proxy against the square root of KL to SFT, thin lines single seeds, thick ones fits"
    return images("frontier", "Gold and proxy by distance from SFT", alt, drawn)


def _frontier(language: Language, results: Sequence[Result]) -> Draw:
    def draw(axis: Axes) -> Legend:
        styles, legend = looks(language), Legend()
        for one in results:
            look = styles[label(one)]
            for measure, (_, dashes) in _MEASURES.items():
                if one.method != "gold" or measure == GOLD:
                    line = _distance(axis, language, one, measure, look, dashes)
                    legend |= {label(one): (line, one.note)} if measure == GOLD and line else {}
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        axis.set(xlabel="√KL to SFT (KL in nats)", ylabel="Gain over SFT (SD)")
        axis.set_xlim(0, None)
        return legend | _measures_legend()

    return draw


def _distance(axis: Axes, language: Language, one: Result, measure: str, look: Look, dashes: object) -> Line2D | None:
    seeds = frontier.points(language, one, measure)
    if not seeds:
        return None
    for pairs in seeds:
        axis.plot(pairs[:, 0], pairs[:, 1], color=look.color, linestyle=dashes, linewidth=0.6, alpha=0.45)
    best = one.method == "best_of_n"
    if fitted := frontier.of(language, one, measure):
        d = np.linspace(1e-3, max(pairs[:, 0].max() for pairs in seeds), 200)
        axis.plot(d, fitted.at(d), color=look.color, linestyle=dashes, linewidth=1.6)
    ends = np.mean([pairs[pairs[:, 0].argmax() if best else -1] for pairs in seeds], axis=0)
    face = look.color if measure == GOLD else "white"
    axis.plot(*ends, color=look.color, marker=look.marker, markerfacecolor=face, markersize=5.5, linestyle="none")
    return Line2D([], [], color=look.color, marker=look.marker, linestyle="-")


def _measures_legend() -> Legend:
    handles = {
        name: Line2D(
            [], [], color=GREY, linestyle=dashes, marker="o", markerfacecolor=GREY if name == "gold" else "white"
        )
        for name, dashes in _MEASURES.values()
    }
    return {name: (handle, "") for name, handle in handles.items()}


def overoptimisation(language: Language) -> list[Image]:
    """Gold and proxy over the episodes of PPO."""
    found = _every(language, "ppo", "gold")
    drawn = {name: _episodes(language, ones) for name, ones in found.items()}
    alt = "gold and proxy over the episodes of PPO, means over seeds with 95 % intervals of gold"
    return images("overoptimisation", "Gold and proxy over training", alt, drawn)


def _episodes(language: Language, results: Sequence[Result]) -> Draw:
    def draw(axis: Axes) -> Legend:
        styles, legend = looks(language), Legend()
        for one in results:
            look = styles[label(one)]
            for measure, (_, dashes) in _MEASURES.items():
                if (one.method == "gold" and measure != GOLD) or (made := _over(one, measure)) is None:
                    continue
                x, mean, low, high = made
                axis.plot(x, mean, color=look.color, linestyle=dashes, linewidth=1.4)
                if measure == GOLD:
                    axis.fill_between(x, low, high, color=look.color, alpha=0.15, linewidth=0)
                    legend[label(one)] = (Line2D([], [], color=look.color, marker=look.marker), one.note)
                face = look.color if measure == GOLD else "white"
                axis.plot(
                    x[-1:], mean[-1:], color=look.color, marker=look.marker, markerfacecolor=face, linestyle="none"
                )
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        axis.set(xlabel="PPO episodes", ylabel="Gain over SFT (SD)")
        axis.xaxis.set_major_formatter(lambda value, _: count(value))
        return legend | _measures_legend()

    return draw


def _over(one: Result, measure: str) -> tuple[stats.Array, stats.Array, stats.Array, stats.Array] | None:
    """Episodes, mean over seeds and its interval at the points that all seeds have, each ``(points,)``."""
    shared, values = _shared(one, measure)
    if not len(shared):
        return None
    family = [_shared(other, measure) for other in one.family if other.runs]
    alike = [curves for points, curves in family if np.array_equal(points, shared)]
    low, high = spread.band(values, spread.pool(alike or [values]))
    return shared, values.mean(axis=0), low, high


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
                drawn[f"{name}: {what}"] = _against_kl(language, ones, column, title)
    alt = "loss on held-out pretraining text and facts answered right against the square root of KL to SFT over PPO"
    return images("tax", "Alignment tax", alt, drawn)


def _against_kl(language: Language, results: Sequence[Result], column: str, name: str) -> Draw:
    def draw(axis: Axes) -> Legend:
        styles, legend = looks(language), Legend()
        for one in results:
            look = styles[label(one)]
            curves = [curve for told in one.runs if len(curve := told.curve("kl_exact", column))]
            for curve in curves:
                curve[:, 0] = np.sqrt(np.maximum(curve[:, 0], 0))  # as in the other figures: one arm may go far
                axis.plot(
                    curve[:, 0], curve[:, 1], color=look.color, linestyle=look.linestyle, linewidth=0.8, alpha=0.6
                )
            if curves:
                ends = np.mean([curve[-1] for curve in curves], axis=0)
                axis.plot(*ends, color=look.color, marker=look.marker, markersize=6, linestyle="none")
                legend[label(one)] = (
                    Line2D([], [], color=look.color, linestyle=look.linestyle, marker=look.marker),
                    one.note,
                )
        before = [told.before(column) for one in results for told in one.runs]
        if np.isfinite(before).any():
            legend["SFT"] = (level(axis, float(np.nanmean(before))), "")
        axis.set(xlabel="√KL to SFT (KL in nats)", ylabel=name)
        axis.set_xlim(0, None)
        return legend

    return draw


def by_labels(language: Language) -> list[Image]:
    """Gold at the end against rankings, with the run on gold and half of its gain."""
    drawn: dict[str, Draw] = {}
    for task in language.study.tasks:
        if any(len(line.results) + len(line.missing) > 1 for line in lines(language, task)):
            drawn[language.study.task_names[task]] = _by_labels(language, task)
    alt = "gold at the end of training against the number of rankings, with the level of PPO on gold"
    return images("labels", "Gold by number of rankings", alt, drawn)


def _by_labels(language: Language, task: str) -> Draw:
    def draw(axis: Axes) -> Legend:
        found, legend, styles = lines(language, task), Legend(), looks(language)
        for index, line in enumerate(found):
            look = styles.get(line.label) or look_of(len(styles) + index)
            points = {one.spec.labels: one.estimate(GOLD) for one in line.results}
            shift = 1.05 ** (index - (len(found) - 1) / 2)
            legend[line.label] = (points_line(axis, points, look, shift), "")
        if (known := control(language, task)) is not None:
            top = float(known.mean())
            legend["PPO on gold"] = (axis.axhline(top, color=BLACK, linewidth=1.2, zorder=1.5), "")
            legend["half of its gain"] = (level(axis, top / 2), "")
        axis.axhline(0, color=GREY, linewidth=0.8, zorder=1)
        label_axis(axis, sorted({one.spec.labels for line in found for one in line.results}))
        axis.set(xlabel="Rankings (log scale)", ylabel="Gold gain over SFT (SD)")
        return legend

    return draw


def reward_models(language: Language) -> list[Image]:
    """Accuracy and calibration error against rankings, where reward models differ in these alone."""
    drawn: dict[str, Draw] = {}
    for task in language.study.tasks:
        groups: dict[str, list[Result]] = {}
        for one in language.reward_models(task):
            groups.setdefault(one.reward_model.replace(f"'rankings': '{one.spec.labels}'", ""), []).append(one)
        swept = [sorted(ones, key=lambda one: one.spec.labels) for ones in groups.values() if len(ones) > 1]
        name = f"{language.study.task_names[task]}, " if len(language.study.tasks) > 1 else ""
        if swept:
            error = {column: title for column, title in tables.RM.items() if column.endswith("ece")}
            accuracy = {column: title for column, title in tables.RM.items() if column not in error}
            drawn[f"{name}accuracy"] = _models(swept, accuracy, "Accuracy on held-out pairs", 0.5)
            drawn[f"{name}calibration"] = _models(swept, error, "Expected calibration error", 0.0)
    alt = "accuracy of the reward model on held-out pairs and its calibration error against the number of rankings"
    return images("reward-model", "Reward model by number of rankings", alt, drawn)


def _models(groups: Sequence[Sequence[Result]], columns: Mapping[str, str], name: str, floor: float) -> Draw:
    def draw(axis: Axes) -> Legend:
        legend = Legend()
        for group in groups:
            told = "" if len(groups) == 1 else f"{label(group[0])}: "
            for column, short in columns.items():
                points = {one.spec.labels: one.estimate(column) for one in group}
                points = {labels: found for labels, found in points.items() if np.isfinite(found.value)}
                if points:
                    line = points_line(axis, points, look_of(len(legend)), 1.03 ** len(legend))
                    legend[told + short] = (line, "")
        label_axis(axis, sorted({one.spec.labels for group in groups for one in group}))
        axis.set(xlabel="Rankings (log scale)", ylabel=name)
        axis.axhline(floor, color=GREY, linewidth=1, linestyle=(0, (2, 2)), zorder=1.5)
        return legend

    return draw


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
    return Image(file, "Win rate against SFT", alt, png, svg)


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
