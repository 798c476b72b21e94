"""stable-baselines3's PPO on a Gymnasium task with our settings, in the peer's environment: imports nothing of ours.

Usage: python sb3_ppo.py '{"task": "HalfCheetah-v5", "seed": 0, "total_steps": 1000000, "policy": {...}}'
Prints one JSON line: the final return and the seconds of learning.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize


class Returns(BaseCallback):  # type: ignore[misc]
    """Keeps the undiscounted, unnormalised return of every training episode with the step at which it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        self.episodes += [(self.num_timesteps, i["episode"]["r"]) for i in self.locals["infos"] if "episode" in i]
        return True


def main(job: dict[str, Any]) -> None:
    """Train, and print what came of it."""
    torch.set_num_threads(1)
    policy, steps = job["policy"], job["total_steps"]
    env = VecNormalize(make_vec_env(job["task"], policy["environments"], job["seed"]), gamma=policy["discount"])
    widths = list(policy["hidden"])
    model = PPO(
        "MlpPolicy",
        env,
        learning_rate=lambda remaining: policy["learning_rate"] * remaining,
        n_steps=policy["rollout_steps"],
        batch_size=policy["minibatch"],
        n_epochs=policy["epochs"],
        gamma=policy["discount"],
        gae_lambda=policy["trace"],
        clip_range=policy["clip"],
        ent_coef=policy["entropy"],
        vf_coef=policy["value"],
        max_grad_norm=policy["gradient_norm"],
        policy_kwargs={"net_arch": {"pi": widths, "vf": widths}},
        seed=job["seed"],
        device="cpu",
    )
    returns, start = Returns(), time.perf_counter()
    model.learn(steps, callback=returns)
    late = [value for step, value in returns.episodes if step > 0.95 * steps]
    print(json.dumps({"return": sum(late) / len(late), "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
