"""Proximal policy optimization (Schulman et al. 2017) with separate actor and critic.

Details: orthogonal initialisation; observations standardized and rewards scaled by running moments; advantages
normalised in each minibatch; time limits bootstrapped; clipped surrogate, value loss not clipped; one Adam with one
gradient norm for both networks; learning rate decayed linearly to 0. Leaves out: early stopping on KL, recurrence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import registry, seeding
from prefrl_core.errors import UserError, require
from prefrl_core.networks import MLP, Adam, Array, Parameters, clip_norm
from prefrl_core.policy import gae, hyperparameters
from prefrl_core.policy.distributions import distribution, input_count, parameter_count
from prefrl_core.policy.normalize import RewardScale, Standardizer
from prefrl_core.policy.rollout import Rollout
from prefrl_core.tasks import TaskInfo


@registry.register("policy", "ppo")
@dataclass(frozen=True)
class PPOSettings:
    """Settings of PPO; ``hyperparameters.py`` has those that differ by task."""

    environments: int = 16  # stepped together
    rollout_steps: int = 128  # a rollout is environments x rollout_steps
    epochs: int = 10  # passes over a rollout
    minibatch: int = 256  # steps a gradient
    learning_rate: float = 3e-4  # at the start; falls linearly to 0
    discount: float = 0.99
    trace: float = 0.95  # lambda of GAE
    clip: float = 0.2  # of the probability ratio
    entropy: float = 0.0  # weight of the entropy bonus
    value: float = 0.5  # weight of the value loss
    gradient_norm: float = 0.5
    center_rewards: bool = False  # subtract a moving mean of the reward; for episodes of fixed length only
    hidden: tuple[int, ...] = (64, 64)  # widths of the tanh layers of actor and critic

    def __post_init__(self) -> None:
        for name in ("environments", "rollout_steps", "epochs", "minibatch"):
            require(getattr(self, name) >= 1, f"policy setting {name} = {getattr(self, name)}: at least 1")
        for name in ("learning_rate", "clip", "gradient_norm"):
            require(getattr(self, name) > 0, f"policy setting {name} = {getattr(self, name)}: above 0")
        for name in ("discount", "trace"):
            require(0 <= getattr(self, name) <= 1, f"policy setting {name} = {getattr(self, name)}: in [0, 1]")
        require(
            all(width >= 1 for width in self.hidden), f"policy setting hidden = {self.hidden}: widths of at least 1"
        )

    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        """What differs by task: rewards are centred where every episode has the same length, and the table's row."""
        return {"center_rewards": task.fixed_length, **hyperparameters.PPO.get(hyperparameters.stem(task.id), {})}

    def make(self, env: gym.vector.VectorEnv, seed: int) -> PPO:
        """An untrained policy for ``env``."""
        return PPO(self, env, seed)


class PPO:
    """Actor, critic and their optimiser."""

    def __init__(self, settings: PPOSettings, env: gym.vector.VectorEnv, seed: int) -> None:
        (width,), space = env.single_observation_space.shape or (), env.single_action_space
        outputs = input_count(space)
        actor, critic = (width, *settings.hidden, outputs), (width, *settings.hidden, 1)
        self.settings, self.rollout_steps = settings, settings.rollout_steps
        self.parameters = Parameters(MLP.count(actor) + MLP.count(critic) + parameter_count(space))
        self.actor = MLP(actor, "tanh", self.parameters)
        self.critic = MLP(critic, "tanh", self.parameters)
        self.distribution = distribution(space, self.parameters)
        initial = seeding.generator(seed, "policy initialisation")
        self.actor.initialise_orthogonal(initial, output_gain=0.01)
        self.critic.initialise_orthogonal(initial, output_gain=1.0)
        self.optimiser = Adam(self.parameters, settings.learning_rate, epsilon=1e-5)
        self.standardize = Standardizer(width)
        self.scale = RewardScale(env.num_envs, settings.discount, settings.center_rewards)
        self.acting = seeding.generator(seed, "acting")
        self.shuffling = seeding.generator(seed, "minibatches")

    def act(self, observations: Array) -> NDArray[Any]:
        """Draw an action for each raw observation ``(envs, obs)``."""
        return self.distribution.draw(self.actor.forward(self.standardize(observations)), self.acting)

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the task is given them."""
        return self.distribution.executed(actions)

    def observe(self, rollout: Rollout) -> None:
        """Take in the rollout's observations; changes how later ones are standardized."""
        self.standardize.update(rollout.observations)

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """Several epochs of minibatches over the rollout; returns what they measured."""
        settings, rows = self.settings, rewards.size
        flat = (rows, -1)
        observations = self.standardize(rollout.observations).reshape(flat)
        actions = rollout.drawn_actions.reshape(rows, *rollout.drawn_actions.shape[2:])
        advantages, returns, explained = self._estimate(rollout, observations, rewards)
        old = self.distribution.log_prob(self.actor.forward(observations), actions).copy()
        self.optimiser.learning_rate = settings.learning_rate * (1 - progress)
        measured = []
        for _ in range(settings.epochs):
            order = self.shuffling.permutation(rows)
            shuffled = [part[order] for part in (observations, actions, advantages, returns, old)]
            for start in range(0, rows, settings.minibatch):
                measured.append(self._step(*(part[start : start + settings.minibatch] for part in shuffled)))
        if not np.isfinite(self.parameters.values).all():
            raise UserError("the policy diverged (parameters are not finite): lower its learning_rate")
        self.observe(rollout)
        kl, clipped, value_loss = np.mean(measured, axis=0)
        return {
            "policy_kl": float(kl),
            "policy_clip_fraction": float(clipped),
            "policy_entropy": self.distribution.entropy(),
            "value_loss": float(value_loss),
            "explained_variance": explained,
            "learning_rate": self.optimiser.learning_rate,
        }

    def _estimate(self, rollout: Rollout, observations: Array, rewards: NDArray[Any]) -> tuple[Array, Array, float]:
        """Advantages and value targets of all steps (flat), and how much of the targets the critic explains."""
        shape = rewards.shape
        values = self._values(observations).reshape(shape)
        last = self._values(self.standardize(rollout.last_observations))
        final = self._values(self.standardize(rollout.final_observations))
        scaled = self.scale(rewards, rollout.done)
        following = rollout.next_values(values, last, final)
        advantages = gae.advantages(
            scaled, values, following, rollout.terminated, rollout.done, self.settings.discount, self.settings.trace
        ).astype(np.float32)
        returns = advantages + values
        explained = 1 - float(np.var(advantages) / (np.var(returns) + 1e-12))
        return advantages.reshape(-1), returns.reshape(-1), explained

    def _values(self, observations: Array) -> Array:
        """The critic's values ``(rows,)`` of standardized observations."""
        return self.critic.forward(observations)[:, 0].copy()

    def _step(
        self, observations: Array, actions: NDArray[Any], advantages: Array, returns: Array, old: Array
    ) -> tuple[float, float, float]:
        """One gradient step on one minibatch; returns approximate KL, clipped share and value loss."""
        settings, rows = self.settings, np.float32(len(old))
        advantages = (advantages - advantages.mean()) / (advantages.std() + np.float32(1e-8))
        log_ratio = self.distribution.log_prob(self.actor.forward(observations), actions) - old
        ratio = np.exp(log_ratio)
        clipped = np.where(advantages > 0, ratio > 1 + settings.clip, ratio < 1 - settings.clip)
        # equation 7: where the clipped term is the smaller one, its gradient is 0
        weights = np.where(clipped, np.float32(0), -ratio * advantages / rows)
        self.actor.backward(self.distribution.backward(weights, -settings.entropy))
        error = self.critic.forward(observations)[:, 0] - returns
        self.critic.backward((error * np.float32(2 * settings.value / rows))[:, None])
        clip_norm(self.parameters.gradient, settings.gradient_norm)
        self.optimiser.step()
        kl = float((ratio - 1 - log_ratio).mean())
        return kl, float(np.mean(np.abs(ratio - 1) > settings.clip)), float(error @ error) / float(rows)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on."""
        return {
            "optimiser": self.optimiser.get_state(),
            "standardize": self.standardize.get_state(),
            "scale": self.scale.get_state(),
            "acting": seeding.state_of(self.acting),
            "shuffling": seeding.state_of(self.shuffling),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.optimiser.set_state(state["optimiser"])
        self.standardize.set_state(state["standardize"])
        self.scale.set_state(state["scale"])
        seeding.restore(self.acting, state["acting"])
        seeding.restore(self.shuffling, state["shuffling"])
