"""What a suite found, in sentences that are computed: they open its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from bench import stats
from bench.report import comparison, results
from bench.report.data import Study
from bench.report.formats import signed, told

MOST = 4  # arms that a sentence names


def findings(study: Study) -> list[str]:
    """Sentences, the most important first; empty where nothing is finished that could be compared."""
    return [*_budgets(study), *_others(study), *_reward_model(study)]


def _budgets(study: Study) -> Iterable[str]:
    """The order of the budgets of the first series, and which neighbours are told apart."""
    series = next((one for one in study.series if len(one.arms) > 1), None)
    tasks = study.shared(*series.arms) if series else []
    budgets = study.budgets(series, tasks) if series else {}
    if series is None or len(budgets) < len(series.arms):  # nothing is shared, or an arm has two budgets
        return
    of = {labels: results.level(study, arm, tasks) for labels, arm in budgets.items()}
    said = ", ".join(f"{labels} labels teach {told(found)}" for labels, found in of.items())
    yield f"Of what the true reward teaches {_over(study, tasks)}, {said}."
    yield _neighbours(study, budgets, tasks)


def _neighbours(study: Study, budgets: Mapping[int, str], tasks: Sequence[str]) -> str:
    apart: list[str] = []
    alike: list[str] = []
    for (less, fewer), (most, more) in pairwise(budgets.items()):
        gap = results.differences(study, fewer, {more: tasks})[more]
        pair = f"{most} over {less} labels"
        (alike if gap.low <= 0 <= gap.high else apart).append(f"{pair}, {signed(gap)}")
    said = [f"Told apart: {'; '.join(apart)}."] if apart else ["No budget is told from the next."]
    return " ".join(said + ([f"Undecided: {'; '.join(alike)}."] if alike and apart else []))


def _others(study: Study) -> Iterable[str]:
    """Arms of other settings beside the one that they are compared with: the suite's baseline, or else the arm of the
    first series with as many labels."""
    beside: dict[str, list[str]] = {}
    for arm in comparison.learned_arms(study):
        other = study.baseline or _same_budget(study, arm)
        if other and other != arm and study.shared(arm, other):
            beside.setdefault(other, []).append(arm)
    for other, arms in beside.items():
        tasks = {arm: study.shared(arm, other) for arm in arms}
        yield _compared(other, results.differences(study, other, tasks))


def _compared(other: str, gaps: Mapping[str, stats.Estimate]) -> str:
    apart = sorted((arm for arm, gap in gaps.items() if not gap.low <= 0 <= gap.high), key=lambda arm: gaps[arm].value)
    open_ones = [arm for arm in gaps if arm not in apart]
    said = f"Beside {other}: " + (some([f"{arm} {signed(gaps[arm])}" for arm in apart]) or "no arm is told apart")
    if not open_ones:
        return f"{said}."
    ends = [max(abs(gaps[arm].low), abs(gaps[arm].high)) for arm in open_ones]
    within = f" (differences of up to {max(ends):.2f} remain possible)" if np.isfinite(ends).all() else ""
    if not apart:
        return f"{said}, of {len(open_ones)}{within}."
    return f"{said}. Undecided: {some(open_ones)}{within}."


def _reward_model(study: Study) -> Iterable[str]:
    finals = {
        study.task_names[task]: float(np.mean(values))
        for task in study.tasks
        if (values := [one for _, cell in study.of_task(task) for one in cell.finals("reward_accuracy")])
    }
    if finals:
        low, high = min(finals, key=lambda name: finals[name]), max(finals, key=lambda name: finals[name])
        ends = f"{finals[low]:.2f}", f"{finals[high]:.2f}"
        span = ends[0] if ends[0] == ends[1] else f"{ends[0]} ({low}) to {ends[1]} ({high})"
        yield f"The reward models predict which of two fresh segments is better in a share of {span}; 0.50 is chance."


def _same_budget(study: Study, arm: str) -> str:
    """The arm of the first series with as many labels on each task; "" where there is none, or for its own arms."""
    first = next((one for one in study.series if len(one.arms) > 1), None)
    if first is None or arm in first.arms:
        return ""
    labels = [cell.spec.labels for cell in study.of_arm(arm)]
    return next((one for one in first.arms if [cell.spec.labels for cell in study.of_arm(one)] == labels), "")


def _over(study: Study, tasks: Sequence[str]) -> str:
    return f"on {study.task_names[tasks[0]]}" if len(tasks) == 1 else f"on average over {len(tasks)} tasks"


def some(names: Sequence[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
