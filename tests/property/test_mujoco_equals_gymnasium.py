"""Our batched MuJoCo tasks against Gymnasium's own environments, bit for bit."""

from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefrl_core import tasks

GYMNASIUM = {
    "hopper": "Hopper-v5",
    "walker2d": "Walker2d-v5",
    "swimmer": "Swimmer-v5",
    "half_cheetah": "HalfCheetah-v5",
    "ant": "Ant-v5",
    "reacher": "Reacher-v5",
    "inverted_double_pendulum": "InvertedDoublePendulum-v5",
    "inverted_pendulum": "InvertedPendulum-v5",
}
SCALES = [0.0, 0.3, 1.0, 1e3]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # Gymnasium's HalfCheetah leaves a log file in the current folder


def actions_for(env: Any, rng: np.random.Generator, scale: float, dtype: Any) -> np.ndarray[Any, Any]:
    """Random actions, one in three environments on the bounds exactly."""
    low, high = env.action_space.low, env.action_space.high
    actions = rng.uniform(low * scale, high * scale)
    actions[::3] = np.where(rng.random(actions[::3].shape) < 0.5, low[::3], high[::3])
    chosen: np.ndarray[Any, Any] = actions.astype(dtype)
    return chosen


def check_equal(name: str, seed: int, num_envs: int, threads: int, scale: float, dtype: Any, steps: int) -> int:
    """Compare ``steps`` steps with one Gymnasium environment each; number of episodes that ended."""
    env: Any = tasks.make(f"mujoco-v5/{name}", num_envs, seed, threads)
    references = [gym.make(GYMNASIUM[name]) for _ in range(num_envs)]
    observations, _ = env.reset()
    for i, reference in enumerate(references):
        np.testing.assert_array_equal(observations[i], reference.reset(seed=seed + i)[0])
    rng, ends = np.random.default_rng(seed), 0
    for t in range(steps):
        actions = actions_for(env, rng, scale, dtype)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        assert observations.dtype == rewards.dtype == np.float64
        ended = terminated | truncated
        assert ("final_obs" in infos) == ended.any()
        if ended.any():
            np.testing.assert_array_equal(infos["_final_obs"], ended)
        for i, reference in enumerate(references):
            expected, reward, *ends_of_one, _ = reference.step(actions[i])
            assert (rewards[i], terminated[i], truncated[i]) == (reward, *ends_of_one), (name, t, i)
            if any(ends_of_one):
                np.testing.assert_array_equal(infos["final_obs"][i], expected)
                expected, _ = reference.reset()
            np.testing.assert_array_equal(observations[i], expected, err_msg=f"{name}, step {t}, environment {i}")
        ends += int(ended.sum())
    env.close()
    return ends


@settings(max_examples=4, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32),
    num_envs=st.integers(1, 5),
    threads=st.sampled_from([1, 2]),
    scale=st.sampled_from(SCALES),
    dtype=st.sampled_from([np.float32, np.float64]),
)
@pytest.mark.parametrize("name", GYMNASIUM)
def test_any_short_rollout_equals_gymnasium(
    name: str, seed: int, num_envs: int, threads: int, scale: float, dtype: Any
) -> None:
    check_equal(name, seed, num_envs, threads, scale, dtype, steps=40)


@pytest.mark.parametrize("name", GYMNASIUM)
def test_a_long_rollout_equals_gymnasium_through_several_ends(name: str) -> None:
    # Tasks that never terminate reach their time limit, one environment through two episodes.
    steps = 2010 if name in ("swimmer", "half_cheetah") else 400
    num_envs = 1 if name in ("swimmer", "half_cheetah") else 3
    assert check_equal(name, 7, num_envs, 2, 1.0, np.float32, steps) >= 2


@pytest.mark.parametrize("name", ["hopper", "walker2d", "ant", "inverted_double_pendulum", "inverted_pendulum"])
def test_the_time_limit_truncates_where_gymnasium_does(name: str) -> None:
    """Tasks that a random policy always terminates: a state that is put back to the start lives to its limit."""
    env: Any = tasks.make(f"mujoco-v5/{name}", 2, 0)
    env.reset()
    limit = tasks.describe(f"mujoco-v5/{name}").episode_steps
    assert limit == gym.spec(GYMNASIUM[name]).max_episode_steps
    fresh = env.get_state()
    env.set_state({**fresh, "elapsed": np.array([limit - 1, limit - 2])})
    still = np.zeros(env.action_space.shape, np.float32)
    assert env.step(still)[3].tolist() == [True, False]
    assert env.step(still)[3].tolist() == [False, True]


def test_models_are_gymnasiums_own_to_the_bit() -> None:
    """HalfCheetah's total mass is set by calls instead of the deprecated attribute."""
    from prefrl_core.tasks.mujoco_tasks import TASKS
    from prefrl_core.tasks.simulation import load_model

    for name, definition in TASKS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = gym.make(GYMNASIUM[name]).unwrapped.model  # type: ignore[attr-defined]
        ours = load_model(definition.xml)
        for field in (f for f in dir(ours) if not f.startswith("_")):
            value = getattr(ours, field)
            if isinstance(value, np.ndarray) and field != "paths":
                assert value.tobytes() == getattr(theirs, field).tobytes(), (name, field)
