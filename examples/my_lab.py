"""Parts of one's own: a task, a policy, a labeler and a query strategy, named by the suite file beside this module.

Run with ``PYTHONPATH=examples python -m bench run examples/my_suite.toml``. An installed package needs no ``plugins``
line in its suite if it names its parts as entry points, for example
``[project.entry-points."prefrl.labeler"]  unsure = "my_lab:Unsure"``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from prefrl_core.feedback.labelers import Questions
from prefrl_core.feedback.queries import Candidates
from prefrl_core.policy.ppo import PPOSettings
from prefrl_core.registry import register
from prefrl_core.tasks import TaskInfo


@register("labeler", "unsure")
@dataclass(frozen=True)
class Unsure:
    """Calls two segments equal when their true returns are close."""

    margin: float = 0.5  # in units of return

    def answer(self, questions: Questions, random: np.random.Generator) -> np.ndarray:
        """1 for the left segment, 0 for the right, 0.5 for a tie, NaN to skip."""
        difference = questions.left.sum(1) - questions.right.sum(1)
        return np.where(np.abs(difference) < self.margin, 0.5, difference > 0)


@register("query", "most-certain")
@dataclass(frozen=True)
class MostCertain:
    """The opposite of a good idea: asks what the ensemble is already sure of."""

    factor: int = 10  # candidates drawn for each question

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> np.ndarray:
        """Indices of the candidates to ask about."""
        return np.argsort(-np.abs(candidates.probabilities.mean(0) - 0.5), kind="stable")[:count]


@register("policy", "small-ppo")
@dataclass(frozen=True)
class SmallPPO(PPOSettings):
    """PPO with smaller networks."""

    hidden: tuple[int, ...] = (16, 16)


@register("task", "my/point")
class Point:
    """A point on a line that should go to the origin; episodes of 50 steps."""

    info = TaskInfo("my/point@1", episode_steps=50, segment_steps=10, fixed_length=True)

    def make(self, num_envs: int, seed: int, threads: int) -> gym.vector.VectorEnv:
        """``num_envs`` points as one batch."""
        return Points(num_envs, seed)


class Points(gym.vector.VectorEnv):
    """Positions move by the action; the reward is minus the distance to the origin."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int, seed: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (1,))
        self.single_action_space = gym.spaces.Box(-0.2, 0.2, (1,))
        self.random = np.random.default_rng(seed)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """New positions."""
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.position, self.elapsed = self.random.uniform(-2, 2, (self.num_envs, 1)), 0
        return self.position.copy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of every point; all episodes end together."""
        self.position, self.elapsed = self.position + actions, self.elapsed + 1
        rewards, ended = -np.abs(self.position[:, 0]), np.full(self.num_envs, self.elapsed == 50)
        infos: dict[str, Any] = {}
        if ended.all():
            infos = {"final_obs": self.position.copy(), "_final_obs": ended}
            self.reset()
        return self.position.copy(), rewards, np.zeros(self.num_envs, bool), ended, infos

    def get_state(self) -> dict[str, Any]:
        """For checkpoints; without this and ``set_state`` a run that is cut off starts over."""
        return {"position": self.position, "elapsed": self.elapsed, "random": self.random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.position, self.elapsed = state["position"], state["elapsed"]
        self.random.bit_generator.state = state["random"]
