"""Trust region policy optimization (Schulman et al. 2015), the method of Christiano et al. 2017 on MuJoCo.

Each rollout gives one step of the policy along the natural gradient: conjugate gradients on Fisher-vector products,
scaled to the KL bound, then shortened until the surrogate improves and the bound holds (appendix C). The critic is
fitted by Adam on minibatches. Christiano et al. print discount 0.995 and lambda 0.97; what they leave open follows
the authors' released code (rl-teacher) where it says (batch of about 8,000 steps), else common practice.
Leaves out: subsampling the Fisher matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.networks import MLP, Adam, Array, Parameters
from prefrl_core.policy import hyperparameters
from prefrl_core.policy.actor_critic import ActorCritic, Batch, check_settings, require_rows
from prefrl_core.policy.distributions import distribution
from prefrl_core.rollout import Rollout
from prefrl_core.settings import later
from prefrl_core.tasks import TaskInfo


@dataclass(frozen=True)
class TRPOSettings:
    """Settings of TRPO; ``hyperparameters.py`` has those that differ by task."""

    environments: int = 16  # environments that are stepped together
    rollout_steps: int = 128  # a rollout is environments x rollout_steps
    kl: float = 0.03  # bound on the mean KL divergence between old and new policy in a step; falls linearly to 0
    conjugate_steps: int = 10  # steps of the conjugate gradient method
    damping: float = 0.1  # added to the Fisher matrix's diagonal
    line_search_steps: int = 10  # most tries of the line search
    line_search_factor: float = 0.8  # length of each try, relative to the one before
    critic_epochs: int = 10  # passes of the critic over a rollout
    critic_minibatch: int = 128  # steps in one gradient step of the critic
    critic_learning_rate: float = 1e-3  # Adam
    discount: float = 0.995
    trace: float = 0.97  # lambda of GAE
    entropy: float = 0.0  # weight of the entropy bonus in the surrogate
    center_rewards: bool = False  # subtract a moving mean of the reward; for episodes of fixed length only
    hidden: tuple[int, ...] = (64, 64)  # widths of the tanh layers of actor and critic
    scale_memory: int = later(0)  # number of newest turns over which the scale of rewards is measured; 0 takes all
    initial_std: float = later(1.0)  # standard deviation of continuous actions at the start

    def __post_init__(self) -> None:
        counts = ("conjugate_steps", "line_search_steps", "critic_epochs", "critic_minibatch")
        check_settings(self, counts, ("kl", "damping", "line_search_factor", "critic_learning_rate"))
        require_rows("environments x rollout_steps", self.environments * self.rollout_steps)

    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        """What differs by task: rewards are centred where every episode has the same length, and the table's row."""
        return hyperparameters.of("trpo", task)

    def make(self, env: gym.vector.VectorEnv, seed: int) -> TRPO:
        """An untrained policy for ``env``."""
        return TRPO(self, env, seed)


class TRPO(ActorCritic):
    """Actor, critic, and the natural gradient of the one and the optimiser of the other."""

    def __init__(self, settings: TRPOSettings, env: gym.vector.VectorEnv, seed: int) -> None:
        super().__init__(settings, env, seed, together=False)
        self.critic_optimiser = Adam(self.critic_parameters, settings.critic_learning_rate)
        self.optimisers = {"critic": self.critic_optimiser}
        # a network whose parameters are a direction in the actor's
        space = env.single_action_space
        self._direction = Parameters(len(self.parameters.values))
        self._direction_actor = MLP(self.actor.sizes, "tanh", self._direction)
        self._direction_distribution = distribution(space, self._direction)

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """One step of the policy within its trust region, then the critic's epochs; returns what they measured."""
        batch = self.batch(rollout, rewards)
        advantages = (batch.advantages - batch.advantages.mean()) / (batch.advantages.std() + np.float32(1e-8))
        kl, entropy = self._improve_actor(batch, advantages, self.settings.kl * (1 - progress))
        value_loss = self._fit_critic(batch)
        self.require_finite()
        self.observe(rollout)
        return {
            "policy_kl": kl,
            "policy_entropy": entropy,
            "value_loss": value_loss,
            "explained_variance": batch.explained,
            "learning_rate": self.critic_optimiser.learning_rate,
        }

    def _improve_actor(self, batch: Batch, advantages: Array, bound: float) -> tuple[float, float]:
        """The step within the bound; returns the mean KL divergence that it came to and the entropy before it."""
        settings, rows = self.settings, np.float32(len(advantages))
        old = self.distribution.log_prob(batch.outputs, batch.actions).copy()
        entropy = self.distribution.entropy()
        self.actor.backward(self.distribution.backward(advantages / rows, settings.entropy))
        gradient = self.parameters.gradient.copy()
        self.parameters.gradient[:] = 0
        start = self.parameters.values.copy()
        self.distribution.remember(self.actor.forward(batch.observations))
        natural = conjugate_gradient(
            lambda v: self.fisher_product(batch.observations, v), gradient, settings.conjugate_steps
        )
        curvature = float(natural @ self.fisher_product(batch.observations, natural))
        if curvature <= 0:  # no gradient: every advantage is the same
            return 0.0, entropy
        step = natural * np.float32(np.sqrt(2 * bound / curvature))
        before = settings.entropy * entropy  # the surrogate's first term, the mean normalised advantage, is 0
        for _ in range(settings.line_search_steps):
            self.parameters.values[:] = start + step
            inputs = self.actor.forward(batch.observations)
            ratio = np.exp(self.distribution.log_prob(inputs, batch.actions) - old)
            surrogate = float(ratio @ advantages) / float(rows) + settings.entropy * self.distribution.entropy()
            kl = self.distribution.divergence(inputs)
            if kl <= bound and surrogate > before:
                return kl, entropy
            step *= np.float32(settings.line_search_factor)
        self.parameters.values[:] = start
        return 0.0, entropy

    def fisher_product(self, observations: Array, vector: Array) -> Array:
        """Fisher matrix of the actor at ``observations`` (the Hessian of the mean KL divergence, averaged over rows)
        plus damping, times ``vector``. Changes no parameter.

        It is J' M J: the tangent of the outputs along ``vector``, weighed by the distribution's own Fisher matrix,
        and taken back through the network.
        """
        gradient = self.parameters.gradient
        self._direction.values[:] = vector
        outputs = self.actor.forward(observations)
        tangents = self.actor.tangent(self._direction_actor)
        self.actor.backward(self.distribution.fisher(outputs, tangents, self._direction_distribution))
        product = gradient + np.float32(self.settings.damping) * vector
        gradient[:] = 0
        return product

    def _fit_critic(self, batch: Batch) -> float:
        """Epochs of minibatches; returns the mean loss."""
        settings, rows, losses = self.settings, len(batch.returns), []
        for _ in range(settings.critic_epochs):
            order = self.shuffling.permutation(rows)
            observations, returns = batch.observations[order], batch.returns[order]
            for start in range(0, rows, settings.critic_minibatch):
                part = slice(start, start + settings.critic_minibatch)
                values = self.critic.forward(observations[part])[:, 0]
                loss, gradient = self.critic_loss(values, returns[part], 1.0)
                self.critic.backward(gradient[:, None])
                losses.append(loss)
                self.critic_optimiser.step()
        return float(np.mean(losses))

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on."""
        return {**super().get_state(), "actor": self.parameters.values.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.parameters.values[:] = state["actor"]


def conjugate_gradient(product: Any, target: Array, steps: int) -> Array:
    """Approximate solution ``x`` of ``product(x) = target`` for a symmetric positive definite ``product``."""
    solution, residual = np.zeros_like(target), target.copy()
    direction, squared = target.copy(), float(target @ target)
    for _ in range(steps):
        if squared < 1e-10:
            break
        image = product(direction)
        length = np.float32(squared / float(direction @ image))
        solution += length * direction
        residual -= length * image
        squared, previous = float(residual @ residual), squared
        direction = residual + np.float32(squared / previous) * direction
    return solution
