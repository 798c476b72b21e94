"""Deep Q-learning from a replay, for discrete actions: double, dueling, with returns over several steps, as Ibarz et
al. 2018 learn from labels on Atari; ``q_learning.py`` has the update.

The replay holds each frame once. A predicted reward is never stale: a change of the reward model makes all that are
stored unknown, and those that a batch needs are predicted when it is drawn, once for each reward model.
Left out: priorities (the rewards they would follow from change with the reward model), noisy layers, distributions of
returns, demonstrations.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError, require
from prefrl_core.hardware import Hardware
from prefrl_core.networks import Array
from prefrl_core.normalize import AsTheyAre, Standardizer
from prefrl_core.policy import hyperparameters
from prefrl_core.policy.actor_critic import CONVOLUTIONS
from prefrl_core.policy.frame_replay import FrameReplay
from prefrl_core.policy.off_policy import OffPolicy
from prefrl_core.policy.protocol import Predictor
from prefrl_core.policy.q_learning import DoubleQ, Dueling
from prefrl_core.policy.replay import Drawn, Replay
from prefrl_core.rollout import Rollout
from prefrl_core.settings import of_pixels
from prefrl_core.tasks import TaskInfo

_STRETCH = 32  # updates whose batches are drawn together
_PREDICTED = 64  # observations whose rewards are predicted together: with 512, 1.4 times the time on pixels
_SCALE_RATE = 0.03  # weight of the newest stretch in the moving mean and standard deviation of the predicted rewards


@dataclass(frozen=True)
class DQNSettings:
    """Settings of DQN, for small tasks; ``hyperparameters.py`` has those over pixels. Settings without a reason are
    those of Rainbow (Hessel et al. 2018)."""

    environments: int = 8  # environments that are stepped together
    rollout_steps: int = 8  # steps of each environment between two series of updates
    rollouts: int = 16  # such series between two fits of the reward model; after a fit all rewards are predicted anew
    capacity: int = 100_000  # transitions that the replay holds; Rainbow: 1,000,000
    steps_per_update: int = 4  # environment steps for each update
    batch: int = 32  # transitions in an update
    hidden: tuple[int, ...] = (64, 64)  # widths of the layers; over pixels, behind the convolutions
    learning_rate: float = 1e-3  # Adam
    adam_epsilon: float = 1.5e-4  # keeps Adam's steps small while rewards are rare
    gradient_norm: float = 10.0  # largest norm, as in Wang et al. 2016
    discount: float = 0.99
    n_step: int = 3  # number of rewards that are summed before the target network's value is used
    target_updates: int = 100  # updates between two copies to the target network
    epsilon: float = 0.01  # final share of random actions
    epsilon_steps: int = 5_000  # environment steps of learning over which that share falls linearly from 1
    standardize: bool = True  # standardize observations by running moments; never pixels
    predicted_std: float = 0.1  # deviation that predicted rewards are scaled to, over the replay; 0 does not scale
    center_rewards: bool = False  # subtract the rewards' mean over the replay; for episodes of fixed length only
    convolutions: str = of_pixels("mnih2013")  # network over pixels; or "mnih2015", at three times the cost

    def __post_init__(self) -> None:
        for name in ("environments", "rollout_steps", "rollouts", "steps_per_update", "batch", "n_step"):
            require(getattr(self, name) >= 1, f"policy setting {name} = {getattr(self, name)}: at least 1")
        for name in ("learning_rate", "adam_epsilon", "gradient_norm"):
            require(getattr(self, name) > 0, f"policy setting {name} = {getattr(self, name)}: above 0")
        for name in ("target_updates", "epsilon_steps"):
            require(getattr(self, name) >= 1, f"policy setting {name} = {getattr(self, name)}: at least 1")
        for name in ("discount", "epsilon"):
            require(0 <= getattr(self, name) <= 1, f"policy setting {name} = {getattr(self, name)}: in [0, 1]")
        require(self.predicted_std >= 0, f"policy setting predicted_std = {self.predicted_std}: at least 0")
        widths = len(self.hidden) > 0 and all(width >= 1 for width in self.hidden)
        require(widths, f"policy setting hidden = {self.hidden}: widths of at least 1, for at least one layer")
        kinds, kind = ", ".join(CONVOLUTIONS), self.convolutions
        require(kind in CONVOLUTIONS, f"policy setting convolutions = {kind!r}: choose one of {kinds}")
        rollout = self.environments * self.rollout_steps
        require(
            self.capacity >= rollout,
            f"policy setting capacity = {self.capacity}: a rollout has {rollout} steps; raise it",
        )

    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        """What differs by task.

        Raises:
            UserError: the task hides the ends of its episodes, or shows those of games.
        """
        require(
            task.pixels == task.endless,
            f"policy 'dqn' on {task.id}: it knows pixels without an end, and rows of numbers with one; choose policy = "
            "'a2c'",
        )
        return hyperparameters.of("dqn", task)

    def make(self, env: gym.vector.VectorEnv, seed: int, hardware: Hardware | None = None) -> DQN:
        """An untrained policy for ``env``; ``hardware`` is given where observations are pixels."""
        return DQN(self, env, seed, hardware)


class DQN(OffPolicy):
    """Two networks and the replay.

    Raises:
        UserError: the task's actions are not discrete.
    """

    _PARTS = ("learner", "standardizer")
    _PROGRESS = ("learned", "owed", "reward_mean", "reward_std")
    _GENERATORS = ("acting", "drawing")

    def __init__(
        self, settings: DQNSettings, env: gym.vector.VectorEnv, seed: int, hardware: Hardware | None = None
    ) -> None:
        self.settings, self.rollout_steps, self.rollouts = settings, settings.rollout_steps, settings.rollouts
        space, seen = env.single_action_space, env.single_observation_space
        if not isinstance(space, gym.spaces.Discrete):
            raise UserError(
                f"policy 'dqn': it chooses between discrete actions, and the task takes {space}; choose policy = 'sac'"
            )
        self.choices, shape = int(space.n), seen.shape or ()
        require(
            hardware is not None or settings.convolutions == DQNSettings.convolutions,
            f"policy setting convolutions = {settings.convolutions!r}: the task has no pixels; leave it out",
        )
        self.standardizer: Any
        if hardware is not None:
            self.replay = FrameReplay(settings.capacity, env.num_envs, shape[1:], self.choices)
        else:
            self.replay = Replay(settings.capacity, env.num_envs, shape[0], self.choices)
        standardizes = hardware is None and settings.standardize
        self.standardizer = Standardizer(shape[0]) if standardizes else AsTheyAre()
        initial = seeding.generator(seed, "policy initialisation")
        self.learner = DoubleQ(settings, lambda: Dueling(seen, self.choices, settings, initial, hardware))
        self.acting, self.drawing = seeding.generator(seed, "acting"), seeding.generator(seed, "replay")
        self.reward: Predictor | None = None
        self.unknown = np.zeros(len(self.replay.rewards), np.bool_)  # places whose reward is that of an older model
        self.learned = 0  # environment steps that it was given to improve from
        self.owed = 0  # of them, those that no update was taken for yet

    @property
    def updates(self) -> int:
        """Updates taken."""
        return self.learner.updates

    @property
    def epsilon(self) -> float:
        """The share of random actions: all of them before anything is learned."""
        share = min(1.0, self.learned / self.settings.epsilon_steps)
        return 1 + share * (self.settings.epsilon - 1)

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """The best action for each raw observation ``(envs, obs)``, or a random one."""
        count = len(observations)
        explores = self.acting.random(count) < self.epsilon
        actions = self.acting.integers(0, self.choices, count)
        if not explores.all():
            best = self.learner.online.values(self.standardizer(observations)).argmax(1)
            actions = np.where(explores, actions, best)
        return actions

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the task is given them."""
        return actions

    def observe(self, rollout: Rollout, rewards: NDArray[Any] | None = None) -> None:
        """Remember a rollout without learning from it; ``rewards`` where they are known."""
        taken = np.eye(self.choices, dtype=np.float32)[rollout.actions]
        places = self.replay.add(replace(rollout, actions=taken), rewards)
        self.unknown[places] = rewards is None
        self.standardizer.update(rollout.observations)

    def reward_changed(self, reward: Predictor) -> None:
        """From now on rewards are what this says."""
        self.reward, self.replay.predicted = reward, True
        self.unknown[:] = reward.context == 1
        if reward.context > 1:
            self.replay.relabel(reward)

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """Remember a rollout and take the updates that are due; returns what they measured."""
        self.observe(rollout, rewards)
        self.learned += rewards.size
        count, self.owed = divmod(self.owed + rewards.size, self.settings.steps_per_update)
        losses = [self._stretch(min(_STRETCH, count - first)) for first in range(0, count, _STRETCH)]
        self.learner.require_finite()
        loss = float(np.concatenate([*losses, np.zeros(1 - min(1, count))]).mean())
        return {"value_loss": loss, "learning_rate": self.settings.learning_rate}

    def _stretch(self, updates: int) -> list[float]:
        """So many updates, whose batches are drawn together; their losses."""
        settings, rows = self.settings, self.settings.batch
        drawn = self.replay.draw(
            updates * rows, settings.n_step, settings.discount, self.drawing, rewarded=self.reward is None
        )
        returns = self._returns(drawn)
        parts = (slice(first, first + rows) for first in range(0, updates * rows, rows))
        return [self._update(drawn.part(columns), returns[columns]) for columns in parts]

    def _update(self, drawn: Drawn, returns: Array) -> float:
        rows, shape = len(returns), self.replay.apart.shape[1:]
        states = np.empty((1, 2, rows, *shape), self.replay.kind)
        self.replay.take(drawn, states)
        before, after = (self.standardizer(one) for one in states[0])
        actions = self.replay.actions[drawn.places[0]].argmax(1)
        return self.learner.update(before, after, actions, returns, drawn.bootstrap)

    def _returns(self, drawn: Drawn) -> Array:
        """Sums ``(drawn,)`` of the rewards of each transition's steps, discounted; predicted ones are scaled first."""
        counted = drawn.weights > 0
        if self.reward is not None:
            self._predict(drawn.places[counted])
        rewards = self.replay.rewards[drawn.places]
        self._follow_scale(rewards[counted], _SCALE_RATE)
        if self.settings.center_rewards:
            rewards = rewards - np.float32(self.reward_mean)
        if self.settings.predicted_std and self.reward is not None:
            rewards = rewards * np.float32(self.settings.predicted_std / self.reward_scale)
        return np.einsum("sb,sb->b", rewards, drawn.weights)

    def _predict(self, places: NDArray[np.int64]) -> None:
        """Predict the rewards at these places that the present model has not predicted yet."""
        # Never dearer than to predict the whole replay anew after each fit. On Pong three members take 0.36 ms a step.
        # The 1,024 updates between two fits draw 98,304 rewards, which are those of 56,600 steps of 80,000: 20 s in
        # place of 29 (and of 35 if each were predicted whenever it is drawn). The updates themselves take 22 s.
        assert self.reward is not None
        wanted = np.unique(places[self.unknown[places]])
        for start in range(0, len(wanted), _PREDICTED):
            some = wanted[start : start + _PREDICTED]
            self.replay.rewards[some] = self.reward.predict(self.replay.features(some))
        self.unknown[wanted] = False
