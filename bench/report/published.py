"""Published figures to be shown beside ours, on the scale of their own source: 0 where its curves begin, 1 its run on
the true reward. How they were read is in published/README.md."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Annotated, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from bench.parse import Name, parse

Number = TypeVar("Number", float, NDArray[np.float64])
SOURCE = "Christiano et al. 2017"
BUDGETS = (350, 700, 1400)  # of figure 2
ATARI_BUDGETS = (3300, 5600, 10_000)  # of figure 3
ATARI_ARMS = {"true_reward": "paper, true reward"} | {
    f"labels_{n}": f"paper, {n:,} labels" for n in sorted(ATARI_BUDGETS, reverse=True)
}  # what our tables call the columns of ``returns``
NOTE = (
    "Published: Christiano et al. 2017, figures 2 and 5, read off the print (about 2 % of an axis); TRPO for "
    "20,000,000 steps (inverted pendulum 1,000,000) on the MuJoCo of its time, with rewards that it describes but does "
    "not print. Each side is normalised by its own start and its own run on the true reward."
)
ATARI_NOTE = (
    "Published, Atari: Christiano et al. 2017, figures 3 and 6, read off the print (about 2 % of an axis, worse where "
    "curves cross); A2C for 50,000,000 steps, three runs a curve. 0 is the score of random play and 1 its own run on "
    "the true reward; human-normalised scores have random play at 0 and a human tester at 1."
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
_GAMES = {
    "beam_rider": "BeamRider",
    "breakout": "Breakout",
    "enduro": "Enduro",
    "pong": "Pong",
    "qbert": "Qbert",
    "seaquest": "Seaquest",
    "space_invaders": "SpaceInvaders",
}
_NAMES = {"full_method": "original"}  # arms of ours that are called otherwise


def note(tasks: Iterable[str]) -> str:
    """Where the figures shown for some tasks are from."""
    families = {task.partition("/")[0] for task in tasks}
    return " ".join(text for family, text in (("mujoco", NOTE), ("atari", ATARI_NOTE)) if family in families)


def known(task: str) -> bool:
    """Whether the paper has the task, given by its id, in a form that can be normalised: figure 2 shows no start of the
    inverted pendulum, and in figure 3 the control learns nothing on Enduro."""
    if _name(task) is None:
        return False
    row = returns(task)
    return bool(np.isfinite(row["start"]) and row["true_reward"] > row["start"])


def budgets(tasks: Iterable[str]) -> tuple[int, ...]:
    """The numbers of labels that the paper shows of the tasks' family."""
    return ATARI_BUDGETS if any(game(task) for task in tasks) else BUDGETS


def returns(task: str) -> dict[str, float]:
    """Figure 2 or 3 for one task: ``true_reward``, ``start`` and ``labels_1400`` and so on, NaN where it shows none."""
    name = _name(task) or ""
    if game(task):
        row = _table("christiano2017_atari.csv")[name]
        return {"start": scale(task)[0], "true_reward": row["true_reward_a2c"], **row}
    return _table("christiano2017_mujoco.csv")[name]


def scale(task: str) -> tuple[float, float]:
    """Scores of random play and of a human tester, of one of the paper's games."""
    row = _table("atari_reference_scores.csv")[game(task) or ""]
    return row["random"], row["human"]


def of_human(task: str, score: Number) -> Number:
    """A score, or several, of one of the paper's games between random play, 0, and a human tester, 1."""
    random, human = scale(task)
    return (score - random) / (human - random)


def random_play(task: str) -> float:
    """The score of random play of one of the paper's games; NaN of any other task."""
    return scale(task)[0] if game(task) else float("nan")


def normalised(task: str) -> dict[int, float]:
    """Normalised return of one task by number of labels, from figure 2 or 3."""
    row = returns(task)
    return {labels: _scaled(task, row[f"labels_{labels}"]) for labels in budgets([task])}


def share(task: str, column: str) -> float:
    """A value of figure 2 or 3 between where its curves begin, 0, and its run on the true reward, 1."""
    return _scaled(task, returns(task)[column])


def ablation(arm: str, task: str) -> float:
    """Normalised return of a variant of figure 5 or 6, by the name that our suite gives it; NaN if it has no such."""
    variant = arm.replace(" ", "_")
    file = "christiano2017_atari_ablations.csv" if game(task) else "christiano2017_mujoco_ablations.csv"
    row = _table(file).get(_NAMES.get(variant, variant))
    name = _name(task)
    if row is None or name is None or name not in row:
        return np.nan
    return _scaled(task, row[name])


def _scaled(task: str, value: float) -> float:
    row = returns(task)
    return (value - row["start"]) / (row["true_reward"] - row["start"])


def _name(task: str) -> str | None:
    family, _, stem = task.partition("@")[0].partition("/")
    return _TASKS.get(stem) if family == "mujoco" else game(task)


def game(task: str) -> str | None:
    """The paper's name of one of its games, given by its task; None of any other task."""
    family, _, stem = task.partition("@")[0].partition("/")
    return _GAMES.get(stem) if family == "atari" else None


def _figure(value: str) -> float:
    """A number read off a figure, NaN where the figure shows none."""
    if value and not abs(float(value)) <= 1e9:  # NaN too
        raise ValueError("should be a finite number below 1e9 in size")
    return float(value or "nan")


_Rows = dict[Name, dict[Name, Annotated[float, BeforeValidator(_figure)]]]


@cache
def _table(file: str) -> dict[str, dict[str, float]]:
    """The rows of a file by their first column."""
    text = resources.files("bench.report").joinpath("published", file).read_text("utf-8")
    made = {}
    for row in csv.DictReader(text.splitlines()):
        first = next(iter(row))
        key = row.pop(first)
        made[key] = {name: value for name, value in row.items() if name != "gymnasium_task"}
    checked: dict[str, dict[str, float]] = parse(_Rows, made, f"published/{file}")
    return checked
