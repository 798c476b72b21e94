"""The example that brings Meta-World. Its package asks for another MuJoCo, so it is not among the tests' requirements:
``pip install --no-deps metaworld==3.1.1``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("metaworld")
sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import metaworld_task

from prefrl_core import tasks


@pytest.mark.parametrize("name", metaworld_task.NAMES)
def test_the_goal_is_seen_or_hidden_as_the_id_says(name: str) -> None:
    goals = {}
    for seen in ("seen", "hidden"):
        env: Any = tasks.make(f"metaworld/{name}-goal-{seen}", 2, 0)
        first, _ = env.reset()
        later = [env.step(np.zeros((2, 4), np.float32))[0] for _ in range(3)]
        goals[seen] = np.array([seen[:, -3:] for seen in (first, *later)])
        assert np.ptp(goals[seen], axis=0).max() == 0  # also after a step
    assert (goals["seen"] != 0).any(axis=(1, 2)).all()
    assert not goals["hidden"].any()


@pytest.mark.parametrize("name", metaworld_task.NAMES)
def test_meta_worlds_own_expert_succeeds(name: str) -> None:
    from metaworld.policies import ENV_POLICY_MAP

    env: Any = metaworld_task.Sawyer(name, seen=True)
    expert, (observation, _) = ENV_POLICY_MAP[f"{name}-v3"](), env.reset(seed=0)
    for _ in range(400):
        action = np.clip(expert.get_action(observation), -1, 1).astype(np.float32)
        observation, _, _, _, info = env.step(action)
        if info["success"]:
            return
    raise AssertionError(f"{name}: no success in 400 steps")


def test_places_follow_the_seed() -> None:
    make = metaworld_task.Sawyer
    first = [make("button-press", True).reset(seed=seed)[0] for seed in (3, 3, 4)]
    assert np.array_equal(first[0], first[1]) and not np.array_equal(first[0], first[2])
