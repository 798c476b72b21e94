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

from prefrl_core.hardware import Hardware
from prefrl_core.networks import Array
from prefrl_core.policy import hyperparameters
from prefrl_core.policy.actor_critic import ActorCritic, check_settings, require_rows
from prefrl_core.rollout import Rollout
from prefrl_core.settings import later, of_pixels
from prefrl_core.tasks import TaskInfo


@dataclass(frozen=True)
class PPOSettings:
    """Settings of PPO; ``hyperparameters.py`` has those that differ by task."""

    environments: int = 16  # environments that are stepped together
    rollout_steps: int = 128  # a rollout is environments x rollout_steps
    epochs: int = 10  # passes over a rollout
    minibatch: int = 256  # steps in one gradient step
    learning_rate: float = 3e-4  # at the start; falls linearly to 0
    discount: float = 0.99
    trace: float = 0.95  # lambda of GAE
    clip: float = 0.2  # range of the probability ratio: 1 - clip to 1 + clip
    entropy: float = 0.0  # weight of the entropy bonus
    value: float = 0.5  # weight of the value loss
    gradient_norm: float = 0.5
    center_rewards: bool = False  # subtract a moving mean of the reward; for episodes of fixed length only
    hidden: tuple[int, ...] = (
        64,
        64,
    )  # widths of the tanh layers of actor and critic; of pixels, behind the convolutions
    scale_rewards: bool = of_pixels(True)  # divide rewards by the running deviation of the discounted return
    scale_memory: int = later(0)  # number of newest turns over which this deviation is measured; 0 takes all
    initial_std: float = later(1.0)  # standard deviation of continuous actions at the start
    convolutions: str = later("mnih2015")  # network over pixels; or "mnih2013", at a third of the cost

    def __post_init__(self) -> None:
        check_settings(self, ("epochs",), ("learning_rate", "clip", "gradient_norm"))
        require_rows("minibatch", self.minibatch)
        require_rows("environments x rollout_steps", self.environments * self.rollout_steps)

    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        """What differs by task: rewards are centred where every episode has the same length, and the table's row."""
        return hyperparameters.of("ppo", task)

    def make(self, env: gym.vector.VectorEnv, seed: int, hardware: Hardware | None = None) -> PPO:
        """An untrained policy for ``env``; ``hardware`` is given where observations are pixels."""
        return PPO(self, env, seed, hardware)


class PPO(ActorCritic):
    """Actor, critic and their optimiser."""

    def __init__(
        self, settings: PPOSettings, env: gym.vector.VectorEnv, seed: int, hardware: Hardware | None = None
    ) -> None:
        super().__init__(settings, env, seed, hardware=hardware)
        self.optimiser = self.parameters.adam(settings.learning_rate, epsilon=1e-5)
        self.optimisers = {"optimiser": self.optimiser}

    @property
    def updates(self) -> int:
        """Gradient steps taken."""
        return int(self.optimiser.steps)

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """Several epochs of minibatches over the rollout; returns what they measured."""
        settings, rows = self.settings, rewards.size
        batch = self.batch(rollout, rewards, learning=False)
        old = self.distribution.log_prob(batch.outputs, batch.actions).copy()
        self.optimiser.learning_rate = settings.learning_rate * (1 - progress)
        measured = []
        others = (batch.actions, batch.advantages, batch.returns, old)
        for _ in range(settings.epochs):
            order = self.shuffling.permutation(rows)
            shuffled = [part[order] for part in others]
            for start in range(0, rows, settings.minibatch):
                here = slice(start, start + settings.minibatch)
                observations = self.network.rows(batch.observations, order[here])
                measured.append(self._step(observations, *(part[here] for part in shuffled)))
        self.require_finite()
        self.observe(rollout)
        kl, clipped, value_loss = np.mean(measured, axis=0)
        return {
            "policy_kl": float(kl),
            "policy_clip_fraction": float(clipped),
            "policy_entropy": self.distribution.entropy(),
            "value_loss": float(value_loss),
            "explained_variance": batch.explained,
            "learning_rate": self.optimiser.learning_rate,
        }

    def _step(
        self, observations: Any, actions: NDArray[Any], advantages: Array, returns: Array, old: Array
    ) -> tuple[float, float, float]:
        """One gradient step on one minibatch; returns approximate KL, clipped share and value loss."""
        settings, rows = self.settings, np.float32(len(old))
        advantages = (advantages - advantages.mean()) / (advantages.std() + np.float32(1e-8))
        outputs, values = self.network.forward(observations)
        log_ratio = self.distribution.log_prob(outputs, actions) - old
        ratio = np.exp(log_ratio)
        clipped = np.where(advantages > 0, ratio > 1 + settings.clip, ratio < 1 - settings.clip)
        # equation 7: where the clipped term is the smaller one, its gradient is 0
        weights = np.where(clipped, np.float32(0), -ratio * advantages / rows)
        value_loss, value_gradient = self.critic_loss(values, returns, settings.value)
        self.network.backward(self.distribution.backward(weights, -settings.entropy), value_gradient)
        self.parameters.clip_gradient(settings.gradient_norm)
        self.optimiser.step()
        kl = float((ratio - 1 - log_ratio).mean())
        return kl, float(np.mean(np.abs(ratio - 1) > settings.clip)), value_loss
