"""Small tasks on which policies, labelers and query strategies are tried: a point on a line that should go to the
origin, moved by a number (``conformance/line``) or by one of three choices (``conformance/choice``). In
``conformance/screen`` it is seen as a square in pictures, for reward models that see nothing else.

They keep all laws of a task. What they pay can be turned around while what they show stays the same.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.frames import SIZE, STACK
from prefrl_core.registry import register
from prefrl_core.tasks import TaskInfo

EPISODE, SEGMENT = 40, 8
_SQUARE, _EDGE = 12, 4.0  # pixels of the point's side; positions shown at the edges of the screen


class Points(gym.vector.VectorEnv[NDArray[Any], NDArray[Any], NDArray[Any]]):
    """Position and velocity of each point; all episodes last ``EPISODE`` steps."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}

    def __init__(self, num_envs: int, seed: int, choices: int = 0, paid: float = 1.0) -> None:
        self.num_envs, self.choices, self.paid = num_envs, choices, paid
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.single_action_space = (
            gym.spaces.Discrete(choices) if choices else gym.spaces.Box(-0.5, 0.5, (1,), np.float32)
        )
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.random = np.random.default_rng(seed)
        self.elapsed = np.zeros(num_envs, np.int64)
        self.state = np.zeros((num_envs, 2))

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self._begin(np.full(self.num_envs, True))
        return self.state.copy(), {}

    def _begin(self, which: NDArray[np.bool_]) -> None:
        self.state[which] = self.random.uniform(-2, 2, (int(which.sum()), 2)) * (1, 0.1)
        self.elapsed[which] = 0

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        push = (np.asarray(actions) - 1) * 0.5 if self.choices else np.asarray(actions, np.float64)[:, 0]
        self.state[:, 1] = 0.9 * self.state[:, 1] + 0.2 * push
        self.state[:, 0] += self.state[:, 1]
        self.elapsed += 1
        rewards, ended = -self.paid * np.abs(self.state[:, 0]), self.elapsed >= EPISODE
        infos: dict[str, Any] = {}
        if ended.any():
            infos = {"final_obs": np.where(ended[:, None], self.state, 0.0), "_final_obs": ended}
            self._begin(ended)
        return self.state.copy(), rewards, np.zeros(self.num_envs, np.bool_), ended, infos

    def get_state(self) -> dict[str, Any]:
        return {
            "state": self.state.copy(),
            "elapsed": self.elapsed.copy(),
            "random": self.random.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.state, self.elapsed = state["state"].copy(), state["elapsed"].copy()
        self.random.bit_generator.state = state["random"]


class Screens(Points):
    """Points moved by three choices, each seen as the newest pictures of a square ``(STACK, SIZE, SIZE)``."""

    def __init__(self, num_envs: int, seed: int) -> None:
        super().__init__(num_envs, seed, choices=3)
        self.single_observation_space = gym.spaces.Box(0, 255, (STACK, SIZE, SIZE), np.uint8)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.stacks = np.zeros((num_envs, STACK, SIZE, SIZE), np.uint8)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[NDArray[Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.stacks[:] = self._pictures(self.state)[:, None]
        return self.stacks.copy(), {}

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        state, rewards, terminated, ended, infos = super().step(actions)
        last = infos["final_obs"] if infos else state
        self.stacks = np.concatenate(
            (self.stacks[:, 1:], self._pictures(np.where(ended[:, None], last, state))[:, None]), 1
        )
        if infos:
            infos["final_obs"] = self.stacks.copy()
            self.stacks[ended] = self._pictures(state[ended])[:, None]
        return self.stacks.copy(), rewards, terminated, ended, infos

    def _pictures(self, state: NDArray[Any]) -> NDArray[np.uint8]:
        columns = np.clip((state[:, 0] / _EDGE + 1) / 2, 0, 1) * (SIZE - _SQUARE)
        inside = np.arange(SIZE) - columns.astype(np.int64)[:, None]
        lit = (inside >= 0) & (inside < _SQUARE)
        drawn = np.zeros((len(state), SIZE, SIZE), np.uint8)
        drawn[:, SIZE - _SQUARE :] = np.where(lit, 255, 0)[:, None]
        return drawn

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), "stacks": self.stacks.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state(state)
        self.stacks = state["stacks"].copy()


@register("task", "conformance/line")
class Line:
    """Moved by a number."""

    info = TaskInfo("conformance/line@1", EPISODE, SEGMENT, fixed_length=True)

    def make(self, num_envs: int, seed: int, threads: int) -> Points:
        return Points(num_envs, seed)


@register("task", "conformance/choice")
class Choice:
    """Moved by one of three choices."""

    info = TaskInfo("conformance/choice@1", EPISODE, SEGMENT, fixed_length=True)

    def make(self, num_envs: int, seed: int, threads: int) -> Points:
        return Points(num_envs, seed, choices=3)


@register("task", "conformance/screen")
class Screen:
    """Moved by one of three choices, and seen in pictures."""

    info = TaskInfo("conformance/screen@1", EPISODE, SEGMENT, fixed_length=True, pixels=True)

    def make(self, num_envs: int, seed: int, threads: int) -> Screens:
        return Screens(num_envs, seed)
