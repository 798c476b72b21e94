"""The usual network over Atari frames (Mnih et al. 2015): three convolutions and a fully connected layer, from which
both the action's distribution and the value are read. Orthogonal initialisation as in the small networks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prefrl_core.frames import STACK
from prefrl_core.hardware import Hardware
from prefrl_core.networks import Array, orthogonal
from prefrl_core.tensors import Tensors, blocks, from_numpy

_LAYERS = ((STACK, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1))  # channels in and out, kernel, stride
_FLAT = 64 * 7 * 7
_BLOCK = 256  # observations evaluated at a time where no gradient is wanted


class Convolutional:
    """Actor and critic with everything but their last layer in common.

    Args:
        outputs: numbers that describe an action's distribution.
        hidden: widths of the fully connected layers.
        random: draws the initial parameters.
    """

    cheap = False  # to evaluate once more, for the log

    def __init__(self, outputs: int, hidden: tuple[int, ...], random: np.random.Generator, hardware: Hardware) -> None:
        hardware.torch()
        self.hardware = hardware
        shapes: list[tuple[int, ...]] = [(out, into, kernel, kernel) for into, out, kernel, _ in _LAYERS]
        widths = (_FLAT, *hidden)
        shapes += [(out, into) for into, out in zip(widths, (*hidden, outputs + 1), strict=True)]
        self.parameters = Tensors(sum(int(np.prod(shape)) + shape[0] for shape in shapes), hardware)
        self.weights = [(self.parameters.take(*shape), self.parameters.take(shape[0])) for shape in shapes]
        self._initialise(random)
        self._cast: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._cast_at = -1
        self._graph: tuple[torch.Tensor, torch.Tensor] | None = None

    def _initialise(self, random: np.random.Generator) -> None:
        """Gains sqrt(2); 0.01 of the actor's outputs and 1 of the value; biases 0."""
        with torch.no_grad():
            for weight, _ in self.weights[:-1]:
                weight.copy_(_drawn(random, weight, np.sqrt(2.0)))
            heads, _ = self.weights[-1]
            heads[:-1] = _drawn(random, heads[:-1], 0.01)
            heads[-1:] = _drawn(random, heads[-1:], 1.0)

    def prepare(self, observations: NDArray[np.uint8]) -> torch.Tensor:
        """Observations ``(rows, STACK, height, width)`` where the network is; minibatches are rows of these."""
        return from_numpy(observations, self.hardware)

    def forward(self, observations: torch.Tensor, learning: bool = True) -> tuple[Array, Array]:
        """The actor's outputs ``(rows, outputs)`` and the critic's values ``(rows,)``; with ``learning``, of as many
        rows as memory allows at once, ``backward`` can follow."""
        if learning:
            heads = self._heads(observations, self._weights_of_leaves())
            self._graph = heads[:, :-1], heads[:, -1]
            made = heads.detach().cpu().numpy()
        else:
            made = self._evaluated(observations)
        return made[:, :-1], made[:, -1]

    def outputs(self, observations: NDArray[np.uint8] | torch.Tensor) -> Array:
        """The actor's alone."""
        return self._evaluated(observations)[:, :-1]

    def values(self, observations: NDArray[np.uint8] | torch.Tensor) -> Array:
        """The critic's alone."""
        return self._evaluated(observations)[:, -1]

    def backward(self, output_gradient: Array, value_gradient: Array) -> None:
        """Add to the gradient that of a loss, given that with respect to the outputs of the latest ``forward``."""
        assert self._graph is not None
        gradients = [torch.from_numpy(np.ascontiguousarray(g, np.float32)) for g in (output_gradient, value_gradient)]
        torch.autograd.backward(self._graph, [gradient.to(self.hardware.device) for gradient in gradients])
        self._graph = None

    def _evaluated(self, observations: NDArray[np.uint8] | torch.Tensor) -> Array:
        """``(rows, outputs + 1)`` without a graph, in blocks."""
        if not isinstance(observations, torch.Tensor):
            observations = from_numpy(observations, self.hardware)
        if not len(observations):
            return np.zeros((0, self.weights[-1][0].shape[0]), np.float32)
        with torch.no_grad():
            if self._cast_at != self.parameters.changes:
                self._cast, self._cast_at = self._weights_of_leaves(), self.parameters.changes
            parts = [self._heads(observations[rows], self._cast) for rows in blocks(len(observations), _BLOCK)]
            return torch.cat(parts).cpu().numpy()

    def _weights_of_leaves(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weights and biases in the precision of the arithmetic; the first layer takes pixels as they are, 0 to 255."""
        dtype = self.parameters.dtype
        (first, bias), *others = self.weights
        pairs = [(first * (1 / 255), bias), *others]
        return [(weight.to(dtype), bias.to(dtype)) for weight, bias in pairs]

    def _heads(self, observations: torch.Tensor, weights: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        hidden = observations.to(self.parameters.dtype)
        if self.hardware.device != "cpu":  # faster there; here it makes no difference
            hidden = hidden.contiguous(memory_format=torch.channels_last)
        for (weight, bias), (*_, stride) in zip(weights, _LAYERS, strict=False):
            hidden = functional.conv2d(hidden, weight, bias, stride=stride).relu_()
        hidden = hidden.flatten(1)
        for weight, bias in weights[len(_LAYERS) : -1]:
            hidden = functional.linear(hidden, weight, bias).relu_()
        return functional.linear(hidden, *weights[-1]).float()


def _drawn(random: np.random.Generator, like: Any, gain: float) -> torch.Tensor:
    """An orthogonal matrix times ``gain`` in the shape of a layer's weights, outputs first."""
    rows = like.shape[0]
    matrix = gain * orthogonal(random, rows, like.numel() // rows)
    return torch.from_numpy(matrix.astype(np.float32)).reshape(like.shape)
