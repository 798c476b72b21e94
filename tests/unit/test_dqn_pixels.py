"""Deep Q-learning learns from frames: a task of pixels that needs the order of a stack."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from helpers import Tiny

from prefrl_core.frames import SIZE, STACK
from prefrl_core.hardware import Hardware
from prefrl_core.policy.dqn import DQNSettings
from prefrl_core.rollout import collect


class Recall(Tiny):
    """Frames with a bright block at one of three places; pays for naming the place in the frame before the newest."""

    def __init__(self, envs: int, seed: int) -> None:
        super().__init__(envs, 1, gym.spaces.Discrete(3))
        self.single_observation_space = gym.spaces.Box(0, 255, (STACK, SIZE, SIZE), np.uint8)
        self.random = np.random.default_rng(seed)
        self.before = self.now = self.random.integers(0, 3, envs)
        self.shown = np.repeat(self.frame()[:, None], STACK, axis=1)

    def frame(self) -> np.ndarray:
        screens = np.zeros((self.num_envs, SIZE, SIZE), np.uint8)
        for screen, place in zip(screens, self.now, strict=True):
            screen[28 * place : 28 * place + 28, 28:56] = 255
        return screens

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        rewards = (actions == self.before).astype(float)
        self.before, self.now = self.now, self.random.integers(0, 3, self.num_envs)
        self.shown = np.concatenate([self.shown[:, 1:], self.frame()[:, None]], axis=1)
        never = np.zeros(self.num_envs, np.bool_)
        return self.shown, rewards, never, never, {}


def test_it_learns_to_recall_the_frame_before() -> None:
    """After 14 rollouts of 64 steps the mean reward was 0.97 to 1 with seeds 0 to 3; a third by chance."""
    small = {"environments": 8, "rollout_steps": 8, "capacity": 600, "batch": 16, "hidden": (32,)}
    settings = DQNSettings(**{**small, "epsilon_steps": 600, "discount": 0.0, "n_step": 1})  # type: ignore[arg-type]
    env = Recall(8, 0)
    policy, rewards = settings.make(env, 0, Hardware("cpu", "float32", interleaved=True)), []
    for _ in range(16):
        rollout, truth = collect(env, policy, env.shown, 8)
        policy.improve(rollout, truth.rewards, 0.0)
        rewards.append(truth.rewards.mean())
    assert np.mean(rewards[-2:]) > 0.85
