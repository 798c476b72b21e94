"""The tables of results: feedback efficiency, the reward model, the cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from bench import stats
from bench.report import results
from bench.report.data import Cell, Study
from bench.report.formats import NONE, Entry, Table, entry, number
from bench.report.runs import Run

ALL_TASKS = "All tasks (IQM)"
MIB = 2**20
EFFORT = {"reward_gradient_steps": "Reward gradient steps", "policy_updates": "Policy updates"}  # columns by name


def efficiency(study: Study) -> Table:
    """True return and normalised return at the end of training: rows are tasks, columns arms."""
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in study.tasks:
        returns, normalised = _task_rows(study, task, records)
        rows += [returns, normalised] if task in study.normalisable else [returns]
    if len(study.normalisable) > 1:
        rows.append(_aggregate_row(study, records))
    caption = (
        "True return per episode at the end of training (mean over seeds) and normalised return "
        "(0 = untrained policy, 1 = true reward), with 95 % intervals over seeds."
    )
    header = ["Task", "Measure", "untrained", *study.arms]
    return Table("efficiency", caption, header, rows, records, labels=2)


def _task_rows(study: Study, task: str, records: list[dict[str, object]]) -> tuple[list[Entry], list[Entry]]:
    name, known = study.task_names[task], task in study.normalisable
    found = {arm: results.final_estimate(study, arm, task, "true_return", "episodes") for arm, _ in study.of_task(task)}
    scale = max((abs(e.value) for e in found.values() if np.isfinite(e.value)), default=0.0)
    returns = [Entry(name), Entry("return"), Entry(number(study.untrained[task], scale))]
    normalised = [Entry(""), Entry("normalised"), Entry("0")]
    for arm in study.arms:
        cell = study.cell(arm, task)
        if cell is None:
            returns.append(Entry(NONE))
            normalised.append(Entry(NONE))
            continue
        score = results.normalised(study, task, arm) if known and len(cell.returns) else None
        returns.append(entry(found[arm], scale, _seeds(cell)))
        normalised.append(entry(score) if score else Entry(NONE))
        records.append(_efficiency_record(name, arm, cell, found[arm], score, study.untrained[task]))
    return returns, normalised


def _efficiency_record(
    task: str, arm: str, cell: Cell, found: stats.Estimate, score: stats.Estimate | None, untrained: float
) -> dict[str, object]:
    return {
        "task": task,
        "arm": arm,
        "labels": cell.spec.labels,
        "steps": cell.spec.total_steps,
        "seeds": len(cell.returns),
        "seeds_planned": len(cell.runs),
        "untrained_return": untrained,
        **fields("return", found),
        **(fields("normalised", score) if score else {}),
    }


def _aggregate_row(study: Study, records: list[dict[str, object]]) -> list[Entry]:
    row = [Entry(ALL_TASKS), Entry("normalised"), Entry("0")]
    for arm in study.arms:
        estimate, tasks = results.aggregate(study, arm)
        planned = [task for task in study.tasks if study.cell(arm, task)]
        if estimate is None:
            row.append(Entry(NONE))
            continue
        row.append(entry(estimate, note="" if len(tasks) == len(planned) else f"{len(tasks)} of {len(planned)} tasks"))
        runs = sum(len(study.cells[arm, task].returns) for task in tasks)
        records.append({"task": ALL_TASKS, "arm": arm, "seeds": runs, **fields("normalised", estimate)})
    return row


def reward_model(study: Study) -> Table:
    """Accuracy and correlation of the reward model at the end of training: rows are tasks, columns arms."""
    arms = [arm for arm in study.arms if any(_learned(study, arm, task) for task in study.tasks)]
    rows, records = [], []
    for task in study.tasks:
        for measure, column in (("accuracy", "reward_accuracy"), ("correlation", "reward_correlation")):
            row = [Entry(study.task_names[task] if measure == "accuracy" else ""), Entry(measure)]
            for arm in arms:
                if not (cell := _learned(study, arm, task)):
                    row.append(Entry(NONE))
                    continue
                found = results.final_estimate(study, arm, task, column)
                row.append(entry(found, note=cell.count))
                made = {"task": study.task_names[task], "arm": arm, "measure": measure, "seeds": len(cell.finished)}
                records.append({**made, **fields("value", found)})
            rows.append(row)
    caption = (
        "The reward model at the end of training, on fresh segments nobody was asked about: share of pairs whose "
        "better side it predicts, and correlation of predicted with true segment returns."
    )
    return Table("reward-model", caption, ["Task", "Measure", *arms], rows, records, labels=2)


def _learned(study: Study, arm: str, task: str) -> Cell | None:
    cell = study.cell(arm, task)
    return cell if cell and cell.spec.reward == "learned" else None


def cost(study: Study) -> Table:
    """Wall time, speed, memory and effort of the finished runs: a row for each task and arm. Effort has columns where
    any run tells it, which older ones do not."""
    rows, records = [], []
    told = {name: title for name, title in EFFORT.items() if any(run.done.get(name) is not None for run in study.runs)}
    for task in study.tasks:
        for arm, cell in study.of_task(task):
            first = arm == study.of_task(task)[0][0]
            wall = [float(run.done["wall_seconds"]) for run in cell.finished]
            speed = [run.done["steps"] / max(run.done["wall_seconds"], 1e-9) for run in cell.finished]
            memory = [run.done["peak_memory_bytes"] / MIB for run in cell.finished if run.done.get("peak_memory_bytes")]
            name = Entry(study.task_names[task] if first else "")
            effort = [_counts(cell, name) for name in told]
            rows.append([name, Entry(arm, note=cell.count), _spread(wall), _spread(speed), _spread(memory), *effort])
            records += [_cost_record(study.task_names[task], run) for run in cell.finished]
    caption = "Cost of one run: mean over seeds [least, most]. Speed is all environment steps over all wall time."
    if told:
        caption += " Arms whose gradient steps of the reward or updates of the policy differ, differ in effort as well."
    header = ["Task", "Arm", "Wall time (s)", "Steps per second", "Peak memory (MiB)", *told.values()]
    return Table("cost", caption, header, rows, records, labels=2)


def _cost_record(task: str, run: Run) -> dict[str, object]:
    kept = {name: run.done.get(name) for name in ("steps", "labels", "wall_seconds", "peak_memory_bytes")}
    effort = {name: run.done[name] for name in EFFORT if run.done.get(name) is not None}
    return {"task": task, "arm": run.arm, "seed": run.seed, "key": run.key, **kept, **effort}


def curve_records(study: Study, curves: Iterable[tuple[str, results.Curve]], value: str) -> list[dict[str, object]]:
    """Figure data: one record for each task, arm and point of a curve."""
    return [
        {
            "task": study.task_names[task],
            "arm": curve.arm,
            "step": float(curve.x[i]),
            value: float(curve.mean[i]),
            "low": float(curve.low[i]),
            "high": float(curve.high[i]),
            "seeds": curve.counted,
        }
        for task, curve in curves
        for i in np.flatnonzero(np.isfinite(curve.mean))
    ]


def seed_records(study: Study, curves: Iterable[tuple[str, results.Curve]], value: str) -> list[dict[str, object]]:
    """The same of every seed."""
    return [
        {**told, "seed": seed, "step": float(curve.x[i]), value: float(line[i])}
        for task, curve in curves
        for told in [{"task": study.task_names[task], "arm": curve.arm}]
        for seed, line in zip(curve.seeds, curve.runs, strict=True)
        for i in np.flatnonzero(np.isfinite(line))
    ]


def run_records(study: Study) -> list[dict[str, object]]:
    """One record a finished run: its final return, and that in units of the task's control."""
    found = []
    for task in study.tasks:
        known = task in study.normalisable
        level = float(np.mean(study.control_returns(task))) if known else float("nan")
        for arm, cell in study.of_task(task):
            for run in cell.finished:
                final = run.final("true_return", "episodes")
                share = float(stats.normalise(final, study.untrained[task], level))
                told = {"task": study.task_names[task], "arm": arm, "seed": run.seed, "key": run.key}
                found.append({**told, "labels": cell.spec.labels, "final_return": final, "normalised": share})
    return found


def _spread(values: Sequence[float]) -> Entry:
    if not values:
        return Entry(NONE)
    scale = max(values)
    interval = f"[{number(min(values), scale)}, {number(scale, scale)}]" if len(values) > 1 else ""
    return Entry(number(float(np.mean(values)), scale), interval)


def _counts(cell: Cell, name: str) -> Entry:
    """A whole number of the finished runs: one where all agree, else their mean, least and most."""
    values = [run.done[name] for run in cell.finished if run.done.get(name) is not None]
    if not values:
        return Entry(NONE)
    interval = f"[{min(values):,}, {max(values):,}]" if len(set(values)) > 1 else ""
    return Entry(f"{np.mean(values):,.0f}", interval)


def _seeds(cell: Cell) -> str:
    """What the reader must know when not every planned seed is in a mean of final returns."""
    late = len(cell.finished) - len(cell.returns)
    return "; ".join(part for part in (cell.count, f"in {late} no episode ended late" if late else "") if part)


def fields(name: str, estimate: stats.Estimate) -> dict[str, object]:
    """An estimate and its interval as columns of a record."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
