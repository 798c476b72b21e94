"""Any task of the DeepMind Control Suite through dm_control itself: ``dmcontrol/acrobot_swingup``.

Environments are stepped one after the other, at a fraction of the speed of the twelve tasks of dmcontrol_tasks.py, and
cannot save themselves: an interrupted run starts over.
"""

from __future__ import annotations

import functools
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from prefrl_core.errors import UserError, unknown
from prefrl_core.tasks.dmcontrol_models import REMEDY
from prefrl_core.tasks.gymnasium import GymnasiumVectorEnv
from prefrl_core.tasks.task import TaskInfo

_SEGMENT = 50


class PackageTask:
    """The task ``dmcontrol/<domain>_<task>`` as dm_control has it.

    Raises:
        UserError: dm_control is not installed, has no such task, or its episodes have no limit.
    """

    packages = ("dm_control", "mujoco")

    def __init__(self, name: str) -> None:
        self._name = name.removeprefix("dmcontrol/")
        known = names()
        if self._name not in known:
            raise unknown("task", name, [f"dmcontrol/{other}" for other in known])
        limit, fixed = _facts(*known[self._name])
        if limit is None:
            raise UserError(f"task {name!r} has no time limit: choose another one of the suite")
        self.info = TaskInfo(f"dmcontrol/{self._name}@1", limit, min(_SEGMENT, limit), fixed_length=fixed)

    def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv[Any, Any, Any]:
        """``threads`` is ignored: these environments hold Python's lock."""
        make = functools.partial(ControlEnv, *names()[self._name])
        envs = SyncVectorEnv([make] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
        return GymnasiumVectorEnv(envs, self.info.id, seed)


class ControlEnv(gym.Env[NDArray[np.float64], NDArray[np.float32]]):
    """One environment of dm_control in Gymnasium's form, its observations one after another in one array."""

    def __init__(self, domain: str, task: str) -> None:
        self._domain, self._task = domain, task
        self._env: Any = _load(domain, task, 0)
        spec = self._env.action_spec()
        self.action_space = Box(spec.minimum.astype(np.float32), spec.maximum.astype(np.float32), dtype=np.float32)
        size = sum(int(np.prod(part.shape)) for part in self._env.observation_spec().values())
        self.observation_space = Box(-np.inf, np.inf, (size,), np.float64)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode; a seed starts dm_control's generator anew."""
        if seed is not None:
            self._env = _load(self._domain, self._task, seed)
        return _flat(self._env.reset().observation), {}

    def step(self, action: NDArray[np.float32]) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """One control step; an end with a discount of 0 is a termination, any other a truncation."""
        now = self._env.step(action)
        terminated = bool(now.last() and now.discount == 0.0)
        return _flat(now.observation), float(now.reward), terminated, bool(now.last() and not terminated), {}


@functools.cache
def names() -> dict[str, tuple[str, str]]:
    """Domain and task of every name that the installed suite has.

    Raises:
        UserError: dm_control is not installed.
    """
    return {f"{domain}_{task}": (domain, task) for domain, task in _suite().ALL_TASKS}


@functools.cache
def _facts(domain: str, task: str) -> tuple[int | None, bool]:
    """Steps of an episode, None for no limit, and whether every episode lasts so long."""
    from dm_control.rl import control

    env: Any = _load(domain, task, 0)
    limit = env._step_limit  # dm_control tells it nowhere else
    fixed = type(env.task).get_termination is control.Task.get_termination
    return None if np.isinf(limit) else int(np.ceil(limit)), fixed


def _load(domain: str, task: str, seed: int) -> Any:
    return _suite().load(domain, task, task_kwargs={"random": seed % 2**32})


@functools.cache
def _suite() -> Any:
    """``dm_control.suite``, which would fail on MuJoCo 4.0: it lists fields that MuJoCo has no longer."""
    try:
        import mujoco
        from dm_control.mujoco.wrapper.mjbindings import sizes
    except ModuleNotFoundError as error:
        raise UserError(f"dmcontrol/ tasks need the package 'dm_control': {REMEDY}") from error
    for struct, owner in (("mjmodel", mujoco.MjModel), ("mjdata", mujoco.MjData)):
        fields = sizes.array_sizes[struct]
        for field in [field for field in fields if not hasattr(owner, field)]:
            del fields[field]
    from dm_control import suite

    return suite


def _flat(observation: dict[str, Any]) -> NDArray[np.float64]:
    return np.concatenate([np.ravel(part) for part in observation.values()]).astype(np.float64)
