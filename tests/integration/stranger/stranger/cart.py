"""A cart on a track that should stand in the middle; episodes of 40 steps, staggered."""

import gymnasium as gym
import numpy as np

from prefrl_core.tasks import TaskInfo

STEPS = 40


class Cart:
    info = TaskInfo("stranger/cart@1", episode_steps=STEPS, segment_steps=8, fixed_length=True)
    packages = ("stranger",)

    def make(self, num_envs, seed, threads):
        return Carts(num_envs, seed)


class Carts(gym.vector.VectorEnv):
    metadata = {"autoreset_mode": gym.vector.AutoresetMode.SAME_STEP}

    def __init__(self, num_envs, seed):
        self.num_envs = num_envs
        self.single_observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.single_action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.random = np.random.default_rng(seed)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.random = np.random.default_rng(seed)
        self.state, self.elapsed = np.zeros((self.num_envs, 2)), np.zeros(self.num_envs, np.int64)
        self._begin(np.ones(self.num_envs, bool))
        return self.state.copy(), {}

    def _begin(self, which):
        self.state[which] = self.random.uniform(-2, 2, (int(which.sum()), 2)) * (1, 0.1)
        self.elapsed[which] = 0

    def step(self, actions):
        self.state[:, 1] = 0.9 * self.state[:, 1] + 0.1 * np.asarray(actions, np.float64)[:, 0]
        self.state[:, 0] += self.state[:, 1]
        self.elapsed += 1
        rewards, ended = 1.0 - np.abs(self.state[:, 0]), self.elapsed >= STEPS
        infos = {}
        if ended.any():
            infos = {"final_obs": np.where(ended[:, None], self.state, 0.0), "_final_obs": ended.copy()}
            self._begin(ended)
        return self.state.copy(), rewards, np.zeros(self.num_envs, bool), ended, infos

    def stagger(self):
        self._begin(np.ones(self.num_envs, bool))
        self.elapsed = np.arange(self.num_envs) * STEPS // self.num_envs
        return self.state.copy()

    def get_state(self):
        return {"state": self.state.copy(), "elapsed": self.elapsed.copy(), "random": self.random.bit_generator.state}

    def set_state(self, state):
        self.state, self.elapsed = state["state"].copy(), state["elapsed"].copy()
        self.random.bit_generator.state = state["random"]
