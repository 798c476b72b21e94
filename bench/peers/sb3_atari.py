"""A policy optimiser of stable-baselines3 on an Atari game with our network and settings, in the peer's environment:
imports nothing of ours.

Usage: python sb3_atari.py '{"game": "Pong", "seed": 0, "total_steps": 40000, "policy": {...}}'
Prints one JSON line: the games' scores with the step and the second at which they ended, and the seconds of learning.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import ale_py
import gymnasium as gym
import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.vec_env import VecFrameStack


class Scores(BaseCallback):  # type: ignore[misc]
    """Keeps the score of every game of training with when it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[tuple[int, float, float]] = []
        self.start = time.perf_counter()

    def _on_step(self) -> bool:
        at = time.perf_counter() - self.start
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self.episodes += [(self.num_timesteps, at, float(value)) for value in ended]
        return True


def make(env: Any, policy: dict[str, Any], seed: int) -> Any:
    """The optimiser that ``policy["name"]`` says, with its settings under the peer's names."""
    network: dict[str, Any] = {"features_extractor_kwargs": {"features_dim": policy["hidden"][0]}, "net_arch": []}
    common = {
        "n_steps": policy["rollout_steps"],
        "gamma": policy["discount"],
        "gae_lambda": policy["trace"],
        "learning_rate": lambda remaining: policy["learning_rate"] * remaining,
        "ent_coef": policy["entropy"],
        "vf_coef": policy["value"],
        "max_grad_norm": policy["gradient_norm"],
        "seed": seed,
        "device": "cpu",
    }
    if policy["name"] == "a2c":
        network |= {
            "optimizer_class": RMSpropTFLike,
            "optimizer_kwargs": {"alpha": policy["decay"], "eps": policy["epsilon"], "weight_decay": 0},
        }
        return A2C("CnnPolicy", env, use_rms_prop=False, policy_kwargs=network, **common)
    batches = {"batch_size": policy["minibatch"], "n_epochs": policy["epochs"], "clip_range": policy["clip"]}
    return PPO("CnnPolicy", env, policy_kwargs=network, **batches, **common)


def main(job: dict[str, Any]) -> None:
    """Train, and print what came of it."""
    torch.set_num_threads(1)
    gym.register_envs(ale_py)
    policy = job["policy"]
    wrappers = {"terminal_on_life_loss": False}
    games = make_atari_env(f"{job['game']}NoFrameskip-v4", policy["environments"], job["seed"], wrapper_kwargs=wrappers)
    model, scores = make(VecFrameStack(games, 4), policy, job["seed"]), Scores()
    model.learn(job["total_steps"], callback=scores)
    print(json.dumps({"episodes": scores.episodes, "seconds": time.perf_counter() - scores.start}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
