"""Soft actor-critic: gradients and one whole update against autograd; rewards that are never stale; exact resume."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from helpers import Identity, frozen

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.neighbours import nearest
from prefrl_core.networks import MLP, Parameters
from prefrl_core.policy.layers import ReLUNetwork, Scratch
from prefrl_core.policy.sac import SAC, SACSettings
from prefrl_core.policy.squashed import Squashed
from prefrl_core.rollout import collect
from prefrl_core.spec import RunSpec

SMALL: dict[str, Any] = {"environments": 4, "rollout_steps": 8, "batch": 32, "hidden": (24, 16), "capacity": 4000}
Leaves = list[torch.Tensor]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def leaves(network: ReLUNetwork) -> Leaves:
    """Parameters in double precision, in their order."""
    parts = [part for pair in zip(network.weights, network.biases, strict=True) for part in pair]
    return [torch.tensor(part, dtype=torch.float64, requires_grad=True) for part in parts]


def forward(own: Leaves, rows: torch.Tensor, layer_norm: bool) -> torch.Tensor:
    for weight, bias in zip(own[0:-2:2], own[1:-2:2], strict=True):
        rows = rows @ weight
        if layer_norm:
            rows = torch.nn.functional.layer_norm(rows, rows.shape[-1:])
        rows = torch.relu(rows + bias)
    return rows @ own[-2] + own[-1]


def flat(own: Leaves) -> np.ndarray:
    return np.concatenate([leaf.grad.reshape(-1).numpy() for leaf in own if leaf.grad is not None])


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("outputs", [1, 5])
def test_gradients_of_a_network_and_of_its_inputs(layer_norm: bool, outputs: int) -> None:
    parameters = Parameters(MLP.count((7, 24, 16, outputs)))
    network = ReLUNetwork((7, 24, 16, outputs), parameters, Scratch(), layer_norm)
    network.initialise(rng())
    rows, slopes = rng(1).standard_normal((40, 7), np.float32), rng(2).standard_normal((40, outputs), np.float32)
    own, inputs = leaves(network), torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    twin = forward(own, inputs, layer_norm)
    (twin * torch.tensor(slopes)).sum().backward()
    np.testing.assert_allclose(network.forward(rows), twin.detach(), atol=2e-5)
    by_input = network.backward(slopes.copy(), inputs=slice(2, 6))
    np.testing.assert_allclose(by_input, inputs.grad[:, 2:6], atol=1e-4)  # type: ignore[index]
    np.testing.assert_allclose(parameters.gradient, flat(own), atol=3e-4)


def test_going_back_from_the_first_rows_alone() -> None:
    made = [Parameters(MLP.count((3, 8, 8, 2))) for _ in range(2)]
    networks = [ReLUNetwork((3, 8, 8, 2), one, Scratch()) for one in made]
    rows, slopes = rng(1).standard_normal((20, 3), np.float32), rng(2).standard_normal((12, 2), np.float32)
    for network, seen in zip(networks, (rows, rows[:12]), strict=True):
        network.initialise(rng())
        network.forward(seen)
        network.backward(slopes.copy())
    np.testing.assert_allclose(made[0].gradient, made[1].gradient, atol=1e-6)


def test_squashed_actions_their_density_and_its_gradient() -> None:
    squashed = Squashed(gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32)))
    outputs, noise = (
        (2 * rng(1).standard_normal((50, 4))).astype(np.float32),
        rng(2).standard_normal((50, 2), np.float32),
    )
    outputs[:3, 2:] = [[3, 0], [-6, 1], [0, -9]]  # beyond the bounds of the log standard deviation
    actions, density = squashed.draw(outputs, noise)
    by_action = rng(3).standard_normal((50, 2), np.float32)
    twin = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
    log_std = twin[:, 2:].clamp(-5, 2)
    wanted = torch.tanh(twin[:, :2] + log_std.exp() * torch.tensor(noise))
    normal = -0.5 * torch.tensor(noise).double() ** 2 - log_std - 0.5 * np.log(2 * np.pi)
    wanted_density = (normal - torch.log(1 - wanted**2 + 1e-6)).sum(1)
    ((wanted * torch.tensor(by_action)).sum() + 0.3 * wanted_density.sum()).backward()
    moderate = np.abs(actions).max(1) < 0.999  # beyond, float32 has no digits left in 1 - a^2
    np.testing.assert_allclose(actions, wanted.detach(), atol=1e-5)
    np.testing.assert_allclose(density[moderate], wanted_density.detach()[moderate], atol=1e-3)
    mine = squashed.backward(by_action, np.float32(0.3))
    np.testing.assert_allclose(mine[moderate], twin.grad[moderate], atol=2e-3)  # type: ignore[index]
    assert moderate.sum() > 25 and (mine[:3, 2:][np.eye(3, 2, dtype=bool)] == [0, 1])[0]
    executed = squashed.executed(actions)
    assert (executed[:, 1] >= 0).all() and (executed[:, 1] <= 1).all()
    np.testing.assert_allclose(squashed.drawn(executed), actions, atol=1e-6)


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


class TorchAdam:
    """One step from zero moments: the gradient's sign, but where it is tiny."""

    @staticmethod
    def step(own: Leaves, rate: float) -> list[np.ndarray]:
        optimiser = torch.optim.Adam(own, rate)
        optimiser.step()
        return [leaf.detach().numpy() for leaf in own]


def joined(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([part.reshape(-1) for part in parts])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_one_update_is_that_of_a_slow_sac(layer_norm: bool) -> None:
    """Critics, actor, temperature and targets after one update, from one batch and noise, by autograd in double."""
    policy, env = made(layer_norm=layer_norm, scale_rewards=False, temperature=0.3, tau=0.1)
    lived(env, policy, 4, learn=False)
    stretch = policy._draw(1)
    soft, noise = policy.soft, rng(9).standard_normal((2 * SMALL["batch"], 1), np.float32)
    actor, critics = leaves(soft.actor), [leaves(one) for one in soft.critics.networks]
    targets = [leaves(one) for one in soft.targets.networks]
    log_alpha = torch.tensor(np.log(0.3), dtype=torch.float64, requires_grad=True)
    loss, entropy = soft.update(stretch, 0, noise)

    rows, act = SMALL["batch"], 1
    states, taken = torch.tensor(stretch.states[0]).double(), torch.tensor(stretch.actions[0]).double()
    outputs = forward(actor, states, False)
    log_std, drawn = outputs[:, act:].clamp(-5, 2), torch.tensor(noise).double()
    actions = torch.tanh(outputs[:, :act] + log_std.exp() * drawn)
    density = -0.5 * drawn**2 - log_std - 0.5 * np.log(2 * np.pi) - torch.log(1 - actions**2 + 1e-6)
    density = density.sum(1)
    alpha = log_alpha.exp().detach()
    with torch.no_grad():
        after = torch.cat([states[rows:], actions[rows:]], 1)
        value = torch.minimum(*(forward(one, after, layer_norm)[:, 0] for one in targets)) - alpha * density[rows:]
        wanted = torch.tensor(stretch.returns[0]) + torch.tensor(stretch.bootstrap[0]) * value
    before = torch.cat([states[:rows], taken], 1)
    losses = [0.5 * ((forward(one, before, layer_norm)[:, 0] - wanted) ** 2).mean() for one in critics]
    assert loss == pytest.approx(sum(one.item() for one in losses), rel=1e-4)
    sum(losses).backward()  # type: ignore[union-attr]
    new_critics = joined(
        [part for one in critics for part in TorchAdam.step(one, policy.settings.critic_learning_rate)]
    )
    np.testing.assert_allclose(policy.soft.critics.parameters.values, new_critics, atol=2e-5)
    old_targets = joined([leaf.detach().numpy() for one in targets for leaf in one])
    np.testing.assert_allclose(policy.soft.targets.parameters.values, 0.9 * old_targets + 0.1 * new_critics, atol=1e-5)
    own = torch.cat([states[:rows], actions[:rows]], 1)
    q = torch.minimum(*(forward(one, own, layer_norm)[:, 0] for one in critics))
    policy_loss = (alpha * density[:rows] - q).mean()
    temperature_loss = -(log_alpha.exp() * 0 + log_alpha) * (density[:rows].mean().detach() - act)
    (policy_loss + temperature_loss).backward()
    assert entropy == pytest.approx(-density[:rows].mean().item(), rel=1e-4)
    stepped = joined([*TorchAdam.step([*actor, log_alpha], policy.settings.actor_learning_rate)])
    np.testing.assert_allclose(policy.soft.actor_parameters.values, stepped, atol=5e-5)


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
    assert "recent" not in spec.canonical()["policy"]
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
