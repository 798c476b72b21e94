"""Runs as they are found on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bench import stats, store, tracks
from bench.report import published
from bench.report.parallel import side_by_side
from bench.suite import Planned
from bench.text import one_line
from bench.tracks import Spec
from prefrl_core.errors import UserError

COLUMNS = ("step", "episodes", "true_return", "labels", "reward_accuracy", "reward_correlation")
Status = store.Status | Literal["damaged"]
_TOGETHER = 32  # runs read by one call


@dataclass(frozen=True)
class Run:
    """One planned run as found on disk; ``metrics`` maps each of COLUMNS to an array ``(rows,)``, null as NaN."""

    arm: str
    task: str
    seed: int
    key: str
    spec: Spec
    status: Status = "not started"
    error: str = ""
    metrics: Mapping[str, stats.Array] = field(default_factory=dict)
    untrained: stats.Array = field(default_factory=lambda: np.zeros(0))  # (rows,), 1 in the phase "untrained"
    done: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)  # those that stand in its key
    folder: Path = Path()

    @property
    def steps(self) -> int:
        """Environment steps recorded so far."""
        return int(self.metrics["step"][-1]) if self.metrics and len(self.metrics["step"]) else 0

    @property
    def clock(self) -> tuple[stats.Array, stats.Array]:
        """Steps and the seconds of the clock at which a row of metrics told them, read from disk each time."""
        rows = store.Run(self.folder).timing
        return np.array([row["step"] for row in rows], float), np.array([row["seconds"] for row in rows], float)

    @property
    def segments(self) -> Mapping[str, stats.Array]:
        """The sample of segments of a finished run (``store.Run.segments``), read from disk each time."""
        return store.Run(self.folder).segments()

    def final(self, column: str) -> float:
        """Mean of a column at the end of training (``bench.stats.final_mean``); NaN where there is nothing."""
        return stats.final_mean(*self._weighted(column), self.spec.total_steps)

    def binned(self, column: str, edges: stats.Array) -> stats.Array:
        """Mean of a column in each bin of steps (``bench.stats.binned``)."""
        return stats.binned(*self._weighted(column), edges)

    def _weighted(self, column: str) -> tuple[stats.Array, stats.Array, stats.Array]:
        """Steps, values and weights: returns count once an episode, all else once a row."""
        weights = self.metrics["episodes"] if column == "true_return" else np.ones(len(self.metrics["step"]))
        return self.metrics["step"], self.metrics[column], weights


def found(planned: Sequence[Planned], out: Path, keep_damaged: bool = False) -> list[Run]:
    """The planned runs with what their folders hold, in their order. If ``keep_damaged``, one that cannot be read is
    among them with the status "damaged" and nothing but its error.

    Raises:
        UserError: a folder is damaged.
    """
    parts = [planned[first : first + _TOGETHER] for first in range(0, len(planned), _TOGETHER)]
    runs = [run for part in side_by_side([partial(_find_all, part, out) for part in parts]) for run in part]
    damaged = [run for run in runs if run.status == "damaged"]
    if damaged and (not keep_damaged or not any(run.steps for run in runs)):
        raise UserError(damaged[0].error)
    return runs


def check_versions(runs: Iterable[Run]) -> None:
    """Refuse to average a task's runs over MuJoCo versions: the physics differ (HalfCheetah's do)."""
    found: dict[str, dict[str, str]] = {}
    for run in runs:
        if "mujoco" in run.versions:  # a task without physics does not name it
            recorded = run.provenance.get("versions", {}).get("mujoco") or run.versions["mujoco"]
            for version in (run.versions["mujoco"], recorded):
                found.setdefault(run.task, {}).setdefault(str(version), run.key)
    for task, versions in found.items():
        if len(versions) > 1:
            told = " and ".join(f"{version} (run {key})" for version, key in sorted(versions.items()))
            raise UserError(
                f"runs of {task} come from MuJoCo {told}, whose physics differ: move those of one version to a "
                "folder of their own and report each with --out"
            )


def untrained_level(runs: Iterable[Run], control: Spec | None = None) -> float:
    """Episode-weighted mean return of the untrained policy over runs of a task. Where no episode of it ended, which
    may last longer than the untrained phase, the published score of random play, or NaN where there is none.

    With a ``control`` over those whose policy begins as its own does. Runs that explore first count only where there
    are no others: they learn in this phase, though not from rewards.
    """
    every, level = list(runs), float("nan")
    alike = [run for run in every if run.steps and (control is None or _beginning(run.spec) == _beginning(control))]
    alike = [run for run in alike if not _explores(run.spec)] or alike
    if alike:
        returns = np.concatenate([run.metrics["true_return"] for run in alike])
        weights = np.concatenate([run.metrics["episodes"] * run.untrained for run in alike])
        level = stats.weighted_mean(returns, weights)
    return published.random_play(every[0].task) if every and np.isnan(level) else level


def _beginning(spec: Spec) -> tuple[object, ...]:
    """What tells untrained policies apart: optimiser, range of the actions, and their standard deviation."""
    policy = spec.canonical().get("policy", {})
    return tuple(policy.get(setting) for setting in ("name", "action_limit", "initial_std"))


def _explores(spec: Spec) -> bool:
    return bool(spec.canonical().get("policy", {}).get("explore_steps"))


def _find_all(planned: Sequence[Planned], out: Path) -> list[Run]:
    return [_find(plan, out) for plan in planned]


def _find(plan: Planned, out: Path) -> Run:
    """The planned run with what its folder holds, or why that cannot be read."""
    planned, folder = Run(plan.arm, plan.task, plan.seed, plan.key, plan.spec), store.Run(out / plan.key)
    try:
        made = read(planned, folder)
        folder.segments(), folder.samples()
        return made
    except UserError as error:
        return replace(planned, status="damaged", error=one_line(error))


def read(run: Run, folder: store.Run) -> Run:
    """A run with what its folder holds.

    Raises:
        UserError: it is damaged.
    """
    if folder.status == "not started":
        return run
    rows = folder.rows
    return replace(
        run,
        status=folder.status if rows or folder.status == "failed" else "not started",
        error=folder.error or "",
        metrics={name: np.array([number(row.get(name)) for row in rows]) for name in COLUMNS},
        untrained=np.array([row.get("phase") == "untrained" for row in rows], float),
        done=folder.done,
        provenance=folder.provenance,
        versions=folder.versions,
        folder=folder.folder,
    )


def number(value: Any) -> float:
    """A row's value, NaN where there is nothing to tell."""
    return float("nan") if value is None else float(value)


def beyond(planned: Sequence[Planned], out: Path, known: Iterable[str]) -> list[Run]:
    """The finished runs in ``out`` that differ from a planned one in their seed alone, by arm and seed; those with a
    ``known`` key are not among them. Of a run that several arms plan there is one for each."""
    cells: dict[str, dict[tuple[str, str], Planned]] = {}
    for plan in planned:
        cells.setdefault(_alike(plan.spec.canonical()), {}).setdefault((plan.arm, plan.task), plan)
    order = {arm: place for place, arm in enumerate(dict.fromkeys(plan.arm for plan in planned))}
    taken = {plan.key for plan in planned} | set(known)
    runs = [one for one in store.load(out) if one.key not in taken and one.status == "done"] if out.is_dir() else []
    found = [run for one in runs for run in _of_cells(one, cells)]
    return sorted(found, key=lambda run: (run.seed, run.task, order[run.arm]))


def _of_cells(run: store.Run, cells: dict[str, dict[tuple[str, str], Planned]]) -> list[Run]:
    try:
        alike = cells.get(_alike(run.spec), {})
        return [
            Run(arm, task, run.spec["seed"], run.key, tracks.of(task).spec(run.spec))
            for (arm, task), plan in alike.items()
            if store.key_of(plan.spec.canonical(), run.versions) == plan.key
        ]
    except UserError:  # damaged, or of a part that is not installed: no seed of these
        return []


def _alike(spec: dict[str, object]) -> str:
    return json.dumps({**spec, "seed": None}, sort_keys=True)
