"""The yardstick of stepping and of the loop: MuJoCo's own ``mj_step`` in a plain loop, nothing read."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from prefrl_core.tasks.mujoco_tasks import TASKS
from prefrl_core.tasks.simulation import load_model

NUM_ENVS = 16


class Bare:
    """A plain loop over simulations of their own, which can be put in another's states."""

    def __init__(self, name: str) -> None:
        self.model, self.frame_skip = load_model(TASKS[name].xml), TASKS[name].frame_skip
        self.data = [mujoco.MjData(self.model) for _ in range(NUM_ENVS)]
        self.bound = [(data, data.ctrl) for data in self.data]

    def set_physics(self, states: np.ndarray[Any, Any]) -> None:
        for data, state in zip(self.data, states, strict=True):
            mujoco.mj_setState(self.model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION.value)

    def step(self, actions: np.ndarray[Any, Any]) -> None:
        step, model, frame_skip = mujoco.mj_step, self.model, self.frame_skip
        for (data, ctrl), row in zip(self.bound, actions, strict=True):
            ctrl[:] = row
            step(model, data, frame_skip)
