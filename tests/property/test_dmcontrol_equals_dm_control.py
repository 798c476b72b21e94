"""Our twelve tasks of the DeepMind Control Suite against dm_control's own environments.

dm_control draws from ``RandomState``, our tasks from ``Generator``; both have the methods that starts call. Given one
another's generator, the same start states must come out, and the same episodes from there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("dm_control")

from prefrl_core import tasks
from prefrl_core.tasks.dmcontrol_package import _flat, _load, names
from prefrl_core.tasks.dmcontrol_tasks import CONTROL

# Where ours computes with whole arrays what dm_control does with single numbers: a square by pow, a product by BLAS.
ROUNDED = {"rtol": 1e-12, "atol": 1e-15}


class Pair:
    """The same episodes in ``count`` environments of dm_control and in a batch of ours."""

    def __init__(self, name: str, count: int, seed: int = 0) -> None:
        self.theirs = [_load(*names()[name], seed=seed + i) for i in range(count)]
        self.ours: Any = tasks.make(f"dmcontrol/{name}", count, 0)
        self.ours._rngs = [np.random.RandomState(seed + i) for i in range(count)]
        self.random = np.random.default_rng(seed)

    def reset(self) -> tuple[Any, Any]:
        return self.ours.reset()[0], np.stack([_flat(env.reset().observation) for env in self.theirs])

    def step(self, scale: float = 1.0) -> tuple[Any, Any]:
        """Our answer, and observations, rewards and ends of theirs."""
        space = self.ours.action_space
        actions = (scale * self.random.uniform(space.low, space.high)).astype(np.float32)
        steps = [env.step(action) for env, action in zip(self.theirs, actions, strict=True)]
        observations = np.stack([_flat(step.observation) for step in steps])
        return self.ours.step(actions), (observations, *np.array([(s.reward, s.last()) for s in steps]).T)


def same_observations(name: str, ours: Any, theirs: Any, when: Any) -> None:
    if name == "humanoid_stand":  # where hands and feet are seen from the torso, by a product of matrices
        np.testing.assert_allclose(ours, theirs, **ROUNDED, err_msg=str(when))
    else:
        np.testing.assert_array_equal(ours, theirs, err_msg=str(when))


@pytest.mark.parametrize("name", CONTROL)
def test_an_episode_equals_dm_controls(name: str) -> None:
    """Observations and states to the bit, rewards to rounding, over 150 random steps; actions beyond the bounds too."""
    pair = Pair(name, 3)
    same_observations(name, *pair.reset(), "reset")
    for t in range(150):
        (seen, rewards, *_), (expected, expected_rewards, _) = pair.step(1.0 if t < 120 else 2.0)
        same_observations(name, seen, expected, t)
        np.testing.assert_allclose(rewards, expected_rewards, **ROUNDED, err_msg=str(t))
        for qpos, env in zip(pair.ours._frame.qpos, pair.theirs, strict=True):
            np.testing.assert_array_equal(qpos, env.physics.data.qpos)
