"""The example that makes a task of another one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import bent_reward

from bench import suite
from prefrl_core import tasks
from prefrl_core.spec import RunSpec

PLAIN, BENT = "mujoco/inverted_double_pendulum@1", "bent/inverted_double_pendulum@1"


def test_it_is_the_plain_task_but_for_its_rewards_also_after_a_checkpoint() -> None:
    plain, bent = (tasks.make(name, 4, 3) for name in (PLAIN, BENT))
    random = np.random.default_rng(0)
    assert (plain.reset(seed=5)[0] == bent.reset(seed=5)[0]).all()
    seen = []
    for step in range(200):
        if step == 120:
            state: Any = bent.get_state()
            bent = tasks.make(BENT, 4, 8)
            bent.reset(seed=1)
            bent.set_state(state)
        actions = random.uniform(-1, 1, (4, 1)).astype(np.float32)
        ours, theirs = bent.step(actions), plain.step(actions)
        assert (ours[0] == theirs[0]).all() and (ours[2] == theirs[2]).all()
        np.testing.assert_array_equal(ours[1], bent_reward.bent(theirs[1]))
        seen.append(theirs[1])
    rewards = np.array(seen)
    assert (rewards > 4.5).any() and (rewards < 4.5).any()
    order = np.argsort(rewards, axis=None)
    assert (np.diff(bent_reward.bent(rewards).ravel()[order]) >= 0).all()  # it prefers what the plain one prefers


def test_the_control_has_the_plain_tasks_settings() -> None:
    plain = RunSpec.of({"task": PLAIN, "policy": "sac", "reward": "true"}).policy
    shown = suite.load(str(Path(bent_reward.__file__).with_suffix(".toml"))).runs()
    assert len(shown) == 12 and {run.task for run in shown} == {PLAIN, BENT}
    assert all(run.spec.policy == plain for run in shown)  # type: ignore[union-attr]
