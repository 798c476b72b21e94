"""imitation's preference comparisons with our budget and networks, in the peer's environment: imports nothing of ours.

Usage: python imitation_preferences.py '{"task": "HalfCheetah-v4", "seed": 0, "total_steps": 100000, "labels": 700,
"segment": 30, "policy": {...}, "reward_model": {...}}'
Prints one JSON line: the episodes' true returns with the step and the second at which they ended, and the seconds of
learning.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any

import gymnasium
import numpy as np
import torch
from imitation.algorithms import preference_comparisons as pc
from imitation.data.wrappers import RolloutInfoWrapper
from imitation.rewards import reward_nets
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from stable_baselines3 import PPO

_ROUNDS, _EPOCHS = 60, 3


class Returns(gymnasium.Wrapper):
    """Appends the true return of each episode that ends to a list that all environments share, with the number of
    steps that they all took so far and the second."""

    episodes: list[tuple[int, float, float]] = []
    steps = 0
    start = 0.0

    def reset(self, **options: Any) -> Any:
        """Start an episode."""
        self.total = 0.0
        return self.env.reset(**options)

    def step(self, action: Any) -> Any:
        """Add up the reward."""
        result = self.env.step(action)
        self.total += float(result[1])
        Returns.steps += 1
        if result[2] or result[3]:
            self.episodes.append((Returns.steps, time.perf_counter() - Returns.start, self.total))
        return result


def agent(env: Any, policy: dict[str, Any], seed: int) -> PPO:
    """The peer's PPO with our settings."""
    widths = list(policy["hidden"])
    return PPO(
        "MlpPolicy",
        env,
        learning_rate=policy["learning_rate"],
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
        seed=seed,
        device="cpu",
    )


def main(job: dict[str, Any]) -> None:
    """Train, and print what came of it."""
    torch.set_num_threads(1)
    torch.manual_seed(job["seed"])
    logging.disable(logging.WARNING)
    rng, settings = np.random.default_rng(job["seed"]), job["reward_model"]
    env = make_vec_env(
        job["task"],
        rng=rng,
        n_envs=job["policy"]["environments"],
        post_wrappers=[lambda env, _: Returns(env), lambda env, _: RolloutInfoWrapper(env)],
    )
    members = [
        reward_nets.BasicRewardNet(
            env.observation_space,
            env.action_space,
            hid_sizes=tuple(settings["hidden"]),
            normalize_input_layer=RunningNorm,
        )
        for _ in range(settings["members"])
    ]
    ensemble = reward_nets.RewardEnsemble(env.observation_space, env.action_space, members)
    preferences = pc.PreferenceModel(ensemble, noise_prob=settings["uniform_answer"])
    trainer = pc.AgentTrainer(
        algorithm=agent(env, job["policy"], job["seed"]),
        reward_fn=reward_nets.AddSTDRewardWrapper(ensemble, default_alpha=0.0),
        venv=env,
        rng=rng,
    )
    comparisons = pc.PreferenceComparisons(
        trainer,
        ensemble,
        num_iterations=_ROUNDS,
        fragmenter=pc.ActiveSelectionFragmenter(preferences, pc.RandomFragmenter(rng=rng), fragment_sample_factor=2),
        preference_gatherer=pc.SyntheticGatherer(rng=rng),
        reward_trainer=pc.EnsembleTrainer(
            preferences,
            pc.CrossEntropyRewardLoss(),
            rng=rng,
            epochs=_EPOCHS,
            lr=settings["learning_rate"],
            batch_size=settings["batch_pairs"],
        ),
        fragment_length=job["segment"],
        initial_comparison_frac=0.25,
        initial_epoch_multiplier=4,
    )
    Returns.start = time.perf_counter()
    comparisons.train(total_timesteps=job["total_steps"], total_comparisons=job["labels"])
    print(json.dumps({"episodes": Returns.episodes, "seconds": time.perf_counter() - Returns.start}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
