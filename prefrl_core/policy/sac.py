"""Soft actor-critic for many environments and one processor core; ``soft.py`` has its equations.

Every ``steps_per_update`` environment steps there is one update. A replay holds raw transitions. When the reward is
learned, the rewards of a batch are predicted as it is drawn, so that none is ever stale; a reward that sees several
steps at once relabels the whole replay when it changes (``reward_changed``).
Left out: discrete actions, pixels, prioritised replay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import require
from prefrl_core.networks import Array
from prefrl_core.normalize import Standardizer
from prefrl_core.policy import exploration, hyperparameters, look_ahead
from prefrl_core.policy.off_policy import OffPolicy
from prefrl_core.policy.protocol import Predictor
from prefrl_core.policy.replay import Drawn, Replay
from prefrl_core.policy.soft import SoftActorCritic, Stretch
from prefrl_core.policy.squashed import Squashed
from prefrl_core.rollout import Rollout
from prefrl_core.settings import later
from prefrl_core.tasks import TaskInfo

_SCALE_ROWS, _SCALE_RATE = 4096, 0.1  # steps over which the rewards' scale is measured at each improvement; its weight
_STRETCH = 32  # updates whose batches are drawn together
_SLOWEST, _FASTEST = 64, 1  # environment steps an update: beyond these the learner starves, or drowns in each step


@dataclass(frozen=True)
class SACSettings:
    """Settings of SAC; ``hyperparameters.py`` has those that differ by task, docs/control-tuning.csv what was tried."""

    environments: int = 16  # environments that are stepped together
    rollout_steps: int = 32  # steps of each environment between two series of updates
    rollouts: int = 4  # such series of updates between two fits of the reward model
    capacity: int = 1_000_000  # transitions that the replay holds
    steps_per_update: int = 8  # environment steps for each update
    batch: int = 128  # transitions in an update; 256 take 1.6 times as long and learn no better on HalfCheetah
    hidden: tuple[int, ...] = (128, 128)  # widths of the ReLU layers of actor and critics
    layer_norm: bool = False  # standardize the critics' hidden layers
    actor_learning_rate: float = 1e-3  # Adam, also for the temperature
    critic_learning_rate: float = 1e-3  # Adam
    anneal: float = 0.0  # share by which the learning rates have fallen at the end of the run
    discount: float = 0.99
    n_step: int = 1  # number of rewards that are summed before the critic's value is used
    tau: float = 0.005  # rate at which the target critics follow the critics in an update
    actor_delay: int = 1  # updates of the critics for each update of actor and temperature
    target_entropy: float = -1.0  # nats for each action dimension
    temperature: float = 1.0  # initial value
    random_steps: int = 0  # environment steps of random actions before the exploration; see also ``act``
    # Environment steps of unsupervised exploration after the random ones, before the first question. It is longer where
    # an episode of each environment takes more steps.
    explore_steps: int = 0
    reset_critic: bool = True  # initialise the critics again after the exploration
    standardize: bool = True  # standardize observations by running moments
    scale_rewards: bool = True  # divide rewards by their standard deviation over the replay
    center_rewards: bool = False  # subtract the rewards' mean over the replay; for episodes of fixed length only
    # Half of each batch is drawn from this number of newest transitions, the rest from all; 0 draws all from all
    # (Hu et al. 2024, QPA, section 4.2: hybrid experience replay; the release takes the newest 10 episodes, 10,000).
    recent: int = later(0)
    # Share of the actions' range that is used. Ant's full torques, drawn at random, turn it over within 200 steps.
    action_limit: float = later(1.0)
    # In three of four environments episodes are truncated after so many steps; 0: nowhere. Where a fall lasts until the
    # end of an episode, most of what is seen would else be falls. Returns are those of the whole episodes.
    short_episodes: int = later(0)
    looks_ahead: ClassVar[bool] = True  # it can tell how its critic depends on the rewards (``LooksAhead``)

    def __post_init__(self) -> None:
        self._check_ranges()
        require(
            _FASTEST <= self.steps_per_update <= _SLOWEST,
            f"policy setting steps_per_update = {self.steps_per_update}: in [{_FASTEST}, {_SLOWEST}]; with fewer the "
            "learner drowns in updates, with more it starves",
        )
        require(
            self.random_steps == 0 or self.explore_steps > 0,
            f"policy setting random_steps = {self.random_steps} with explore_steps = 0: without exploration "
            "all actions are random until the first improvement; leave it out",
        )
        rollout = self.environments * self.rollout_steps
        require(
            self.capacity >= rollout,
            f"policy setting capacity = {self.capacity}: a rollout has {rollout} steps; raise it",
        )
        require(
            not self.short_episodes or self.environments > 1,
            f"policy setting short_episodes = {self.short_episodes} with environments = 1: the only one keeps whole "
            "episodes; leave it out",
        )
        require(
            self.recent <= self.capacity,
            f"policy setting recent = {self.recent}: the replay holds {self.capacity} transitions (capacity); lower it",
        )

    def _check_ranges(self) -> None:
        lowest = dict.fromkeys(("environments", "rollout_steps", "rollouts", "batch", "n_step", "actor_delay"), 1)
        lowest |= dict.fromkeys(("random_steps", "explore_steps", "recent", "short_episodes"), 0)
        for name, least in lowest.items():
            value = getattr(self, name)
            require(value >= least, f"policy setting {name} = {value}: at least {least}")
        for name in ("actor_learning_rate", "critic_learning_rate", "temperature", "tau"):
            require(getattr(self, name) > 0, f"policy setting {name} = {getattr(self, name)}: above 0")
        require(0 < self.action_limit <= 1, f"policy setting action_limit = {self.action_limit}: in (0, 1]")
        for name in ("discount", "tau", "anneal"):
            require(0 <= getattr(self, name) <= 1, f"policy setting {name} = {getattr(self, name)}: in [0, 1]")
        widths = len(self.hidden) > 0 and all(width >= 1 for width in self.hidden)
        require(widths, f"policy setting hidden = {self.hidden}: widths of at least 1, for at least one layer")

    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        """What differs by task.

        Raises:
            UserError: the task has pixels, or hides the ends of its episodes.
        """
        require(
            not (task.pixels or task.endless),
            f"policy 'sac' on {task.id}: it knows neither pixels nor tasks without an end; choose policy = 'a2c'",
        )
        return hyperparameters.of("sac", task)

    def make(self, env: gym.vector.VectorEnv, seed: int) -> SAC:
        """An untrained policy for ``env``."""
        return SAC(self, env, seed)


class SAC(OffPolicy):
    """Actor, critics, their targets, the temperature, and the replay."""

    _PARTS = ("soft", "standardizer")
    _PROGRESS = ("improved", "owed", "reward_mean", "reward_std")
    _GENERATORS = ("initial", "acting", "drawing")

    def __init__(self, settings: SACSettings, env: gym.vector.VectorEnv, seed: int) -> None:
        self.settings, self.rollout_steps, self.rollouts = settings, settings.rollout_steps, settings.rollouts
        self.squashed = Squashed(env.single_action_space, settings.action_limit)
        (width,), act = env.single_observation_space.shape or (), self.squashed.size
        self.width = width
        self.replay = Replay(settings.capacity, env.num_envs, width, act)
        self.standardizer = Standardizer(width)
        self.initial = seeding.generator(seed, "policy initialisation")
        self.soft = SoftActorCritic(settings, width, self.squashed, self.initial)
        self._noise = np.empty((2 * settings.batch, act), np.float32)
        self.acting, self.drawing = seeding.generator(seed, "acting"), seeding.generator(seed, "replay")
        self.untrained_steps = settings.random_steps + settings.explore_steps if settings.explore_steps else 0
        self.reward: Predictor | None = None
        self.improved = False
        self.owed = 0  # environment steps that no update was taken for yet

    @property
    def updates(self) -> int:
        """Updates taken, those of the exploration among them."""
        return self.soft.updates

    @property
    def exploring(self) -> bool:
        """It learns without a reward, from how far states are from one another."""
        seen = self.replay.total * self.replay.envs
        return self.settings.explore_steps > 0 and not self.improved and seen >= self.settings.random_steps

    def act(self, observations: Array) -> NDArray[Any]:
        """Draw an action in [-1, 1] for each raw observation ``(envs, obs)``; uniformly before anything is learned."""
        if not (self.improved or self.exploring):
            return self.acting.uniform(-1, 1, (len(observations), self.squashed.size)).astype(np.float32)
        outputs = self.soft.actor.forward(self._standardized(np.asarray(observations, np.float32)))
        noise = self.acting.standard_normal((len(outputs), self.squashed.size), dtype=np.float32)
        return self.squashed.draw(outputs, noise)[0]

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """Actions as the task is given them."""
        return self.squashed.executed(actions)

    def observe(self, rollout: Rollout, rewards: NDArray[Any] | None = None) -> None:
        """Remember a rollout without learning from it, or while it explores, learning from where it has been;
        ``rewards`` where they are known."""
        explored = self.exploring
        self._remember(rollout, rewards)
        if explored:
            self._learn(rollout.terminated.size)

    def reward_changed(self, reward: Predictor) -> None:
        """From now on rewards are what this says."""
        self.reward = reward
        if reward.context > 1:
            self.replay.relabel(reward)

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """Remember a rollout and take the updates that are due; returns what they measured."""
        if not self.improved and self.settings.explore_steps and self.settings.reset_critic:
            self.soft.new_critics()
        self.improved = True
        self._remember(rollout, rewards)
        self._measure_rewards()
        self.soft.anneal(1 - self.settings.anneal * progress)
        measured = self._learn(rewards.size)
        self.soft.require_finite()
        return measured

    def _remember(self, rollout: Rollout, rewards: NDArray[Any] | None) -> None:
        self.replay.add(rollout, rewards)
        self.standardizer.update(rollout.observations)

    def _learn(self, steps: int) -> dict[str, float]:
        """The updates that ``steps`` more environment steps bring; the means of what they measured."""
        count, self.owed = divmod(self.owed + steps, self.settings.steps_per_update)
        losses, entropies = 0.0, 0.0
        for first in range(0, count, _STRETCH):
            stretch = self._draw(min(_STRETCH, count - first))
            for place in range(len(stretch.states)):
                loss, entropy = self.soft.update(stretch, place, self._new_noise())
                losses, entropies = losses + loss, entropies + entropy
        return {
            "policy_entropy": entropies / max(1, count),
            "value_loss": losses / max(1, count),
            "learning_rate": self.soft.actor_optimiser.learning_rate,
        }

    def look_ahead(self, pairs: NDArray[Any], mu: NDArray[Any]) -> tuple[NDArray[Any], Array, float]:
        """How the critics' preferences after their next update depend on its rewards, see ``LooksAhead``."""
        drawn = self._drawn(1)
        inputs, targets, _, _ = self.soft.look(self._stretch(drawn, 1), 0, self._new_noise())
        states, actions = pairs[..., : self.width], self.squashed.drawn(pairs[..., self.width :])
        shown = np.concatenate([self._standardized(states), actions], axis=-1).astype(np.float32, copy=False)
        rate = self.soft.critic_optimiser.learning_rate
        by_target, loss = look_ahead.outer(self.soft.critics, inputs, targets, shown, mu, rate)
        scale = self.reward_scale if self.settings.scale_rewards else 1.0
        return self.replay.features(drawn.places), by_target * drawn.weights / np.float32(scale), loss

    def _draw(self, batches: int) -> Stretch:
        """The batches of so many updates: drawn together, because a call of NumPy costs more than 256 rows."""
        return self._stretch(self._drawn(batches), batches)

    def _drawn(self, batches: int) -> Drawn:
        """The transitions of so many batches."""
        settings = self.settings
        recent = 0 if self.exploring else settings.recent  # there is no feedback yet to be near to
        rewarded = self.reward is None and not self.exploring
        count = batches * settings.batch
        return self.replay.draw(count, settings.n_step, settings.discount, self.drawing, rewarded, recent)

    def _stretch(self, drawn: Drawn, batches: int) -> Stretch:
        """Drawn transitions as updates learn from them."""
        rows = self.settings.batch
        states = np.empty((batches, 2, rows, self.width), np.float32)
        self.replay.take(drawn, states)
        actions = self.squashed.drawn(self.replay.actions[drawn.places[0]])
        return Stretch(
            self._standardized(states).reshape(batches, 2 * rows, self.width),
            actions.reshape(batches, rows, -1),
            self._returns(drawn).reshape(batches, rows),
            drawn.bootstrap.reshape(batches, rows),
        )

    def _returns(self, drawn: Drawn) -> Array:
        """Sums ``(drawn,)`` of the scaled rewards of each transition's steps, discounted."""
        rewards = self._rewards(drawn)
        if self.settings.center_rewards:
            rewards = rewards - np.float32(self.reward_mean)
        if self.settings.scale_rewards and self.reward_std:
            rewards = rewards / np.float32(self.reward_scale)
        return np.einsum("sb,sb->b", rewards, drawn.weights)

    def _rewards(self, drawn: Drawn) -> Array:
        """Rewards ``(steps, drawn)`` as predicted, stored, or while exploring how new the states are."""
        if self.exploring:
            return exploration.rewards(self.replay, drawn, self.drawing)
        if self.reward is None or self.reward.context > 1:
            return self.replay.rewards[drawn.places]
        return np.asarray(self.reward.predict(self.replay.features(drawn.places)), np.float32)

    def _measure_rewards(self) -> None:
        """Follow the mean and the standard deviation of the rewards over the replay."""
        rewards = self._rewards(self.replay.draw(_SCALE_ROWS, 1, 1.0, self.drawing, self.reward is None))
        self._follow_scale(rewards, _SCALE_RATE)

    def _standardized(self, rows: Array) -> Array:
        return self.standardizer(rows) if self.settings.standardize else rows

    def _new_noise(self) -> Array:
        noise: Array = self.drawing.standard_normal(dtype=np.float32, out=self._noise)
        return noise
