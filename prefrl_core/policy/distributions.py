"""Action distributions: drawing, log-likelihood, entropy, and the gradient of a loss with respect to their inputs."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.features import input_count
from prefrl_core.networks import Array, Parameters

_HALF_LOG_2PI = np.float32(0.5 * np.log(2 * np.pi))


class Gaussian:
    """Independent normal actions: means from the network, one learned log standard deviation an action."""

    def __init__(self, space: gym.spaces.Box, parameters: Parameters, initial_std: float = 1.0) -> None:
        self.inputs = int(np.prod(space.shape))
        self.low, self.high = space.low.reshape(-1), space.high.reshape(-1)
        self.log_std, self._log_std_gradient = parameters.take(self.inputs)
        self.log_std[:] = np.log(initial_std)
        self._z: Array = np.zeros((0, self.inputs), np.float32)
        self._old: tuple[Array, Array] = (self._z, self.log_std)

    def draw(self, means: Array, random: np.random.Generator) -> Array:
        """Actions ``(rows, act)`` for means of that shape."""
        noise = random.standard_normal(means.shape, dtype=np.float32)
        noise *= np.exp(self.log_std)
        noise += means
        return noise

    def executed(self, actions: Array) -> Array:
        """Actions clipped to the task's bounds."""
        return np.maximum(np.minimum(actions, self.high), self.low)

    def log_prob(self, means: Array, actions: Array) -> Array:
        """Log-density ``(rows,)`` of unclipped ``actions`` ``(rows, act)``."""
        self._z = z = (actions - means) * np.exp(-self.log_std)
        return np.float32(-0.5) * np.vecdot(z, z) - (self.log_std.sum() + self.inputs * _HALF_LOG_2PI)

    def entropy(self) -> float:
        """Mean entropy, in nats, of the distributions of the latest ``log_prob``."""
        return float(self.log_std.sum() + self.inputs * (0.5 + _HALF_LOG_2PI))

    def backward(self, weights: Array, entropy_weight: float) -> Array:
        """Gradient ``(rows, act)`` with respect to the means of ``sum(weights * log_prob) + entropy_weight * entropy``,
        at the latest ``log_prob``; adds the gradient of the log standard deviations to the parameters' own."""
        z, column = self._z, weights[:, None]
        self._log_std_gradient += weights @ (z * z) - weights.sum() + np.float32(entropy_weight)
        return column * z * np.exp(-self.log_std)

    def remember(self, means: Array) -> None:
        """Keep these distributions, for ``divergence``."""
        self._old = means.copy(), self.log_std.copy()

    def divergence(self, means: Array) -> float:
        """Mean KL divergence, in nats, of the remembered distributions from those of ``means`` now."""
        old_means, old_log_std = self._old
        variance = np.exp(-2 * self.log_std)
        moved = np.vecdot((means - old_means) ** 2, variance).mean(dtype=np.float64)
        widths = self.log_std - old_log_std + 0.5 * (np.exp(2 * old_log_std) * variance - 1)
        return float(widths.sum(dtype=np.float64) + 0.5 * moved)

    def fisher(self, means: Array, tangents: Array, direction: Any) -> Array:
        """Mean Fisher matrix of the distributions times a direction: the part for the means ``(rows, act)``, given
        their ``tangents``. ``direction`` is a Gaussian whose parameters are the direction; the part for the log
        standard deviations is added to the parameters' gradient."""
        self._log_std_gradient += 2 * direction.log_std
        product: Array = tangents * np.exp(np.float32(-2) * self.log_std) / np.float32(len(tangents))
        return product


class Categorical:
    """One of several actions, by the softmax of the network's logits."""

    def __init__(self, space: gym.spaces.Discrete, parameters: Parameters) -> None:
        self.inputs = int(space.n)
        self._log_p: Array = np.zeros((0, self.inputs), np.float32)
        self._actions: NDArray[np.int64] = np.zeros(0, np.int64)
        self._old: Array = self._log_p

    def draw(self, logits: Array, random: np.random.Generator) -> NDArray[np.int64]:
        """Actions ``(rows,)`` for logits ``(rows, choices)``, by the inverse of the cumulative distribution."""
        cumulative = np.cumsum(np.exp(_log_softmax(logits)), axis=1)
        chosen = (random.random((len(logits), 1)) * cumulative[:, -1:] >= cumulative).sum(1)
        return np.minimum(chosen, self.inputs - 1)

    def executed(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The actions themselves."""
        return actions

    def log_prob(self, logits: Array, actions: NDArray[np.int64]) -> Array:
        """Log-probability ``(rows,)`` of ``actions`` ``(rows,)``."""
        self._log_p, self._actions = _log_softmax(logits), actions
        return self._log_p[np.arange(len(actions)), actions]

    def entropy(self) -> float:
        """Mean entropy, in nats, of the distributions of the latest ``log_prob``."""
        return float(-(np.exp(self._log_p) * self._log_p).sum(1).mean())

    def backward(self, weights: Array, entropy_weight: float) -> Array:
        """Gradient ``(rows, choices)`` with respect to the logits of
        ``sum(weights * log_prob) + entropy_weight * entropy``, at the latest ``log_prob``."""
        p, rows = np.exp(self._log_p), len(weights)
        gradient = -weights[:, None] * p
        gradient[np.arange(rows), self._actions] += weights
        entropies = -(p * self._log_p).sum(1, keepdims=True)
        gradient -= np.float32(entropy_weight / rows) * p * (self._log_p + entropies)
        return gradient

    def remember(self, logits: Array) -> None:
        """Keep these distributions, for ``divergence``."""
        self._old = _log_softmax(logits)

    def divergence(self, logits: Array) -> float:
        """Mean KL divergence, in nats, of the remembered distributions from those of ``logits``."""
        return float(np.vecdot(np.exp(self._old), self._old - _log_softmax(logits)).mean(dtype=np.float64))

    def fisher(self, logits: Array, tangents: Array, direction: Any) -> Array:
        """Mean Fisher matrix of the distributions times a direction, given the logits' ``tangents`` along it."""
        p = np.exp(_log_softmax(logits))
        return p * (tangents - np.vecdot(p, tangents)[:, None]) / np.float32(len(tangents))


def parameter_count(space: gym.Space[Any]) -> int:
    """Parameters of the distribution itself, beside the network's."""
    return 0 if isinstance(space, gym.spaces.Discrete) else input_count(space)


def distribution(space: gym.Space[Any], parameters: Parameters, initial_std: float = 1.0) -> Gaussian | Categorical:
    """The distribution that fits an action space; ``initial_std`` is that of a normal one before learning.

    Raises:
        UserError: neither a flat box nor a discrete space.
    """
    if isinstance(space, gym.spaces.Box) and len(space.shape) == 1:
        return Gaussian(space, parameters, initial_std)
    if isinstance(space, gym.spaces.Discrete) and space.start == 0:
        return Categorical(space, parameters)
    raise UserError(f"action space {space}: only flat boxes and discrete actions from 0 are known")


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
