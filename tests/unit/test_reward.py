"""The reward model: its gradient against autograd, what its members see, what it learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import WANTED, WIDTH, Twin, acted, asked, behaviour, frozen, gradient

from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.networks import MLP
from prefrl_core.preference import preference
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fitted import Batch
from prefrl_core.reward.settings import EnsembleSettings


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def model(seed: int = 0, **settings: Any) -> Ensemble:
    ensemble = Ensemble(EnsembleSettings(**{"hidden": (16, 16), **settings}), Vectors(WIDTH), seed)
    ensemble.observe(acted(behaviour(50, 99).features))
    return ensemble


def rows(count: int, seed: int = 7) -> np.ndarray:
    return behaviour(count, seed).features[:, 0].copy()


# Ensemble


def test_outputs_equal_a_slow_loop_whatever_the_batch() -> None:
    ensemble = model()
    many = rows(1100)  # more than two blocks
    found = ensemble.outputs(many)
    for row in (0, 511, 512, 1099):
        standardized = ensemble.standardize(many[row : row + 1])
        for member, network in enumerate(ensemble.members):
            assert found[member, row] == pytest.approx(Twin(network)(standardized).item(), abs=1e-5)
        np.testing.assert_allclose(ensemble.outputs(many[row : row + 1])[:, 0], found[:, row], atol=1e-5)
    assert (ensemble.outputs(many.reshape(11, 50, 2, WIDTH)).reshape(3, 1100) == found).all()


def test_segment_sums_are_undiscounted_sums_of_outputs() -> None:
    ensemble = model()
    segments = behaviour(5, 1).features
    slow = [[sum(ensemble.outputs(row[None])[m, 0] for row in clip) for clip in segments] for m in range(3)]
    np.testing.assert_allclose(ensemble.segment_sums(segments), slow, atol=1e-5)


def test_each_member_is_normalised_by_itself() -> None:
    ensemble = model(output_std=2.5)
    ensemble.members[0].weights[-1] *= 1000  # would drown the others
    measured = rows(300)
    ensemble.normalise(ensemble.outputs(measured))
    outputs = ensemble.outputs(measured).astype(np.float64)
    alone = 2.5 * (outputs - outputs.mean(1, keepdims=True)) / outputs.std(1, keepdims=True)
    np.testing.assert_allclose(ensemble.predict(measured), alone.mean(0), atol=1e-3)
    np.testing.assert_allclose(ensemble.predict(measured.reshape(3, 100, WIDTH))[1], alone.mean(0)[100:200], atol=1e-3)


def test_predictions_change_nothing() -> None:
    ensemble = model()
    ensemble.normalise(ensemble.outputs(rows(100)))
    before = frozen(ensemble.get_state())
    first = ensemble.predict(rows(40))
    ensemble.segment_sums(behaviour(30, 3).features)
    ensemble.predict(100 * rows(40))
    assert frozen(ensemble.get_state()) == before and (ensemble.predict(rows(40)) == first).all()


def test_members_differ_from_the_start() -> None:
    outputs = model().outputs(rows(200))
    correlation = np.corrcoef(outputs)[np.triu_indices(3, 1)]
    assert (np.abs(correlation) < 0.95).all()


# Fitting


def watch(monkeypatch: pytest.MonkeyPatch, ensemble: Ensemble) -> list[tuple[int, np.ndarray]]:
    """(member, chosen comparisons) of each minibatch from here on."""
    seen, plain = [], ensemble.batch

    def batch(member: int, comparisons: Comparisons, chosen: np.ndarray, pool: Any) -> Batch:
        seen.append((member, chosen))
        return plain(member, comparisons, chosen, pool)

    monkeypatch.setattr(ensemble, "batch", batch)
    return seen


def test_gradient_of_one_update_equals_autograd(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = model(l2=0.003, uniform_answer=0.1)
    comparisons, gradients = asked(40, mu=[1, 0, 0.5, np.nan]), []
    seen = watch(monkeypatch, ensemble)
    monkeypatch.setattr(ensemble.optimiser, "step", lambda: gradients.append(ensemble.parameters.gradient.copy()))
    loss = ensemble._update(comparisons, [comparisons.bag(member) for member in range(3)], None)
    losses, expected = [], []
    for (_, chosen), network in zip(seen, ensemble.members, strict=True):
        twin = Twin(network)
        sums = twin(ensemble.standardize(comparisons.features[chosen])).sum(dim=(2, 3))
        p, mu = 0.9 * torch.sigmoid(sums[:, 0] - sums[:, 1]) + 0.05, torch.tensor(comparisons.mu[chosen])
        losses.append(-(mu * p.log() + (1 - mu) * (1 - p).log()).mean())
        (losses[-1] + 0.003 * sum((weight**2).sum() for weight in twin.leaves[::2])).backward()
        expected.append(gradient(twin.leaves))
    np.testing.assert_allclose(gradients[0], np.concatenate(expected), rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(np.mean([part.item() for part in losses]), rel=1e-5)


def test_members_see_their_own_bootstraps_in_their_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = model()
    comparisons = asked(60)
    seen = watch(monkeypatch, ensemble)
    ensemble.take_steps(comparisons, 50)
    by_member = [np.concatenate([chosen for member, chosen in seen if member == index]) for index in range(3)]
    for member, chosen in enumerate(by_member):
        assert set(chosen) <= set(comparisons.bag(member)) and not set(chosen) & set(comparisons.left_out(member))
        counts = np.bincount(chosen, minlength=60) / len(chosen)
        wanted = comparisons.multiplicity[:, member] / comparisons.multiplicity[:, member].sum()
        assert np.abs(counts - wanted).max() < 5 * np.sqrt(wanted.max() / len(chosen))
    assert all((by_member[a] != by_member[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))


def held_out(ensemble: Ensemble) -> tuple[float, float]:
    """Share of fresh pairs predicted rightly, and how much the members differ on them."""
    pool = behaviour(1000, 55)
    sums, true = ensemble.segment_sums(pool.features), pool.true_rewards.sum(1)
    p = preference(sums[:, :500], sums[:, 500:])
    return float(np.mean((p.mean(0) > 0.5) == (true[:500] > true[500:]))), float(p.std(0).mean())


@pytest.mark.parametrize("seed", range(3))
def test_fitting_recovers_a_linear_reward_and_members_disagree(seed: int) -> None:
    ensemble = model(seed)
    assert 0.1 < held_out(ensemble)[0] < 0.9
    ensemble.take_steps(asked(200, seed=seed), 150)
    accuracy, disagreement = held_out(ensemble)
    assert accuracy > 0.9 and disagreement > 0.02
    fresh = rows(500, seed=70)
    assert np.corrcoef(ensemble.predict(fresh), fresh @ WANTED)[0, 1] > 0.9  # the right way up


def test_the_reward_is_normalised_on_the_compared_segments() -> None:
    ensemble = model(members=1, output_std=0.05)
    comparisons = asked(30, members=1)
    ensemble.take_steps(comparisons, 5)
    reward = ensemble.predict(comparisons.features)
    assert abs(reward.mean()) < 1e-5 and reward.std() == pytest.approx(0.05, rel=1e-3)
    assert abs(ensemble.predict(rows(300)).mean()) > 1e-5  # not on whatever is asked about


@pytest.mark.parametrize(("ratio", "change"), [(1.6, 1.01**20), (1.3, 1.0), (1.05, 1.01**-20), (np.nan, 1.0)])
def test_l2_follows_the_ratio_of_losses(ratio: float, change: float) -> None:
    ensemble = model(l2=1e-3)
    ensemble.training, ensemble.validation = 0.4, 0.4 * ratio
    ensemble._adapt(20)
    assert ensemble.l2 == pytest.approx(1e-3 * change, rel=1e-12)


@pytest.mark.parametrize("ratio", [9.0, 0.1])
def test_l2_is_bounded_and_0_turns_it_off(ratio: float) -> None:
    for start in (1e-3, 0.0):
        ensemble = model(l2=start)
        ensemble.training, ensemble.validation = 1.0, ratio
        for _ in range(100):
            ensemble._adapt(100)
        assert ensemble.l2 == 0 if start == 0 else 0 < ensemble.l2 < 0.01


@pytest.mark.parametrize("ratio", [9.0, 0.1])
def test_a_fit_of_any_length_and_any_rate_keep_l2_within_its_bounds(ratio: float) -> None:
    for rate, updates in ((0.01, 10**6), (1e6, 200), (1e300, 10)):
        ensemble = model(l2=1e-3, l2_rate=rate)
        ensemble.training, ensemble.validation = 1.0, ratio
        ensemble._adapt(updates)
        assert 0 < ensemble.l2 < 0.01


def test_l2_rises_when_answers_are_noise() -> None:
    ensemble = model(l2=1e-4)
    comparisons, training = asked(30, mu=rng().integers(0, 2, 30)), None
    for _ in range(9):
        measured = ensemble.take_steps(comparisons, 100)
        new = measured["reward_loss"]
        training = new if training is None else 0.9 * training + 0.1 * new
    assert measured["reward_l2"] == ensemble.l2 > 1e-3 and ensemble.training == pytest.approx(training)
    assert measured["reward_validation_loss"] > 1.5 * measured["reward_loss"]


def test_the_cost_of_a_fit_does_not_grow_with_the_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, evaluated = MLP.forward, []

    def forward(network: MLP, inputs: np.ndarray) -> np.ndarray:
        evaluated[-1] += len(inputs)
        return plain(network, inputs)

    monkeypatch.setattr(MLP, "forward", forward)
    for labels in (400, 4000):
        ensemble = model()
        evaluated.append(0)
        ensemble.take_steps(asked(labels), 4)
        assert ensemble.optimiser.steps == 4
    assert evaluated[1] < 1.5 * evaluated[0]


@pytest.mark.parametrize("mu", [[1.0], [0.0], [0.5], [1.0, np.nan]], ids=["left", "right", "ties", "some skipped"])
def test_one_sided_answers_are_fitted(mu: list[float]) -> None:
    ensemble = model()
    measured = ensemble.take_steps(asked(20, mu=mu), 30)
    assert np.isfinite(list(measured.values())).all() and np.isfinite(ensemble.predict(rows(9))).all()


def test_skipped_questions_teach_nothing() -> None:
    ensemble = model()
    before = ensemble.parameters.values.copy()
    measured = ensemble.take_steps(asked(20, mu=[np.nan]), 10)
    assert (ensemble.parameters.values == before).all() and np.isnan(measured["reward_validation_loss"])
    assert np.isfinite(ensemble.predict(rows(9))).all()


def test_a_member_with_an_empty_bootstrap_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ensemble = model()
    comparisons = asked(10, mu=[1, 0, np.nan])
    arrays = comparisons.arrays()
    arrays["multiplicity"][:, 1] = 0
    comparisons.set_state(arrays)
    seen = watch(monkeypatch, ensemble)
    measured = ensemble.take_steps(comparisons, 20)
    assert {member for member, _ in seen} == {0, 2}
    assert measured["reward_loss"] == pytest.approx(np.log(2), abs=0.2)  # of the two that learn, which know little yet


def test_a_diverged_model_is_refused() -> None:
    ensemble = model()
    ensemble.parameters.values[5] = np.nan
    with pytest.raises(UserError, match="learning_rate"):
        ensemble.take_steps(asked(10), 1)


def test_fitting_goes_on_from_its_state_to_the_byte() -> None:
    one, two, comparisons = model(), model(seed=5), asked(80)
    one.take_steps(comparisons, 5)
    two.set_state(one.get_state())
    for _ in range(2):
        results = [[made.take_steps(comparisons, 5), made.get_state()] for made in (one, two)]
        assert [frozen(x) for x in results[0]] == [frozen(x) for x in results[1]]


# Ablations


@pytest.mark.parametrize("seed", range(3))
def test_returns_can_be_fitted_instead_of_preferences(seed: int) -> None:
    """Answers are all wrong, and nobody looks at them: 0.98 and more over eight seeds."""
    ensemble = model(seed, target="return")
    ensemble.take_steps(asked(200, seed=seed, mu=[0.5]), 600)
    fresh = behaviour(100, 55)
    assert np.corrcoef(ensemble.segment_sums(fresh.features).mean(0), fresh.true_rewards.sum(1))[0, 1] > 0.95


def test_without_normalising_the_reward_is_the_mean_of_plain_outputs() -> None:
    ensemble = model(normalise=False)
    ensemble.take_steps(asked(50), 20)
    features = rows(40)
    np.testing.assert_allclose(ensemble.predict(features), ensemble.outputs(features).mean(0))


def test_segments_of_one_step_are_compared() -> None:
    comparisons = Comparisons(60, 1, Vectors(WIDTH), 3)
    pool = behaviour(120, 3)
    pool = type(pool)(pool.features[:, :1], pool.true_rewards[:, :1], pool.scenes[:, :1])
    pairs = np.arange(120).reshape(60, 2)
    answers = (pool.true_rewards[pairs[:, 0], 0] > pool.true_rewards[pairs[:, 1], 0]).astype(float)
    comparisons.add(pool, pairs, answers, 0, rng())
    ensemble = model()
    ensemble.take_steps(comparisons, 300)
    assert np.corrcoef(ensemble.predict(rows(200)), rows(200) @ WANTED)[0, 1] > 0.8


def test_without_labels_nothing_is_fitted_and_the_penalty_is_as_it_was() -> None:
    ensemble, before = model(l2=1e-3), model(l2=1e-3).parameters.values.copy()
    comparisons = asked(6, mu=[np.nan] * 6)
    assert np.isnan(ensemble._update(comparisons, [np.zeros(0, np.int64)] * 3, None))
    assert (ensemble.parameters.values == before).all()
    with pytest.raises(UserError, match="at most 0.003"):
        model(l2=0.1)
