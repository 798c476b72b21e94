"""The tables of results: what was learned, the reward model, the cost; and the data of curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from bench import stats
from bench.report import results
from bench.report.data import Cell, Study
from bench.report.formats import NONE, Entry, Fact, Table, entry, number, part, wide

ALL_TASKS = "All tasks (IQM)"
MIB = 2**20
EFFORT = {"reward_gradient_steps": "Reward gradient steps", "policy_updates": "Policy updates"}  # columns by name
_COSTS = ("steps", "labels", "wall_seconds", "peak_memory_bytes", *EFFORT)


def efficiency(study: Study) -> Table:
    """True return and normalised return at the end of training: rows are tasks, columns arms."""
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for task in study.tasks:
        name, untrained = study.task_names[task], study.untrained[task]
        cells = dict(study.of_task(task))
        found = {arm: results.final_estimate(study, arm, task) for arm in cells}
        scores = {arm: results.normalised(study, task, arm) for arm in study.arms if task in study.shared(arm)}
        scale = max((abs(one.value) for one in found.values() if np.isfinite(one.value)), default=0.0)
        shown = {arm: entry(one, scale, _seeds(cells[arm])) for arm, one in found.items()}
        rows.append([name, "return", number(untrained, scale), *map(shown.get, study.arms)])
        if task in study.normalisable:
            rows.append(["", "normalised", "0", *(entry(scores[a]) if a in scores else None for a in study.arms)])
        for arm, cell in cells.items():
            about = {"task": name, "arm": arm, "labels": cell.spec.labels, "steps": cell.spec.total_steps}
            seeds = {"seeds": len(cell.returns), "seeds_planned": len(cell.runs), "untrained_return": untrained}
            facts.append({**about, **seeds, "return": found[arm], "normalised": scores.get(arm)})
    if len(study.normalisable) > 1:
        rows.append([ALL_TASKS, "normalised", "0", *(_aggregate(study, arm, facts) for arm in study.arms)])
    caption = (
        "True return per episode at the end of training (mean over seeds) and normalised return "
        "(0 = untrained policy, 1 = true reward), with 95 % intervals over seeds."
    )
    return wide("efficiency", caption, ["Task", "Measure", "untrained", *study.arms], rows, facts, labels=2)


def _aggregate(study: Study, arm: str, facts: list[Fact]) -> Entry | None:
    found, tasks = results.aggregates(study, arm, ["IQM"])
    if not found:
        return None
    runs = sum(len(study.cells[arm, task].returns) for task in tasks)
    facts.append({"task": ALL_TASKS, "arm": arm, "seeds": runs, "normalised": found["IQM"]})
    return entry(found["IQM"], note=part(tasks, study.of_arm(arm), "tasks"))


def reward_model(study: Study) -> Table | None:
    """Accuracy and correlation of the reward model at the end of training: rows are tasks, columns arms. None where no
    arm learns one."""
    cells = {(task, arm): cell for task, arm, cell in study.each() if cell.spec.reward == "learned"}
    arms = [arm for arm in study.arms if any(arm == of for _, of in cells)]
    if not arms:
        return None
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for task in study.tasks:
        for measure in ("accuracy", "correlation"):
            own = {arm: cells[task, arm] for arm in arms if (task, arm) in cells}
            found = {arm: results.final_estimate(study, arm, task, f"reward_{measure}") for arm in own}
            shown = {arm: entry(found[arm], note=cell.count) for arm, cell in own.items()}
            first = study.task_names[task] if measure == "accuracy" else ""
            rows.append([first, measure, *map(shown.get, arms)])
            for arm, one in found.items():
                about = {"task": study.task_names[task], "arm": arm, "measure": measure}
                facts.append({**about, "seeds": len(own[arm].finished), "value": one})
    caption = (
        "The reward model at the end of training, on fresh segments nobody was asked about: share of pairs whose "
        "better side it predicts, and correlation of predicted with true segment returns."
    )
    return wide("reward-model", caption, ["Task", "Measure", *arms], rows, facts, labels=2)


def cost(study: Study) -> Table:
    """Wall time, speed, memory and effort of the finished runs: a row for each task and arm. Effort has columns where
    any run tells it, which older ones do not."""
    effort = {name: title for name, title in EFFORT.items() if any(r.done.get(name) is not None for r in study.runs)}
    rows: list[Sequence[object]] = []
    facts: list[Fact] = []
    for task, arm, cell in study.each():
        done = [run.done for run in cell.finished]
        wall = [float(one["wall_seconds"]) for one in done]
        speed = [one["steps"] / max(one["wall_seconds"], 1e-9) for one in done]
        memory = [one["peak_memory_bytes"] / MIB for one in done if one.get("peak_memory_bytes")]
        counts = [_counts([one[name] for one in done if one.get(name) is not None]) for name in effort]
        first = study.task_names[task] if arm == study.of_task(task)[0][0] else ""
        rows.append([first, Entry(arm, note=cell.count), *map(_spread, (wall, speed, memory)), *counts])
        for run in cell.finished:
            about = {"task": study.task_names[task], "arm": arm, "seed": run.seed, "key": run.key}
            facts.append(about | {name: run.done.get(name) for name in _COSTS})
    caption = "Cost of one run: mean over seeds [least, most]. Speed is all environment steps over all wall time."
    if effort:
        caption += " Arms whose gradient steps of the reward or updates of the policy differ, differ in effort as well."
    header = ["Task", "Arm", "Wall time (s)", "Steps per second", "Peak memory (MiB)", *effort.values()]
    return wide("cost", caption, header, rows, facts, labels=2)


def curve_records(study: Study, drawn: Mapping[str, Sequence[results.Curve]], value: str) -> list[Fact]:
    """Figure data: a record for each task, arm and point of a curve."""
    return [
        {**about, value: float(one.mean[i]), "low": float(one.low[i]), "high": float(one.high[i]), "seeds": one.counted}
        for task, of_task in drawn.items()
        for one in of_task
        for i in np.flatnonzero(np.isfinite(one.mean))
        for about in [{"task": study.task_names[task], "arm": one.arm, "step": float(one.x[i])}]
    ]


def seed_records(study: Study, drawn: Mapping[str, Sequence[results.Curve]], value: str) -> list[Fact]:
    """The same of every seed."""
    return [
        {"task": study.task_names[task], "arm": one.arm, "seed": seed, "step": float(one.x[i]), value: float(line[i])}
        for task, of_task in drawn.items()
        for one in of_task
        for seed, line in zip(one.seeds, one.runs, strict=True)
        for i in np.flatnonzero(np.isfinite(line))
    ]


def run_records(study: Study) -> list[Fact]:
    """One record a finished run: its final return, and that in units of the task's control."""
    found = []
    for task, arm, cell in study.each():
        level = float(np.mean(study.control_returns(task))) if task in study.normalisable else float("nan")
        for run in cell.finished:
            final = run.final("true_return")
            share = float(stats.normalise(final, study.untrained[task], level))
            told = {"task": study.task_names[task], "arm": arm, "seed": run.seed, "key": run.key}
            found.append({**told, "labels": cell.spec.labels, "final_return": final, "normalised": share})
    return found


def _spread(values: Sequence[float]) -> Entry:
    if not values:
        return Entry(NONE)
    low, high = (number(end, max(values)) for end in (min(values), max(values)))
    return Entry(number(float(np.mean(values)), max(values)), f"[{low}, {high}]" if len(values) > 1 else "")


def _counts(values: Sequence[int]) -> Entry:
    """A whole number of the finished runs: one where all agree, else their mean, least and most."""
    interval = f"[{min(values):,}, {max(values):,}]" if len(set(values)) > 1 else ""
    return Entry(f"{np.mean(values):,.0f}", interval) if values else Entry(NONE)


def _seeds(cell: Cell) -> str:
    """What the reader must know when not every planned seed is in a mean of final returns."""
    late = len(cell.finished) - len(cell.returns)
    return "; ".join(one for one in (cell.count, f"in {late} no episode ended late" if late else "") if one)
