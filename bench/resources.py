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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from prefrl_core.errors import UserError, unknown


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
    def of(cls, table: Any, tasks: Sequence[str], arms: Sequence[str]) -> Resources:
        """``[resources]`` of a suite with these tasks and arms.

        Raises:
            UserError: an unknown name, or a number that no machine can give.
        """
        table = _table("[resources]", table)
        kinds = {}
        for kind, known in (("tasks", tasks), ("arms", arms)):
            kinds[kind] = _table(f"[resources.{kind}]", table.get(kind, {}))
            for name in kinds[kind]:
                if name not in known:
                    raise unknown(f"name in [resources.{kind}]:", name, known)
        every = {name: value for name, value in table.items() if name not in kinds}
        return cls(
            _needs("[resources]", every),
            *(
                {name: _needs(f"[resources.{kind}.{name!r}]", one) for name, one in named.items()}
                for kind, named in kinds.items()
            ),
        )

    def needs(self, task: str, arm: str) -> Needs:
        """Of the runs of one arm on one task, named as the suite names it."""
        return replace(Needs(), **{**self.every, **self.tasks.get(task, {}), **self.arms.get(arm, {})})


def _needs(where: str, table: Any) -> dict[str, float]:
    made = {}
    for name, value in _table(where, table).items():
        if name not in ("cpus", "gpus"):
            raise unknown(f"key in {where}:", name, ("cpus", "gpus"))
        number = type(value) in (int, float) and 0 <= value < float("inf")
        if not number or (name == "cpus" and value == 0) or (value > 1 and value != int(value)):
            least = "above 0" if name == "cpus" else "0 or more"
            raise UserError(f"{name} = {value!r} in {where}: give a number {least}, a whole one if it is above 1")
        made[name] = float(value)
    return made


def _table(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"{where} = {value!r}: write it as a table")
    return value


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
