"""Networks over pixels against independent computations: PyTorch's modules, our NumPy optimisers, double precision."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from prefrl_core.errors import UserError
from prefrl_core.features import Frames
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Segments
from prefrl_core.frames import unstacked
from prefrl_core.hardware import THREADS, Hardware
from prefrl_core.networks import Adam, Parameters, RMSProp, clip_norm
from prefrl_core.policy.actor_critic import CONVOLUTIONS
from prefrl_core.policy.convolutional import LAYERS, Convolutional
from prefrl_core.reward.convolutional import ConvolutionalEnsemble
from prefrl_core.reward.settings import EnsembleSettings
from prefrl_core.tensors import Tensors

EXACT = Hardware("cpu", "float32")
INTERLEAVED = Hardware("cpu", "float32", interleaved=True)


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 4, 84, 84), dtype=np.uint8)


def network(hardware: Hardware = EXACT, convolutions: str = "mnih2015") -> Convolutional:
    return Convolutional(6, (32,), np.random.default_rng(3), hardware, convolutions)


def twin(of: Convolutional) -> nn.Module:
    """The same network of PyTorch's modules, in double precision."""
    small = (nn.Conv2d(4, 16, 8, 4), nn.ReLU(), nn.Conv2d(16, 32, 4, 2), nn.ReLU())
    usual = (nn.Conv2d(4, 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(), nn.Conv2d(64, 64, 3, 1), nn.ReLU())
    convolutions, flat = (usual, 64 * 7 * 7) if len(of.layers) == 3 else (small, 32 * 9 * 9)
    made = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(flat, 32), nn.ReLU(), nn.Linear(32, 7)).double()
    for mine, own in zip([leaf for pair in of.weights for leaf in pair], made.parameters(), strict=True):
        own.data.copy_(mine.detach())
    return made


@pytest.mark.parametrize("hardware", [EXACT, INTERLEAVED])
def test_rows_of_prepared_observations_are_a_minibatch_of_their_own(hardware: Hardware) -> None:
    mine, seen = network(hardware), pixels(6)
    prepared, of = mine.prepare(seen), np.array([4, 0, 4])
    taken = mine.rows(prepared, of)
    np.testing.assert_array_equal(taken, mine.prepare(seen[of]))
    taken.zero_()
    np.testing.assert_array_equal(prepared, mine.prepare(seen))


@pytest.mark.parametrize(
    ("hardware", "convolutions"), [(EXACT, "mnih2015"), (INTERLEAVED, "mnih2015"), (INTERLEAVED, "mnih2013")]
)
def test_outputs_and_gradient_of_the_actor_critic_are_those_of_torchs_modules(
    hardware: Hardware, convolutions: str
) -> None:
    mine, seen = network(hardware, convolutions), pixels(5)
    reference = twin(mine)
    outputs, values = mine.forward(mine.prepare(seen))
    heads = reference(torch.from_numpy(seen).double() / 255)
    np.testing.assert_allclose(outputs, heads[:, :6].detach(), atol=1e-6)
    np.testing.assert_allclose(values, heads[:, 6].detach(), atol=1e-5)
    for alone, whole in ((mine.outputs(seen), outputs), (mine.values(seen), values)):
        np.testing.assert_allclose(alone, whole, atol=1e-5)
    of_outputs, of_values = (
        np.random.default_rng(1).standard_normal(a.shape).astype(np.float32) for a in (outputs, values)
    )
    mine.backward(of_outputs, of_values)
    heads.backward(torch.from_numpy(np.column_stack([of_outputs, of_values])).double())
    expected = np.concatenate([own.grad.numpy().ravel() for own in reference.parameters()])
    scale = np.abs(expected).max()
    np.testing.assert_allclose(mine.parameters.gradient.numpy() / scale, expected / scale, atol=1e-5)


def test_every_network_that_settings_may_name_is_there() -> None:
    assert tuple(LAYERS) == CONVOLUTIONS


def test_hardware_without_bfloat16_is_told_of_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (False, True):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda known=known: known)
        remark = Hardware("cpu", "bfloat16").remark()
        assert ("no instructions for bfloat16" in remark) is not known and "\n" not in remark
    assert not Hardware("cpu", "float32").remark()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)
    with pytest.raises(UserError, match="this graphics card does not know: set precision = 'float32'"):
        Hardware("cuda", "bfloat16").torch()


def test_bfloat16_is_near_and_leaves_parameters_exact() -> None:
    exact, rough = network(), network(Hardware("cpu", "bfloat16"))
    assert torch.equal(exact.parameters.values, rough.parameters.values)
    assert rough.parameters.values.dtype == rough.parameters.gradient.dtype == torch.float32
    a, b = exact.values(pixels(16)), rough.values(pixels(16))
    assert np.corrcoef(a, b)[0, 1] > 0.99 and np.abs(a - b).max() < 0.05 * np.abs(a).max()


@pytest.mark.parametrize("kind", ["adam", "rmsprop"])
def test_optimisers_step_as_those_in_numpy(kind: str) -> None:
    random = np.random.default_rng(0)
    start = random.standard_normal(200_000).astype(np.float32)
    tensors, plain = Tensors(len(start), EXACT), Parameters(len(start))
    tensors.set(start)
    plain.values[:] = start
    mine: Any = tensors.adam(1e-3, 1e-5) if kind == "adam" else tensors.rmsprop(1e-3, 0.99, 1e-5)
    other: Any = Adam(plain, 1e-3, 1e-5) if kind == "adam" else RMSProp(plain, 1e-3, 0.99, 1e-5)
    for turn in range(5):
        gradient = (random.standard_normal(len(start)) * 10.0**-turn).astype(np.float32)
        tensors.gradient.copy_(torch.from_numpy(gradient))
        plain.gradient[:] = gradient
        tensors.clip_gradient(0.5)
        clip_norm(plain.gradient, 0.5)
        mine.step()
        other.step()
        assert not tensors.gradient.any()
        np.testing.assert_allclose(tensors.get(), plain.values, atol=2e-6)
    again = Tensors(len(start), EXACT)
    saved: Any = again.adam(1e-3, 1e-5) if kind == "adam" else again.rmsprop(1e-3, 0.99, 1e-5)
    saved.set_state(mine.get_state())
    for each, optimiser in ((tensors, mine), (again, saved)):
        each.gradient.fill_(0.1)
        optimiser.step()
    assert np.array_equal(tensors.get(), again.get())


def ensemble(hardware: Hardware = EXACT, **settings: Any) -> ConvolutionalEnsemble:
    return ConvolutionalEnsemble(
        EnsembleSettings(**{"hidden": (8,), "members": 2, "dropout": 0.0, **settings}), Frames(84, 84, hardware), 0
    )


def module(member: Any) -> nn.Sequential:
    """One member of PyTorch's own modules, in double precision."""
    layers: list[nn.Module] = []
    for into, kernel, stride in ((4, 7, 3), (16, 5, 2), (16, 3, 1), (16, 3, 1)):
        layers += [nn.Conv2d(into, 16, kernel, stride, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.01)]
    made = nn.Sequential(*layers, nn.Flatten(), nn.Linear(784, 8), nn.LeakyReLU(0.01), nn.Linear(8, 1)).double()
    mine = [leaf for parts in (*member.convolutions, *member.full) for leaf in parts]
    for leaf, own in zip(mine, made.parameters(), strict=True):
        own.data.copy_(leaf.detach())
    return made


@pytest.mark.parametrize("hardware", [EXACT, INTERLEAVED], ids=["planar", "interleaved"])
def test_fitting_normalises_by_the_minibatch_and_predicting_by_running_moments(hardware: Hardware) -> None:
    mine = ensemble(hardware)
    reference = module(mine.members[0])
    clips = pixels(2, 2, 3)
    rows = torch.from_numpy(clips.reshape(-1, 4, 84, 84)).double() / 255
    # consecutive observations share frames; what is stored of a clip are its frames, so make the clips so
    stored = np.stack([unstacked(_following(pair)) for pair in clips])
    rows = torch.from_numpy(np.stack([_following(pair) for pair in clips]).reshape(-1, 4, 84, 84)).double() / 255
    for _ in range(3):
        sums = mine.pair_sums(mine.members[0], stored, fitting=True)
        expected = reference(rows)[:, 0].reshape(2, 2, 3).sum(2)
        np.testing.assert_allclose(sums, expected.detach(), atol=1e-4)
    mine.parameters.changes += 1  # as the step that follows a fit does
    reference.eval()
    np.testing.assert_allclose(
        mine.pair_sums(mine.members[0], stored), reference(rows)[:, 0].reshape(2, 2, 3).sum(2).detach(), atol=1e-4
    )
    slopes = np.array([[1.0, -1.0], [-0.5, 0.5]], np.float32)
    reference.train()
    mine.parameters.gradient.zero_()
    mine.pair_sums(mine.members[0], stored, fitting=True)
    mine.backward(mine.members[0], slopes, l2=0.25)
    for own in reference.parameters():
        own.grad = None
    reference(rows)[:, 0].reshape(2, 2, 3).sum(2).backward(torch.from_numpy(slopes).double())
    weights = [leaf for name, leaf in reference.named_parameters() if leaf.dim() > 1]
    for leaf in weights:
        leaf.grad += 2 * 0.25 * leaf.detach()
    expected_gradient = np.concatenate([own.grad.numpy().ravel() for own in reference.parameters()])
    found = mine.parameters.gradient.numpy()
    assert not found[len(expected_gradient) :].any()  # the other member's
    np.testing.assert_allclose(found[: len(expected_gradient)], expected_gradient, atol=2e-3, rtol=2e-3)


def _following(clips: np.ndarray) -> np.ndarray:
    """Clips whose observations follow one another, from unrelated ones: each keeps its newest frame."""
    made = clips.copy()
    for step in range(1, made.shape[1]):
        made[:, step, :3] = made[:, step - 1, 1:]
    return made


def test_dropout_leaves_out_whole_channels_while_fitting_and_nothing_while_predicting() -> None:
    mine = ensemble(dropout=0.5)
    stored = np.random.default_rng(0).integers(0, 256, (1, 2, 5, 84, 84), dtype=np.uint8)
    assert np.array_equal(mine.outputs(pixels(3)), mine.outputs(pixels(3)))
    first, second = (mine.pair_sums(mine.members[1], stored, fitting=True) for _ in range(2))
    assert not np.array_equal(first, second)


def test_members_differ_and_a_saved_ensemble_goes_on_to_the_bit() -> None:
    hardware = Hardware()
    mine, again = ensemble(hardware, dropout=0.2), ensemble(hardware, dropout=0.2)
    stored = np.random.default_rng(0).integers(0, 256, (2, 2, 6, 84, 84), dtype=np.uint8)

    def step(each: ConvolutionalEnsemble) -> np.ndarray:
        for member in each.members:
            each.pair_sums(member, stored, fitting=True)
            each.backward(member, np.array([[1, -1], [0.5, -0.5]], np.float32), 1e-3)
        each.optimiser.step()
        each.normalise(each.outputs(pixels(8)))
        return each.outputs(pixels(8))

    step(mine)
    again.set_state(mine.get_state())
    one, two = mine.outputs(pixels(8)), again.outputs(pixels(8))
    assert np.array_equal(one, two) and not np.allclose(one[0], one[1])
    assert np.array_equal(step(mine), step(again))
    assert abs(float(mine.predict(pixels(8)).mean())) < 1e-3  # normalised over these


def test_on_a_card_layers_get_parameters_that_begin_where_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second member begins at a number that 4 does not divide; a card stops there ("misaligned address"). A device
    that is not "cpu" is treated as a card, so that another name for the processor shows what a card would get."""
    unaligned: list[int] = []

    def watched(function: Any) -> Any:
        def call(*given: Any, **named: Any) -> Any:
            unaligned.extend(each.data_ptr() % 16 for each in given if isinstance(each, torch.Tensor))
            return function(*given, **named)

        return call

    for name in ("conv2d", "batch_norm", "linear"):
        monkeypatch.setattr(torch.nn.functional, name, watched(getattr(torch.nn.functional, name)))
    stored = np.random.default_rng(0).integers(0, 256, (1, 2, 5, 84, 84), dtype=np.uint8)
    made = {}
    for device in ("cpu", "cpu:0"):
        unaligned.clear()
        hardware = Hardware(device, "float32")
        mine, policy = ensemble(hardware), Convolutional(5, (31,), np.random.default_rng(3), hardware)
        for member in mine.members:
            sums = mine.pair_sums(member, stored, fitting=True)
            mine.backward(member, np.array([[1, -1]], np.float32), 1e-3)
        policy.forward(policy.prepare(pixels(2)))
        policy.backward(np.ones((2, 5), np.float32), np.ones(2, np.float32))
        outputs = mine.outputs(pixels(3))
        gradients = [each.gradient.numpy() for each in (mine.parameters, policy.parameters)]
        made[device] = sums, outputs, *gradients
        assert any(unaligned) == (device == "cpu")
    for one, other in zip(*made.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3, rtol=1e-3)


def test_runs_side_by_side_share_the_cores_that_step_their_games(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(THREADS, raising=False)
    assert Hardware("cuda").threads == os.cpu_count() and Hardware("cpu").threads == 1
    monkeypatch.setenv(THREADS, "3")
    assert Hardware("cuda").threads == 3 and Hardware("cpu").threads == 1
    for wrong in ("0", "many", "-1", "1.5"):
        monkeypatch.setenv(THREADS, wrong)
        with pytest.raises(UserError, match=f"PREFRL_THREADS='{wrong}': give a number above 0"):
            assert Hardware("cuda").threads


def test_both_precisions_learn_the_same_reward_from_comparisons() -> None:
    """A bright square is worth the more the further to the right it stands. Segments have one step."""
    accuracies = {}
    for precision in ("bfloat16", "float32"):
        random, length = np.random.default_rng(0), 1
        place = random.integers(0, 70, 400)
        clips = np.zeros((len(place), length + 3, 84, 84), np.uint8)
        for clip, left in zip(clips, place, strict=True):
            top = random.integers(0, 70)
            clip[:, top : top + 14, left : left + 14] = 200
        pool = Segments(clips, np.repeat(place[:, None], length, 1).astype(np.float64), np.empty((400, length, 0)))
        pairs = np.arange(400).reshape(-1, 2)
        answers = (place[pairs[:, 0]] > place[pairs[:, 1]]) + (place[pairs[:, 0]] == place[pairs[:, 1]]) / 2
        comparisons = Comparisons(120, length, Frames(84, 84), 1)
        comparisons.add(pool, pairs[:120], answers[:120], 0, random)
        settings = EnsembleSettings(members=1, hidden=(64,), learning_rate=1e-3, batch_pairs=8, l2=1e-5)
        learned = ConvolutionalEnsemble(settings, Frames(84, 84, Hardware("cpu", precision)), 1)
        learned.take_steps(comparisons, 80)
        sums, new = learned.segment_sums(clips)[0], pairs[120:]
        untied = answers[120:] != 0.5
        accuracies[precision] = ((sums[new[:, 0]] > sums[new[:, 1]]) == (answers[120:] == 1))[untied].mean()
    # seeds 0 to 3: 0.77 to 0.90, at most 0.05 apart
    assert min(accuracies.values()) > 0.7 and abs(np.subtract(*accuracies.values())) < 0.1, accuracies
