"""A user's published figures beside ours: ``report --beside FILE``, a CSV with a line a number.

    source,task,arm,unit,value,step
    Lee et al. 2021,mujoco/hopper,700 labels,return,2400,
    Lee et al. 2021,mujoco/hopper,700 labels,return,310,100000

``task`` is a suite's, with or without its version. ``arm`` is any name; ours stands beside it where the suite has an
arm of that name. ``unit`` is "return" (true return per episode) or "normalised" (0 the untrained policy, 1 the true
reward). A line with a ``step`` is a point of a curve, one without is a final value.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import files
from prefrl_core.errors import UserError, unknown

COLUMNS = ("source", "task", "arm", "unit", "value", "step")
UNITS = ("return", "normalised")
_REMEDY = f"give the columns {', '.join(COLUMNS)}"
_LARGEST = 16 << 20  # bytes


@dataclass(frozen=True)
class Figure:
    """A published number: of the end of training, or of a curve at ``step``."""

    source: str
    task: str
    arm: str
    unit: str
    value: float
    step: float | None


def read(path: Path, tasks: Sequence[str]) -> tuple[Figure, ...]:
    """The figures of a file for these tasks, its lines in order.

    Raises:
        UserError: wrong columns, a unit, number or task that is none.
    """
    data = files.read(Path(os.path.realpath(path)), _LARGEST, _REMEDY)  # the user's own link is followed
    try:
        lines = csv.reader(data.decode("utf-8-sig").splitlines(), strict=True)
        header, *rows = list(lines) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV in UTF-8 ({error}): {_REMEDY}") from error
    if sorted(header) != sorted(COLUMNS):
        raise UserError(f"{path} has the columns {', '.join(header) or 'of nothing'}: {_REMEDY}")
    by_name = {task.partition("@")[0]: task for task in tasks} | {task: task for task in tasks}
    return tuple(
        _figure(f"{path}:{number}", header, row, by_name) for number, row in enumerate(rows, start=2) if any(row)
    )


def _figure(where: str, header: Sequence[str], row: Sequence[str], tasks: dict[str, str]) -> Figure:
    if len(row) != len(header):
        raise UserError(f"{where} has {len(row)} values, {len(header)} columns are named: {_REMEDY}")
    told = dict(zip(header, (value.strip() for value in row), strict=True))
    if told["task"] not in tasks:
        raise unknown(f"task in {where}:", told["task"], list(tasks))
    if told["unit"] not in UNITS:
        raise unknown(f"unit in {where}:", told["unit"], UNITS)
    for name in ("source", "arm"):
        if not told[name]:
            raise UserError(f"{where} names no {name}: {_REMEDY}")
    step = _number(where, "step", told["step"]) if told["step"] else None
    value = _number(where, "value", told["value"])
    return Figure(told["source"], tasks[told["task"]], told["arm"], told["unit"], value, step)


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= 1e12:
        raise UserError(f"{where}: {name} = {text!r} is not a finite number: give one below 1e12 in size")
    return value


def curves(figures: Iterable[Figure], task: str, unit: str) -> dict[str, tuple[list[float], list[float]]]:
    """Steps and values of the curves of a task in a unit, by what the legend calls them."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for one in sorted((one for one in figures if one.step is not None), key=lambda one: one.step or 0.0):
        if (one.task, one.unit) == (task, unit):
            steps, values = found.setdefault(f"{one.arm} ({one.source})", ([], []))
            steps.append(one.step or 0.0)
            values.append(one.value)
    return found
