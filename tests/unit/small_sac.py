"""A small soft actor-critic on a trivial task."""

from __future__ import annotations

from typing import Any

import numpy as np
from helpers import Identity

from prefrl_core.policy.sac import SAC, SACSettings
from prefrl_core.rollout import collect

SMALL: dict[str, Any] = {"environments": 4, "rollout_steps": 8, "batch": 32, "hidden": (24, 16), "capacity": 4000}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def lived(env: Any, policy: SAC, turns: int = 3, learn: bool = True) -> list[dict[str, float]]:
    measured = []
    for turn in range(turns):
        rollout, truth = collect(env, policy, env.shown, policy.rollout_steps)
        if learn:
            measured.append(policy.improve(rollout, truth.rewards, turn / turns))
        else:
            policy.observe(rollout, truth.rewards)
    return measured


def made(seed: int = 0, **settings: Any) -> tuple[SAC, Identity]:
    env = Identity(4, 0, seed)
    return SACSettings(**{**SMALL, **settings}).make(env, seed), env
