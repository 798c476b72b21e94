"""Published methods of reward learning: each against a closed form or a slow loop, and a case in which it decides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import STEPS, WIDTH, Twin, acted, asked, behaviour, frozen, gradient

from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.feedback.segments import Pool
from prefrl_core.preference import preference
from prefrl_core.registry import find
from prefrl_core.reward import reed
from prefrl_core.reward.crops import crops
from prefrl_core.reward.fitted import Batch
from prefrl_core.reward.likelihood import cross_entropy
from prefrl_core.reward.transitions import Sample, transitions
from prefrl_core.rollout import Turn
from prefrl_core.spec import RunSpec

NAMES = ("mrn", "qpa", "reed", "rime", "rune", "star", "surf")
QUICK = {"reed": {"initial_dynamics_updates": 20, "dynamics_batch": 32}}

FORM = Vectors(WIDTH, acted=1)  # the last number is the action


def model(name: str, seed: int = 0, **settings: Any) -> Any:
    made = find("reward", name)(**{"hidden": (16, 16), **QUICK.get(name, {}), **settings}).make(FORM, seed, STEPS)
    made.observe(acted(behaviour(50, 99).features))
    return made


def pool(count: int = 60, seed: int = 8) -> Pool:
    made = Pool(count, STEPS, Vectors(WIDTH))
    made.add(behaviour(count, seed))
    return made


def accuracy(made: Any) -> float:
    fresh, pairs = behaviour(1000, 55), np.arange(1000).reshape(500, 2)
    returns = fresh.true_rewards.sum(1)[pairs]
    return float(np.mean((made.preferences(fresh.features, pairs).mean(0) > 0.5) == (returns[:, 0] > returns[:, 1])))


@pytest.mark.parametrize("name", NAMES)
def test_each_learns_and_goes_on_from_its_state_to_the_byte(name: str) -> None:
    made, other, comparisons, held = model(name), model(name, seed=4), asked(200), pool()
    made.take_steps(comparisons, 200, held)
    assert accuracy(made) > 0.9
    other.set_state(made.get_state())
    for _ in range(2):
        results = [(repr(each.take_steps(comparisons, 5, held)), frozen(each.get_state())) for each in (made, other)]
        assert results[0] == results[1]


# Crops


def test_crops_have_one_length_a_pair_and_any_start_that_fits() -> None:
    mask = crops((20_000, 2, 10), 0.7, 0.9, np.random.default_rng(0))
    lengths = mask.sum(2)
    assert (lengths[:, 0] == lengths[:, 1]).all() and set(lengths[:, 0]) == {7, 8, 9}
    first, last = mask.argmax(2), 10 - mask[..., ::-1].argmax(2)
    assert (last - first == lengths).all()  # in one piece
    for length in (7, 8, 9):
        starts = np.bincount(first[lengths == length].astype(int))
        assert len(starts) == 11 - length and np.abs(starts / starts.sum() - 1 / len(starts)).max() < 0.01
    assert (first[:, 0] != first[:, 1]).any()


def test_the_gradient_over_crops_equals_autograd() -> None:
    made = model("qpa", members=1, l2=0.0, crops=3, uniform_answer=0.0)
    comparisons = asked(20, members=1)
    batch = made.batch(0, comparisons, np.arange(4), None)
    assert len(batch.mu) == 12 and (batch.mu == np.repeat(comparisons.mu[:4], 3)).all() and len(batch.kept) == 4
    loss = made._accumulate(made.members[0], batch)
    twin = Twin(made.members[0])
    each = np.repeat(batch.kept, 3, axis=0)
    outputs = twin(made.standardize(each))[..., 0] * torch.tensor(batch.mask, dtype=torch.float64)
    sums, mu = outputs.sum(2), torch.tensor(batch.mu)
    difference = sums[:, 0] - sums[:, 1]
    expected = torch.nn.functional.binary_cross_entropy_with_logits(difference, mu)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(made.parameters.gradient, gradient(twin.leaves), rtol=1e-4, atol=1e-5)


# SURF


def test_the_loss_of_pseudo_labels_is_the_papers() -> None:
    made = model("surf", members=1, uniform_answer=0.0, certain=0.8, weight=0.7, l2=0.0)
    comparisons, held = asked(40, members=1), pool()
    made.take_steps(comparisons, 60, held)
    batch = made.batch(0, comparisons, np.arange(8), held)
    assert len(batch.mu) == 8 + 32
    sums = made.pair_sums(made.members[0], batch.kept, mask=batch.mask)
    each, _ = cross_entropy(sums[:, 0], sums[:, 1], batch.mu, 0.0)
    whole = made.pair_sums(made.members[0], batch.kept[8:])
    p = preference(whole[:, 0], whole[:, 1])
    sure = np.maximum(p, 1 - p) >= 0.8
    assert 0 < sure.sum() < 32  # the threshold decides
    expected = each[:8].mean() + 0.7 * (each[8:] * sure).mean()
    assert float((each * batch.weight).mean()) == pytest.approx(expected, rel=1e-5)
    assert (batch.mu[8:] == (p > 0.5)).all()
    sides = batch.kept.reshape(40, 2, -1)
    assert not (sides[:, 0] == sides[:, 1]).all(1).any()  # no segment is compared with itself


@pytest.mark.parametrize("name", ["surf", "reed"])
def test_without_a_pool_it_refuses_to_be_fitted(name: str) -> None:
    from test_dataset import recorded

    from prefrl_core.reward import offline

    with pytest.raises(UserError, match="learns from unlabelled segments"):
        offline.fit(recorded(20), name, updates=1)


@pytest.mark.parametrize("name", NAMES)
def test_pixels_are_refused_by_name_before_the_run(name: str) -> None:
    with pytest.raises(UserError, match=f"reward_model '{name}' on atari/pong@1: it sees no pixels; choose 'convol"):
        RunSpec.of({"task": "atari/pong", "policy": "a2c", "labels": 100, "reward_model": name})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"reward_model": "convolutional"}, "'convolutional' on mujoco/reacher@1: it sees pixels alone; choose 'ensem"),
        ({"reward_model": "module"}, "reward_model.module = '': name the class as 'package.module:Class'"),
        (
            {"reward_model": {"dropout": 0.5}},
            "reward_model.dropout on mujoco/reacher@1: it does nothing without pixels",
        ),
        ({"query": {"name": "ranked_list", "factor": 3}}, "a list draws no candidates; leave it out"),
        ({"policy": "dqn"}, "policy 'dqn' on mujoco/reacher@1: it chooses between actions; choose 'sac'"),
    ],
)
def test_a_part_for_other_tasks_is_refused_by_name_before_the_run(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        RunSpec.of({"task": "mujoco/reacher", "labels": 100, "total_steps": 20_000, **settings})


# REED


def test_the_two_losses_are_those_of_slow_loops() -> None:
    made = model("reed", members=1)
    network, random = made.members[0].double().train(), np.random.default_rng(1)
    rows, following = (
        torch.tensor(random.standard_normal((8, WIDTH))),
        torch.tensor(random.standard_normal((8, WIDTH - 1))),
    )
    with torch.no_grad():
        before, target = network.predicted(rows).numpy(), network.target(following).numpy()
        first, norm, _, last = network.bottleneck
        inner = before @ first.weight.numpy().T
        inner = np.maximum((inner - inner.mean(0)) / np.sqrt(inner.var(0) + norm.eps), 0)
        predicted = inner @ last.weight.numpy().T + last.bias.numpy()
    cosines = [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(predicted, target, strict=True)]
    assert reed.distillation(network, rows, following).item() == pytest.approx(-np.mean(cosines), rel=1e-6)
    both, loss = np.concatenate([before, target]), 0.0
    both /= np.linalg.norm(both, axis=1, keepdims=True)
    for one in range(16):
        others = np.exp([both[one] @ both[other] / 0.5 for other in range(16) if other != one])
        loss -= np.log(np.exp(both[one] @ both[(one + 8) % 16] / 0.5) / others.sum()) / 16
    assert reed.contrastive(network, rows, following, 0.5).item() == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("dynamics", ["distillation", "contrastive"])
def test_the_dynamics_are_learned_into_the_trunk_alone(dynamics: str) -> None:
    """Observations move along the action: the trunk can tell what follows, and the reward's own layer stays."""
    made = model("reed", dynamics=dynamics, dynamics_learning_rate=3e-3, dynamics_batch=64)
    random = np.random.default_rng(2)
    features = random.standard_normal((1, 4000, WIDTH)).astype(np.float32)
    after = features[..., : WIDTH - 1] + features[..., WIDTH - 1 :] * np.array([2, -1, 0.5], np.float32)
    rows = np.concatenate([features, after], axis=2)[0]
    made.standardize.update(features)
    heads = [member.reward.weight.detach().clone() for member in made.members]
    trunks = [member.trunk[0].weight.detach().clone() for member in made.members]

    def loss() -> float:
        with torch.no_grad():
            parts = torch.tensor(made.standardize(rows[:500, :WIDTH])), torch.tensor(rows[:500, WIDTH:])
            return float(np.mean([made.dynamics_loss(member.train(), *parts) for member in made.members]))

    first = loss()
    for _ in range(60):
        made.learn_dynamics([rows[random.integers(500, 4000, 64)] for _ in made.members])
    assert loss() < first - 0.3 and made.gradient_steps == 60 == made.dynamics.steps
    for member, head, trunk in zip(made.members, heads, trunks, strict=True):
        assert (member.reward.weight == head).all() and (member.trunk[0].weight != trunk).any()
    comparisons = asked(40)
    before = [member.following.weight.detach().clone() for member in made.members]
    made.settings.__dict__.update(dynamics_updates=0)  # the fit alone
    made.take_steps(comparisons, 5, pool())
    assert all((member.following.weight == old).all() for member, old in zip(made.members, before, strict=True))


def test_transitions_stay_within_episodes_and_are_a_uniform_sample() -> None:
    features = np.arange(5 * 2 * 3, dtype=np.float32).reshape(5, 2, 3)
    done = np.zeros((5, 2), bool)
    done[1, 0] = True
    turn = Turn((), features, np.zeros((5, 2)), done, features[..., :0])
    made = transitions(turn, 2)
    slow = [[*features[t, e], *features[t + 1, e, :2]] for t in range(4) for e in range(2) if not done[t, e]]
    assert made.tolist() == slow
    counts = np.zeros(60)
    for seed in range(1500):
        sample = Sample(10, 1, seed)
        for start in range(0, 60, 12):
            sample.add(np.arange(start, start + 12, dtype=np.float32)[:, None])
        counts[sample.rows[:, 0].astype(int)] += 1
    assert counts.sum() == 15_000 and np.abs(counts - 250).max() < 6 * np.sqrt(250)


# RUNE and STAR


def test_the_bonus_is_the_spread_of_the_members_and_fades() -> None:
    made = model("rune", bonus=0.5, fading=0.01)
    comparisons = asked(100)
    made.take_steps(comparisons, 50)
    rows = behaviour(40, 3).features[:, 0]
    outputs = made.outputs(rows).astype(np.float64)
    scaled = (outputs - made.means[:, None]) / made.stds[:, None]
    weight = 0.5 * 0.99 ** (50 * STEPS)  # steps of the turn that it was shown
    np.testing.assert_allclose(made.predict(rows), scaled.mean(0) + weight * scaled.std(0), atol=1e-5)
    made.observe(acted(behaviour(10, 4).features))
    assert made.seen == 60 * STEPS


@pytest.mark.parametrize("smoothing", [0.05, 0.2])
def test_the_best_margin_of_smoothed_answers_is_bounded(smoothing: float) -> None:
    made, margins = model("star", smoothing=smoothing), np.linspace(-6, 6, 24_001)
    best = np.log((1 - smoothing) / smoothing)
    for mu, margin in ((1.0, best), (0.0, -best), (0.5, 0.0)):  # a tie stays one
        sums = np.stack([margins, np.zeros_like(margins)], axis=1).astype(np.float32)
        batch = Batch(np.empty(0), np.full(len(margins), mu), np.empty(0))
        loss, slope = made.losses(sums, batch)
        assert margins[loss.argmin()] == pytest.approx(margin, abs=1e-3)
        np.testing.assert_allclose(slope[1:-1, 0], np.gradient(loss, margins)[1:-1], atol=1e-3)
        assert (batch.mu == mu).all()


def test_smoothed_answers_are_validated_as_they_are_fitted() -> None:
    """On the same pairs, told to learn from and held out, both losses are the same: the penalty adapts to them."""
    made, comparisons = model("star", smoothing=0.2), asked(40)
    comparisons.multiplicity[:20], comparisons.multiplicity[20:] = 1, 0
    for name in ("_features", "_mu"):
        getattr(comparisons, name)[20:40] = getattr(comparisons, name)[:20]
    made.take_steps(comparisons, 200)
    for index, member in enumerate(made.members):
        batch = made.batch(index, comparisons, comparisons.bag(index), None)
        fitted = made.losses(made.pair_sums(member, batch.kept), batch)[0].mean()
        assert 0.50 < fitted < 0.52  # entropy of 0.2: the least that there can be
    assert made._validate(comparisons) == pytest.approx(fitted, abs=0.01)


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("qpa", {"shortest": 0.9, "longest": 0.8}, "in order"),
        ("qpa", {"crops": 0}, "crops = 0: at least 1"),
        ("surf", {"certain": 0.4}, r"in \(0.5, 1\]"),
        ("star", {"smoothing": 0.5}, r"in \[0, 0.5\)"),
        ("rune", {"bonus": -1.0}, "at least 0"),
        ("reed", {"dynamics": "none"}, "choose 'distillation' or 'contrastive'"),
        ("reed", {"dynamics_batch": 1}, "dynamics_batch = 1: at least 2"),
        ("reed", {"temperature": 0.0}, "temperature = 0.0: above 0"),
    ],
)
def test_each_mistake_gets_one_line(name: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        find("reward", name)(**settings)
