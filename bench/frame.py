"""Runs as one tidy frame: ``bench.load("runs")`` is a table with a row for each run of each suite that plans it.

    import bench

    frame = bench.load("runs")  # or several folders; suites=["queries", "mine.toml"] for some or for your own
    frame.groupby(["task", "arm"])["normalised"].mean()
    bench.load_rows(frame)  # what the runs recorded: a row for each of their metrics' rows

Columns of a run: ``suite``, ``arm``, ``task``, ``seed``, ``key``, ``status``, ``reward`` ("learned", or what the
control learns from), ``steps`` (recorded so far), ``labels`` (paid for), ``final`` (the final return, docs/metrics.md;
of language runs the gain in gold), ``normalised`` (0 the untrained policy, 1 the suite's control; NaN where that is no
scale); ``wall_seconds``, ``cpu_seconds``, ``peak_memory_bytes``, ``reward_gradient_steps``, ``policy_updates``;
``error``, ``folder``; and each setting of its spec by its dotted name, ``spec.labels`` or ``spec.query.name``. What is
missing is NaN or None.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import spread, stats, store, suite, tracks
from bench.report import runs as recorded
from bench.text import counted
from prefrl_core.errors import UserError, require

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("wall_seconds", "cpu_seconds", "peak_memory_bytes", "reward_gradient_steps", "policy_updates")
LEADING = ("suite", "arm", "task", "seed", "key", "status", "reward", "steps", "labels", "final", "normalised", *COSTS)
Folders = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def load(folders: Folders, suites: str | Sequence[str] | None = None) -> pd.DataFrame:
    """Every run in the folders, in the order of their suites' plans; runs of no suite come last, ``suite`` and ``arm``
    empty.

    Args:
        folders: one results folder, or several. A run that lies in two of them is taken from the first.
        suites: one name or file, or several; default: all that come with the project. A run that two suites plan has a
            row in each.

    Damaged runs are left out: a warning names them, and ``frame.attrs["damaged"]`` has the reason for each folder. Runs
    that need a plug-in or package that is not here are left out too: ``frame.attrs["absent"]`` has the reasons.

    Raises:
        UserError: a folder or suite that is not there, two suites of one name, or runs of one task whose MuJoCo
            versions differ.
    """
    import pandas as pd

    runs, damaged, absent = _sound(_folders(folders))
    planned = _planned([suites] if isinstance(suites, str) else suites or suite.names())
    there = [(name, one) for name, ones in planned.items() for one in ones if one.key in runs]
    found = [_record(runs[one.key], name, one.arm) for name, one in there]
    known = {one.key for _, one in there}
    found += [_record(run, "", "") for key, run in runs.items() if key not in known]
    recorded.check_versions(runs.values())
    frame = pd.DataFrame.from_records(found, columns=_columns(found))
    frame["normalised"] = _normalised(frame, runs, _controls(planned))
    frame.attrs |= {"damaged": damaged, "absent": absent}
    return frame


def load_rows(frame: pd.DataFrame) -> pd.DataFrame:
    """What the runs of a frame recorded, a row for each row of ``metrics.jsonl``, with suite, arm, task, seed and key
    before the columns of docs/metrics.md."""
    import pandas as pd

    parts = []
    for one in frame.itertuples():
        part = pd.DataFrame.from_records(store.Run(Path(str(one.folder))).rows)
        for place, name in enumerate(("suite", "arm", "task", "seed", "key")):
            part.insert(place, name, getattr(one, name))
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _folders(folders: Folders) -> list[Path]:
    if isinstance(folders, str | os.PathLike):
        return [Path(folders)]
    return [Path(folder) for folder in folders]


class _Absent(UserError):
    """A run is sound, and a part of it is not here."""


def _sound(folders: Sequence[Path]) -> tuple[dict[str, recorded.Run], dict[str, str], dict[str, str]]:
    """The runs that can be read by key; by folder, why others are damaged, and what others need that is not here."""
    runs: dict[str, recorded.Run] = {}
    damaged: dict[str, str] = {}
    absent: dict[str, str] = {}
    for folder in folders:
        for one in store.load(folder):
            try:
                if one.status != "not started" and one.key not in runs:
                    runs[one.key] = _read(one)
            except _Absent as error:
                absent[str(one.folder)] = str(error)
            except UserError as error:
                damaged[str(one.folder)] = str(error)
    if damaged:
        named = ", ".join(Path(folder).name for folder in list(damaged)[:5])
        warnings.warn(f"{len(damaged)} damaged runs left out: {named}; frame.attrs['damaged'] says why", stacklevel=3)
    if absent:
        first, why = next(iter(absent.items()))
        told = f"{counted(len(absent), 'run')} left out with parts that are not here: {Path(first).name} ({why})"
        warnings.warn(f"{told}; frame.attrs['absent'] has all", stacklevel=3)
    return runs, damaged, absent


def _read(run: store.Run) -> recorded.Run:
    values = run.spec
    try:
        spec = tracks.of(values["task"]).spec(values)
    except UserError as error:
        raise _Absent(str(error)) from error
    return recorded.read(recorded.Run("", spec.task, spec.seed, run.key, spec), run)


def _planned(suites: Sequence[str]) -> dict[str, list[suite.Planned]]:
    """The runs of each suite. A suite whose packages are not installed plans none."""
    found = {}
    for name in dict.fromkeys(suites):
        try:
            loaded = suite.load(name)
            planned = list(loaded.runs())
        except UserError:
            if name not in suite.names():
                raise
            continue
        twice = f"{loaded.source}: another of these suites has the name {loaded.name!r} too: change one of them"
        require(loaded.name not in found, twice)
        found[loaded.name] = planned
    return found


def _record(run: recorded.Run, name: str, arm: str) -> dict[str, Any]:
    labels = run.metrics["labels"]
    return {
        "suite": name,
        "arm": arm,
        "task": run.task,
        "seed": run.seed,
        "key": run.key,
        "status": run.status,
        "reward": run.spec.reward,
        "steps": run.steps,
        "labels": labels[-1] if len(labels) else np.nan,
        "final": _final(run) if run.status == "done" else np.nan,
        **{cost: recorded.number(run.done.get(cost)) for cost in COSTS},
        "error": run.error or None,
        "folder": str(run.folder),
        **_flat(run.spec.canonical(), "spec."),
    }


def _final(run: recorded.Run) -> float:
    """What a finished run came to: its final return, or the gain in gold of a language run (NaN without one)."""
    outcome = tracks.of(run.task).outcome
    if outcome in run.metrics:
        return run.final(outcome)
    rows = [row for row in store.Run(run.folder).rows if row.get("stage") == "final"]
    return recorded.number(rows[-1].get(outcome)) if rows else float("nan")


def _columns(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """The leading ones first, then the settings as they come."""
    return list(dict.fromkeys([*LEADING, "error", "folder", *(name for one in records for name in one)]))


def _flat(settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Nested settings by dotted names; lists stay lists."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def _controls(planned: Mapping[str, Sequence[suite.Planned]]) -> dict[tuple[str, str], str]:
    """The control of each suite and task, which is its first arm on the true reward, whether it has finished or not."""
    found = [
        ((name, one.task), one.arm) for name, ones in planned.items() for one in ones if one.spec.reward != "learned"
    ]
    return dict(reversed(found))


def _normalised(
    frame: pd.DataFrame, runs: Mapping[str, recorded.Run], controls: Mapping[tuple[str, str], str]
) -> np.ndarray:
    """Final returns in units of the suite's control on the task."""
    values = np.full(len(frame), np.nan)
    for (name, task), place in frame.groupby(["suite", "task"], sort=False).indices.items():
        part = frame.iloc[place]
        first = part[(part["arm"] == controls.get((name, task))) & part["final"].notna()]
        if len(first):
            sampled = tracks.of(task).outcome != "true_return"  # a gain is counted from SFT's already
            known = runs[first["key"].iloc[0]].spec
            untrained = 0.0 if sampled else recorded.untrained_level((runs[key] for key in part["key"]), known)
            returns = first["final"].to_numpy()
            beside = spread.pool(one.dropna().to_numpy() for _, one in part.groupby("arm")["final"])
            clear = spread.gain(returns, untrained, beside).low > 0
            values[place] = stats.normalise(part["final"], untrained, returns.mean() if clear else untrained)
    return values
