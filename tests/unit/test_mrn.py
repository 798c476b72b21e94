"""Meta-Reward-Net: the hypergradient against autograd in double precision, and what it does to a reward."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import Twin, frozen, gradient
from small_sac import SMALL, lived, made, rng
from test_reward_methods import FORM, asked, model
from test_sac_gradients import forward, leaves

from prefrl_core import loop
from prefrl_core.errors import UserError
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.networks import MLP, Parameters
from prefrl_core.policy.layers import ReLUNetwork, Scratch
from prefrl_core.reward import offline
from prefrl_core.spec import RunSpec


@pytest.mark.parametrize("layer_norm", [False, True])
def test_the_derivative_along_a_direction_is_that_of_forward_mode(layer_norm: bool) -> None:
    sizes = (5, 16, 12, 2)
    parameters = Parameters(MLP.count(sizes))
    network = ReLUNetwork(sizes, parameters, Scratch(), layer_norm)
    network.initialise(rng())
    parameters.gradient[:] = rng(3).standard_normal(len(parameters.values))
    rows = rng(1).standard_normal((20, 5), np.float32)
    own = tuple(leaves(network))
    parts = [part for pair in zip(network.weight_gradients, network.bias_gradients, strict=True) for part in pair]
    along = tuple(torch.tensor(part, dtype=torch.float64) for part in parts)
    _, expected = torch.func.jvp(lambda *at: forward(list(at), torch.tensor(rows).double(), layer_norm), own, along)
    network.forward(rows)
    np.testing.assert_allclose(network.tangent(), expected.detach(), atol=2e-4)


class Linear:
    """A reward that autograd can see through."""

    context = 1
    weights = torch.tensor([1.0, -0.5], dtype=torch.float64)

    def predict(self, features: np.ndarray, done: Any = None) -> np.ndarray:
        return (features @ self.weights.numpy()).astype(np.float32)


@pytest.mark.parametrize("settings", [{}, {"layer_norm": True, "n_step": 3}, {"center_rewards": True, "n_step": 2}])
def test_the_derivative_by_each_reward_is_that_of_autograd_through_the_update(settings: dict[str, Any]) -> None:
    policy, env = made(critic_learning_rate=0.05, discount=0.9, **settings)
    policy.reward_changed(Linear())
    lived(env, policy, 6)
    before, drawing = frozen(policy.soft.get_state()), policy.drawing.bit_generator.state
    pairs, mu = rng(5).uniform(-1, 1, (10, 2, 2)).astype(np.float32), rng(6).integers(0, 3, 10) / 2
    features, slopes, loss = policy.look_ahead(pairs, mu)
    assert frozen(policy.soft.get_state()) == before and not policy.soft.critics.parameters.gradient.any()

    policy.drawing.bit_generator.state = drawing
    drawn = policy._drawn(1)
    stretch = policy._stretch(drawn, 1)
    inputs, targets, _, _ = policy.soft.look(stretch, 0, policy._new_noise())
    rewards = torch.tensor(Linear().predict(features), dtype=torch.float64, requires_grad=True)
    np.testing.assert_array_equal(features, policy.replay.features(drawn.places))
    scaled = (rewards - (policy.reward_mean if settings.get("center_rewards") else 0)) / policy.reward_std
    returns = (scaled * torch.tensor(drawn.weights)).sum(0)
    np.testing.assert_allclose(returns.detach(), stretch.returns[0], atol=1e-4)
    wanted = returns + torch.tensor(targets - stretch.returns[0])
    norm, rows = bool(settings.get("layer_norm")), torch.tensor(inputs).double()
    critics = [leaves(one) for one in policy.soft.critics.networks]
    inner = sum(((forward(own, rows, norm)[:, 0] - wanted) ** 2).mean() for own in critics)
    shown = np.concatenate([policy.standardizer(pairs[..., :1]), pairs[..., 1:]], -1).reshape(20, 2)
    outer = torch.zeros(())
    for own in critics:
        by = torch.autograd.grad(inner, own, create_graph=True)  # type: ignore[arg-type]
        after = [leaf - 0.05 * slope for leaf, slope in zip(own, by, strict=True)]
        left, right = forward(after, torch.tensor(shown).double(), norm)[:, 0].reshape(10, 2).T
        outer = outer + torch.nn.functional.binary_cross_entropy_with_logits(left - right, torch.tensor(mu))
    (expected,) = torch.autograd.grad(outer, rewards)
    assert loss == pytest.approx(outer.item(), rel=1e-4)
    np.testing.assert_allclose(slopes, expected, rtol=5e-3, atol=1e-3 * float(expected.abs().max()))
    assert slopes.shape == drawn.places.shape and float(expected.abs().max()) > 0


@pytest.mark.parametrize("normalise", [True, False])
def test_slopes_by_rewards_reach_the_members_as_by_autograd(normalise: bool) -> None:
    reward = model("mrn", normalise=normalise, output_std=0.7)
    reward.take_steps(asked(40), 20)
    features, slopes = rng(1).normal(size=(3, 30, *FORM.shape)).astype(np.float32), rng(2).normal(size=(3, 30))
    reward.backpropagate(features, slopes)
    rows, predicted, twins = reward.standardize(features), [], [Twin(member) for member in reward.members]
    for index, twin in enumerate(twins):
        mean, std = (float(reward.means[index]), float(reward.stds[index])) if normalise else (0.0, 0.7)
        predicted.append((twin(rows)[..., 0] - mean) / std * 0.7)
    assert np.allclose(reward.predict(features), torch.stack(predicted).mean(0).detach(), atol=1e-4)
    (torch.stack(predicted).mean(0) * torch.tensor(slopes)).sum().backward()
    expected = np.concatenate([gradient(twin.leaves) for twin in twins])
    np.testing.assert_allclose(reward.parameters.gradient, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 3])
def test_the_outer_steps_alone_bring_the_critic_towards_the_answers(seed: int) -> None:
    """The labels prefer actions of the other sign than the observation. Over seeds 0 to 5 the loss a critic came to
    0.32 to 0.61 with such steps and to 0.70 to 1.53 without; that of a coin is 0.69."""
    losses = {}
    for steps in (0, 20):
        policy, env = made(seed, critic_learning_rate=0.01, discount=0.5, steps_per_update=2)
        reward = model("mrn", members=1, newest=64).settings.make(_form(2), seed, 4)
        policy.reward_changed(reward)
        lived(env, policy, 4, learn=False)
        comparisons = _about_signs(200)
        reward.standardize.update(np.asarray(comparisons.features).reshape(-1, 2))
        for _ in range(24):
            for _ in range(steps):
                reward.outer_step(comparisons, policy.look_ahead)
            lived(env, policy, 1)
        known = comparisons.newest_answered(64)
        losses[steps] = policy.look_ahead(comparisons.take(known)[:, :, 0], comparisons.mu[known])[2] / 2
    assert losses[20] < 0.66 < losses[0], losses


def _form(width: int) -> Any:
    from prefrl_core.features import Vectors

    return Vectors(width, acted=1)


def _about_signs(count: int) -> Comparisons:
    """Segments of four equal steps (observation, action), of which the one is better whose signs differ more."""
    from prefrl_core.feedback.segments import Segments

    steps = np.repeat(rng(4).uniform(-1, 1, (2 * count, 1, 2)).astype(np.float32), 4, axis=1)
    true = -(steps[..., 0] * steps[..., 1]).astype(np.float64)
    held = Segments(steps, true, np.zeros((2 * count, 4, 0), np.float32))
    comparisons = Comparisons(count, 4, _form(2), 1)
    pairs = np.arange(2 * count).reshape(count, 2)
    better = true.sum(1)[pairs]
    comparisons.add(held, pairs, (better[:, 0] > better[:, 1]).astype(float), 0, rng(7))
    return comparisons


def test_it_looks_at_the_newest_answers_alone() -> None:
    comparisons = _about_signs(20)
    comparisons.answer(18, float("nan"))
    assert comparisons.newest_answered(3).tolist() == [16, 17, 19]
    seen: list[Any] = []

    def look_ahead(pairs: Any, mu: Any) -> Any:
        seen.extend([pairs, mu])
        return np.zeros((4, 2), np.float32), np.zeros(4, np.float32), 1.0

    reward = type(model("mrn"))(model("mrn", newest=3).settings, _form(2), 0, 4)
    assert reward.outer_step(comparisons, look_ahead) == 1.0
    np.testing.assert_array_equal(seen[0], np.asarray(comparisons.features)[[16, 17, 19]][:, :, 0])
    np.testing.assert_array_equal(seen[1], comparisons.mu[[16, 17, 19]])


def test_a_run_takes_one_outer_step_a_fit_but_not_in_the_first() -> None:
    small = {"name": "sac", **SMALL, "rollouts": 1, "rollout_steps": 50}
    values = {"task": "mujoco/reacher@1", "total_steps": 2_000, "labels": 8, "policy": small}
    efforts = {}
    for name, own in {"ensemble": {}, "mrn": {}, "idle": {"outer_updates": 0}}.items():
        reward = {"name": "mrn" if name == "idle" else name, "initial_updates": 20, "updates": 3, **own}
        run = loop.start(RunSpec.of({**values, "reward_model": reward}))
        fits = 0
        while not run.finished:
            loop.turn(run)
            fits += not run.untrained
        efforts[name] = run.effort["reward_gradient_steps"], frozen(run.reward.get_state()["optimiser"])
    assert efforts["idle"] == efforts["ensemble"]  # the same bytes
    assert efforts["mrn"][0] == efforts["ensemble"][0] + fits - 1 and fits > 4


@pytest.mark.parametrize("policy", ["ppo", "trpo", "a2c"])
def test_a_policy_without_such_a_critic_is_refused_by_name(policy: str) -> None:
    with pytest.raises(
        UserError, match=f"reward_model 'mrn' with policy '{policy}': it asks .*; choose policy = 'sac'"
    ):
        RunSpec.of({"task": "mujoco/reacher", "policy": policy, "labels": 100, "reward_model": "mrn"})


def test_a_policy_that_says_it_looks_ahead_and_does_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefrl_core import parts
    from prefrl_core.policy.sac import SAC

    class Promises(SAC):
        """Its own class: Python remembers, for each class, whether it keeps a protocol."""

        look_ahead = None

    build = parts.build

    def built(*arguments: Any) -> Any:
        run = build(*arguments)
        run.policy.__class__ = Promises
        return run

    monkeypatch.setattr(parts, "build", built)
    with pytest.raises(UserError, match="policy 'sac' has no look_ahead"):
        loop.start(RunSpec.of({"task": "mujoco/reacher", "policy": "sac", "labels": 8, "reward_model": "mrn"}))


def test_recorded_comparisons_alone_are_refused() -> None:
    from test_dataset import recorded

    with pytest.raises(UserError, match="learns from what a critic makes of it, and recorded comparisons have nothing"):
        offline.fit(recorded(20), "mrn", updates=1)


@pytest.mark.parametrize("setting", [{"outer_updates": -1}, {"newest": 0}, {"outer_weight": -1.0}])
def test_settings_out_of_range(setting: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"reward_model.*{next(iter(setting))}"):
        model("mrn", **setting)
