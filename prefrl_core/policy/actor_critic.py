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
from prefrl_core.networks import MLP, Adam, Array, Parameters, RMSProp
from prefrl_core.policy import gae
from prefrl_core.policy.distributions import distribution, input_count, parameter_count
from prefrl_core.policy.normalize import RewardScale, Standardizer
from prefrl_core.policy.rollout import Rollout


@dataclass(frozen=True)
class Batch:
    """A rollout as rows in the order (step, environment), ready to learn from."""

    observations: Array  # (rows, obs), standardized
    actions: NDArray[Any]  # (rows, act), as drawn
    advantages: Array  # (rows,)
    returns: Array  # (rows,), targets of the critic
    explained: float  # share of the returns' variance that the critic's values explain


def check_settings(settings: Any, at_least_1: tuple[str, ...], above_0: tuple[str, ...]) -> None:
    """Raise UserError for a setting out of its range: those named, and what all optimisers have."""
    for name in ("environments", "rollout_steps", *at_least_1):
        require(getattr(settings, name) >= 1, f"policy setting {name} = {getattr(settings, name)}: at least 1")
    for name in above_0:
        require(getattr(settings, name) > 0, f"policy setting {name} = {getattr(settings, name)}: above 0")
    for name in ("discount", "trace"):
        require(0 <= getattr(settings, name) <= 1, f"policy setting {name} = {getattr(settings, name)}: in [0, 1]")
    require(
        all(width >= 1 for width in settings.hidden),
        f"policy setting hidden = {settings.hidden}: widths of at least 1",
    )


class ActorCritic:
    """Actor and critic with one vector of parameters each, or one for both.

    Args:
        settings: with ``rollout_steps``, ``hidden``, ``discount``, ``trace`` and ``center_rewards``.
        rollouts: rollouts, and improvements, between two looks at the reward model.
        together: one ``Parameters`` for both, so that one optimiser with one gradient norm steps them.
    """

    def __init__(
        self, settings: Any, env: gym.vector.VectorEnv, seed: int, rollouts: int = 1, together: bool = True
    ) -> None:
        (width,), space = env.single_observation_space.shape or (), env.single_action_space
        actor, critic = (width, *settings.hidden, input_count(space)), (width, *settings.hidden, 1)
        self.settings, self.rollout_steps, self.rollouts = settings, settings.rollout_steps, rollouts
        of_actor, of_critic = MLP.count(actor) + parameter_count(space), MLP.count(critic)
        self.parameters = Parameters(of_actor + of_critic if together else of_actor)
        self.critic_parameters = self.parameters if together else Parameters(of_critic)
        self.actor = MLP(actor, "tanh", self.parameters)
        self.critic = MLP(critic, "tanh", self.critic_parameters)
        self.distribution = distribution(space, self.parameters)
        initial = seeding.generator(seed, "policy initialisation")
        self.actor.initialise_orthogonal(initial, output_gain=0.01)
        self.critic.initialise_orthogonal(initial, output_gain=1.0)
        self.standardize = Standardizer(width)
        self.scale = RewardScale(env.num_envs, settings.discount, settings.center_rewards, rollouts)
        self.acting = seeding.generator(seed, "acting")
        self.shuffling = seeding.generator(seed, "minibatches")
        self.optimisers: dict[str, Adam | RMSProp] = {}  # by the name under which they are saved

    def act(self, observations: Array) -> NDArray[Any]:
        """Draw an action for each raw observation ``(envs, obs)``."""
        return self.distribution.draw(self.actor.forward(self.standardize(observations)), self.acting)

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the task is given them."""
        return self.distribution.executed(actions)

    def observe(self, rollout: Rollout) -> None:
        """Take in the rollout's observations; changes how later ones are standardized."""
        self.standardize.update(rollout.observations)

    def batch(self, rollout: Rollout, rewards: NDArray[np.floating[Any]]) -> Batch:
        """The rollout's rows with advantages (GAE) and value targets under ``rewards`` ``(steps, envs)``."""
        settings, shape, rows = self.settings, rewards.shape, rewards.size
        observations = self.standardize(rollout.observations).reshape(rows, -1)
        values = self.values(observations).reshape(shape)
        last = self.values(self.standardize(rollout.last_observations))
        final = self.values(self.standardize(rollout.final_observations))
        scaled = self.scale(rewards, rollout.done)
        following = rollout.next_values(values, last, final)
        advantages = gae.advantages(
            scaled, values, following, rollout.terminated, rollout.done, settings.discount, settings.trace
        ).astype(np.float32)
        returns = advantages + values
        return Batch(
            observations=observations,
            actions=rollout.drawn_actions.reshape(rows, *rollout.drawn_actions.shape[2:]),
            advantages=advantages.reshape(-1),
            returns=returns.reshape(-1),
            explained=1 - float(np.var(advantages) / (np.var(returns) + 1e-12)),
        )

    def values(self, observations: Array) -> Array:
        """The critic's values ``(rows,)`` of standardized observations."""
        return self.critic.forward(observations)[:, 0].copy()

    def critic_loss(self, observations: Array, returns: Array, weight: float) -> float:
        """Mean squared error of the critic; sets the critic's part of the gradient to ``weight`` times its own."""
        rows = np.float32(len(returns))
        error = self.critic.forward(observations)[:, 0] - returns
        self.critic.backward((error * np.float32(2 * weight / rows))[:, None])
        return float(error @ error) / float(rows)

    def require_finite(self) -> None:
        """Raise UserError if learning has diverged."""
        if not all(np.isfinite(each.values).all() for each in (self.parameters, self.critic_parameters)):
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
