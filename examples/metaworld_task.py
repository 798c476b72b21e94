"""Meta-World's arm as tasks of one's own: ``metaworld/button-press-goal-seen``, with MuJoCo 4.0 (docs/metaworld.md).

    pip install --no-deps metaworld==3.1.1
    PYTHONPATH=examples python -m bench validate metaworld_task

A suite names the module under ``plugins``. Environments are stepped one after the other and cannot save themselves.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

from prefrl_core.registry import register
from prefrl_core.tasks.gymnasium import GymnasiumVectorEnv
from prefrl_core.tasks.task import TaskInfo

NAMES = ("button-press", "window-open", "door-open", "drawer-open", "sweep-into", "hammer")
_WELD = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0]  # what holds the hand to where it is sent


class Sawyer(gym.Wrapper):
    """One environment, whose goal and object are placed anew in each episode, from its own seed.

    Args:
        name: of the task, without its version.
        seen: whether the last three observations are the goal; Meta-World's own class has zeros there.
    """

    def __init__(self, name: str, seen: bool) -> None:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS
        from metaworld.sawyer_xyz_env import SawyerMocapBase

        SawyerMocapBase.reset_mocap_welds = _reset_welds
        env: Any = ALL_V3_ENVIRONMENTS[f"{name}-v3"]()
        env._partially_observable = not seen
        # Its bounds are remembered from when the goal was hidden; each step would clip a seen goal to 0.
        vars(env).pop("sawyer_observation_space", None)
        # A new place at each reset, drawn from the environment's generator and not from NumPy's global one.
        env._freeze_rand_vec, env.seeded_rand_vec, env._set_task_called = False, True, True
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (39,), np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Start an episode. Meta-World takes a seed by another call."""
        if seed is not None:
            self.unwrapped.seed(seed)
        observation, _ = self.env.reset()
        return observation, {}


def _reset_welds(self: Any) -> None:
    """Meta-World writes 11 numbers into a row of MuJoCo's that has 12 since 4.0."""
    import mujoco

    welds = self.model.eq_type == mujoco.mjtEq.mjEQ_WELD
    self.model.eq_data[welds, : len(_WELD)] = _WELD


class MetaWorld:
    """A task that the laboratory can run; its id says whether the goal is seen."""

    packages = ("metaworld", "mujoco")

    def __init__(self, name: str, seen: bool) -> None:
        self._name, self._seen = name, seen
        self.info = TaskInfo(_id(name, seen) + "@1", episode_steps=500, segment_steps=50, fixed_length=True)

    def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv:
        """``threads`` is ignored: these environments hold Python's lock."""
        one = functools.partial(Sawyer, self._name, self._seen)
        envs = SyncVectorEnv([one] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        return GymnasiumVectorEnv(envs, self.info.id, seed)


def _id(name: str, seen: bool) -> str:
    return f"metaworld/{name}-goal-{'seen' if seen else 'hidden'}"


def _part(name: str, seen: bool) -> Callable[[], MetaWorld]:
    return lambda: MetaWorld(name, seen)


for _name in NAMES:
    for _seen in (True, False):
        register("task", _id(_name, _seen))(_part(_name, _seen))
