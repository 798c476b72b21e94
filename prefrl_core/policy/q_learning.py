"""Double Q-learning with a dueling network: van Hasselt et al. 2016 and Wang et al. 2016."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.hardware import Hardware
from prefrl_core.networks import MLP, Array, Parameters
from prefrl_core.policy.actor_critic import Separate


class Dueling:
    """Values of actions, Q = V + A - mean A (Wang et al. 2016, equation 9), where V and A are the two outputs of a
    network that the actor-critics have too: over pixels with all layers but the last in common, over rows of numbers
    with none.

    Args:
        space: what an observation is.
        actions: how many there are.
        settings: with ``hidden`` and ``convolutions``.
        random: draws the initial parameters.
        hardware: of a network over pixels; None where observations are rows of numbers.
    """

    def __init__(
        self,
        space: gym.Space[Any],
        actions: int,
        settings: Any,
        random: np.random.Generator,
        hardware: Hardware | None,
    ) -> None:
        self.parameters: Any
        self.network: Any
        if hardware is not None:
            from prefrl_core.policy.convolutional import Convolutional

            self.network = Convolutional(actions, settings.hidden, random, hardware, settings.convolutions)
            self.parameters = self.network.parameters
            return
        (width,) = space.shape or ()
        advantage, value = ((width, *settings.hidden, outputs) for outputs in (actions, 1))
        self.parameters = Parameters(MLP.count(advantage) + MLP.count(value))
        self.network = Separate(MLP(advantage, "tanh", self.parameters), MLP(value, "tanh", self.parameters))
        self.network.actor.initialise_orthogonal(random, output_gain=0.01)
        self.network.critic.initialise_orthogonal(random, output_gain=1.0)

    def values(self, observations: NDArray[Any], learning: bool = False) -> Array:
        """Q ``(rows, actions)``; with ``learning``, ``backward`` can follow."""
        advantages, values = self.network.forward(self.network.prepare(observations), learning)
        return np.asarray(advantages - advantages.mean(1, keepdims=True) + values[:, None])

    def backward(self, gradient: Array) -> None:
        """Set the parameters' gradient to that of a loss, given that with respect to the latest ``values``."""
        self.network.backward(gradient - gradient.mean(1, keepdims=True), gradient.sum(1))


class DoubleQ:
    """The network that acts and learns, and the older one, the target, that says what comes after is worth.

    Args:
        settings: as in ``DQNSettings``.
        make: an untrained network; called twice.
    """

    def __init__(self, settings: Any, make: Any) -> None:
        self.settings = settings
        self.online: Dueling = make()
        self.target: Dueling = make()
        self.optimiser = self.online.parameters.adam(settings.learning_rate, epsilon=settings.adam_epsilon)
        self._copy()

    def _copy(self) -> None:
        self.target.parameters.set(self.online.parameters.get())

    @property
    def updates(self) -> int:
        """Taken so far."""
        return int(self.optimiser.steps)

    def update(
        self,
        before: NDArray[Any],
        after: NDArray[Any],
        actions: NDArray[np.int64],
        returns: Array,
        bootstrap: Array,
    ) -> float:
        """One step on the mean Huber loss (1 wide, Mnih et al. 2015) of a batch; returns that.

        The target is the return over some steps, plus ``bootstrap`` times what the older network says of the action
        that the newer one finds best after them (van Hasselt et al. 2016, equation 4). Observations are ``(rows,
        obs)``, the rest ``(rows,)``.
        """
        rows = np.arange(len(actions))
        best = self.online.values(after).argmax(1)
        targets = returns + bootstrap * self.target.values(after)[rows, best]
        values = self.online.values(before, learning=True)
        error = values[rows, actions] - targets
        slope = np.clip(error, -1, 1)
        gradient = np.zeros_like(values)
        gradient[rows, actions] = slope / np.float32(len(rows))
        self.online.backward(gradient)
        self.online.parameters.clip_gradient(self.settings.gradient_norm)
        self.optimiser.step()
        if self.updates % self.settings.target_updates == 0:
            self._copy()
        return float((slope * (error - 0.5 * slope)).mean())

    def require_finite(self) -> None:
        """Raise UserError if learning has diverged."""
        if not self.online.parameters.finite():
            raise UserError("the policy diverged (parameters are not finite): lower its learning_rate")

    def get_state(self) -> dict[str, Any]:
        """Everything that a later update depends on."""
        return {"online": self.optimiser.get_state(), "target": self.target.parameters.get()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.optimiser.set_state(state["online"])
        self.target.parameters.set(state["target"])
