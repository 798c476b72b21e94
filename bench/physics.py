"""The yardstick of speed: MuJoCo's own ``mj_step`` in a plain loop on the task's own model, nothing read; for Atari
ale_py's own vector environment with one thread.

A machine that is slower, or that is busy, is so for both; what a run does beyond the physics shows in the ratio.
"""

from __future__ import annotations

import time
from typing import Any

import mujoco
import numpy as np

from prefrl_core import tasks
from prefrl_core.policy.hyperparameters import stem
from prefrl_core.tasks.atari_games import NOVEL
from prefrl_core.tasks.dmcontrol_tasks import CONTROL
from prefrl_core.tasks.novel import definition
from prefrl_core.tasks.simulation import load_model

NUM_ENVS = 16
_ROUND = 8  # steps of all environments between two looks at the clock


class Bare:
    """A plain loop over simulations of their own, which can be put in another's states."""

    def __init__(self, name: str, count: int = NUM_ENVS) -> None:
        task = definition(name)
        self.model, self.frame_skip = load_model(task.xml), task.frame_skip
        self.data = [mujoco.MjData(self.model) for _ in range(count)]
        self.bound = [(data, data.ctrl) for data in self.data]

    def set_physics(self, states: np.ndarray[Any, Any]) -> None:
        """Take over the states ``(count, size)`` of a task's simulations."""
        for data, state in zip(self.data, states, strict=True):
            mujoco.mj_setState(self.model, data, state, mujoco.mjtState.mjSTATE_INTEGRATION.value)

    def step(self, actions: np.ndarray[Any, Any]) -> None:
        """Step each simulation under its row of ``actions`` ``(count, act)``."""
        step, model, frame_skip = mujoco.mj_step, self.model, self.frame_skip
        for (data, ctrl), row in zip(self.bound, actions, strict=True):
            ctrl[:] = row
            step(model, data, frame_skip)


class BareGames:
    """ale_py's vector environment as the task uses it, but for the blanking and the stack."""

    def __init__(self, game: str) -> None:
        from ale_py.vector_env import AtariVectorEnv

        self._games: Any = AtariVectorEnv(game, NUM_ENVS, num_threads=1, stack_num=1)
        self._games.reset(seed=0)
        self.choices = len(self._games.ale.get_action_set())

    def step(self, actions: np.ndarray[Any, Any]) -> None:
        """Step each game with its action ``(NUM_ENVS,)``."""
        self._games.step(actions)


def bare_speed(task: str, seconds: float = 0.2) -> float | None:
    """Steps a second of processor time that the bare physics of a task takes under random actions; None for a task that
    another library steps.

    Args:
        task: its id.
        seconds: of processor time to measure for.
    """
    bare: Bare | BareGames
    random = np.random.default_rng(0)
    room = task.partition("/")[0]
    if not tasks.module(task).startswith("prefrl_core."):
        return None
    if room in ("mujoco", "mujoco-v5") or (room == "dmcontrol" and stem(task) in CONTROL):
        bare = Bare(stem(task))
        actions: np.ndarray[Any, Any] = random.uniform(-1, 1, (_ROUND, NUM_ENVS, bare.model.nu))
    elif room == "atari":
        bare = BareGames(NOVEL.get(stem(task), stem(task)))
        actions = random.integers(0, bare.choices, (_ROUND, NUM_ENVS))
    else:
        return None
    for row in actions:  # leave the start state, and fill the caches
        bare.step(row)
    steps, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for row in actions:
            bare.step(row)
        steps += _ROUND * NUM_ENVS
    return steps / spent
