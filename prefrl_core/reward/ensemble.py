"""The predicted reward: the mean of several small networks, each normalised by itself (Christiano et al. 2017, 2.2.3).

The members are kept apart and evaluated in a loop: at this size that is as fast as batching them into one product.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.networks import MLP, Adam, Array, Parameters
from prefrl_core.policy.normalize import Standardizer
from prefrl_core.spec import RewardSettings

_BLOCK = 512  # rows evaluated at a time, so that a layer stays in the processor's second-level cache


class Ensemble:
    """Reward predictors over (observation, action) features of a given width."""

    normalising_rows = 2048  # single steps over which ``normalise`` is asked to measure after a fit
    validation_pairs = 64  # comparisons a member and fit that measure its validation loss

    def __init__(self, settings: RewardSettings, width: int, seed: int) -> None:
        sizes = (width, *settings.hidden, 1)
        self.settings = settings
        self.parameters = Parameters(settings.members * MLP.count(sizes))
        self.members = [MLP(sizes, "leaky_relu", self.parameters) for _ in range(settings.members)]
        for index, member in enumerate(self.members):
            member.initialise_uniform(seeding.generator(seed, f"reward member {index}"))
        self.optimiser = Adam(self.parameters, settings.learning_rate)
        self.standardize = Standardizer(width)
        self.means = np.zeros(settings.members, np.float32)
        self.stds = np.ones(settings.members, np.float32)

    def outputs(self, features: NDArray[Any]) -> Array:
        """Each member's plain output, ``(members, ...)`` for raw features ``(..., width)``."""
        rows = self.standardize(features).reshape(-1, features.shape[-1])
        result = np.empty((len(self.members), len(rows)), np.float32)
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            for member, out in zip(self.members, result, strict=True):
                out[start : start + _BLOCK] = member.forward(block)[:, 0]
        return result.reshape(len(self.members), *features.shape[:-1])

    def reward(self, features: NDArray[Any]) -> Array:
        """Predicted reward ``(...)``: members brought to mean 0 and the set standard deviation (unless the settings ask
        for plain outputs), then averaged."""
        outputs = self.outputs(features)
        column = (-1,) + (1,) * (outputs.ndim - 1)
        if not self.settings.normalise:
            return outputs.mean(0)
        outputs -= self.means.reshape(column)
        outputs *= (np.float32(self.settings.output_std) / self.stds).reshape(column)
        return outputs.mean(0)

    def segment_sums(self, features: NDArray[Any]) -> Array:
        """Undiscounted sums of the plain outputs, ``(members, segments)``, of features ``(segments, steps, width)``."""
        return self.outputs(features).sum(-1)

    def pair_sums(self, member: Any, features: NDArray[Any], fitting: bool = False) -> Array:
        """One member's sums ``(pairs, 2)`` for the features ``(pairs, 2, steps, width)`` of compared segments; when
        ``fitting``, ``backward`` can follow."""
        rows = self.standardize(features)
        return member.forward(rows.reshape(-1, rows.shape[-1])).reshape(features.shape[:3]).sum(2)

    def backward(self, member: Any, slopes: Array, l2: float) -> None:
        """Set the member's gradient to that of a loss, given its derivative ``(pairs, 2)`` with respect to the latest
        ``pair_sums``, and of the penalty on the weights."""
        steps = member.rows // slopes.size
        member.backward(np.repeat(slopes.reshape(-1, 1), steps, axis=0))
        for weight, gradient in zip(member.weights, member.weight_gradients, strict=True):
            gradient += np.float32(2 * l2) * weight

    def observe(self, features: NDArray[Any]) -> None:
        """Take in the scale of new features. Never called between two predictions of one rollout, nor by a query."""
        self.standardize.update(features)

    def normalise(self, features: Array) -> None:
        """Measure each member's mean and standard deviation over ``features``, for ``reward`` to remove; nothing where
        the settings ask for plain outputs."""
        if not self.settings.normalise:
            return
        outputs = self.outputs(features).reshape(len(self.members), -1)
        self.means, self.stds = outputs.mean(1), outputs.std(1) + np.float32(1e-6)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or gradient step depends on."""
        return {
            "optimiser": self.optimiser.get_state(),
            "standardize": self.standardize.get_state(),
            "means": self.means.copy(),
            "stds": self.stds.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.optimiser.set_state(state["optimiser"])
        self.standardize.set_state(state["standardize"])
        self.means, self.stds = state["means"].copy(), state["stds"].copy()
