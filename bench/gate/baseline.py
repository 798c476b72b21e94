"""What the gate compares: finished runs in a small, readable file, which is committed and outlives the runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from bench import files, stats, store, tracks
from bench.parse import Count, Key, Model, Name, Sha256, parse, read_json, refuse
from bench.suite import Planned
from prefrl_core.errors import UserError

SCHEMA = 1
REWARD = ("reward_accuracy", "reward_validation_loss")  # what a run records of its reward model


Return = Annotated[float, Field(ge=-1e9, le=1e9)]  # no task of ours pays more


class Entry(Model):
    """One finished run. ``speed``: its steps a second over those of its task's bare physics, measured in the same run;
    its seconds are those of processor time and of sleep, not those for which others had the processor."""

    key: Key
    arm: Name
    task: Name
    seed: Count
    reward: Literal["true", "learned"]  # "true" for the control
    steps: Annotated[int, Field(ge=1, le=2**53)]
    true_return: Return  # at the end of training
    untrained: Return  # of the initial policy
    metrics_sha256: Sha256
    speed: Annotated[float, Field(gt=0, le=1e6)] | None
    peak_memory_bytes: Annotated[int, Field(ge=1 << 20, le=1 << 50)]
    machine: Annotated[dict[Name, Name | None], Field(max_length=100)]  # what numbers may depend on
    # at the end; None of a control, and where nothing recorded it
    reward_accuracy: Annotated[float, Field(ge=0, le=1)] | None = None
    reward_validation_loss: Annotated[float, Field(ge=0, le=1e9)] | None = None

    @property
    def cell(self) -> tuple[str, str]:
        """(task, arm)"""
        return self.task, self.arm


def _once(runs: list[Entry]) -> list[Entry]:
    seen: set[tuple[str, str, int]] = set()
    for number, run in enumerate(runs):
        if (cell := (run.task, run.arm, run.seed)) in seen:
            raise refuse(f"runs[{number}]: {run.arm!r} on {run.task} with seed {run.seed} is there twice")
        seen.add(cell)
    return runs


class BaselineFile(Model):
    """The file of a baseline."""

    schema_: Literal[1] = Field(alias="schema")
    suite: Name
    method: Count
    runs: Annotated[list[Entry], Field(min_length=1, max_length=100_000), AfterValidator(_once)]


@dataclass(frozen=True)
class Sample:
    """The runs of one build of the suite."""

    suite: str
    method: int
    runs: tuple[Entry, ...]

    def cells(self) -> dict[tuple[str, str], list[Entry]]:
        """Runs by (task, arm), in the order of the suite."""
        found: dict[tuple[str, str], list[Entry]] = {}
        for run in self.runs:
            found.setdefault(run.cell, []).append(run)
        return found


def measured(suite: str, planned: Sequence[Planned], out: Path) -> Sample:
    """The sample that lies in a results folder.

    Raises:
        UserError: a run of the plan is not finished, is damaged, has figures that make no sense, or no episode of it
            ended late.
    """
    for task in dict.fromkeys(one.task for one in planned):
        tracks.require_environment(task, "bench gate")
    runs = [(one, store.Run(out / one.key)) for one in planned]
    left = [run for _, run in runs if run.status != "done"]
    if left:
        raise UserError(
            f"{len(left)} of {len(runs)} runs of suite {suite!r} in {out} are not finished (the first: {left[0].key}, "
            f"{left[0].status}): run the suite first, or narrow it down with --seeds or --only"
        )
    return Sample(suite, runs[0][1].versions["method"], tuple(_entry(one, run) for one, run in runs))


def _entry(planned: Planned, run: store.Run) -> Entry:
    rows, done = run.rows, run.done
    step, episodes, true_return = (
        np.array([np.nan if row.get(name) is None else row[name] for row in rows], float)
        for name in ("step", "episodes", "true_return")
    )
    untrained = np.array([row.get("phase") == "untrained" for row in rows], float)
    final = stats.final_mean(step, true_return, episodes, planned.spec.total_steps)
    first = stats.weighted_mean(true_return, episodes * untrained)
    if not np.isfinite([final, first]).all():
        raise UserError(f"run {run.key} has no return at its beginning or its end: the gate needs longer runs")
    machine = {name: value for name, value in run.provenance.get("versions", {}).items() if name != "prefrl-bench"}
    values = {
        "key": run.key,
        "arm": planned.arm,
        "task": planned.task,
        "seed": planned.seed,
        "reward": planned.spec.reward,
        "steps": done["steps"],
        "true_return": float(final),
        "untrained": float(first),
        "metrics_sha256": done["metrics_sha256"],
        "speed": _speed(done),
        "peak_memory_bytes": done["peak_memory_bytes"],
        "machine": {**machine, "cpu": run.provenance.get("cpu")},
        **{column: late(step, rows, column) for column in REWARD},
    }
    entry: Entry = parse(Entry, values, f"run {run.key} is nothing to compare with")
    return entry


def late(step: stats.Array, rows: Sequence[Mapping[str, Any]], column: str) -> float | None:
    """Mean of a column over the last quarter of the steps that were taken; None where it has no value there."""
    values = np.array([np.nan if row.get(column) is None else row[column] for row in rows], float)
    found = values[(step > 0.75 * step[-1]) & np.isfinite(values)]
    return round(float(found.mean()), 6) if len(found) else None


def _speed(done: Mapping[str, Any]) -> float | None:
    if not done.get("bare_steps_per_second"):
        return None
    return round(done["steps"] / (done["cpu_seconds"] + done["idle_seconds"]) / done["bare_steps_per_second"], 4)


def save(path: Path, sample: Sample) -> None:
    """Write a baseline."""
    runs = [run.model_dump() for run in sample.runs]
    values = {"schema": SCHEMA, "suite": sample.suite, "method": sample.method, "runs": runs}
    files.write_to(path, (json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def load(path: Path) -> Sample:
    """Read a baseline.

    Raises:
        UserError: it is missing, damaged, or of another schema.
    """
    remedy = "restore it, or make it anew with --write-baseline"
    real = Path(os.path.realpath(path))  # the user's own link is followed
    values = read_json(real, BaselineFile, remedy, where=f"baseline {path}")
    return Sample(values["suite"], values["method"], tuple(Entry(**run) for run in values["runs"]))


def comparable(baseline: Sample, candidate: Sample, narrowed: bool = False) -> Sample:
    """The runs of the baseline whose cells the candidate has. ``narrowed``: it was asked for some of the suite alone.

    Raises:
        UserError: another suite or method, or cells that one of them has alone.
    """
    for what in ("suite", "method"):
        theirs, ours = getattr(baseline, what), getattr(candidate, what)
        if theirs != ours:
            raise UserError(
                f"the baseline is of {what} {theirs!r}, the candidate of {ours!r}: compare the same, or make the "
                "baseline anew with --write-baseline"
            )
    theirs, ours = baseline.cells(), candidate.cells()
    alone = [cell for cell in theirs if cell not in ours and not narrowed] + [one for one in ours if one not in theirs]
    if alone:
        raise UserError(
            f"baseline and candidate do not plan the same runs ({alone[0][1]!r} on {alone[0][0]} is in one of them "
            "alone): the suite has changed since; make the baseline anew with --write-baseline"
        )
    return replace(baseline, runs=tuple(run for run in baseline.runs if run.cell in ours))


def renamed(baseline: Sample, candidate: Sample) -> int:
    """How many runs of one arm, task and seed have another key: a setting, a default or a version has changed."""
    keys = {(run.cell, run.seed): run.key for run in baseline.runs}
    return sum(keys.get((run.cell, run.seed), run.key) != run.key for run in candidate.runs)


def same_machine(runs: Iterable[Entry]) -> bool:
    """Whether all runs come from one class of machine and software, on which bytes can be compared."""
    return len({json.dumps(dict(run.machine), sort_keys=True) for run in runs}) == 1
