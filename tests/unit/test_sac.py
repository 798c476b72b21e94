"""Soft actor-critic: rewards that are never stale, learning, exploration, exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import Identity, frozen
from small_sac import SMALL, lived, made, rng

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.neighbours import nearest
from prefrl_core.policy import exploration
from prefrl_core.policy.replay import Replay
from prefrl_core.policy.sac import SACSettings
from prefrl_core.rollout import collect
from prefrl_core.spec import RunSpec


def test_half_of_each_batch_is_recent_where_it_is_wanted() -> None:
    policy, env = made(recent=60)
    lived(env, policy, 12, learn=False)  # 96 steps of 4 environments; the newest 60 transitions are 15 steps
    taken = []
    policy.replay.take = lambda drawn, out: taken.append(drawn.places[0].reshape(3, -1) // 4)  # type: ignore[method-assign]
    policy._draw(3)
    assert ((taken[0] >= 96 - 15).sum(1) >= SMALL["batch"] // 2).all()  # in each of the three batches
    assert (taken[0][:, 1::2] < 96 - 15).any() and taken[0].shape == (3, SMALL["batch"])


def test_runs_that_draw_from_all_keep_their_names_and_their_draws() -> None:
    spec = RunSpec.of({"task": "mujoco/hopper", "policy": "sac", "reward": "true"})
    assert not {"recent", "short_episodes"} & spec.canonical()["policy"].keys()
    half = RunSpec.of({"task": "mujoco/hopper", "policy": {"name": "sac", "recent": 10_000}, "reward": "true"})
    assert half.canonical()["policy"]["recent"] == 10_000
    policy, env = made()
    lived(env, policy, 6, learn=False)
    again = np.random.default_rng(0)
    again.bit_generator.state = policy.drawing.bit_generator.state
    plain = again.integers(0, 6 * 8 * 4, 2 * SMALL["batch"])
    assert (policy.replay.draw(64, 1, 0.9, policy.drawing).places[0] == plain).all()  # 192 steps: place is time


class Says:
    """A reward that is one number, and remembers the shapes that it was asked about."""

    def __init__(self, value: float, context: int = 1) -> None:
        self.value, self.shapes, self.context = value, [], context

    def predict(self, features: np.ndarray, done: Any = None) -> np.ndarray:
        self.shapes.append(features.shape)
        return np.full(features.shape[:-1], self.value, np.float32)


@pytest.mark.parametrize("context", [1, 5])
@pytest.mark.parametrize("n_step", [1, 3])
def test_a_changed_reward_changes_the_very_next_target(context: int, n_step: int) -> None:
    policy, env = made(scale_rewards=False, n_step=n_step, discount=0.5)
    lived(env, policy, learn=False)
    policy.reward_changed(Says(2.0, context))
    first = policy._draw(1).returns
    policy.reward_changed(Says(-3.0, context))
    second = policy._draw(1).returns
    whole = sum(0.5**k for k in range(n_step))
    assert first.max() == pytest.approx(2 * whole) and second.min() == pytest.approx(-3 * whole)
    assert (first > 0).all() and (second < 0).all()


def test_features_are_raw_observations_and_executed_actions() -> None:
    policy, env = made()
    lived(env, policy, 6)
    seen: list[np.ndarray] = []

    class Looks:
        context = 1

        def predict(self, features: np.ndarray, done: Any = None) -> np.ndarray:
            seen.append(features.copy())
            return -np.abs(features[..., 0] - features[..., 1])

    policy.reward_changed(Looks())
    returns = policy._draw(1).returns * policy.reward_std
    rewards = -np.abs(seen[0][0, :, 0] - seen[0][0, :, 1])
    np.testing.assert_allclose(returns[0], rewards, atol=1e-5)
    stored = {tuple(row) for row in np.column_stack([policy.replay.observations, policy.replay.actions]).tolist()}
    assert {tuple(row) for row in seen[0][0].tolist()} <= stored


def mean_reward(reward: Any = None, **settings: Any) -> float:
    """Of the last 256 of 10,240 steps in 16 environments."""
    env = Identity(16, 0, 0)
    policy = SACSettings(
        **{**SMALL, "environments": 16, "discount": 0.5, "steps_per_update": 4, "target_entropy": -2.0, **settings}
    ).make(env, 0)
    if reward is not None:
        policy.reward_changed(reward)
    late = []
    for turn in range(80):
        rollout, truth = collect(env, policy, env.shown, 8)
        policy.improve(rollout, truth.rewards if reward is None else np.zeros_like(truth.rewards), turn / 80)
        late += [truth.rewards.mean()] if turn >= 78 else []
    return float(np.mean(late))


@pytest.mark.parametrize(
    "settings", [{}, {"n_step": 3, "layer_norm": True}, {"actor_delay": 2, "center_rewards": True}]
)
def test_it_learns_a_trivial_task(settings: dict[str, Any]) -> None:
    assert mean_reward(**settings) > -0.12  # an action drawn at random has -0.67


def test_it_learns_from_predicted_rewards_alone() -> None:
    class True_:
        context = 1

        def predict(self, features: np.ndarray, done: Any = None) -> np.ndarray:
            return -np.abs(features[..., 0] - features[..., 1])

    assert mean_reward(True_()) > -0.12


def test_random_until_it_improves() -> None:
    policy, env = made()
    draws = np.concatenate([policy.act(env.shown) for _ in range(500)])
    assert -1 <= draws.min() < -0.99 and 0.99 < draws.max() <= 1 and abs(draws.std() - 1 / np.sqrt(3)) < 0.02
    lived(env, policy, 1)
    assert policy.improved and policy.act(env.shown).shape == (4, 1)


def test_a_limit_of_actions_holds_before_and_after_it_learns() -> None:
    policy, env = made(action_limit=0.25)
    for trained in (False, True):
        draws = np.concatenate([policy.executed(policy.act(env.shown)) for _ in range(200)])
        assert np.abs(draws).max() <= 0.25 and (trained or np.abs(draws).max() > 0.24)
        lived(env, policy, 1)
    assert policy.improved and np.abs(policy.replay.actions).max() <= 0.25
    drawn = policy.squashed.drawn(policy.replay.actions)  # what the critics see
    assert 0.9 < np.abs(drawn).max() <= 1


@pytest.mark.parametrize("states", [4, 32, 1000])
def test_where_there_are_few_states_a_state_is_worth_its_true_distance(states: int) -> None:
    random = np.random.default_rng(0)
    replay, seen = Replay(10_000, 1, 3, 1), random.standard_normal((states, 3)).astype(np.float32)
    replay.observations[:states], replay.total = seen, states
    drawn = replay.draw(64, 1, 0.99, random)
    slow = np.sort(np.linalg.norm(seen[:, None] - seen, axis=-1), axis=1)[:, min(5, states - 1)]
    worth = exploration.rewards(replay, drawn, random)[0]
    np.testing.assert_allclose(worth * slow[drawn.places[0]].std(), slow[drawn.places[0]], rtol=1e-3)


def test_exploration_learns_before_the_first_improvement_and_then_forgets_its_critics() -> None:
    policy, env = made(random_steps=64, explore_steps=96)
    assert policy.untrained_steps == 160
    lived(env, policy, 2, learn=False)
    assert policy.exploring and policy.soft.updates == 0
    lived(env, policy, 3, learn=False)
    assert policy.soft.updates == 3 * 32 // 8
    before = policy.soft.critics.parameters.values.copy()
    actor = policy.soft.actor_parameters.values.copy()
    policy._measure_rewards = lambda: None  # type: ignore[method-assign]
    policy._learn = lambda steps: {}  # type: ignore[method-assign, assignment]
    lived(env, policy, 1)
    assert (policy.soft.critics.parameters.values != before).mean() > 0.9 and policy.soft.critic_optimiser.steps == 0
    assert (policy.soft.actor_parameters.values == actor).all() and not policy.exploring


def test_distance_to_the_kth_neighbour() -> None:
    states, others = rng(1).standard_normal((20, 3), np.float32), rng(2).standard_normal((50, 3), np.float32)
    slow = [sorted(float(((state - other) ** 2).sum()) for other in others)[4] for state in states]
    np.testing.assert_allclose(nearest(states, others, 5), slow, rtol=1e-4)
    for where in (0.0, 1e3, 1e5):  # a position, say, counted from far away
        near, far = states + np.float32(where), others + np.float32(where)
        slow = [sorted(float(((state.astype(float) - other) ** 2).sum()) for other in far)[4] for state in near]
        np.testing.assert_allclose(nearest(near, far, 5), slow, rtol=1e-3)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_step": 3, "capacity": 64},
        {"random_steps": 32, "explore_steps": 64},
        {"actor_delay": 2},
        {"recent": 40},
    ],
)
def test_resumed_is_uninterrupted(settings: dict[str, Any], tmp_path: Path) -> None:
    policy, env = made(**settings)
    other, _ = made(seed=1, **settings)
    lived(env, policy, 2, learn=False)
    lived(env, policy, 3)
    checkpoint.save(tmp_path / "c", {"policy": policy.get_state()})
    other.set_state(checkpoint.load(tmp_path / "c")["policy"])
    random, shown, time = env.random.bit_generator.state, env.shown.copy(), env.time
    first = lived(env, policy, 3)
    env.random.bit_generator.state, env.shown, env.time = random, shown, time
    assert first == lived(env, other, 3)
    one, two = policy.get_state(), other.get_state()
    one.pop("replay"), two.pop("replay")
    assert frozen(one) == frozen(two)


def test_without_its_replay_it_can_act(tmp_path: Path) -> None:
    policy, env = made()
    lived(env, policy)
    checkpoint.save(tmp_path / "c", {"policy": policy.get_state()})
    other, _ = made(seed=1)
    other.set_state(checkpoint.load(tmp_path / "c", logs=False)["policy"])
    assert (policy.act(env.shown) == other.act(env.shown)).all()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"steps_per_update": 0}, r"steps_per_update = 0: in \[1, 64\]; with fewer the learner drowns"),
        ({"steps_per_update": 65}, "with more it starves"),
        ({"capacity": 100}, "capacity = 100: a rollout has 512 steps; raise it"),
        ({"capacity": 10**13}, "capacity = 10000000000000: the replay needs"),
        ({"hidden": []}, "at least one layer"),
        ({"tau": 0.0}, "tau = 0.0: above 0"),
        ({"discount": 1.5}, r"discount = 1.5: in \[0, 1\]"),
        ({"n_step": 0}, "n_step = 0: at least 1"),
        ({"recent": -1}, "recent = -1: at least 0"),
        ({"short_episodes": -1}, "short_episodes = -1: at least 0"),
        ({"short_episodes": 59}, r"policy.short_episodes = 59: from 60 \(a segment\) to 999 steps"),
        ({"short_episodes": 1000}, r"policy.short_episodes = 1000: from 60 \(a segment\) to 999 steps"),
        ({"short_episodes": 100, "environments": 1}, "with environments = 1: the only one keeps whole episodes"),
        ({"random_steps": 9}, "random_steps = 9 with explore_steps = 0: .* leave it out"),
        ({"action_limit": 0.0}, r"action_limit = 0.0: in \(0, 1\]"),
        ({"action_limit": 1.5}, r"action_limit = 1.5: in \(0, 1\]"),
        (
            {"recent": 2000, "capacity": 1000},
            r"recent = 2000: the replay holds 1000 transitions \(capacity\); lower it",
        ),
    ],
)
def test_bad_settings_are_one_line(settings: dict[str, Any], text: str) -> None:
    env = Identity(16, 0, 0)
    with pytest.raises(UserError, match=text) as caught:
        spec = RunSpec.of({"task": "mujoco/hopper", "policy": {"name": "sac", **settings}, "reward": "true"})
        SACSettings(**{name: value for name, value in spec.policy.items() if name != "name"}).make(env, 0)
    assert "\n" not in str(caught.value)


def test_tasks_that_it_cannot_learn_are_refused() -> None:
    with pytest.raises(UserError, match="'sac' on atari/pong@1: it knows neither pixels nor tasks without an end"):
        RunSpec.of({"task": "atari/pong", "policy": "sac"})
    with pytest.raises(UserError, match=r"'sac' on action space Discrete\(4\): it knows flat boxes only; choose"):
        SACSettings().make(Identity(16, 4, 0), 0)
    env = Identity(16, 0, 0)
    env.single_action_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with pytest.raises(UserError, match="its actions need bounds"):
        SACSettings().make(env, 0)


def test_the_first_reward_of_a_sparse_task_is_not_worth_a_million() -> None:
    """Nothing was paid so far, then one step in 4,096 is."""
    policy = SACSettings().make(Identity(16, 0, 0), 0)
    nothing, rare = np.zeros(4096, np.float32), np.eye(1, 4096, dtype=np.float32)[0]
    for rewards in (nothing, nothing):
        policy._follow_scale(rewards, 0.1)
        assert policy.reward_scale == 1.0
    policy._follow_scale(rare, 0.1)
    assert policy.reward_scale == pytest.approx(float(rare.std()), abs=1e-5)  # at once, and not by a tenth
    policy._follow_scale(rare * 2, 0.1)
    assert policy.reward_scale == pytest.approx(1.1 * float(rare.std()), abs=1e-5)
