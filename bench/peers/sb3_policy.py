"""A policy optimiser of stable-baselines3, sb3-contrib or sbx on a Gymnasium task with our settings, in the peers'
environment: imports nothing of ours.

Usage: python sb3_policy.py '{"task": "HalfCheetah-v5", "seed": 0, "total_steps": 300000, "policy": {...}}'
or, from pixels, with "game": "Pong" in place of the task.
Prints one JSON line: the episodes' returns with the step and the second at which they ended, and the seconds of
learning.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import torch
from stable_baselines3 import A2C, PPO, SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from stable_baselines3.common.vec_env import VecFrameStack, VecNormalize


class Returns(BaseCallback):  # type: ignore[misc]
    """Keeps the undiscounted, unnormalised return of every training episode with when it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.episodes: list[tuple[int, float, float]] = []
        self.start = time.perf_counter()
        self.kl: float | None = None  # bound at the start, which falls linearly to 0 as ours does

    def _on_rollout_end(self) -> None:
        if self.kl is not None:
            before = self.num_timesteps - self.model.n_steps * self.model.n_envs
            self.model.target_kl = self.kl * (1 - before / self.model._total_timesteps)

    def _on_step(self) -> bool:
        at = time.perf_counter() - self.start
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self.episodes += [(self.num_timesteps, at, float(value)) for value in ended]
        return True


def make(env: Any, policy: dict[str, Any], seed: int, pixels: bool, library: str) -> Any:
    """The optimiser that ``policy["name"]`` says, with its settings under the peers' names.

    sb3-contrib 2.9.2 averages the KL divergence over the action's coordinates, where the sum over them is the
    divergence; so its bound and its damping are ours divided by their number.
    """
    networks, widths = dict[str, Any](), list(policy["hidden"])
    if policy["name"] == "sac":
        return soft_actor_critic(env, policy, seed, library)
    if pixels:
        networks |= {"features_extractor_kwargs": {"features_dim": widths[0]}, "net_arch": []}
    else:
        networks["net_arch"] = {"pi": widths, "vf": widths}
    kind = "CnnPolicy" if pixels else "MlpPolicy"
    common = {
        "n_steps": policy["rollout_steps"],
        "gamma": policy["discount"],
        "gae_lambda": policy["trace"],
        "seed": seed,
        "device": "cpu",
    }
    if policy["name"] == "trpo":
        from sb3_contrib import TRPO

        return TRPO(
            kind,
            env,
            learning_rate=policy["critic_learning_rate"],
            batch_size=policy["critic_minibatch"],
            n_critic_updates=policy["critic_epochs"],
            cg_max_steps=policy["conjugate_steps"],
            cg_damping=policy["damping"] / env.action_space.shape[0],
            line_search_shrinking_factor=policy["line_search_factor"],
            line_search_max_iter=policy["line_search_steps"],
            target_kl=policy["kl"] / env.action_space.shape[0],
            policy_kwargs=networks,
            **common,
        )
    common |= {
        "learning_rate": lambda remaining: policy["learning_rate"] * remaining,
        "ent_coef": policy["entropy"],
        "vf_coef": policy["value"],
        "max_grad_norm": policy["gradient_norm"],
    }
    if policy["name"] == "a2c":
        networks |= {
            "optimizer_class": RMSpropTFLike,
            "optimizer_kwargs": {"alpha": policy["decay"], "eps": policy["epsilon"], "weight_decay": 0},
        }
        return A2C(kind, env, use_rms_prop=False, policy_kwargs=networks, **common)
    batches = {"batch_size": policy["minibatch"], "n_epochs": policy["epochs"], "clip_range": policy["clip"]}
    return PPO(kind, env, policy_kwargs=networks, **batches, **common)


def soft_actor_critic(env: Any, policy: dict[str, Any], seed: int, library: str) -> Any:
    """SAC with as many updates; it has one learning rate for all networks, and stores what its actor drew."""
    rollout = policy["environments"] * policy["rollout_steps"]
    made: Any = importlib.import_module("sbx").SAC if library == "sbx" else SAC  # sbx: the same names, in JAX
    device = {} if library == "sbx" else {"device": "cpu"}
    return made(
        "MlpPolicy",
        env,
        learning_rate=policy["critic_learning_rate"],
        buffer_size=policy["capacity"],
        learning_starts=policy["learning_starts"],
        batch_size=policy["batch"],
        tau=policy["tau"],
        gamma=policy["discount"],
        train_freq=policy["rollout_steps"],
        gradient_steps=rollout // policy["steps_per_update"],
        ent_coef=f"auto_{policy['temperature']}",
        target_entropy=policy["target_entropy"] * env.action_space.shape[0],
        policy_kwargs={"net_arch": list(policy["hidden"])},
        seed=seed,
        **device,
    )


def task(job: dict[str, Any]) -> Any:
    """A task's environments, observations and rewards normalised; SAC's rewards as they are."""
    env = make_vec_env(job["task"], job["policy"]["environments"], job["seed"])
    return VecNormalize(env, norm_reward=job["policy"]["name"] != "sac", gamma=job["policy"]["discount"])


def games(job: dict[str, Any]) -> Any:
    """A game's environments: a lost life ends nothing, the reward is clipped, four frames are stacked."""
    import ale_py
    import gymnasium as gym

    gym.register_envs(ale_py)
    name, wrappers = f"{job['game']}NoFrameskip-v4", {"terminal_on_life_loss": False}
    return VecFrameStack(make_atari_env(name, job["policy"]["environments"], job["seed"], wrapper_kwargs=wrappers), 4)


def main(job: dict[str, Any]) -> None:
    """Train, and print what came of it."""
    torch.set_num_threads(1)
    policy, pixels = job["policy"], "game" in job
    env = (games if pixels else task)(job)
    model, returns = make(env, policy, job["seed"], pixels, job["library"]), Returns()
    returns.kl = getattr(model, "target_kl", None) if policy["name"] == "trpo" else None
    model.learn(job["total_steps"], callback=returns)
    print(json.dumps({"episodes": returns.episodes, "seconds": time.perf_counter() - returns.start}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
