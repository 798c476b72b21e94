"""The frame of a suite file as a model. Numbers are bounded before anything is made of them.

What the settings of a run may be is the run's business (``RunSpec``); here they are plain, finite and not endless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from bench.parse import Model, Name, Table, Text, plain, refuse
from bench.purpose import MOST_SEEDS, DecideTable
from bench.resources import ResourcesTable
from prefrl_core.errors import require, unknown

LARGEST = 1 << 20  # bytes of a suite file
MOST_RUNS = 100_000
LARGEST_SEED = 2**53
PLACED = {
    "task": "[sweep]",
    "seed": "[sweep], [tasks] or [[arm]]",
    "plugins": "the top of the file",
}  # not to be set for single runs


def _seeds(value: Any) -> tuple[int, ...]:
    if type(value) is int and 0 < value <= MOST_SEEDS:
        return tuple(range(value))
    listed = isinstance(value, list) and 0 < len(value) <= MOST_SEEDS
    if listed and all(type(seed) is int and 0 <= seed <= LARGEST_SEED for seed in value) and _all_differ(value):
        return tuple(value)
    raise refuse(f"give the number of seeds, up to {MOST_SEEDS:,}, or a list of different ones from 0 on")


def _all_differ(value: list[Any]) -> bool:
    return len(set(value)) == len(value)


def _different(value: list[str]) -> list[str]:
    if not _all_differ(value):
        raise refuse("give a list of different texts")
    return value


def _folder(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", value):
        raise refuse("use up to 100 of a to z, A to Z, 0 to 9, '-', '_' and '.', for it names a folder")
    return value


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        raise refuse("write [[arm]], in two brackets, above each arm")
    return value


Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds)]
Names = Annotated[list[Name], Field(max_length=1000), AfterValidator(_different)]


class Sweep(Model):
    """``[sweep]``."""

    task: Annotated[Names, Field(min_length=1)]
    seed: Seeds = (0,)


class TaskTable(Model):
    """``[tasks.X]``: perhaps seeds of its own, and settings."""

    model_config = ConfigDict(extra="allow")
    seed: Seeds | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return plain(value)

    @property
    def settings(self) -> dict[str, Any]:
        return self.model_extra or {}


class ArmTable(TaskTable):
    """``[[arm]]``: the same with a name."""

    name: Annotated[Name, BeforeValidator(_stripped)]


class SuiteFile(Model):
    """The whole file; see ``bench.suite`` for what each table means."""

    name: Annotated[str, AfterValidator(_folder)]
    title: Text = ""
    description: Text = ""
    baseline: str = ""
    plugins: Names = []
    run: Table = {}
    sweep: Sweep
    tasks: Annotated[dict[str, TaskTable], Field(max_length=1000)] = {}
    arm: Annotated[list[ArmTable], Field(min_length=1, max_length=1000), BeforeValidator(_listed)]
    resources: ResourcesTable = ResourcesTable()
    decide: DecideTable | None = None

    @model_validator(mode="after")
    def _whole(self) -> SuiteFile:
        names = [arm.name for arm in self.arm]
        for number, name in enumerate(names, start=1):
            if name in names[: number - 1]:
                raise refuse(f"[[arm]] {number}: its name {name!r} is taken: give it another")
        self._refuse_unknown(names)
        runs = sum(len(self.seeds(arm, task)) for arm in self.arm for task in self.sweep.task)
        if runs > MOST_RUNS:
            raise refuse(f"{runs:,} runs: a suite has at most {MOST_RUNS:,}")
        for task, table in self.tasks.items():
            if table.seed and self.decide:
                raise refuse(f"[tasks.{task!r}] seed: leave it out, [decide] takes as many seeds on each task")
        return self

    def seeds(self, arm: ArmTable, task: str) -> tuple[int, ...]:
        """An arm's own win over its task's, and these over the sweep's."""
        table = self.tasks.get(task)
        return arm.seed or (table and table.seed) or self.sweep.seed

    def _refuse_unknown(self, arms: list[str]) -> None:
        """Whatever names an arm or a task names one of this file."""
        decide, tasks = self.decide or DecideTable(difference=1), self.sweep.task
        references: list[tuple[str, Iterable[str], list[str]]] = [
            ("arm in baseline:", [self.baseline] if self.baseline else [], arms),
            ("task in [tasks]:", self.tasks, tasks),
            ("name in [resources.tasks]:", self.resources.tasks, tasks),
            ("name in [resources.arms]:", self.resources.arms, arms),
            ("arm in [decide]:", [*(decide.arms or []), *([decide.against] if decide.against else [])], arms),
            ("task in [decide]:", decide.tasks or [], tasks),
        ]
        for what, named, known in references:
            for one in named:
                if one not in known:
                    raise refuse(str(unknown(what, one, known)))


def refuse_same_task(source: str, ids: Mapping[str, str]) -> None:
    """Refuse a suite that lists one task by two names; ``ids`` maps each to the task's id, with its version.

    Raises:
        UserError: it does: its runs would count twice.
    """
    first: dict[str, str] = {}
    for name, full in ids.items():
        twin = first.setdefault(full, name)
        require(twin == name, f"{source}: [sweep] task: {twin!r} and {name!r} are the same task: keep one of them")


def toml_place(path: tuple[Any, ...]) -> str:
    """A path in a suite file as the file writes it: ``[[arm]] 2 seed``, ``[sweep] task``."""
    steps = list(path)
    if steps[:1] == ["arm"]:
        steps[:2] = [f"[[arm]] {steps[1] + 1}" if len(steps) > 1 else "[[arm]]"]
    elif steps[:1] == ["tasks"] and len(steps) > 1:
        steps[:2] = [f"[tasks.{steps[1]!r}]"]
    elif steps[:1] == ["resources"] and len(steps) > 2:
        steps[:3] = [f"[resources.{steps[1]}.{steps[2]!r}]"]
    elif steps and steps[0] in ("sweep", "run", "resources", "decide"):
        steps[0] = f"[{steps[0]}]"
    return " ".join(f"[{step}]" if isinstance(step, int) else str(step) for step in steps)
