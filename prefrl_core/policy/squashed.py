"""Normal actions squashed into a box by tanh (Haarnoja et al. 2018, appendix C): drawing, log-density, gradients."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError, require
from prefrl_core.networks import Array

_HALF_LOG_2PI = np.float32(0.5 * np.log(2 * np.pi))
_EPSILON = np.float32(1e-6)  # inside the logarithm of 1 - a^2
_LOW, _HIGH = np.float32(-5), np.float32(2)  # bounds of the log standard deviation


class Squashed:
    """Actions ``a = tanh(mean + std * noise)`` in [-1, 1] for outputs ``(rows, 2 act)``: means and logarithms of stds.

    1 stands for ``limit`` times the way from the middle of the task's box to its edge.

    Raises:
        UserError: the action space is no flat box with bounds.
    """

    def __init__(self, space: gym.Space[NDArray[np.float32]], limit: float = 1.0) -> None:
        require(
            isinstance(space, gym.spaces.Box) and len(space.shape) == 1,
            f"policy 'sac' on action space {space}: it knows flat boxes only; choose policy = 'ppo' or 'a2c'",
        )
        low, high = space.low, space.high  # type: ignore[attr-defined]
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise UserError(f"policy 'sac' on action space {space}: its actions need bounds; choose 'ppo'")
        self.size = len(low)
        self.middle, self.reach = (high + low) / np.float32(2), np.float32(limit) * (high - low) / np.float32(2)
        self._low, self._high = low, high

    def executed(self, actions: Array) -> Array:
        """Actions as the task is given them, for actions ``(..., act)`` in [-1, 1]."""
        return np.minimum(np.maximum(actions * self.reach + self.middle, self._low), self._high)

    def drawn(self, actions: Array) -> Array:
        """The reverse of ``executed``."""
        return (actions - self.middle) / self.reach

    def draw(self, outputs: Array, noise: Array) -> tuple[Array, Array]:
        """Actions ``(rows, act)`` and log-densities ``(rows,)``, for standard normal ``noise`` ``(rows, act)``."""
        wide = outputs[:, self.size :]
        log_std = np.minimum(np.maximum(wide, _LOW), _HIGH)
        self._free = wide == log_std  # where the bound leaves the output its gradient
        self._spread = np.exp(log_std) * noise
        self._actions = actions = np.tanh(outputs[:, : self.size] + self._spread)
        self._slope = np.float32(1) - actions * actions
        density = np.float32(-0.5) * noise * noise - log_std - np.log(self._slope + _EPSILON)
        return actions, density.sum(1) - np.float32(self.size) * _HALF_LOG_2PI

    def backward(self, by_action: Array, by_density: np.float32) -> Array:
        """Gradient ``(rows, 2 act)`` with respect to the outputs of the latest ``draw``, or its first rows, of a loss
        whose gradients are ``by_action`` ``(rows, act)`` and, for each row's log-density, ``by_density``."""
        rows = len(by_action)
        actions, slope, spread = self._actions[:rows], self._slope[:rows], self._spread[:rows]
        gradient = np.empty((rows, 2 * self.size), np.float32)
        means = gradient[:, : self.size]
        np.multiply(np.float32(2) * by_density * actions / (slope + _EPSILON) + by_action, slope, out=means)
        np.multiply(means * spread - by_density, self._free[:rows], out=gradient[:, self.size :])
        return gradient
