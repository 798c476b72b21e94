"""The usual networks over Atari frames: convolutions and a fully connected layer, from which both the action's
distribution and the value are read. Orthogonal initialisation as in the small networks.

``mnih2015`` is that of Mnih et al. 2015. ``mnih2013``, that of Mnih et al. 2013 and of A3C (Mnih et al. 2016), takes a
third of the multiplications: 2.3 million an observation before the fully connected layer, against 7.7 million.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prefrl_core.frames import SIZE, STACK
from prefrl_core.hardware import Hardware
from prefrl_core.networks import Array, orthogonal
from prefrl_core.tensors import Tensors, blocks, cast, inputs, kernels, pixels

LAYERS = {  # channels in and out, kernel, stride
    "mnih2015": ((STACK, 32, 8, 4), (32, 64, 4, 2), (64, 64, 3, 1)),
    "mnih2013": ((STACK, 16, 8, 4), (16, 32, 4, 2)),
}
_BLOCK = 256  # observations evaluated at a time where no gradient is wanted


class Convolutional:
    """Actor and critic with everything but their last layer in common.

    Args:
        outputs: numbers that describe an action's distribution.
        hidden: widths of the fully connected layers.
        random: draws the initial parameters.
        convolutions: a name in ``LAYERS``.
    """

    cheap = False  # to evaluate once more, for the log

    def __init__(
        self,
        outputs: int,
        hidden: tuple[int, ...],
        random: np.random.Generator,
        hardware: Hardware,
        convolutions: str = "mnih2015",
    ) -> None:
        hardware.torch()
        self.hardware, self.layers = hardware, LAYERS[convolutions]
        shapes: list[tuple[int, ...]] = [(out, into, kernel, kernel) for into, out, kernel, _ in self.layers]
        widths = (_flat(self.layers), *hidden)
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
        """Observations ``(rows, STACK, height, width)`` where the network is; ``rows`` are taken of these."""
        return pixels(observations, self.hardware)

    def rows(self, prepared: torch.Tensor, of: NDArray[np.int64]) -> torch.Tensor:
        """A minibatch of prepared observations, copied. ``prepared[of]`` takes ten times as long: it copies byte by
        byte."""
        return prepared.index_select(0, torch.from_numpy(of).to(prepared.device))

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
            observations = pixels(observations, self.hardware)
        if not len(observations):
            return np.zeros((0, self.weights[-1][0].shape[0]), np.float32)
        with torch.no_grad():
            if self._cast_at != self.parameters.changes:
                self._cast, self._cast_at = self._weights_of_leaves(), self.parameters.changes
            parts = [self._heads(observations[rows], self._cast) for rows in blocks(len(observations), _BLOCK)]
            return torch.cat(parts).cpu().numpy()

    def _weights_of_leaves(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weights and biases in the precision of the arithmetic; the first layer takes pixels as they are, 0 to 255."""
        (first, bias), *others = self.weights
        pairs, where = [(first * (1 / 255), bias), *others], self.hardware
        count = len(self.layers)
        convolutions = [(kernels(weight, where), cast(bias, where)) for weight, bias in pairs[:count]]
        return convolutions + [(cast(weight, where), cast(bias, where)) for weight, bias in pairs[count:]]

    def _heads(self, observations: torch.Tensor, weights: list[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
        hidden = inputs(observations, self.hardware)
        for (weight, bias), (*_, stride) in zip(weights, self.layers, strict=False):
            hidden = functional.conv2d(hidden, weight, bias, stride=stride).relu_()
        hidden = hidden.flatten(1)
        for weight, bias in weights[len(self.layers) : -1]:
            hidden = functional.linear(hidden, weight, bias).relu_()
        return functional.linear(hidden, *weights[-1]).float()


def _flat(layers: tuple[tuple[int, int, int, int], ...]) -> int:
    """Numbers that the convolutions make of an observation."""
    side = SIZE
    for _, _, kernel, stride in layers:
        side = (side - kernel) // stride + 1
    return layers[-1][1] * side**2


def _drawn(random: np.random.Generator, like: Any, gain: float) -> torch.Tensor:
    """An orthogonal matrix times ``gain`` in the shape of a layer's weights, outputs first."""
    rows = like.shape[0]
    matrix = gain * orthogonal(random, rows, like.numel() // rows)
    return torch.from_numpy(matrix.astype(np.float32)).reshape(like.shape)
