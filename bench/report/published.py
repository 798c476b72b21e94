"""Published figures to be shown beside ours, on the scale of their own source: 0 where its curves begin, 1 its run on
the true reward. How they were read is in published/README.md."""

from __future__ import annotations

import csv
from functools import cache
from importlib import resources

import numpy as np

SOURCE = "Christiano et al. 2017"
BUDGETS = (350, 700, 1400)
NOTE = (
    "Published: Christiano et al. 2017, figures 2 and 5, read off the print (about 2 % of an axis); TRPO for "
    "20,000,000 steps (inverted pendulum 1,000,000) on the MuJoCo of its time, with rewards that it describes but does "
    "not print. Each side is normalised by its own start and its own run on the true reward."
)
_TASKS = {
    "walker2d": "walker",
    "hopper": "hopper",
    "swimmer": "swimmer",
    "half_cheetah": "cheetah",
    "ant": "ant",
    "reacher": "reacher",
    "inverted_double_pendulum": "double-pendulum",
    "inverted_pendulum": "pendulum",
}
_NAMES = {"full_method": "original"}  # arms of ours that are called otherwise


def known(task: str) -> bool:
    """Whether figure 2 has the task, given by its id, in the form that is normalised (it shows no start of the
    inverted pendulum)."""
    return _name(task) is not None and np.isfinite(returns(task)["start"])


def returns(task: str) -> dict[str, float]:
    """Figure 2 for one task: ``true_reward``, ``start`` and ``labels_1400`` and so on, NaN where it shows none."""
    row = _table("christiano2017_mujoco.csv")[_name(task) or ""]
    return {key: float(value) if value else np.nan for key, value in row.items() if key != "gymnasium_task"}


def normalised(task: str) -> dict[int, float]:
    """Normalised return of one task by number of labels, from figure 2."""
    row = returns(task)
    return {labels: _scaled(task, row[f"labels_{labels}"]) for labels in BUDGETS}


def ablation(arm: str, task: str) -> float | None:
    """Normalised return of a variant of figure 5, by the name that our suite gives it; None if it has no such."""
    variant = arm.replace(" ", "_")
    row = _table("christiano2017_mujoco_ablations.csv").get(_NAMES.get(variant, variant))
    name = _name(task)
    if row is None or name is None or name not in row:
        return None
    return _scaled(task, float(row[name]))


def _scaled(task: str, value: float) -> float:
    row = returns(task)
    return (value - row["start"]) / (row["true_reward"] - row["start"])


def _name(task: str) -> str | None:
    family, _, stem = task.partition("@")[0].partition("/")
    return _TASKS.get(stem) if family == "mujoco" else None


@cache
def _table(file: str) -> dict[str, dict[str, str]]:
    """The rows of a file by their first column."""
    text = resources.files("bench.report").joinpath("published", file).read_text("utf-8")
    made = {}
    for row in csv.DictReader(text.splitlines()):
        first = next(iter(row))
        made[row.pop(first)] = row
    return made
