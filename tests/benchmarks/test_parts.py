"""Single parts of the method and of the laboratory, each at the size it has in use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import spread, store
from prefrl_core import checkpoint
from prefrl_core.feedback import queries
from prefrl_core.loop import COLUMNS, start, turn
from prefrl_core.parts import Run
from prefrl_core.policy import gae
from prefrl_core.registry import find, names
from prefrl_core.rollout import collect
from prefrl_core.spec import RunSpec

Measure = Callable[..., Any]


@pytest.fixture(scope="module")
def learner() -> Run:
    """HalfCheetah with 700 labels, past its untrained phase."""
    made = start(RunSpec.of({"task": "mujoco/half_cheetah", "labels": 700}))
    while made.step < made.untrained_steps + 2048:
        turn(made)
    return made


def test_acting(against_yardstick: Measure, learner: Run) -> None:
    observations = learner.observations.astype(np.float32)
    actions = against_yardstick(lambda: learner.policy.executed(learner.policy.act(observations)))
    assert actions.shape == (16, 6)


def test_gae(against_yardstick: Measure) -> None:
    rewards, values, following = np.random.default_rng(0).standard_normal((3, 128, 16))
    never = np.zeros((128, 16), bool)
    assert against_yardstick(lambda: gae.advantages(rewards, values, following, never, never, 0.99, 0.95)).any()


def test_ppo_update(against_yardstick: Measure, learner: Run) -> None:
    rollout, truth = collect(learner.env, learner.policy, learner.observations, 128)
    rewards = truth.rewards
    learner.observations = rollout.last_observations
    assert against_yardstick(lambda: learner.policy.improve(rollout, rewards, 0.5), rounds=9)


@pytest.mark.parametrize("width", [128, 256])
def test_sac_updates(against_yardstick: Measure, width: int) -> None:
    """32 updates of all networks from batches of 256, on HalfCheetah's 17 observations and 6 actions."""
    policy = {"name": "sac", "hidden": [width, width]}
    run = start(RunSpec.of({"task": "mujoco/half_cheetah", "policy": policy, "reward": "true"}))
    learner: Any = run.policy
    for _ in range(3):
        rollout, truth = collect(run.env, learner, run.observations, 32)
        run.observations = rollout.last_observations
        learner.improve(rollout, truth.rewards, 0.5)
    assert against_yardstick(lambda: learner._learn(32 * 8), rounds=9)


@pytest.mark.parametrize("comparisons", [100, 1400, 10_000])
def test_reward_prediction(against_yardstick: Measure, learner: Run, comparisons: int) -> None:
    """Both segments of so many comparisons, 60 steps a comparison."""
    features = np.random.default_rng(0).standard_normal((comparisons * 60, 23), np.float32)
    assert against_yardstick(lambda: learner.reward.predict(features), rounds=3).shape == (comparisons * 60,)


@pytest.mark.parametrize("strategy", names("query"))
def test_query_selection(against_yardstick: Measure, strategy: str) -> None:
    """100 questions of 100,000 candidate pairs, the predictions given, 700 asked before."""
    random = np.random.default_rng(0)
    pairs = queries.draw_pairs(1024, 100_000, random)
    segments, asked = (random.standard_normal((*shape, 30, 23), np.float32) for shape in ((1024,), (700, 2)))
    candidates = queries.Candidates(pairs, random.random((3, 100_000), np.float32), segments, asked)
    chosen = against_yardstick(lambda: find("query", strategy)().choose(candidates, 100, random), rounds=3)
    assert len(np.unique(chosen)) == 100


def test_checkpoint(against_yardstick: Measure, learner: Run, tmp_path: Path) -> None:
    """State, file, flush to disk."""
    against_yardstick(lambda: checkpoint.save(tmp_path / "c", learner.get_state()), rounds=6)
    assert checkpoint.load(tmp_path / "c")["progress"]["step"] == learner.step


def test_loading_1000_runs(against_yardstick: Measure, tmp_path: Path) -> None:
    """Every row of a store of 1,000 runs of 100 rows."""
    row = {**dict.fromkeys(COLUMNS, 1.0), "step": 1, "iteration": 0, "phase": "learning"}
    rows = (json.dumps(row) + "\n") * 100
    for seed in range(1000):
        identity = {"spec": {"seed": seed}, "versions": {}}
        folder = tmp_path / store.key_of(**identity)
        folder.mkdir()
        store.write_json(folder / "spec.json", {"schema": 1, "key": folder.name, **identity})
        (folder / "metrics.jsonl").write_text(rows)
    total = against_yardstick(lambda: sum(len(run.rows) for run in store.load(tmp_path)), rounds=3)
    assert total == 100_000


def test_interval_of_a_curve(against_yardstick: Measure) -> None:
    """9 seeds at 100 points."""
    curves = np.random.default_rng(0).standard_normal((9, 100))
    low, high = against_yardstick(lambda: spread.band(curves), rounds=6)[:2]
    assert (low <= high).all()
