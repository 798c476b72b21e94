"""Twelve tasks ``dmcontrol/<domain>_<task>`` of the DeepMind Control Suite; dmcontrol_package.py has the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefrl_core.tasks.dmcontrol_tasks import CONTROL
from prefrl_core.tasks.task import TaskInfo

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


class ControlTask:
    """A task that is dm_control's in all its numbers, in MuJoCo's batch. Describing it imports neither."""

    packages = ("dm_control", "mujoco")

    def __init__(self, name: str) -> None:
        self._task = CONTROL[name]
        steps, segment = self._task.episode_steps, self._task.segment_steps
        self.info = TaskInfo(f"dmcontrol/{name}@1", steps, segment, fixed_length=True)

    def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv[Any, Any, Any]:
        """Raises UserError where dm_control is missing or has other models."""
        from prefrl_core.tasks.dmcontrol_simulation import ControlSimulation
        from prefrl_core.tasks.mujoco import MujocoVectorEnv

        task = self._task
        return MujocoVectorEnv(self.info.id, task, task.score, num_envs, seed, threads, ControlSimulation)
