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
from prefrl_core.tasks.simulation import load_model

# Where ours computes with whole arrays what dm_control does with single numbers, a processor may round otherwise.
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
    # where hands and feet are seen from the torso, by a product of matrices; the pole's angle, computed as MuJoCo does
    if name in ("humanoid_stand", "cartpole_swingup"):
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


@pytest.mark.parametrize("name", CONTROL)
def test_starts_equal_dm_controls_draw_by_draw(name: str) -> None:
    """Four episodes of five environments, the first three of them not stepped."""
    pair = Pair(name, 5, seed=100)
    for episode in range(4):
        ours, theirs = pair.reset()
        same_observations(name, ours, theirs, episode)
        states = [np.concatenate((env.physics.data.qpos, env.physics.data.qvel)) for env in pair.theirs]
        np.testing.assert_array_equal(pair.ours._frame.rows[:, : len(states[0])], states)
    pair.step()


@pytest.mark.parametrize("name", CONTROL)
def test_the_time_limit_is_dm_controls_and_the_next_episode_follows(name: str) -> None:
    pair = Pair(name, 2)
    pair.reset()
    pair.ours._elapsed[:] = 997
    for env in pair.theirs:
        env._step_count = 997
    for step in (998, 999, 1000):
        (seen, _, terminated, truncated, infos), (expected, _, last) = pair.step()
        assert not terminated.any()
        assert truncated.tolist() == last.astype(bool).tolist() == [step == 1000] * 2
    same_observations(name, infos["final_obs"], expected, "end")
    assert [step.discount for step in (env.step(None) for env in pair.theirs)] == [None] * 2  # it resets
    same_observations(name, seen, np.stack([_flat(e.task.get_observation(e.physics)) for e in pair.theirs]), "next")
    (seen, *_), (expected, *_) = pair.step()
    same_observations(name, seen, expected, "first step of the next episode")


@pytest.mark.parametrize("name", CONTROL)
def test_models_are_dm_controls_to_the_bit(name: str) -> None:
    """After a reset, in which dm_control changes some of them; colours and places of targets nobody touches aside."""
    env = _load(*names()[name], seed=0)
    env.reset()
    ours, theirs = load_model(CONTROL[name].xml), env.physics.model.ptr
    drawn = {"reacher_easy": {"geom_pos"}, "finger_spin": {"site_rgba"}}.get(name, set())
    for field in (field for field in dir(ours) if not field.startswith("_")):
        value = getattr(ours, field)
        if isinstance(value, np.ndarray) and field not in drawn:
            assert value.tobytes() == getattr(theirs, field).tobytes(), field
    assert ours.opt.timestep == theirs.opt.timestep
    assert ours.opt.integrator == theirs.opt.integrator


@pytest.mark.parametrize("name", CONTROL)
def test_actions_have_dm_controls_bounds(name: str) -> None:
    spec, space = _load(*names()[name], seed=0).action_spec(), tasks.make(f"dmcontrol/{name}", 1, 0).action_space
    np.testing.assert_array_equal(space.low[0], spec.minimum.astype(np.float32))
    np.testing.assert_array_equal(space.high[0], spec.maximum.astype(np.float32))


@pytest.mark.parametrize("name", ["acrobot_swingup", "point_mass_hard", "humanoid_CMU_stand"])
def test_any_other_task_is_dm_controls_own(name: str) -> None:
    theirs, ours = _load(*names()[name], seed=3), tasks.make(f"dmcontrol/{name}", 2, 2)
    observations, _ = ours.reset()
    np.testing.assert_array_equal(observations[1], _flat(theirs.reset().observation))
    for _ in range(20):
        actions = ours.action_space.sample()
        observations, rewards, *_ = ours.step(actions)
        step = theirs.step(actions[1])
        np.testing.assert_array_equal(observations[1], _flat(step.observation))
        assert rewards[1] == step.reward
