"""What a run needs of the machine it is sent to: ``[resources]`` of a suite file.

    [resources]                             # every run's: these are the defaults
    cpus = 1                                # cores; 0.5 lets two runs share one
    gpus = 0                                # GPUs; a share of one (0.25), or whole ones
    [resources.tasks."mujoco/ant@1"]        # of one task's runs
    cpus = 2
    [resources.arms."700 labels"]           # of one arm's; wins over the task's
    gpus = 0.25

No part of a run: it changes neither its key nor its numbers. A run computes on one thread whatever it is given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import AfterValidator, Field

from bench.parse import Model, refuse


def _share(value: float) -> float:
    if value > 1 and value != int(value):
        raise refuse("give a whole number if it is above 1")
    return float(value)


class _Table(Model):
    cpus: Annotated[float, Field(gt=0, le=1e6), AfterValidator(_share)] | None = None
    gpus: Annotated[float, Field(ge=0, le=1e6), AfterValidator(_share)] | None = None


class ResourcesTable(_Table):
    """``[resources]`` as the suite file has it."""

    tasks: dict[str, _Table] = {}
    arms: dict[str, _Table] = {}


def _given(table: _Table) -> dict[str, float]:
    return {name: value for name in ("cpus", "gpus") if (value := getattr(table, name)) is not None}


@dataclass(frozen=True)
class Needs:
    """Of one run."""

    cpus: float = 1.0
    gpus: float = 0.0

    def __str__(self) -> str:
        return f"{self.cpus:g} CPU" + (f" and {self.gpus:g} GPU" if self.gpus else "")


@dataclass(frozen=True)
class Resources:
    """Of a suite's runs."""

    every: Mapping[str, float] = field(default_factory=dict)
    tasks: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    arms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, file: ResourcesTable) -> Resources:
        """``[resources]`` of a suite file."""
        return cls(
            _given(file), *({name: _given(one) for name, one in kind.items()} for kind in (file.tasks, file.arms))
        )

    def needs(self, task: str, arm: str) -> Needs:
        """Of the runs of one arm on one task, named as the suite names it."""
        return replace(Needs(), **{**self.every, **self.tasks.get(task, {}), **self.arms.get(arm, {})})


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
