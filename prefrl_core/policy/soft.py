"""The networks of soft actor-critic and one update of them (Haarnoja et al. 2018, with the temperature of their second
paper): both critics towards the smaller of two target critics, the actor along the smaller critic's gradient, the
temperature towards the target entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from prefrl_core.errors import UserError
from prefrl_core.networks import MLP, Array, Parameters
from prefrl_core.policy.layers import ReLUNetwork, Scratch
from prefrl_core.policy.squashed import Squashed


@dataclass(frozen=True)
class Stretch:
    """What several updates learn from, a batch each; ``rows`` transitions a batch."""

    states: Array  # (batches, 2 rows, obs), standardized: those before, then those after
    actions: Array  # (batches, rows, act) in [-1, 1], as taken
    returns: Array  # (batches, rows), sums of scaled rewards
    bootstrap: Array  # (batches, rows), what the value of the state after is multiplied by


class Twins:
    """Two critics of (observation, action) with one vector of parameters."""

    def __init__(self, settings: Any, inputs: int, scratch: Scratch) -> None:
        sizes = (inputs, *settings.hidden, 1)
        self.parameters = Parameters(2 * MLP.count(sizes))
        self.networks = [ReLUNetwork(sizes, self.parameters, scratch, settings.layer_norm) for _ in range(2)]

    def values(self, rows: Array) -> list[Array]:
        """Each one's values ``(rows,)``, valid until its next call."""
        return [network.forward(rows)[:, 0] for network in self.networks]


class SoftActorCritic:
    """Actor, critics, target critics and temperature.

    Args:
        settings: with ``hidden``, ``layer_norm``, ``batch``, the learning rates, ``tau``, ``actor_delay``,
            ``target_entropy`` and ``temperature``, as in ``SACSettings``.
        width: numbers an observation.
        initial: generator of the initial parameters.
    """

    def __init__(self, settings: Any, width: int, squashed: Squashed, initial: np.random.Generator) -> None:
        self.settings, self.width, self.squashed, self._initial = settings, width, squashed, initial
        sizes, scratch = (width, *settings.hidden, 2 * squashed.size), Scratch()
        self.actor_parameters = Parameters(MLP.count(sizes) + 1)
        self.actor = ReLUNetwork(sizes, self.actor_parameters, scratch)
        self.actor.initialise(initial, output_scale=0.1)  # begins near the middle of the box
        self.log_temperature, self._temperature_gradient = self.actor_parameters.take(1)
        self.log_temperature[:] = np.log(settings.temperature)
        self.critics, self.targets = (Twins(settings, width + squashed.size, scratch) for _ in range(2))
        self.actor_optimiser = self.actor_parameters.adam(settings.actor_learning_rate)
        self.new_critics()
        self.updates = 0
        self._pairs = np.empty((2, settings.batch, width + squashed.size), np.float32)  # before and after, with actions
        self._follow = np.empty_like(self.critics.parameters.values)

    def new_critics(self) -> None:
        """Untrained critics and targets."""
        for network in self.critics.networks:
            network.initialise(self._initial)
        self.targets.parameters.values[:] = self.critics.parameters.values
        self.critic_optimiser = self.critics.parameters.adam(self.settings.critic_learning_rate)

    @property
    def temperature(self) -> np.float32:
        """The weight of the entropy, alpha."""
        return np.exp(self.log_temperature[0])

    def anneal(self, share: float) -> None:
        """Bring the learning rates to a share of what is set."""
        settings = self.settings
        self.actor_optimiser.learning_rate = settings.actor_learning_rate * share
        self.critic_optimiser.learning_rate = settings.critic_learning_rate * share

    def update(self, stretch: Stretch, place: int, noise: Array) -> tuple[float, float]:
        """Learn from one batch, with standard normal ``noise`` ``(2 rows, act)``; returns the critics' loss and the
        policy's entropy in nats."""
        settings, rows = self.settings, self.settings.batch
        before, targets, actions, density = self.look(stretch, place, noise)
        loss = self._update_critics(before, targets)
        entropy = -float(density[:rows].sum()) / rows
        self.updates += 1
        if self.updates % settings.actor_delay == 0:
            before[:, self.width :] = actions[:rows]
            self._update_actor(before, entropy)
        self._move_targets()
        return loss, entropy

    def look(self, stretch: Stretch, place: int, noise: Array) -> tuple[Array, Array, Array, Array]:
        """What an update of the critics from one batch begins with: inputs ``(rows, obs + act)`` and targets
        ``(rows,)``; and of both states of each transition drawn actions ``(2 rows, act)`` and their log-densities."""
        rows, states = self.settings.batch, stretch.states[place]
        actions, density = self.squashed.draw(self.actor.forward(states), noise)
        before, after = self._pairs
        before[:, : self.width], after[:, : self.width] = states[:rows], states[rows:]
        before[:, self.width :], after[:, self.width :] = stretch.actions[place], actions[rows:]
        value = np.minimum(*self.targets.values(after))
        value -= self.temperature * density[rows:]
        value *= stretch.bootstrap[place]
        value += stretch.returns[place]
        return before, value, actions, density

    def _update_critics(self, rows: Array, targets: Array) -> float:
        """One step on the mean over the batch of half the squared error, summed over both; returns that."""
        total = 0.0
        for network in self.critics.networks:
            error = network.forward(rows)[:, 0] - targets
            total += 0.5 * float(error @ error) / len(error)
            error /= np.float32(len(error))
            network.backward(error[:, None])
        self.critic_optimiser.step()
        return total

    def _update_actor(self, rows: Array, entropy: float) -> None:
        """One step of the actor on the mean of alpha log pi - min Q at its own actions, one of the temperature."""
        share, temperature = np.float32(1 / len(rows)), self.temperature
        first, second = self.critics.values(rows)
        smaller = np.multiply(first <= second, -share, dtype=np.float32)
        columns = slice(self.width, None)
        by_action = self.critics.networks[0].backward(smaller[:, None], learn=False, inputs=columns)
        smaller = np.multiply(first > second, -share, dtype=np.float32)
        by_action += self.critics.networks[1].backward(smaller[:, None], learn=False, inputs=columns)
        self.actor.backward(self.squashed.backward(by_action, temperature * share))
        self._temperature_gradient[0] = entropy - self.settings.target_entropy * self.squashed.size
        self.actor_optimiser.step()

    def _move_targets(self) -> None:
        """targets += tau (critics - targets)."""
        targets = self.targets.parameters.values
        np.subtract(self.critics.parameters.values, targets, out=self._follow)
        self._follow *= np.float32(self.settings.tau)
        targets += self._follow

    def require_finite(self) -> None:
        """Raise UserError if learning has diverged."""
        if not (self.actor_parameters.finite() and self.critics.parameters.finite()):
            raise UserError("the policy diverged (parameters are not finite): lower its critic_learning_rate")

    def get_state(self) -> dict[str, Any]:
        """Everything that a later update depends on, the generator of initial parameters apart."""
        return {
            "actor": self.actor_optimiser.get_state(),
            "critics": self.critic_optimiser.get_state(),
            "targets": self.targets.parameters.values.copy(),
            "updates": self.updates,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.actor_optimiser.set_state(state["actor"])
        self.critic_optimiser.set_state(state["critics"])
        self.targets.parameters.values[:] = state["targets"]
        self.updates = state["updates"]
