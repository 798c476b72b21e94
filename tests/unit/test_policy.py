"""PPO, part by part, against autograd, slow loops and hand-computed cases; as a whole on a task it must learn."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers import SPACES, Identity, Twin, minibatch, ppo, scripted, slow_advantages, torch_step

from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.networks import Parameters
from prefrl_core.normalize import Moments, RewardScale, Standardizer
from prefrl_core.policy.distributions import Categorical, Gaussian, distribution
from prefrl_core.policy.gae import advantages
from prefrl_core.policy.ppo import PPO, PPOSettings
from prefrl_core.rollout import Rollout
from prefrl_core.settings import plain

BOX = gym.spaces.Box(-1, 1, (3,), np.float32)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Advantages


def test_gae_by_hand() -> None:
    # One environment, gamma = lambda = 0.5: cut off after step 1 (its value counts), terminated after step 3.
    rewards, values = np.array([[1.0], [2], [3], [4]]), np.array([[1.0], [1], [2], [2]])
    following = np.array([[1.0], [8], [2], [99]])
    terminated = np.array([[False], [False], [False], [True]])
    done = np.array([[False], [True], [False], [True]])
    # errors: 1 + 0.5 - 1 = 0.5; 2 + 4 - 1 = 5; 3 + 1 - 2 = 2; 4 - 2 = 2
    found = advantages(rewards, values, following, terminated, done, 0.5, 0.5)
    assert found[:, 0].tolist() == [0.5 + 0.25 * 5, 5, 2 + 0.25 * 2, 2]


def test_gae_equals_a_slow_loop() -> None:
    rewards, values, following = rng().standard_normal((3, 40, 5))
    terminated, truncated = rng(1).random((2, 40, 5)) < 0.1
    arrays = (rewards, values, following, terminated, terminated | truncated, 0.9, 0.8)
    np.testing.assert_allclose(advantages(*arrays), slow_advantages(*arrays), atol=1e-12)


# Acting


def test_collect_records_what_happened() -> None:
    env, rollout, paid, policy = scripted()
    assert (paid == env.rewards).all() and (rollout.terminated == env.terminated).all()
    assert (rollout.done == (env.terminated | env.truncated)).all()
    assert (rollout.drawn_actions == 3).all() and (rollout.actions == 1).all()
    assert (rollout.observations == np.stack(policy.seen)).all()
    assert rollout.observations[:, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [0, 1, 2], [0, 1, 3]]
    assert rollout.last_observations.tolist() == [[0, 1, 4], [1, 1, 2], [2, 2, 0]]


def test_collect_keeps_what_episodes_ended_with() -> None:
    _, rollout, _, _ = scripted()
    assert rollout.ends.tolist() == [[1, 0], [1, 2], [3, 1], [5, 2]]
    assert rollout.final_observations.tolist() == [[0, 0, 2], [2, 0, 2], [1, 0, 4], [2, 1, 4]]


def test_next_values_stay_in_the_episode() -> None:
    # The value of an observation is a number made of its parts, so each step's successor is known.
    _, rollout, _, _ = scripted()
    code = np.array([100, 10, 1])
    values, last, final = (
        x @ code for x in (rollout.observations, rollout.last_observations, rollout.final_observations)
    )
    following = rollout.next_values(values, last, final)
    assert (following == values + 1).all()  # the next step of the same episode of the same environment
    assert (values == rollout.observations @ code).all()


@pytest.mark.parametrize("step", [0, 5])
def test_a_reward_that_is_not_finite_is_refused(step: int) -> None:
    rewards = np.zeros((6, 3))
    rewards[step, 2] = np.inf
    with pytest.raises(UserError, match="reward of inf"):
        scripted(rewards=rewards)


def test_an_observation_that_is_not_finite_is_refused() -> None:
    with pytest.raises(UserError, match="observation of nan"):
        scripted(spoil=(3, 1))


@pytest.mark.parametrize("spoil", [(6, 1), (2, 0)], ids=["last", "final"])
def test_a_last_or_final_observation_that_is_not_finite_is_refused(spoil: tuple[int, int]) -> None:
    with pytest.raises(UserError, match="observation"):
        scripted(spoil=spoil)


def test_features_are_observation_and_action() -> None:
    _, rollout, _, _ = scripted()
    assert (Vectors(5).of(rollout) == np.concatenate([rollout.observations, rollout.actions], axis=-1)).all()
    empty = np.empty((0, 2), np.int64)
    chosen, flags, seen = np.array([[2, 0]]), np.zeros((1, 2), bool), np.full((1, 2, 1), 7, np.float32)
    rollout = Rollout(seen, chosen, chosen, flags, flags, seen[0], empty, np.empty((0, 1), np.float32), seen[..., :0])
    assert Vectors(4, choices=3).of(rollout).tolist() == [[[7, 0, 0, 1], [7, 1, 0, 0]]]


# Distributions


def gaussian() -> tuple[Gaussian, Parameters]:
    parameters = Parameters(3)
    made = Gaussian(BOX, parameters)
    parameters.values[:] = [-0.5, 0.2, 0.9]
    return made, parameters


def test_gaussian_equals_torch() -> None:
    made, parameters = gaussian()
    means, actions = rng().standard_normal((2, 9, 3), np.float32)
    weights = rng(1).standard_normal(9, np.float32)
    mean, log_std = (torch.tensor(x.copy(), requires_grad=True) for x in (means, parameters.values))
    twin = torch.distributions.Normal(mean, log_std.exp())
    log_prob = twin.log_prob(torch.tensor(actions)).sum(1)
    ((torch.tensor(weights) * log_prob).sum() + 0.7 * twin.entropy().sum(1).mean()).backward()
    np.testing.assert_allclose(made.log_prob(means, actions), log_prob.detach(), rtol=1e-5, atol=1e-5)
    assert made.entropy() == pytest.approx(twin.entropy().sum(1).mean().item(), rel=1e-6)
    np.testing.assert_allclose(made.backward(weights, 0.7), mean.grad, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(parameters.gradient, log_std.grad, rtol=1e-4, atol=1e-4)


def test_categorical_equals_torch() -> None:
    made = Categorical(gym.spaces.Discrete(4), Parameters(0))
    logits, actions = 3 * rng().standard_normal((9, 4), np.float32), rng(2).integers(4, size=9)
    weights = rng(1).standard_normal(9, np.float32)
    leaf = torch.tensor(logits, requires_grad=True)
    twin = torch.distributions.Categorical(logits=leaf)
    log_prob = twin.log_prob(torch.tensor(actions))
    ((torch.tensor(weights) * log_prob).sum() + 0.7 * twin.entropy().mean()).backward()
    np.testing.assert_allclose(made.log_prob(logits, actions), log_prob.detach(), rtol=1e-5, atol=1e-5)
    assert made.entropy() == pytest.approx(twin.entropy().mean().item(), rel=1e-5)
    np.testing.assert_allclose(made.backward(weights, 0.7), leaf.grad, rtol=1e-4, atol=1e-5)


def test_gaussian_draws_have_its_moments_and_are_clipped_when_executed() -> None:
    made, parameters = gaussian()
    drawn = made.draw(np.tile(np.array([1, -2, 3], np.float32), (20_000, 1)), rng())
    std = np.exp(parameters.values)
    assert (np.abs(drawn.mean(0) - [1, -2, 3]) < 5 * std / np.sqrt(20_000)).all()
    np.testing.assert_allclose(drawn.std(0), std, rtol=5 / np.sqrt(2 * 20_000))
    np.testing.assert_array_equal(made.executed(drawn), drawn.clip(-1, 1))


def test_the_first_standard_deviation_is_a_setting_that_older_runs_do_not_name() -> None:
    made = distribution(BOX, Parameters(3), 0.3)
    drawn = made.draw(np.zeros((20_000, 3), np.float32), rng())
    np.testing.assert_allclose(drawn.std(0), 0.3, rtol=5 / np.sqrt(2 * 20_000))
    assert "initial_std" not in plain(PPOSettings(), pixels=False)
    assert plain(PPOSettings(initial_std=0.3), pixels=False)["initial_std"] == 0.3
    with pytest.raises(UserError, match="initial_std = 0: above 0"):
        PPOSettings(initial_std=0)


def test_categorical_draws_have_its_frequencies() -> None:
    made = Categorical(gym.spaces.Discrete(4), Parameters(0))
    p = np.array([0.5, 0.3, 0.2, 0])
    logits = np.tile(np.log(np.maximum(p, 1e-30)).astype(np.float32) + 200, (20_000, 1))
    counts = np.bincount(made.draw(logits, rng()), minlength=4)
    assert counts[3] == 0 and (np.abs(counts / 20_000 - p) <= 5 * np.sqrt(p / 20_000)).all()


def test_other_action_spaces_are_refused() -> None:
    for space in (gym.spaces.MultiBinary(2), gym.spaces.Discrete(2, start=1), gym.spaces.Box(0, 1, (2, 2))):
        with pytest.raises(UserError, match="action space"):
            distribution(space, Parameters(9))


# Running moments


def test_moments_equal_those_of_all_rows() -> None:
    moments, batches = Moments(2), [1e4 + 3 * rng(n).standard_normal((n, 4, 2)) for n in (1, 7, 30)]
    for batch in batches:
        moments.update(batch)
    rows = np.concatenate(batches).reshape(-1, 2)
    np.testing.assert_allclose(moments.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance, rows.var(0), rtol=1e-9)


def test_standardizer() -> None:
    standardize, rows = Standardizer(2), (rng().standard_normal((50, 2)) * [1, 5] + [0, 20]).astype(np.float32)
    assert standardize(np.array([[3, -12]], np.float32)).tolist() == [[3, -10]]  # nothing seen yet
    standardize.update(rows)
    np.testing.assert_allclose(standardize(rows), (rows - rows.mean(0)) / rows.std(0), atol=1e-5)
    assert standardize(np.array([[1e6, -1e6]], np.float32)).tolist() == [[10, -10]]
    again = Standardizer(2)
    again.set_state(standardize.get_state())
    assert again(rows).tobytes() == standardize(rows).tobytes()


def test_rewards_are_divided_by_the_std_of_all_discounted_returns() -> None:
    scale, running, seen = RewardScale(2, 0.9, center=False), np.zeros(2), []
    for seed in range(3):
        rewards, done = 5 * rng(seed).standard_normal((6, 2)), rng(seed + 9).random((6, 2)) < 0.3
        for step, env in np.ndindex(6, 2):
            running[env] = 0.9 * running[env] + rewards[step, env]
            seen.append(running[env])
            running[env] *= not done[step, env]
        # one divisor for the whole rollout, the newest
        np.testing.assert_allclose(scale(rewards, done), rewards / np.std(seen), rtol=1e-6)


def test_scaled_rewards_are_clipped() -> None:
    rewards = np.zeros((400, 1))
    rewards[7], rewards[8] = 1000, -1000
    scaled = RewardScale(1, 0.0, center=False)(rewards, np.zeros((400, 1), bool))
    assert scaled[7:9, 0].tolist() == [10, -10]


def test_a_constant_changes_nothing_where_rewards_are_centred() -> None:
    plain, shifted, done = RewardScale(2, 0.99, True), RewardScale(2, 0.99, True), np.zeros((6, 2), bool)
    for seed in range(3):
        rewards = seed + rng(seed).standard_normal((6, 2))
        np.testing.assert_allclose(plain(rewards, done), shifted(rewards + 100, done), atol=1e-9)
    assert abs(RewardScale(2, 0.99, True)(rewards, done).mean()) < 1e-12  # the first mean is the rollout's own


def test_short_rollouts_move_the_mean_as_much_together_as_one_long_one() -> None:
    short, long, done = RewardScale(1, 0.99, True, 10), RewardScale(1, 0.99, True), np.zeros((5, 1), bool)
    for scale in (short, long):
        scale(np.zeros((5, 1)), done)
    for _ in range(10):
        short(np.ones((5, 1)), done)
    long(np.ones((5, 1)), done)
    assert long.mean == pytest.approx(0.1) and short.mean == pytest.approx(1 - 0.99**10)


# PPO


def captured(policy: PPO, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The gradients that the optimiser is given from here on, instead of stepping."""
    gradients: list[np.ndarray] = []
    monkeypatch.setattr(policy.optimiser, "step", lambda: gradients.append(policy.parameters.gradient.copy()))
    return gradients


@pytest.mark.parametrize("kind", SPACES)
def test_minibatch_gradient_equals_autograd(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = ppo(kind, entropy=0.3, value=0.7, gradient_norm=1e9)
    parts, found = minibatch(policy, kind), captured(policy, monkeypatch)
    measured = policy._step(*parts)
    expected, numbers = torch_step(policy, *parts)
    assert 0.2 < numbers[1] < 0.8  # both sides of the clip occur
    np.testing.assert_allclose(found[0], expected, atol=2e-5 * np.abs(expected).max())
    np.testing.assert_allclose(measured, numbers, rtol=1e-4)


def test_gradient_of_both_networks_has_one_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    policy, _ = ppo("continuous", gradient_norm=0.01)
    parts, found = minibatch(policy, "continuous"), captured(policy, monkeypatch)
    policy._step(*parts)
    expected, _ = torch_step(policy, *parts)
    np.testing.assert_allclose(found[0], expected * 0.01 / np.linalg.norm(expected), atol=1e-6)


def test_improve_shows_each_step_once_an_epoch_with_its_own_advantage(monkeypatch: pytest.MonkeyPatch) -> None:
    _, rollout, rewards, _ = scripted()  # (environment, episode, step) tells the rows apart
    env = Identity(3, 0, 0)
    env.single_observation_space, env.single_action_space = gym.spaces.Box(-9, 9, (3,)), gym.spaces.Box(-1, 1, (2,))
    policy = PPO(PPOSettings(epochs=2, minibatch=7, trace=0.8, learning_rate=0.5), env, 0)
    shown: list[Any] = []
    monkeypatch.setattr(policy, "_step", lambda *parts: shown.append(parts) or (0, 0, 0))
    measured = policy.improve(rollout, rewards, 0.75)
    assert measured["learning_rate"] == 0.125
    assert [len(parts[0]) for parts in shown] == [7, 7, 4] * 2  # 18 steps
    critic = Twin(policy.critic)
    flat, last, final = (
        critic(x)[..., 0].detach().numpy()
        for x in (rollout.observations, rollout.last_observations, rollout.final_observations)
    )
    scaled = RewardScale(3, 0.99, center=False)(rewards, rollout.done)
    following = rollout.next_values(flat, last, final)
    expected = slow_advantages(scaled, flat, following, rollout.terminated, rollout.done, 0.99, 0.8)
    assert measured["explained_variance"] == pytest.approx(1 - expected.var() / (expected + flat).var(), rel=1e-4)
    old = policy.distribution.log_prob(policy.actor.forward(rollout.observations.reshape(18, 3)), np.full((18, 2), 3))
    for epoch in (shown[:3], shown[3:]):
        observations, actions, advantages, returns, log_prob = (np.concatenate(x) for x in zip(*epoch, strict=True))
        place = [rollout.observations.reshape(18, 3).tolist().index(row) for row in observations.tolist()]
        assert sorted(place) == list(range(18)) and place != sorted(place) and (actions == 3).all()
        np.testing.assert_allclose(advantages, expected.reshape(-1)[place], atol=1e-5)
        np.testing.assert_allclose(returns, (expected + flat).reshape(-1)[place], atol=1e-5)
        np.testing.assert_allclose(log_prob, old[place], rtol=1e-6)
