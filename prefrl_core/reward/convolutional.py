"""The paper's reward predictors over Atari frames (Christiano et al. 2017, section A.2), as an ensemble.

A member: convolutions of 7x7, 5x5, 3x3 and 3x3 with strides 3, 2, 1 and 1 and 16 filters each, batch normalisation,
leaky ReLU and dropout on all of them, a fully connected layer of 64, one number. The order inside a layer is ours: the
paper names the parts only. Dropout leaves out whole channels (as Ibarz et al. 2018 say of the same network): a pixel's
neighbours tell what it was, and a mask for each pixel would cost as much time as the convolutions.

While fitting, a layer is normalised by the minibatch. For predicting, always, by running moments, which are folded into
the convolution's weights, and nothing is left out.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prefrl_core import frames, seeding
from prefrl_core.errors import UserError
from prefrl_core.features import Features
from prefrl_core.frames import STACK, Frames
from prefrl_core.networks import Array
from prefrl_core.reward.fitted import FittedReward
from prefrl_core.reward.settings import EnsembleSettings
from prefrl_core.tensors import Tensors, blocks, cast, from_numpy, inputs, kernels, pixels, to_numpy

_LAYERS = ((STACK, 16, 7, 3), (16, 16, 5, 2), (16, 16, 3, 1), (16, 16, 3, 1))  # channels in and out, kernel, stride
_FLAT = 16 * 7 * 7
_SLOPE = 0.01  # of the leaky ReLU for negative inputs
_MOMENTUM = 0.1  # weight of the newest minibatch in the running moments
_EPSILON = 1e-5
_BLOCK = 128  # observations evaluated at a time: 512 take 1.1 times as long for the same numbers
Folded = list[tuple[torch.Tensor, torch.Tensor]]


class Member:
    """One predictor: its parameters, a stretch of the ensemble's, and its running moments."""

    def __init__(self, hidden: tuple[int, ...], parameters: Tensors) -> None:
        self.parameters, device = parameters, parameters.hardware.device
        widths = (_FLAT, *hidden, 1)
        self.convolutions = [
            (parameters.take(out, into, kernel, kernel), parameters.take(out), parameters.take(out))
            for into, out, kernel, _ in _LAYERS
        ]  # weights, and the scale and shift behind the normalisation
        self.full = [(parameters.take(out, into), parameters.take(out)) for into, out in pairwise(widths)]
        self.means = [torch.zeros(out, device=device) for _, out, _, _ in _LAYERS]
        self.variances = [torch.ones(out, device=device) for _, out, _, _ in _LAYERS]

    @staticmethod
    def count(hidden: tuple[int, ...]) -> int:
        """Parameters of a member."""
        widths = (_FLAT, *hidden, 1)
        convolutions = sum(out * (into * kernel**2 + 2) for into, out, kernel, _ in _LAYERS)
        return convolutions + sum(out * (into + 1) for into, out in pairwise(widths))

    def initialise(self, random: np.random.Generator) -> None:
        """Weights and biases uniform within 1 / sqrt(fan in), scales 1, shifts 0."""
        with torch.no_grad():
            for weight, scale, shift in self.convolutions:
                weight.copy_(_uniform(random, weight.shape, weight[0].numel()))
                scale.fill_(1.0)
                shift.fill_(0.0)
            for weight, bias in self.full:
                weight.copy_(_uniform(random, weight.shape, weight.shape[1]))
                bias.copy_(_uniform(random, bias.shape, weight.shape[1]))

    def fitting(self, observations: torch.Tensor, dropout: float, random: np.random.Generator) -> torch.Tensor:
        """Outputs ``(rows,)`` with a graph, normalised by these rows, channels left out; moves the running moments."""
        dtype, hardware = self.parameters.dtype, self.parameters.hardware
        copied = hardware.device != "cpu"  # as ``cast`` does; moments and what goes with them stay float32
        hidden = inputs(observations, hardware)
        for layer, (weight, scale, shift) in enumerate(self.convolutions):
            if layer == 0:
                weight = weight * (1 / 255)
            hidden = functional.conv2d(hidden, kernels(weight, hardware), stride=_LAYERS[layer][3])
            scale, shift = (each.to(each.dtype, copy=copied) for each in (scale, shift))
            hidden = functional.batch_norm(
                hidden, self.means[layer], self.variances[layer], scale, shift, True, _MOMENTUM, _EPSILON
            )
            hidden = functional.leaky_relu(hidden, _SLOPE)
            if dropout:
                kept = random.random(hidden.shape[:2], dtype=np.float32) >= dropout
                mask = torch.from_numpy(kept.astype(np.float32) / (1 - dropout))[..., None, None]
                hidden = hidden * mask.to(hidden.device, dtype)
        return self._read(hidden, [(cast(weight, hardware), cast(bias, hardware)) for weight, bias in self.full])

    def folded(self) -> tuple[Folded, Folded]:
        """Convolutions with the running moments in their weights and biases, and the fully connected layers."""
        hardware = self.parameters.hardware
        convolutions = []
        for layer, (weight, scale, shift) in enumerate(self.convolutions):
            factor = scale / torch.sqrt(self.variances[layer] + _EPSILON)
            brightness = 1 / 255 if layer == 0 else 1.0
            bias = shift - self.means[layer] * factor
            folded = kernels(weight * (factor * brightness)[:, None, None, None], hardware)
            convolutions.append((folded, cast(bias, hardware)))
        return convolutions, [(cast(weight, hardware), cast(bias, hardware)) for weight, bias in self.full]

    def predicting(self, seen: torch.Tensor, folded: tuple[Folded, Folded]) -> torch.Tensor:
        """Outputs ``(rows,)`` for observations in the precision of the arithmetic."""
        convolutions, full = folded
        hidden = seen
        for (weight, bias), (*_, stride) in zip(convolutions, _LAYERS, strict=True):
            hidden = functional.leaky_relu_(functional.conv2d(hidden, weight, bias, stride=stride), _SLOPE)
        return self._read(hidden, full)

    def _read(self, hidden: torch.Tensor, full: Folded) -> torch.Tensor:
        hidden = hidden.flatten(1)
        for weight, bias in full[:-1]:
            hidden = functional.leaky_relu(functional.linear(hidden, weight, bias), _SLOPE)
        return functional.linear(hidden, *full[-1]).float()[:, 0]


class ConvolutionalEnsemble(FittedReward):
    """Reward predictors over stacked frames. Features are observations ``(..., STACK, height, width)``, uint8; those of
    compared segments are kept as frames, see ``prefrl_core.frames``."""

    normalising_rows, validation_pairs = 512, 16  # a row costs a hundred times what one of a small network does

    members: list[Member]
    parameters: Tensors

    def __init__(self, settings: EnsembleSettings, features: Features, seed: int, segment: int = 0) -> None:
        super().__init__(settings, features, seed)
        if not features.hardware:
            raise UserError("reward_model 'convolutional' sees pixels alone: choose 'ensemble'")
        (self.hardware,) = features.hardware
        self.hardware.torch()
        self.dropout = settings.dropout
        self.parameters = Tensors(settings.members * Member.count(settings.hidden), self.hardware)
        self.members = [Member(settings.hidden, self.parameters) for _ in range(settings.members)]
        for index, member in enumerate(self.members):
            member.initialise(seeding.generator(seed, f"reward member {index}"))
        self.optimiser = self.parameters.adam(settings.learning_rate)
        self.dropping = seeding.generator(seed, "reward dropout")
        self._folded: list[tuple[Folded, Folded]] = []
        self._folded_at = -1
        self._graph: torch.Tensor | None = None

    def outputs(self, features: Frames, done: NDArray[np.bool_] | None = None) -> Array:
        """Each member's plain output, ``(members, ...)`` for observations ``(..., STACK, height, width)``."""
        return self._outputs(features, list(range(len(self.members))))

    def _outputs(self, features: Frames, chosen: list[int]) -> Array:
        around = features.shape[:-3]
        rows = features.reshape(-1, *features.shape[-3:])
        result = np.empty((len(chosen), len(rows)), np.float32)
        with torch.no_grad():
            if self._folded_at != self.parameters.changes:
                self._folded = [member.folded() for member in self.members]
                self._folded_at = self.parameters.changes
            for block in blocks(len(rows), _BLOCK):
                seen = inputs(pixels(rows[block], self.hardware), self.hardware)
                made = [self.members[index].predicting(seen, self._folded[index]) for index in chosen]
                result[:, block] = torch.stack(made).cpu().numpy()
        return result.reshape(len(chosen), *around)

    def segment_sums(self, kept: Frames) -> Array:
        """Undiscounted sums of the plain outputs, ``(members, segments)``, of segments' frames."""
        sums = [self.outputs(frames.clips(kept[block])).sum(-1) for block in blocks(len(kept), 64)]
        return np.concatenate(sums, axis=1)

    def pair_sums(self, member: Member, kept: Frames, fitting: bool = False, mask: NDArray[Any] | None = None) -> Array:
        """One member's sums ``(pairs, 2)`` for the frames ``(pairs, 2, frames, height, width)`` of compared segments;
        when ``fitting``, ``backward`` can follow."""
        clips = frames.clips(kept)
        pairs, sides, steps = clips.shape[:3]
        if not fitting:
            outputs = self._outputs(clips, [self.members.index(member)])[0]
            return outputs.sum(-1) if mask is None else (outputs * mask).sum(-1)
        rows = pixels(clips.reshape(-1, *clips.shape[3:]), self.hardware)
        drawn = member.fitting(rows, self.dropout, self.dropping).reshape(pairs, sides, steps)
        self._graph = (drawn if mask is None else drawn * from_numpy(mask, self.hardware)).sum(2)
        return to_numpy(self._graph)

    def backward(self, member: Member, slopes: Array, l2: float) -> None:
        """Add the gradient of a loss, given its derivative ``(pairs, 2)`` with respect to the latest ``pair_sums``
        while fitting, and that of the penalty on the weights."""
        assert self._graph is not None
        torch.autograd.backward([self._graph], [from_numpy(slopes, self.hardware)])
        self._graph = None
        with torch.no_grad():
            for weight, *_ in (*member.convolutions, *member.full):
                assert weight.grad is not None
                weight.grad.add_(weight, alpha=2 * l2)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on."""
        moments = [torch.stack([*member.means, *member.variances]) for member in self.members]
        dropping = seeding.state_of(self.dropping)
        return {**super().get_state(), "moments": to_numpy(torch.stack(moments)), "dropping": dropping}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        for member, moments in zip(self.members, torch.from_numpy(state["moments"]), strict=True):
            for mine, saved in zip((*member.means, *member.variances), moments, strict=True):
                mine.copy_(saved)
        seeding.restore(self.dropping, state["dropping"])


def _uniform(random: np.random.Generator, shape: Any, fan_in: int) -> torch.Tensor:
    bound = 1 / np.sqrt(fan_in)
    return torch.from_numpy(random.uniform(-bound, bound, tuple(shape)).astype(np.float32))
