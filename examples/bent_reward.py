"""A task made of another one: the double pendulum, whose reward counts more where it is high.

A reward that was fitted to preferences is bent like this (docs/mujoco.md). Here the true reward is, so that the bend is
tried without labels:

    PYTHONPATH=examples python -m bench run examples/bent_reward.toml
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np

from prefrl_core import tasks
from prefrl_core.registry import register

_PLAIN = "mujoco/inverted_double_pendulum@1"
_LEVEL = 4.5  # a step's reward where the first pole stands and the second lies level, about
_BELOW, _ABOVE = 0.5, 1.8  # slopes below that and above


def bent(rewards: Any) -> Any:
    """Rewards of the plain task as this one pays them."""
    over = np.asarray(rewards) - _LEVEL
    return _LEVEL + np.where(over > 0, _ABOVE * over, _BELOW * over)


@register("task", "bent/inverted_double_pendulum")
class BentDoublePendulum:
    """The plain task in everything but the reward. Its name ends as that one's does, so SAC has the same settings."""

    info = replace(tasks.describe(_PLAIN), id="bent/inverted_double_pendulum@1")
    packages = ("mujoco", "gymnasium")

    def make(self, num_envs: int, seed: int, threads: int) -> gym.vector.VectorEnv:
        """So many environments."""
        env: Any = tasks.make(_PLAIN, num_envs, seed, threads)
        plain = env.step

        def step(actions: np.ndarray) -> Any:
            observations, rewards, *rest = plain(actions)
            return observations, bent(rewards), *rest

        env.step = step
        return env  # type: ignore[no-any-return]
