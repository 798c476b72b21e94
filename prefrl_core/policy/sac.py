"""Soft actor-critic (Haarnoja et al. 2018, with the temperature of their second paper), for many environments and one
processor core.

Every ``steps_per_update`` environment steps there is one update: both critics towards the smaller of two target
critics, the actor along the smaller critic's gradient, the temperature towards the target entropy. A replay holds raw
transitions. When the reward is learned, the rewards of a batch are predicted as it is drawn, so that none is ever
stale; a reward that sees several steps at once relabels the whole replay when it changes (``reward_changed``).
Left out: discrete actions, pixels, prioritised replay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import registry, seeding
from prefrl_core.errors import UserError, require
from prefrl_core.networks import MLP, Array, Parameters
from prefrl_core.policy import hyperparameters
from prefrl_core.policy.exploration import Novelty
from prefrl_core.policy.layers import ReLUNetwork, Scratch
from prefrl_core.policy.normalize import Standardizer
from prefrl_core.policy.replay import Drawn, Replay
from prefrl_core.policy.rollout import Rollout
from prefrl_core.policy.squashed import Squashed
from prefrl_core.tasks import TaskInfo

_SCALE_ROWS, _SCALE_RATE = 4096, 0.1  # steps over which the rewards' scale is measured at each improvement; its weight
_PROGRESS = ("improved", "updates", "owed", "reward_mean", "reward_std")
_GENERATORS = ("_initial", "acting", "drawing")
_STRETCH = 32  # updates whose batches are drawn together
_SLOWEST, _FASTEST = 64, 1  # environment steps an update: beyond these the learner starves, or drowns in each step


class Reward(Protocol):
    """What predicts rewards; one that sees several steps at once also has ``context``, their number."""

    def predict(self, features: NDArray[np.float32]) -> NDArray[Any]:
        """Rewards ``(...)`` for features ``(..., obs + act)``; with a context, for ``(context, envs, obs + act)``."""


@registry.register("policy", "sac")
@dataclass(frozen=True)
class SACSettings:
    """Settings of SAC; ``hyperparameters.py`` has those that differ by task, docs/control-tuning.csv what was tried."""

    environments: int = 16  # stepped together
    rollout_steps: int = 32  # steps of each between two stretches of updates
    rollouts: int = 4  # such stretches between two looks at the reward model
    capacity: int = 1_000_000  # transitions that the replay holds
    steps_per_update: int = 8  # environment steps for each update
    batch: int = 256  # transitions an update
    hidden: tuple[int, ...] = (128, 128)  # widths of the ReLU layers of actor and critics
    layer_norm: bool = False  # standardize the critics' hidden layers
    actor_learning_rate: float = 1e-3  # Adam, of the temperature as well
    critic_learning_rate: float = 1e-3  # Adam
    anneal: float = 0.0  # share by which the learning rates have fallen at the end of the run
    discount: float = 0.99
    n_step: int = 1  # rewards that are summed before the critic is asked
    tau: float = 0.005  # by which the target critics follow in an update
    actor_delay: int = 1  # updates of the critics for each of actor and temperature
    target_entropy: float = -1.0  # nats for each action dimension
    temperature: float = 1.0  # at the start
    random_steps: int = 0  # environment steps of random actions before exploration; 0 is until the first improvement
    explore_steps: int = 0  # environment steps of unsupervised exploration after them, before the first question
    reset_critic: bool = True  # forget the critics of the exploration
    standardize: bool = True  # observations, by running moments
    scale_rewards: bool = True  # divide by their standard deviation over the replay
    center_rewards: bool = False  # subtract their mean over the replay; for episodes of fixed length only

    def __post_init__(self) -> None:
        self._check_ranges()
        require(
            _FASTEST <= self.steps_per_update <= _SLOWEST,
            f"policy setting steps_per_update = {self.steps_per_update}: in [{_FASTEST}, {_SLOWEST}]; with fewer the "
            "learner drowns in updates, with more it starves",
        )
        rollout = self.environments * self.rollout_steps
        require(
            self.capacity >= rollout,
            f"policy setting capacity = {self.capacity}: a rollout has {rollout} steps; raise it",
        )

    def _check_ranges(self) -> None:
        at_least_1 = ("environments", "rollout_steps", "rollouts", "batch", "n_step", "actor_delay")
        above_0 = ("actor_learning_rate", "critic_learning_rate", "temperature", "tau")
        for names, holds, text in (
            (at_least_1, lambda value: value >= 1, "at least 1"),
            (above_0, lambda value: value > 0, "above 0"),
            (("random_steps", "explore_steps"), lambda value: value >= 0, "at least 0"),
            (("discount", "tau", "anneal"), lambda value: 0 <= value <= 1, "in [0, 1]"),
        ):
            for name in names:
                value = getattr(self, name)
                require(holds(value), f"policy setting {name} = {value}: {text}")
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


@dataclass(frozen=True)
class Stretch:
    """What several updates learn from, a batch each; ``rows`` transitions a batch."""

    states: Array  # (batches, 2 rows, obs), standardized: those before, then those after
    actions: Array  # (batches, rows, act) in [-1, 1], as taken
    returns: Array  # (batches, rows), sums of scaled rewards
    bootstrap: Array  # (batches, rows), what the value of the state after is multiplied by


class Twins:
    """Two critics of (observation, action) with one vector of parameters."""

    def __init__(self, settings: SACSettings, inputs: int, scratch: Scratch) -> None:
        sizes = (inputs, *settings.hidden, 1)
        self.parameters = Parameters(2 * MLP.count(sizes))
        self.networks = [ReLUNetwork(sizes, self.parameters, scratch, settings.layer_norm) for _ in range(2)]

    def values(self, rows: Array) -> list[Array]:
        """Each one's values ``(rows,)``, valid until its next call."""
        return [network.forward(rows)[:, 0] for network in self.networks]


class SAC:
    """Actor, critics, their targets, the temperature, and the replay."""

    def __init__(self, settings: SACSettings, env: gym.vector.VectorEnv, seed: int) -> None:
        self.settings, self.rollout_steps, self.rollouts = settings, settings.rollout_steps, settings.rollouts
        self.squashed = Squashed(env.single_action_space)
        (width,), act = env.single_observation_space.shape or (), self.squashed.size
        self.width = width
        self.replay = Replay(settings.capacity, env.num_envs, width, act)
        self.standardizer = Standardizer(width)
        sizes = (width, *settings.hidden, 2 * act)
        self.actor_parameters = Parameters(MLP.count(sizes) + 1)
        scratch = Scratch()
        self.actor = ReLUNetwork(sizes, self.actor_parameters, scratch)
        self.critics, self.targets = (Twins(settings, width + act, scratch) for _ in range(2))
        self._initial = seeding.generator(seed, "policy initialisation")
        self.actor.initialise(self._initial, output_scale=0.1)  # begins near the middle of the box
        self._log_temperature, self._temperature_gradient = self.actor_parameters.take(1)
        self._log_temperature[:] = np.log(settings.temperature)
        self.actor_optimiser = self.actor_parameters.adam(settings.actor_learning_rate)
        self._new_critics()
        self.acting, self.drawing = seeding.generator(seed, "acting"), seeding.generator(seed, "replay")
        self.untrained_steps = settings.random_steps + settings.explore_steps if settings.explore_steps else 0
        self.novelty = Novelty(width)
        self.reward: Reward | None = None
        self.improved = False
        self.updates = self.owed = 0  # updates taken; environment steps that none was taken for yet
        self.reward_mean, self.reward_std = 0.0, 0.0  # over the replay; 0: never measured
        self._make_buffers(act)

    def _new_critics(self) -> None:
        """Untrained critics and targets."""
        for network in self.critics.networks:
            network.initialise(self._initial)
        self.targets.parameters.values[:] = self.critics.parameters.values
        self.critic_optimiser = self.critics.parameters.adam(self.settings.critic_learning_rate)

    def _make_buffers(self, act: int) -> None:
        batch = self.settings.batch
        self._noise = np.empty((2 * batch, act), np.float32)
        self._pairs = np.empty((2, batch, self.width + act), np.float32)  # before and after, with an action
        self._follow = np.empty_like(self.critics.parameters.values)

    @property
    def temperature(self) -> np.float32:
        """The weight of the entropy, alpha."""
        return np.exp(self._log_temperature[0])

    @property
    def exploring(self) -> bool:
        """It learns without a reward, from how far states are from one another."""
        seen = self.replay.total * self.replay.envs
        return self.settings.explore_steps > 0 and not self.improved and seen >= self.settings.random_steps

    def act(self, observations: Array) -> NDArray[Any]:
        """Draw an action in [-1, 1] for each raw observation ``(envs, obs)``; uniformly before anything is learned."""
        if not (self.improved or self.exploring):
            return self.acting.uniform(-1, 1, (len(observations), self.squashed.size)).astype(np.float32)
        outputs = self.actor.forward(self._standardized(np.asarray(observations, np.float32)))
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

    def reward_changed(self, reward: Reward) -> None:
        """From now on rewards are what this says."""
        self.reward = reward
        context = getattr(reward, "context", 1)
        if context > 1:
            self.replay.relabel(reward.predict, context)

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """Remember a rollout and take the updates that are due; returns what they measured."""
        if not self.improved and self.settings.explore_steps and self.settings.reset_critic:
            self._new_critics()
        self.improved = True
        self._remember(rollout, rewards)
        self._measure_rewards()
        self._set_learning_rates(1 - self.settings.anneal * progress)
        measured = self._learn(rewards.size)
        self._require_finite()
        return measured

    def _remember(self, rollout: Rollout, rewards: NDArray[Any] | None) -> None:
        self.replay.add(rollout, rewards)
        self.standardizer.update(rollout.observations)

    def _set_learning_rates(self, share: float) -> None:
        settings = self.settings
        self.actor_optimiser.learning_rate = settings.actor_learning_rate * share
        self.critic_optimiser.learning_rate = settings.critic_learning_rate * share

    def _learn(self, steps: int) -> dict[str, float]:
        """The updates that ``steps`` more environment steps bring; the means of what they measured."""
        count, self.owed = divmod(self.owed + steps, self.settings.steps_per_update)
        losses, entropies = 0.0, 0.0
        for first in range(0, count, _STRETCH):
            stretch = self._draw(min(_STRETCH, count - first))
            for place in range(len(stretch.states)):
                loss, entropy = self._update(stretch, place)
                losses, entropies = losses + loss, entropies + entropy
        return {
            "policy_entropy": entropies / max(1, count),
            "value_loss": losses / max(1, count),
            "learning_rate": self.actor_optimiser.learning_rate,
        }

    def _draw(self, batches: int) -> Stretch:
        """The batches of so many updates: drawn together, because a call of NumPy costs more than 256 rows."""
        settings, rows = self.settings, self.settings.batch
        drawn = self.replay.draw(
            batches * rows, settings.n_step, settings.discount, self.drawing, self.reward is None and not self.exploring
        )
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
            rewards = rewards / np.float32(self.reward_std)
        return np.vecdot(rewards, drawn.weights, axis=0)

    def _rewards(self, drawn: Drawn) -> Array:
        """Rewards ``(steps, drawn)`` as predicted, stored, or while exploring how new the states are."""
        if self.exploring:
            return self.novelty.rewards(self.replay, drawn, self.drawing)
        if self.reward is None or getattr(self.reward, "context", 1) > 1:
            return self.replay.rewards[drawn.places]
        return np.asarray(self.reward.predict(self.replay.features(drawn)), np.float32)

    def _update(self, stretch: Stretch, place: int) -> tuple[float, float]:
        """One update of everything; returns the critics' loss and the policy's entropy."""
        settings, rows = self.settings, self.settings.batch
        states = stretch.states[place]
        actions, density = self.squashed.draw(self.actor.forward(states), self._new_noise())
        before, after = self._pairs
        before[:, : self.width], after[:, : self.width] = states[:rows], states[rows:]
        before[:, self.width :], after[:, self.width :] = stretch.actions[place], actions[rows:]
        value = np.minimum(*self.targets.values(after))
        value -= self.temperature * density[rows:]
        value *= stretch.bootstrap[place]
        value += stretch.returns[place]
        loss = self._update_critics(before, value)
        entropy = -float(density[:rows].sum()) / rows
        self.updates += 1
        if self.updates % settings.actor_delay == 0:
            before[:, self.width :] = actions[:rows]
            self._update_actor(before, entropy)
        self._move_targets()
        return loss, entropy

    def _measure_rewards(self) -> None:
        """Follow the mean and the standard deviation of the rewards over the replay."""
        rewards = self._rewards(self.replay.draw(_SCALE_ROWS, 1, 1.0, self.drawing, self.reward is None))
        mean, std = float(rewards.mean(dtype=np.float64)), float(rewards.std(dtype=np.float64)) + 1e-6
        rate = _SCALE_RATE if self.reward_std else 1.0
        self.reward_mean += rate * (mean - self.reward_mean)
        self.reward_std += rate * (std - self.reward_std)

    def _standardized(self, rows: Array) -> Array:
        return self.standardizer(rows) if self.settings.standardize else rows

    def _new_noise(self) -> Array:
        noise: Array = self.drawing.standard_normal(dtype=np.float32, out=self._noise)
        return noise

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

    def _require_finite(self) -> None:
        if not (self.actor_parameters.finite() and self.critics.parameters.finite()):
            raise UserError("the policy diverged (parameters are not finite): lower its critic_learning_rate")

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on, the reward apart: after ``set_state`` call
        ``reward_changed`` again."""
        return {
            "actor": self.actor_optimiser.get_state(),
            "critics": self.critic_optimiser.get_state(),
            "targets": self.targets.parameters.values.copy(),
            "standardizer": self.standardizer.get_state(),
            "replay": self.replay.get_state(),
            "progress": {name: getattr(self, name) for name in _PROGRESS},
            "random": {name: seeding.state_of(getattr(self, name)) for name in _GENERATORS},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``; from a finished run, whose replay is not kept, it can only ``act``."""
        self.actor_optimiser.set_state(state["actor"])
        self.critic_optimiser.set_state(state["critics"])
        self.targets.parameters.values[:] = state["targets"]
        self.standardizer.set_state(state["standardizer"])
        if "steps" in state["replay"]:
            self.replay.set_state(state["replay"])
        for name in _PROGRESS:
            setattr(self, name, state["progress"][name])
        for name in _GENERATORS:
            seeding.restore(getattr(self, name), state["random"][name])
