"""Small runs of the loop, kept in memory."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from prefrl_core.loop import learn
from prefrl_core.spec import RunSpec

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import my_lab as my_lab  # registers my/point

SMALL = {"name": "ppo", "environments": 4, "rollout_steps": 64, "minibatch": 64, "hidden": [16, 16]}
POINT = {"task": "my/point", "total_steps": 6000, "labels": 30, "policy": SMALL}
OTHERS = {
    "a2c": {"name": "a2c", "environments": 4, "rollouts": 13, "hidden": [16, 16]},
    "trpo": {"name": "trpo", "environments": 4, "rollout_steps": 64, "hidden": [16, 16]},
    "sac": {"name": "sac", "environments": 4, "rollout_steps": 16, "batch": 32, "hidden": [16, 16], "n_step": 2},
}


class Memory:
    """Keeps everything; can stop a run after so many rows."""

    def __init__(self, stop: int | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.states: list[tuple[int, dict[str, Any]]] = []
        self.arrays: dict[str, Any] = {}
        self.stop = stop

    def row(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) == self.stop:
            raise KeyboardInterrupt

    def comparisons(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    def segments(self, arrays: dict[str, Any]) -> None:
        self.segment_arrays = arrays

    def save(self, state: dict[str, Any]) -> None:
        self.states.append((len(self.rows), state))


def ran(**settings: Any) -> Memory:
    memory = Memory()
    learn(RunSpec.of(settings), memory)
    return memory


def text(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows)
