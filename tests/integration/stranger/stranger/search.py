"""A linear policy with Gaussian noise, improved by its likelihood-ratio gradient (REINFORCE)."""

from dataclasses import dataclass

import gymnasium as gym
import numpy as np

from prefrl_core import seeding
from prefrl_core.errors import UserError


@dataclass(frozen=True)
class SearchSettings:
    environments: int = 8  # stepped together
    rollout_steps: int = 40  # a rollout is environments x rollout_steps
    learning_rate: float = 0.2
    noise: float = 0.5  # standard deviation of the drawn actions
    discount: float = 0.9

    def make(self, env, seed):
        if not isinstance(env.single_action_space, gym.spaces.Box):
            raise UserError("policy 'stranger-search' draws numbers: choose a task with continuous actions")
        return Search(self, env, seed)


class Search:
    rollouts = 1

    def __init__(self, settings, env, seed):
        self.settings, self.rollout_steps = settings, settings.rollout_steps
        space = env.single_action_space
        self.low, self.high = space.low, space.high
        self.weights = np.zeros((env.single_observation_space.shape[0] + 1, space.shape[0]))
        self.random = seeding.generator(seed, "stranger-search")

    def _means(self, observations):
        return np.clip(observations, -2, 2) @ self.weights[:-1] + self.weights[-1]

    def act(self, observations):
        means = self._means(observations)
        return (means + self.settings.noise * self.random.standard_normal(means.shape)).astype(np.float32)

    def executed(self, actions):
        return np.clip(actions, self.low, self.high)

    def observe(self, rollout):
        pass

    def improve(self, rollout, rewards, progress):
        gains = np.zeros(rewards.shape)
        running = np.zeros(rewards.shape[1])
        for step in reversed(range(len(rewards))):
            running = rewards[step] + self.settings.discount * running * ~rollout.done[step]
            gains[step] = running
        gains = (gains - gains.mean()) / (gains.std() + 1e-8)
        seen = np.clip(rollout.observations, -2, 2).reshape(-1, rollout.observations.shape[-1])
        errors = (rollout.drawn_actions.reshape(len(seen), -1) - self._means(seen)) / self.settings.noise**2
        pushed = errors * gains.reshape(-1, 1) * self.settings.noise**2
        step = np.concatenate([seen, np.ones((len(seen), 1))], axis=1).T @ pushed / len(seen)
        self.weights = np.clip(self.weights + self.settings.learning_rate * (1 - progress) * step, -3, 3)
        return {"policy_entropy": float(np.log(self.settings.noise)), "stranger_step": float(np.abs(step).mean())}

    def get_state(self):
        return {"weights": self.weights.copy(), "random": seeding.state_of(self.random)}

    def set_state(self, state):
        self.weights = state["weights"].copy()
        seeding.restore(self.random, state["random"])
