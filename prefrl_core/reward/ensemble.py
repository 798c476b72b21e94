"""The default reward model: several small networks in NumPy over observation and action, standardized.

The members are kept apart and evaluated in a loop: at this size that is as fast as batching them into one product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError
from prefrl_core.features import Features
from prefrl_core.networks import MLP, Adam, Array, Parameters
from prefrl_core.normalize import Standardizer
from prefrl_core.reward.fitted import FittedReward
from prefrl_core.reward.settings import EnsembleSettings
from prefrl_core.rollout import Turn

_BLOCK = 512  # rows evaluated at a time, so that a layer stays in the processor's second-level cache


class Ensemble(FittedReward):
    """Reward predictors over (observation, action) features of a given width."""

    members: list[MLP]
    parameters: Parameters

    def __init__(self, settings: EnsembleSettings, features: Features, seed: int, segment: int = 0) -> None:
        super().__init__(settings, features, seed)
        if len(features.shape) != 1:
            raise UserError("reward_model 'ensemble' sees no pixels: choose 'convolutional'")
        (width,) = features.shape
        sizes = (width, *settings.hidden, 1)
        self.parameters = Parameters(settings.members * MLP.count(sizes))
        self.members = [MLP(sizes, "leaky_relu", self.parameters) for _ in range(settings.members)]
        for index, member in enumerate(self.members):
            member.initialise_uniform(seeding.generator(seed, f"reward member {index}"))
        self.optimiser = Adam(self.parameters, settings.learning_rate)
        self.standardize = Standardizer(width)
        self._mask: NDArray[Any] | None = None  # of the latest ``pair_sums``

    def outputs(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> Array:
        """Each member's plain output, ``(members, ...)`` for raw features ``(..., width)``."""
        rows = self.standardize(features).reshape(-1, features.shape[-1])
        result = np.empty((len(self.members), len(rows)), np.float32)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            for member, out in zip(self.members, result, strict=True):
                out[start : start + _BLOCK] = member.forward(block)[:, 0]
        return result.reshape(len(self.members), *features.shape[:-1])

    def segment_sums(self, kept: NDArray[Any]) -> Array:
        """Undiscounted sums of the plain outputs, ``(members, segments)``, of ``(segments, steps, width)``."""
        return self.outputs(kept).sum(-1)

    def pair_sums(
        self, member: MLP, kept: NDArray[Any], fitting: bool = False, mask: NDArray[Any] | None = None
    ) -> Array:
        """A member's sums ``(pairs, 2)`` for the features ``(pairs, 2, steps, width)`` of compared segments; a row for
        each entry of ``mask``, which may have several for a pair."""
        rows, self._mask = self.standardize(kept), mask
        outputs = member.forward(rows.reshape(-1, rows.shape[-1])).reshape(kept.shape[:3])
        if mask is None:
            return outputs.sum(2)
        return (np.repeat(outputs, len(mask) // len(outputs), axis=0) * mask).sum(2)

    def backward(self, member: MLP, slopes: Array, l2: float) -> None:
        """Set the member's gradient, see ``FittedReward``."""
        member.backward(self._slopes_by_step(member, slopes))
        for weight, gradient in zip(member.weights, member.weight_gradients, strict=True):
            gradient += np.float32(2 * l2) * weight

    def _slopes_by_step(self, member: MLP, slopes: Array) -> Array:
        """The derivative ``(steps, 1)`` with respect to the network's output at each step, given that with respect to
        the latest ``pair_sums`` ``(pairs, 2)``."""
        if self._mask is None:
            return np.repeat(slopes.reshape(-1, 1), member.rows // slopes.size, axis=0)
        steps, sides = self._mask.shape[2], 2
        by_step = (slopes[..., None] * self._mask).reshape(member.rows // (sides * steps), -1, sides, steps)
        return by_step.sum(1).reshape(-1, 1)

    def observe(self, turn: Turn) -> None:
        """Take in the scale of the turn's features. A known reward that nothing is fitted to keeps its scale: with
        fixed weights another one would change what it rewards."""
        if not self.as_known:
            self.standardize.update(turn.features)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on."""
        return {**super().get_state(), "standardize": self.standardize.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.standardize.set_state(state["standardize"])
