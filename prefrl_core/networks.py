"""Small multilayer perceptrons in NumPy, their gradients written out, and Adam on one flat vector.

At 64 x 64 units a framework's call overhead costs more than the arithmetic; docs/architecture.md has the figures.
All parameters that one optimiser steps lie in one ``Parameters``, so that clipping and Adam are a few vector
operations however many layers there are. Leaves out: anything but fully connected layers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Activation = Literal["tanh", "leaky_relu"]

_SLOPE = np.float32(0.01)  # of the leaky ReLU for negative inputs (Christiano et al. 2017, section A.1)


class Parameters:
    """Parameters and their gradient, a flat float32 vector each, handed out as shaped views."""

    def __init__(self, size: int) -> None:
        self.values: Array = np.zeros(size, np.float32)
        self.gradient: Array = np.zeros(size, np.float32)
        self._used = 0

    def take(self, *shape: int) -> tuple[Array, Array]:
        """The next free stretch as (values, gradient), both of the given shape."""
        span = slice(self._used, self._used + int(np.prod(shape)))
        self._used = span.stop
        return self.values[span].reshape(shape), self.gradient[span].reshape(shape)

    def layers(self, sizes: tuple[int, ...]) -> tuple[list[Array], list[Array], list[Array], list[Array]]:
        """Weights ``(fan_in, fan_out)``, their gradients, biases ``(fan_out,)`` and theirs, of fully connected layers
        of these sizes."""
        weights, biases = [], []
        for fan_in, fan_out in pairwise(sizes):
            weights.append(self.take(fan_in, fan_out))
            biases.append(self.take(fan_out))
        return [w for w, _ in weights], [g for _, g in weights], [b for b, _ in biases], [g for _, g in biases]

    def set(self, values: Array) -> None:
        """Overwrite all values."""
        self.values[:] = values

    def get(self) -> Array:
        """All values, copied."""
        return self.values.copy()

    def adam(self, learning_rate: float, epsilon: float = 1e-8) -> Adam:
        """An optimiser of these."""
        return Adam(self, learning_rate, epsilon)

    def rmsprop(self, learning_rate: float, decay: float, epsilon: float) -> RMSProp:
        """An optimiser of these."""
        return RMSProp(self, learning_rate, decay, epsilon)

    def clip_gradient(self, limit: float) -> None:
        """Scale the gradient so that its norm is at most ``limit``."""
        clip_norm(self.gradient, limit)

    def finite(self) -> bool:
        """No parameter is NaN or infinite."""
        return bool(np.isfinite(self.values).all())


class MLP:
    """A fully connected network ``sizes[0] -> ... -> sizes[-1]`` with a linear last layer."""

    def __init__(self, sizes: tuple[int, ...], activation: Activation, parameters: Parameters) -> None:
        self.sizes, self.activation = sizes, activation
        self.weights, self.weight_gradients, self.biases, self.bias_gradients = parameters.layers(sizes)
        self._workspaces: dict[int, tuple[list[Array], list[Array], Array, Array]] = {}
        self._input: Array = np.zeros((0, sizes[0]), np.float32)

    @staticmethod
    def count(sizes: tuple[int, ...]) -> int:
        """Number of parameters of a network of these sizes."""
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))

    def initialise_orthogonal(self, random: np.random.Generator, output_gain: float) -> None:
        """Orthogonal weights of gain sqrt(2), ``output_gain`` in the last layer; biases 0."""
        for layer, weight in enumerate(self.weights):
            gain = output_gain if layer == len(self.weights) - 1 else np.sqrt(2.0)
            weight[:] = gain * orthogonal(random, *weight.shape)
            self.biases[layer][:] = 0

    def initialise_uniform(self, random: np.random.Generator) -> None:
        """Weights and biases uniform within 1 / sqrt(fan in)."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = 1 / np.sqrt(len(weight))
            weight[:] = random.uniform(-bound, bound, weight.shape)
            bias[:] = random.uniform(-bound, bound, bias.shape)

    def forward(self, inputs: Array) -> Array:
        """Outputs ``(rows, sizes[-1])`` for inputs ``(rows, sizes[0])``, both float32.

        The returned array is this network's own workspace: it holds until the next call with as many rows.
        """
        layers, _, scratch, _ = self._workspace(len(inputs))
        self._input = hidden = inputs
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = np.matmul(hidden, weight, out=layers[layer])
            hidden += bias
            if layer < len(self.weights) - 1:
                self._activate(hidden, scratch)
        return hidden

    @property
    def rows(self) -> int:
        """Of the latest ``forward``."""
        return len(self._input)

    def backward(self, output_gradient: Array) -> None:
        """Set this network's part of the parameters' gradient to that of a loss, given the loss's gradient
        ``(rows, sizes[-1])`` with respect to the outputs of the latest ``forward``, which this spoils."""
        layers, deltas, scratch, ones = self._workspace(len(output_gradient))
        delta = output_gradient
        for layer in reversed(range(len(self.weights))):
            below = layers[layer - 1] if layer else self._input
            np.matmul(below.T, delta, out=self.weight_gradients[layer])
            np.matmul(ones, delta, out=self.bias_gradients[layer])
            if layer:
                delta = np.matmul(delta, self.weights[layer].T, out=deltas[layer - 1])
                self._through_activation(delta, below, scratch)

    def tangent(self, direction: MLP) -> Array:
        """Change ``(rows, sizes[-1])`` of the latest ``forward``'s outputs along ``direction``, a network of these
        sizes whose parameters are the direction: a derivative in forward mode."""
        layers, _, scratch, _ = self._workspace(len(self._input))
        below, tangent = self._input, None
        for layer, weight in enumerate(self.weights):
            change = below @ direction.weights[layer]
            change += direction.biases[layer]
            if tangent is not None:
                change += tangent @ weight
            below, tangent = layers[layer], change
            if layer < len(self.weights) - 1:
                self._through_activation(change, below.copy(), scratch)
        assert tangent is not None
        return tangent

    def _activate(self, hidden: Array, scratch: Array) -> None:
        if self.activation == "tanh":
            np.tanh(hidden, out=hidden)
        else:
            scaled = np.multiply(hidden, _SLOPE, out=scratch[:, : hidden.shape[1]])
            np.maximum(hidden, scaled, out=hidden)

    def _through_activation(self, delta: Array, hidden: Array, scratch: Array) -> None:
        """Multiply ``delta`` by the activation's derivative, which its output determines; spoils ``hidden``."""
        slope = scratch[:, : hidden.shape[1]]
        if self.activation == "tanh":
            np.subtract(np.float32(1), np.multiply(hidden, hidden, out=slope), out=slope)
        else:
            # 0.99 * positive + 0.01; a masked assignment or np.where would be two to nine times slower.
            np.multiply(hidden > 0, np.float32(1) - _SLOPE, out=slope)
            slope += _SLOPE
        delta *= slope

    def _workspace(self, rows: int) -> tuple[list[Array], list[Array], Array, Array]:
        """Buffers for a number of rows (few numbers occur): layer outputs, their gradients, scratch, ones."""
        if rows not in self._workspaces:
            if len(self._workspaces) > 16:
                self._workspaces.clear()
            widths = self.sizes[1:]
            self._workspaces[rows] = (
                [np.empty((rows, width), np.float32) for width in widths],
                [np.empty((rows, width), np.float32) for width in widths],
                np.empty((rows, max(widths)), np.float32),
                np.ones(rows, np.float32),
            )
        return self._workspaces[rows]


class Adam:
    """Adam (Kingma and Ba 2015, algorithm 1) on a flat vector, in place."""

    def __init__(self, parameters: Parameters, learning_rate: float, epsilon: float = 1e-8) -> None:
        self.parameters, self.learning_rate, self.epsilon = parameters, learning_rate, epsilon
        self.first = np.zeros_like(parameters.values)
        self.second = np.zeros_like(parameters.values)
        self.steps = 0
        self._work = np.empty_like(parameters.values)

    def step(self) -> None:
        """Apply the gradient and set it to zero."""
        gradient, work = self.parameters.gradient, self._work
        self.steps += 1
        self.first *= np.float32(0.9)
        self.first += np.multiply(gradient, np.float32(0.1), out=work)
        self.second *= np.float32(0.999)
        np.multiply(gradient, gradient, out=work)
        self.second += np.multiply(work, np.float32(0.001), out=work)
        # m_hat / (sqrt(v_hat) + epsilon), with both bias corrections moved into the scalars
        correction = np.sqrt(1 - 0.999**self.steps)
        np.sqrt(self.second, out=work)
        work += np.float32(self.epsilon * correction)
        np.divide(self.first, work, out=work)
        work *= np.float32(self.learning_rate * correction / (1 - 0.9**self.steps))
        self.parameters.values -= work
        gradient[:] = 0

    def get_state(self) -> dict[str, Any]:
        """Parameters and moments, as copies."""
        moments = {"first": self.first.copy(), "second": self.second.copy(), "steps": self.steps}
        return {"values": self.parameters.values.copy(), **moments}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.parameters.values[:] = state["values"]
        self.first[:], self.second[:], self.steps = state["first"], state["second"], state["steps"]


class RMSProp:
    """RMSProp (Tieleman and Hinton 2012) on a flat vector, in place; epsilon inside the root, as in A2C's release."""

    def __init__(self, parameters: Parameters, learning_rate: float, decay: float = 0.99, epsilon: float = 1e-5):
        self.parameters, self.learning_rate, self.decay, self.epsilon = parameters, learning_rate, decay, epsilon
        self.second = np.ones_like(parameters.values)  # from 1, so that the first steps are small

    def step(self) -> None:
        """Apply the gradient and set it to zero."""
        gradient = self.parameters.gradient
        self.second += np.float32(1 - self.decay) * (gradient * gradient - self.second)
        self.parameters.values -= np.float32(self.learning_rate) * gradient / np.sqrt(self.second + self.epsilon)
        gradient[:] = 0

    def get_state(self) -> dict[str, Any]:
        """Parameters and second moments, as copies."""
        return {"values": self.parameters.values.copy(), "second": self.second.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.parameters.values[:], self.second[:] = state["values"], state["second"]


def clip_norm(gradient: Array, limit: float) -> float:
    """Scale ``gradient`` in place so that its Euclidean norm is at most ``limit``; returns the norm before."""
    norm = float(np.sqrt(gradient @ gradient))
    if norm > limit:
        gradient *= np.float32(limit / (norm + 1e-6))
    return norm


def orthogonal(random: np.random.Generator, rows: int, columns: int) -> NDArray[np.float64]:
    """A random matrix with orthonormal rows or columns, uniform over all such matrices."""
    tall = random.standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))
    return q if rows >= columns else q.T
