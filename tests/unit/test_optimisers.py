"""TRPO and A2C against closed forms and autograd; what every policy optimiser must do."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers import SPACES, TRIVIAL, Identity, Twin, frozen, gradient, mean_reward

from prefrl_core.networks import Parameters, RMSProp
from prefrl_core.normalize import RewardScale
from prefrl_core.policy.a2c import A2C, A2CSettings
from prefrl_core.policy.distributions import Categorical
from prefrl_core.policy.ppo import PPOSettings
from prefrl_core.policy.trpo import TRPO, TRPOSettings, conjugate_gradient
from prefrl_core.rollout import collect


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def made(kind: str, settings: Any, seed: int = 0, envs: int = 4) -> tuple[Any, Identity]:
    """A policy whose parameters are far from their initial values, and its task."""
    env = Identity(envs, SPACES[kind], seed)
    policy = settings.make(env, seed)
    values = policy.parameters.values
    values += 0.3 * rng(5).standard_normal(len(values), np.float32)
    return policy, env


# TRPO


def flat_divergence(policy: TRPO, observations: np.ndarray) -> Any:
    """Mean KL divergence of the policy as it is from the policy with parameters ``theta``, by PyTorch."""
    hidden, outputs = policy.actor.sizes[1], policy.actor.sizes[-1]
    shapes = [(policy.actor.sizes[0], hidden), (hidden,), (hidden, outputs), (outputs,)]
    inputs = torch.tensor(observations, dtype=torch.float64)

    def distribution(theta: torch.Tensor) -> Any:
        parts, at = [], 0
        for shape in shapes:
            size = int(np.prod(shape))
            parts.append(theta[at : at + size].reshape(shape))
            at += size
        out = torch.tanh(inputs @ parts[0] + parts[1]) @ parts[2] + parts[3]
        if isinstance(policy.distribution, Categorical):
            return torch.distributions.Categorical(logits=out)
        return torch.distributions.Normal(out, theta[at:].exp())

    old = distribution(torch.tensor(policy.parameters.values, dtype=torch.float64))

    def divergence(theta: torch.Tensor) -> torch.Tensor:
        return torch.distributions.kl_divergence(old, distribution(theta)).reshape(len(inputs), -1).sum(1).mean()

    return divergence


@pytest.mark.parametrize("kind", SPACES)
def test_fisher_product_is_the_exact_hessian_of_the_divergence(kind: str) -> None:
    policy, _ = made(kind, TRPOSettings(hidden=(5,), damping=0.0625))
    observations = rng(1).standard_normal((30, policy.actor.sizes[0]), np.float32)
    theta = torch.tensor(policy.parameters.values, dtype=torch.float64)
    hessian = torch.autograd.functional.hessian(flat_divergence(policy, observations), theta).numpy()
    ours = np.stack([policy.fisher_product(observations, row) for row in np.eye(len(theta), dtype=np.float32)])
    np.testing.assert_allclose(ours, hessian + 0.0625 * np.eye(len(theta)), atol=2e-6)
    assert not policy.parameters.gradient.any()


@pytest.mark.parametrize("kind", SPACES)
def test_divergence_equals_pytorch(kind: str) -> None:
    policy, _ = made(kind, TRPOSettings(hidden=(5,)))
    observations = rng(1).standard_normal((30, policy.actor.sizes[0]), np.float32)
    expected = flat_divergence(policy, observations)
    policy.distribution.remember(policy.actor.forward(observations))
    policy.parameters.values += 0.2 * rng(2).standard_normal(len(policy.parameters.values), np.float32)
    moved = torch.tensor(policy.parameters.values, dtype=torch.float64)
    ours = policy.distribution.divergence(policy.actor.forward(observations))
    assert ours == pytest.approx(expected(moved).item(), rel=1e-5)
    assert ours > 0.01


def test_conjugate_gradient_solves_the_system() -> None:
    root = rng().standard_normal((12, 12))
    matrix, target = (root @ root.T + np.eye(12)).astype(np.float32), rng(1).standard_normal(12, np.float32)
    solved = conjugate_gradient(lambda v: matrix @ v, target, 30)
    np.testing.assert_allclose(solved, np.linalg.solve(matrix, target), rtol=1e-3, atol=1e-4)


def test_natural_gradient_of_a_linear_gaussian_policy_equals_its_closed_form() -> None:
    """Means ``[x 1] W`` with standard deviations s: the Fisher matrix is the second moment of [x 1] times 1 / s^2 for
    each column of W, and 2 for each log s. Hence the natural gradient is a weighted least-squares fit."""
    env = Identity(4, 0, 0)
    env.single_observation_space, env.single_action_space = gym.spaces.Box(-9, 9, (3,)), gym.spaces.Box(-1, 1, (2,))
    policy = TRPOSettings(hidden=(), damping=1e-6).make(env, 0)
    policy.distribution.log_std[:] = [0.3, -0.4]
    observations, advantages = rng(1).standard_normal((200, 3), np.float32), rng(2).standard_normal(200, np.float32)
    means = policy.actor.forward(observations)
    actions = policy.distribution.draw(means, rng(3))
    policy.distribution.log_prob(means, actions)
    policy.actor.backward(policy.distribution.backward(advantages / 200, 0.0))
    plain = policy.parameters.gradient.copy()
    policy.parameters.gradient[:] = 0
    natural = conjugate_gradient(lambda v: policy.fisher_product(observations, v), plain, 60)
    extended, z = np.column_stack([observations, np.ones(200)]), (actions - means) / np.exp([0.3, -0.4])
    fit = np.linalg.solve(extended.T @ extended / 200, extended.T @ (advantages[:, None] * z) / 200)
    weights = np.concatenate([(fit * np.exp([0.3, -0.4])).reshape(-1), (advantages @ (z**2 - 1)) / 200 / 2])
    np.testing.assert_allclose(natural, weights, atol=2e-4)


@pytest.mark.parametrize("kind", SPACES)
def test_every_step_keeps_the_divergence_bound_and_raises_the_surrogate(kind: str) -> None:
    policy, env = made(kind, TRPOSettings(rollout_steps=32, kl=0.02), envs=8)
    moved = 0
    for _ in range(10):
        rollout, truth = collect(env, policy, env.shown, 32)
        rewards = truth.rewards
        before, twin = (policy.settings.make(env, 0) for _ in range(2))
        for one in (before, twin):
            one.set_state(policy.get_state())
        measured = policy.improve(rollout, rewards, 0.0)
        rows = before.standardize(rollout.observations).reshape(256, -1)
        before.distribution.remember(before.actor.forward(rows))
        twin.parameters.values[:] = policy.parameters.values
        twin.distribution._old = before.distribution._old
        kl = twin.distribution.divergence(twin.actor.forward(rows))
        assert kl == pytest.approx(measured["policy_kl"], abs=1e-6)
        assert kl <= 0.02
        batch = before.batch(rollout, rewards)
        advantages = batch.advantages - batch.advantages.mean()
        old, new = (p.distribution.log_prob(p.actor.forward(rows), batch.actions).copy() for p in (before, twin))
        moved += kl > 0.005
        assert (np.exp(new - old) * advantages).mean() >= 0
    assert moved >= 8


def test_without_a_difference_between_advantages_the_policy_stays() -> None:
    policy, env = made("continuous", TRPOSettings(rollout_steps=8, discount=0.0))
    rollout, truth = collect(env, policy, env.shown, 8)
    rewards = truth.rewards
    policy.critic_parameters.values[:] = 0
    before = policy.parameters.values.copy()
    policy.improve(rollout, np.zeros_like(rewards), 0.0)
    np.testing.assert_array_equal(policy.parameters.values, before)


# A2C


@pytest.mark.parametrize("kind", SPACES)
def test_gradient_of_a2c_equals_autograd(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, env = made(kind, A2CSettings(rollout_steps=6, entropy=0.2, value=0.7, gradient_norm=1e9))
    rollout, truth = collect(env, policy, env.shown, 6)
    rewards = truth.rewards
    found: list[np.ndarray] = []
    monkeypatch.setattr(policy.optimiser, "step", lambda: found.append(policy.parameters.gradient.copy()))
    twin: A2C = copy.deepcopy(policy)
    policy.improve(rollout, rewards, 0.0)
    batch = twin.batch(rollout, rewards)
    actor, critic = Twin(twin.actor), Twin(twin.critic)
    outputs, taken, log_std = actor(batch.observations), torch.tensor(batch.actions), []
    if kind == "discrete":
        distribution: Any = torch.distributions.Categorical(logits=outputs)
        log_prob, entropy = distribution.log_prob(taken), distribution.entropy().mean()
    else:
        log_std = [torch.tensor(twin.distribution.log_std, dtype=torch.float64, requires_grad=True)]
        distribution = torch.distributions.Normal(outputs, log_std[0].exp())
        log_prob, entropy = distribution.log_prob(taken).sum(1), distribution.entropy().sum(1).mean()
    error = critic(batch.observations)[:, 0] - torch.tensor(batch.returns)
    (0.7 * (error**2).mean() - (log_prob * torch.tensor(batch.advantages)).mean() - 0.2 * entropy).backward()
    expected = gradient([*actor.leaves, *critic.leaves, *log_std])
    np.testing.assert_allclose(found[0], expected, atol=2e-5 * np.abs(expected).max())


def test_returns_of_a2c_are_n_step_returns() -> None:
    policy, env = made("continuous", A2CSettings(rollout_steps=5, discount=0.9))
    rollout, truth = collect(env, policy, env.shown, 5)
    rewards = truth.rewards
    scaled = copy.deepcopy(policy.scale)(rewards, rollout.done)
    last = policy.values(policy.standardize(rollout.last_observations))
    batch = policy.batch(rollout, rewards)
    powers = 0.9 ** np.arange(5)
    np.testing.assert_allclose(batch.returns[:4], powers @ scaled + 0.9**5 * last, rtol=1e-5)


def test_rmsprop_equals_its_definition() -> None:
    parameters, values, second = Parameters(6), np.zeros(6), np.ones(6)
    optimiser = RMSProp(parameters, 0.01, decay=0.9, epsilon=1e-3)
    for step in range(20):
        slope = rng(step).standard_normal(6).astype(np.float32)
        parameters.gradient[:] = slope
        optimiser.step()
        second = 0.9 * second + 0.1 * slope.astype(float) ** 2
        values -= 0.01 * slope / np.sqrt(second + 1e-3)
    np.testing.assert_allclose(parameters.values, values, rtol=1e-5)
    assert not parameters.gradient.any()


# every optimiser


@pytest.mark.parametrize("name", TRIVIAL)
@pytest.mark.parametrize("kind", SPACES)
def test_improving_goes_on_from_its_state_to_the_byte(kind: str, name: str) -> None:
    settings: Any = {
        "ppo": PPOSettings(rollout_steps=16, minibatch=24, center_rewards=True),
        "a2c": A2CSettings(center_rewards=True),
        "trpo": TRPOSettings(center_rewards=True),
    }[name]

    def turns(policy: Any, env: Identity, progresses: list[float]) -> None:
        for progress in progresses:
            rollout, truth = collect(env, policy, env.shown, 13)  # the last episode goes on
            rewards = truth.rewards
            policy.improve(rollout, rewards, progress)

    one, env = made(kind, settings)
    turns(one, env, [0, 0.1])
    two, _ = made(kind, settings, seed=8)
    state, world = one.get_state(), copy.deepcopy(env)
    two.set_state(state)
    turns(one, env, [0.2, 0.3])  # changes neither the state nor the other policy
    assert frozen(two.get_state()) == frozen(state) != frozen(one.get_state())
    turns(two, world, [0.2, 0.3])
    assert frozen(two.get_state()) == frozen(one.get_state())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("kind", "bound"), [("continuous", -0.2), ("discrete", 0.9)])
@pytest.mark.parametrize("name", TRIVIAL)
def test_learns_a_trivial_task(name: str, kind: str, bound: float, seed: int) -> None:
    assert mean_reward(name, kind, seed) > bound


@pytest.mark.parametrize(("memory", "ratio"), [(0, 2.2), (20, 1.05)])
def test_the_scale_follows_a_reward_that_grows_tenfold_as_slowly_as_its_memory(memory: int, ratio: float) -> None:
    """Independent rewards of deviation k have discounted returns of k / sqrt(1 - discount^2)."""
    random, done = np.random.default_rng(0), np.zeros((128, 16), bool)
    scale = RewardScale(16, 0.99, center=False, memory=memory)
    for _ in range(200):
        scale(random.standard_normal((128, 16)), done)
    for _ in range(50):
        scaled = scale(10 * random.standard_normal((128, 16)), done)
    assert scaled.std() / np.sqrt(1 - 0.99**2) == pytest.approx(ratio, rel=0.1)
