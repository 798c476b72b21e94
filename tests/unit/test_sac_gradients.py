"""Gradients and one whole update of soft actor-critic against autograd."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from small_sac import SMALL, lived, made, rng

from prefrl_core.networks import MLP, Parameters
from prefrl_core.policy.layers import ReLUNetwork, Scratch
from prefrl_core.policy.squashed import Squashed

Leaves = list[torch.Tensor]


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


@pytest.mark.parametrize("limit", [1.0, 0.3])
def test_squashed_actions_their_density_and_its_gradient(limit: float) -> None:
    squashed = Squashed(gym.spaces.Box(np.array([-2, 0], np.float32), np.array([2, 1], np.float32)), limit)
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
    assert (np.abs(executed - [0, 0.5]) <= np.float32(limit) * np.float32([2, 0.5]) + 1e-6).all()
    np.testing.assert_allclose(squashed.drawn(executed), actions, atol=1e-6)


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
