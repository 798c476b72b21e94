"""Advantage actor-critic, the synchronous form of Mnih et al. 2016, as Christiano et al. 2017 use it for Atari.

One RMSProp step on every few steps of all environments, which is why many rollouts pass between two looks at the
reward model. Settings are those of section A.2 of Christiano et al. where it gives them; its "Adam with alpha 0.99 and
epsilon 1e-5" is read as RMSProp with that decay, as in the public releases of A2C. Leaves out: one network with two
heads (ours are separate), asynchrony.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.hardware import Hardware
from prefrl_core.policy import hyperparameters
from prefrl_core.policy.actor_critic import ActorCritic, check_settings
from prefrl_core.rollout import Rollout
from prefrl_core.settings import later, of_pixels
from prefrl_core.tasks import TaskInfo


@dataclass(frozen=True)
class A2CSettings:
    """Settings of A2C; ``hyperparameters.py`` has those that differ by task."""

    environments: int = 16  # environments that are stepped together
    rollout_steps: int = 5  # n of the n-step returns; a gradient sees environments x rollout_steps steps
    rollouts: int = 25  # gradient steps between two fits of the reward model
    learning_rate: float = 7e-4  # at the start; falls linearly to 0
    decay: float = 0.99  # of RMSProp's running mean of squared gradients
    epsilon: float = 1e-5  # of RMSProp, added inside the square root
    discount: float = 0.99
    trace: float = 1.0  # lambda of GAE; 1 gives n-step returns
    entropy: float = 0.0  # weight of the entropy bonus; 0.01 for Atari
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
    anneal: float = of_pixels(1.0)  # the learning rate reaches 0 after this many lengths of the run
    convolutions: str = later("mnih2015")  # network over pixels; or "mnih2013", at a third of the cost

    def __post_init__(self) -> None:
        check_settings(self, ("rollouts",), ("learning_rate", "epsilon", "gradient_norm", "anneal"))

    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        """What differs by task: rewards are centred where every episode has the same length, and the table's row."""
        return hyperparameters.of("a2c", task)

    def make(self, env: gym.vector.VectorEnv, seed: int, hardware: Hardware | None = None) -> A2C:
        """An untrained policy for ``env``; ``hardware`` is given where observations are pixels."""
        return A2C(self, env, seed, hardware)


class A2C(ActorCritic):
    """Actor, critic and their optimiser."""

    def __init__(
        self, settings: A2CSettings, env: gym.vector.VectorEnv, seed: int, hardware: Hardware | None = None
    ) -> None:
        super().__init__(settings, env, seed, settings.rollouts, hardware=hardware)
        self.optimiser = self.parameters.rmsprop(settings.learning_rate, settings.decay, settings.epsilon)
        self.optimisers = {"optimiser": self.optimiser}

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """One gradient step on the whole rollout; returns what it measured."""
        settings, rows = self.settings, np.float32(rewards.size)
        batch = self.batch(rollout, rewards)
        self.optimiser.learning_rate = settings.learning_rate * max(0.0, 1 - progress / settings.anneal)
        old = self.distribution.log_prob(batch.outputs, batch.actions).copy()
        entropy = self.distribution.entropy()
        value_loss, value_gradient = self.critic_loss(batch.values, batch.returns, settings.value)
        self.network.backward(self.distribution.backward(-batch.advantages / rows, -settings.entropy), value_gradient)
        self.parameters.clip_gradient(settings.gradient_norm)
        self.optimiser.step()
        self.require_finite()
        measured = {}
        if self.network.cheap:
            log_ratio = self.distribution.log_prob(self.network.outputs(batch.observations), batch.actions) - old
            measured["policy_kl"] = float((np.exp(log_ratio) - 1 - log_ratio).mean())
        self.observe(rollout)
        return measured | {
            "policy_entropy": entropy,
            "value_loss": value_loss,
            "explained_variance": batch.explained,
            "learning_rate": self.optimiser.learning_rate,
        }
