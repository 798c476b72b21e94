"""What the policy optimisers share: a policy and a value network over standardized observations, and how both see a
rollout. An optimiser adds how its parameters change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError, require
from prefrl_core.features import input_count
from prefrl_core.hardware import Hardware
from prefrl_core.networks import MLP, Array, Parameters
from prefrl_core.normalize import AsTheyAre, RewardScale, Standardizer
from prefrl_core.policy import gae
from prefrl_core.policy.distributions import distribution, parameter_count
from prefrl_core.rollout import Rollout


@dataclass(frozen=True)
class Batch:
    """A rollout as rows in the order (step, environment), ready to learn from."""

    observations: Any  # (rows, obs), standardized; of pixels a tensor (rows, frames, height, width)
    outputs: Array  # (rows, outputs), the actor's for these observations; valid until its next ``forward``
    values: Array  # (rows,), the critic's, likewise
    actions: NDArray[Any]  # (rows, act), as drawn
    advantages: Array  # (rows,)
    returns: Array  # (rows,), targets of the critic
    explained: float  # share of the returns' variance that the critic's values explain


CONVOLUTIONS = ("mnih2015", "mnih2013")  # what networks over pixels there are, see ``convolutional.py``


def check_settings(settings: Any, at_least_1: tuple[str, ...], above_0: tuple[str, ...]) -> None:
    """Raise UserError for a setting out of its range: those named, and what all optimisers have."""
    kind = getattr(settings, "convolutions", CONVOLUTIONS[0])
    require(kind in CONVOLUTIONS, f"policy setting convolutions = {kind!r}: choose one of {', '.join(CONVOLUTIONS)}")
    for name in ("environments", "rollout_steps", *at_least_1):
        require(getattr(settings, name) >= 1, f"policy setting {name} = {getattr(settings, name)}: at least 1")
    for name in above_0:
        require(getattr(settings, name) > 0, f"policy setting {name} = {getattr(settings, name)}: above 0")
    memory, std = getattr(settings, "scale_memory", 0), getattr(settings, "initial_std", 1.0)
    require(memory >= 0, f"policy setting scale_memory = {memory}: at least 0")
    require(std > 0, f"policy setting initial_std = {std}: above 0")
    for name in ("discount", "trace"):
        require(0 <= getattr(settings, name) <= 1, f"policy setting {name} = {getattr(settings, name)}: in [0, 1]")
    require(
        all(width >= 1 for width in settings.hidden),
        f"policy setting hidden = {settings.hidden}: widths of at least 1",
    )


def require_rows(name: str, rows: int) -> None:
    """Raise UserError for so few rows that advantages normalised over them are all 0, so that nothing is learned."""
    require(rows >= 2, f"policy setting {name} = {rows}: at least 2, because one normalised advantage is always 0")


class Separate:
    """Actor and critic as two small networks."""

    cheap = True  # to evaluate once more, for the log

    def __init__(self, actor: MLP, critic: MLP) -> None:
        self.actor, self.critic = actor, critic

    def prepare(self, observations: Array) -> Array:
        """Observations in the form in which ``rows`` are taken of them."""
        return observations

    def rows(self, prepared: Array, of: NDArray[np.int64]) -> Array:
        """A minibatch of prepared observations, copied."""
        return prepared[of]

    def forward(self, observations: Array, learning: bool = True) -> tuple[Array, Array]:
        """The actor's outputs ``(rows, outputs)`` and the critic's values ``(rows,)``."""
        return self.actor.forward(observations), self.critic.forward(observations)[:, 0]

    def outputs(self, observations: Array) -> Array:
        """The actor's alone."""
        return self.actor.forward(observations)

    def values(self, observations: Array) -> Array:
        """The critic's alone."""
        return self.critic.forward(observations)[:, 0].copy()

    def backward(self, output_gradient: Array, value_gradient: Array) -> None:
        """Set the gradient to that of a loss, given that with respect to the outputs of the latest ``forward``."""
        self.actor.backward(output_gradient)
        self.critic.backward(value_gradient[:, None])


class ActorCritic:
    """Actor and critic with one vector of parameters each, or one for both.

    Args:
        settings: with ``rollout_steps``, ``hidden``, ``discount``, ``trace`` and ``center_rewards``.
        rollouts: rollouts, and improvements, between two looks at the reward model.
        together: one ``Parameters`` for both, so that one optimiser with one gradient norm steps them.
        hardware: of networks over pixels; None where observations are rows of numbers.
    """

    def __init__(
        self,
        settings: Any,
        env: gym.vector.VectorEnv,
        seed: int,
        rollouts: int = 1,
        together: bool = True,
        hardware: Hardware | None = None,
    ) -> None:
        self.settings, self.rollout_steps, self.rollouts = settings, settings.rollout_steps, rollouts
        self.parameters: Any
        self.network: Any
        if hardware is not None:
            self._make_convolutional(env, seed, hardware)
        else:
            self._make_small(env, seed, together)
        scaled = getattr(settings, "scale_rewards", True)
        memory = getattr(settings, "scale_memory", 0) * rollouts
        self.scale = RewardScale(env.num_envs, settings.discount, settings.center_rewards, rollouts, scaled, memory)
        self.acting = seeding.generator(seed, "acting")
        self.shuffling = seeding.generator(seed, "minibatches")
        self.optimisers: dict[str, Any] = {}  # by the name under which they are saved

    def _make_small(self, env: gym.vector.VectorEnv, seed: int, together: bool) -> None:
        kind = getattr(self.settings, "convolutions", CONVOLUTIONS[0])
        require(
            kind == CONVOLUTIONS[0], f"policy setting convolutions = {kind!r}: the task has no pixels; leave it out"
        )
        (width,), space = env.single_observation_space.shape or (), env.single_action_space
        actor, critic = (width, *self.settings.hidden, input_count(space)), (width, *self.settings.hidden, 1)
        of_actor, of_critic = MLP.count(actor) + parameter_count(space), MLP.count(critic)
        self.parameters = Parameters(of_actor + of_critic if together else of_actor)
        self.critic_parameters = self.parameters if together else Parameters(of_critic)
        self.actor = MLP(actor, "tanh", self.parameters)
        self.critic = MLP(critic, "tanh", self.critic_parameters)
        self.distribution = distribution(space, self.parameters, getattr(self.settings, "initial_std", 1.0))
        initial = seeding.generator(seed, "policy initialisation")
        self.actor.initialise_orthogonal(initial, output_gain=0.01)
        self.critic.initialise_orthogonal(initial, output_gain=1.0)
        self.network = Separate(self.actor, self.critic)
        self.standardize: Any = Standardizer(width)

    def _make_convolutional(self, env: gym.vector.VectorEnv, seed: int, hardware: Hardware) -> None:
        from prefrl_core.policy.convolutional import Convolutional

        space = env.single_action_space
        initial, kind = seeding.generator(seed, "policy initialisation"), self.settings.convolutions
        self.network = Convolutional(input_count(space), self.settings.hidden, initial, hardware, kind)
        self.parameters = self.critic_parameters = self.network.parameters
        self.distribution = distribution(space, Parameters(parameter_count(space)))
        self.standardize = AsTheyAre()

    def act(self, observations: Array) -> NDArray[Any]:
        """Draw an action for each raw observation ``(envs, obs)``."""
        return self.distribution.draw(self.network.outputs(self.standardize(observations)), self.acting)

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the task is given them."""
        return self.distribution.executed(actions)

    def observe(self, rollout: Rollout) -> None:
        """Take in the rollout's observations; changes how later ones are standardized."""
        self.standardize.update(rollout.observations)

    def batch(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], learning: bool = True) -> Batch:
        """The rollout's rows with advantages (GAE) and value targets under ``rewards`` ``(steps, envs)``; with
        ``learning``, the network can go ``backward`` from them."""
        settings, shape, rows = self.settings, rewards.shape, rewards.size
        last = self.values(self.standardize(rollout.last_observations))
        final = self.values(self.standardize(rollout.final_observations))
        seen = self.standardize(rollout.observations)
        observations = self.network.prepare(seen.reshape(rows, *seen.shape[2:]))
        outputs, flat = self.network.forward(observations, learning)
        values = flat.reshape(shape).copy()
        scaled = self.scale(rewards, rollout.done)
        following = rollout.next_values(values, last, final)
        advantages = gae.advantages(
            scaled, values, following, rollout.terminated, rollout.done, settings.discount, settings.trace
        ).astype(np.float32)
        returns = advantages + values
        return Batch(
            observations=observations,
            outputs=outputs,
            values=flat,
            actions=rollout.drawn_actions.reshape(rows, *rollout.drawn_actions.shape[2:]),
            advantages=advantages.reshape(-1),
            returns=returns.reshape(-1),
            explained=1 - float(np.var(advantages) / (np.var(returns) + 1e-12)),
        )

    def values(self, observations: Any) -> Array:
        """The critic's values ``(rows,)`` of standardized observations."""
        values: Array = self.network.values(observations)
        return values

    def critic_loss(self, values: Array, returns: Array, weight: float) -> tuple[float, Array]:
        """Mean squared error of the critic's values ``(rows,)``, and ``weight`` times its gradient."""
        rows = np.float32(len(returns))
        error = values - returns
        return float(error @ error) / float(rows), error * np.float32(2 * weight / rows)

    def require_finite(self) -> None:
        """Raise UserError if learning has diverged."""
        both = (
            [self.parameters]
            if self.parameters is self.critic_parameters
            else [self.parameters, self.critic_parameters]
        )
        if not all(each.finite() for each in both):
            raise UserError("the policy diverged (parameters are not finite): lower its learning_rate")

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on."""
        return {
            **{name: optimiser.get_state() for name, optimiser in self.optimisers.items()},
            "standardize": self.standardize.get_state(),
            "scale": self.scale.get_state(),
            "acting": seeding.state_of(self.acting),
            "shuffling": seeding.state_of(self.shuffling),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        for name, optimiser in self.optimisers.items():
            optimiser.set_state(state[name])
        self.standardize.set_state(state["standardize"])
        self.scale.set_state(state["scale"])
        seeding.restore(self.acting, state["acting"])
        seeding.restore(self.shuffling, state["shuffling"])
