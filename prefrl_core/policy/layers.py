"""Small ReLU networks for learning from a replay: gradients with respect to inputs as well, and layer normalisation.

Each network is gone through alone, layer by layer, and what is used up at once lies in arrays that all share
(``Scratch``): at 256 rows of 128 units more than two or three networks' arrays no longer fit a second-level cache of
512 KiB. Twin critics as one product of shape (2, rows, width) were no faster in the product (197 against 2 x 98
microseconds a layer, 833 against 2 x 385 with 256 units) and half as fast in everything else. ``np.maximum`` takes 23
microseconds with a scalar and 5 to 9 with an array of zeros. No operation here makes an array once the buffers for a
number of rows exist.
"""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.networks import Array, Parameters

_TOGETHER = 16  # rows that a ReLU takes in one go: half of the time for one was the start of the next
_EPSILON = np.float32(1e-5)  # added to the variance of a layer's units


class Scratch:
    """Arrays that several networks share, because what is in them is used up at once."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], NDArray[Any]] = {}

    def __call__(self, kind: type, *key: int) -> NDArray[Any]:
        """The array of this type for ``key``: rows, width, and a number that tells two of them apart."""
        found = self._arrays.get((kind, *key))
        if found is None:
            found = self._arrays[kind, *key] = np.zeros(key[:2], kind)
        return found


class _Buffers:
    """Of one layer for one number of rows."""

    def __init__(self, rows: int, width: int, layer: int, normal: bool, scratch: Scratch) -> None:
        self.output = np.empty((rows, width), np.float32)
        self.delta, self.mask = scratch(np.float32, rows, width, layer % 2), scratch(np.bool_, rows, width)
        self.normal = np.empty((rows, width), np.float32) if normal else self.output  # units before bias and ReLU
        self.scratch = scratch(np.float32, rows, width, 2) if normal else self.delta
        self.inverse, self.column = (np.empty((rows, 1), np.float32) for _ in range(2))
        self.ones, together = np.ones(rows, np.float32), gcd(rows, _TOGETHER)
        self.long = self.output.reshape(rows // together, together * width)
        self.zeros = np.zeros(together * width, np.float32)


class ReLUNetwork:
    """A fully connected network ``sizes[0] -> ... -> sizes[-1]`` with a linear last layer.

    With ``layer_norm`` each hidden layer's units are standardized over the layer, before bias and ReLU (Ba, Kiros and
    Hinton 2016, without a learned scale).
    """

    def __init__(
        self, sizes: tuple[int, ...], parameters: Parameters, scratch: Scratch, layer_norm: bool = False
    ) -> None:
        self.sizes, self.layer_norm, self._scratch = sizes, layer_norm, scratch
        self.weights, self.weight_gradients, self.biases, self.bias_gradients = parameters.layers(sizes)
        self._buffers: dict[int, list[_Buffers]] = {}
        self._input: Array = np.zeros((0, sizes[0]), np.float32)

    def initialise(self, random: np.random.Generator, output_scale: float = 1.0) -> None:
        """Weights and biases uniform within 1 / sqrt(fan in), times ``output_scale`` in the last layer."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = 1 / np.sqrt(len(weight))
            weight[:] = random.uniform(-bound, bound, weight.shape)
            bias[:] = random.uniform(-bound, bound, bias.shape)
        self.weights[-1] *= np.float32(output_scale)
        self.biases[-1] *= np.float32(output_scale)

    def forward(self, inputs: Array) -> Array:
        """Outputs ``(rows, sizes[-1])`` for inputs ``(rows, sizes[0])``: a buffer that holds until the next call with
        as many rows."""
        buffers = self._of(len(inputs))
        self._input = hidden = inputs
        for weight, bias, buffer in zip(self.weights, self.biases, buffers, strict=True):
            np.matmul(hidden, weight, out=buffer.normal)
            if buffer.normal is not buffer.output:
                _standardize(buffer)
            hidden = np.add(buffer.normal, bias, out=buffer.output)
            if buffer is not buffers[-1]:
                np.maximum(buffer.long, buffer.zeros, out=buffer.long)
        return hidden

    def backward(self, gradient: Array, learn: bool = True, inputs: slice | None = None) -> Array:
        """Go back from a loss's gradient ``(rows, sizes[-1])`` with respect to the outputs of the latest ``forward``,
        or of its first rows; spoils it.

        Args:
            learn: set this network's part of the parameters' gradient.
            inputs: columns of the inputs whose gradient ``(rows, columns)`` is wanted.

        Returns:
            That gradient; without ``inputs`` nothing of use.
        """
        rows, buffers = len(gradient), self._of(len(self._input))
        for layer in reversed(range(len(self.weights))):
            buffer = buffers[layer]
            if learn:
                np.matmul(buffer.ones[:rows], gradient, out=self.bias_gradients[layer])
            if buffer.normal is not buffer.output:
                _through_standardizing(gradient, buffer)
            if learn:
                below = buffers[layer - 1].output if layer else self._input
                np.matmul(below[:rows].T, gradient, out=self.weight_gradients[layer])
            if layer:
                # of a single column a plain product: a matrix product would take four times as long
                product = np.matmul if gradient.shape[1] > 1 else np.multiply
                gradient = product(gradient, self.weights[layer].T, out=buffers[layer - 1].delta[:rows])
                positive = np.greater(
                    buffers[layer - 1].output[:rows], np.float32(0), out=buffers[layer - 1].mask[:rows]
                )
                gradient *= positive
        return gradient if inputs is None else gradient @ self.weights[0][inputs].T

    def tangent(self) -> Array:
        """Derivative ``(rows, sizes[-1])`` of the latest ``forward``'s outputs along the parameters' gradient: how they
        begin to change when that is added to the parameters. A derivative in forward mode."""
        below, buffers, moved = self._input, self._of(len(self._input)), None
        for layer, buffer in enumerate(buffers):
            change = below @ self.weight_gradients[layer]
            if moved is not None:
                change += moved @ self.weights[layer]
            if buffer.normal is not buffer.output:
                _through_standardizing(change, buffer)  # its derivative is a symmetric matrix
            change += self.bias_gradients[layer]
            if buffer is not buffers[-1]:
                change *= buffer.output > 0
            below, moved = buffer.output, change
        assert moved is not None
        return moved

    def _of(self, rows: int) -> list[_Buffers]:
        """Buffers for a number of rows; few numbers occur."""
        if rows not in self._buffers:
            if len(self._buffers) > 8:
                self._buffers.clear()
            widths = self.sizes[1:]
            self._buffers[rows] = [
                _Buffers(rows, width, layer, self.layer_norm and layer < len(widths) - 1, self._scratch)
                for layer, width in enumerate(widths)
            ]
        return self._buffers[rows]


def _standardize(buffer: _Buffers) -> None:
    """Bring each row of ``buffer.normal`` to mean 0 and variance 1; keeps the inverse standard deviation."""
    units, column, width = buffer.normal, buffer.column, np.float32(buffer.normal.shape[1])
    np.divide(units.sum(1, keepdims=True, out=column), width, out=column)
    units -= column
    np.divide(np.vecdot(units, units, out=column[:, 0]), width, out=column[:, 0])
    column += _EPSILON
    np.divide(np.float32(1), np.sqrt(column, out=column), out=buffer.inverse)
    units *= buffer.inverse


def _through_standardizing(gradient: Array, buffer: _Buffers) -> None:
    """Turn a gradient with respect to standardized units into that with respect to the plain ones, in place:
    (g - mean(g) - n mean(g n)) / std."""
    rows, width = len(gradient), np.float32(gradient.shape[1])
    units, scratch, column = buffer.normal[:rows], buffer.scratch[:rows], buffer.column[:rows]
    np.divide(np.vecdot(gradient, units, out=column[:, 0]), width, out=column[:, 0])
    np.multiply(units, column, out=scratch)
    gradient -= scratch
    np.divide(gradient.sum(1, keepdims=True, out=column), width, out=column)
    gradient -= column
    gradient *= buffer.inverse[:rows]
