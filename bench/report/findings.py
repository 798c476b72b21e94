"""What a suite found, in sentences that are computed: they open its page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bench import stats
from bench.report import comparison, results
from bench.report.data import Series, Study
from bench.report.formats import entry

MOST = 4  # arms that a sentence names


def findings(study: Study) -> list[str]:
    """Sentences, the most important first; empty where nothing is finished that could be compared."""
    return [*_budgets(study), *_others(study), *_reward_model(study)]


def _budgets(study: Study) -> Iterable[str]:
    """The order of the budgets of the first series, and which neighbours are told apart."""
    series = next((one for one in study.series if len(one.arms) > 1), None)
    tasks = comparison.shared_tasks(study, series.arms) if series else []
    if series is None or not tasks:
        return
    of = {arm: results.level(study, arm, tasks) for arm in series.arms}
    told = ", ".join(f"{_labels(study, arm)} labels {_with_interval(found)}" for arm, found in of.items())
    yield f"Of what the true reward teaches {_over(study, tasks)}, {told}."
    yield _neighbours(study, series, tasks)


def _neighbours(study: Study, series: Series, tasks: Sequence[str]) -> str:
    apart: list[str] = []
    alike: list[str] = []
    for fewer, more in zip(series.arms, series.arms[1:], strict=False):
        gap = results.differences(study, fewer, {more: tasks})[more]
        pair = f"{_labels(study, more)} over {_labels(study, fewer)} labels"
        (alike if gap.low <= 0 <= gap.high else apart).append(f"{pair}, {_signed(gap)}")
    told = [f"Told apart: {'; '.join(apart)}."] if apart else ["No budget is told from the next."]
    return " ".join(told + ([f"Undecided: {'; '.join(alike)}."] if alike and apart else []))


def _others(study: Study) -> Iterable[str]:
    """Arms of other settings beside the one that they are compared with: the suite's baseline, or else the arm of the
    first series with as many labels."""
    beside: dict[str, list[str]] = {}
    for arm in comparison.learned_arms(study):
        other = study.baseline or _same_budget(study, arm)
        if other and other != arm and comparison.shared_tasks(study, [arm, other]):
            beside.setdefault(other, []).append(arm)
    for other, arms in beside.items():
        tasks = {arm: comparison.shared_tasks(study, [arm, other]) for arm in arms}
        yield _compared(other, results.differences(study, other, tasks))


def _compared(other: str, gaps: Mapping[str, stats.Estimate]) -> str:
    apart = sorted((arm for arm, gap in gaps.items() if not gap.low <= 0 <= gap.high), key=lambda arm: gaps[arm].value)
    open_ones = [arm for arm in gaps if arm not in apart]
    told = f"Beside {other}: " + (_some([f"{arm} {_signed(gaps[arm])}" for arm in apart]) or "no arm is told apart")
    if not open_ones:
        return f"{told}."
    ends = [max(abs(gaps[arm].low), abs(gaps[arm].high)) for arm in open_ones]
    within = f" (differences of up to {max(ends):.2f} remain possible)" if np.isfinite(ends).all() else ""
    if not apart:
        return f"{told}, of {len(open_ones)}{within}."
    return f"{told}. Undecided: {_some(open_ones)}{within}."


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
    """The arm of the first series that was given as many labels; "" where there is none, or for its own arms."""
    first = next((one for one in study.series if len(one.arms) > 1), None)
    if first is None or arm in first.arms:
        return ""
    return next((one for one in first.arms if _labels(study, one) == _labels(study, arm)), "")


def _labels(study: Study, arm: str) -> int:
    return comparison.labels_of(study, arm)


def _over(study: Study, tasks: Sequence[str]) -> str:
    return f"on {study.task_names[tasks[0]]}" if len(tasks) == 1 else f"on average over {len(tasks)} tasks"


def _with_interval(found: stats.Estimate) -> str:
    made = entry(found, 1.0)
    return f"teach {made.text} {made.interval}".rstrip()


def _signed(found: stats.Estimate) -> str:
    made = entry(found, 1.0)
    return f"{'+' if found.value > 0 else ''}{made.text} {made.interval}".rstrip()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return ", ".join(names[:MOST]) + more
