"""The loop of Christiano et al. 2017 (section 2.2): act, predict the reward, improve the policy, ask, fit the reward.

The paper runs three processes side by side. Here they take turns, so that a run is a function of its spec: each
rollout is labelled by one reward model, and the labels that come due during it are asked at its end. The run begins
with the untrained policy acting for at least an episode; the first share of the labels is about that.
Then episodes of fixed length are staggered over the environments.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import frames, seeding, tasks
from prefrl_core.errors import UserError
from prefrl_core.feedback import queries, schedule
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.desk import Asked, Desk
from prefrl_core.feedback.labelers import Questions
from prefrl_core.feedback.segments import Pool, Segments, Width, draw_starts, windows
from prefrl_core.frames import STACK
from prefrl_core.hardware import Hardware
from prefrl_core.policy.distributions import input_count
from prefrl_core.policy.rollout import collect
from prefrl_core.reward.agreement import Sample, agreement
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fit import Fitter
from prefrl_core.reward.likelihood import preference
from prefrl_core.spec import RunSpec, make_part

Row = dict[str, int | float | str | None]

COLUMNS = (
    *("step", "iteration", "phase", "episodes", "true_return", "predicted_return"),
    *("labels", "answered", "ties", "skipped"),
    *("reward_loss", "reward_validation_loss", "reward_l2", "reward_accuracy", "reward_correlation"),
    *("policy_kl", "policy_clip_fraction", "policy_entropy", "value_loss", "explained_variance", "learning_rate"),
)

_CHECKPOINT_ITERATIONS = 16
_POOL_SEGMENTS = 1024
_AGREEMENT_SEGMENTS = 512  # compared pair by pair with the truth; more occur only where segments have a step or two
_CATCH_PAIRS = 200  # of which the one with the greatest difference is the catch
_SHOWN_STEPS = 100  # of the agent, to people
_ENDLESS_STEPS = 1_250  # that stand for an episode where there is none: a game of an untrained player ends within them
_UNTRAINED_SHARE = 0.1  # of all steps, at most, beyond the one episode


class Recorder(Protocol):
    """Where a run leaves what it measures."""

    def row(self, row: Row) -> None:
        """One row of metrics, once an iteration."""

    def comparisons(self, arrays: dict[str, NDArray[Any]]) -> None:
        """All comparisons, at the end of the run."""

    def segments(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Predicted and true returns of a sample of segments over the run, at its end."""

    def save(self, state: dict[str, Any]) -> None:
        """A checkpoint: hand it to ``learn`` to go on from here."""


def learn(spec: RunSpec, recorder: Recorder, state: dict[str, Any] | None = None, desk: Desk | None = None) -> None:
    """Run ``spec`` to its end, from the beginning or from a checkpoint; ``desk`` is where people answer, if they do.

    Raises:
        UserError: a part of the run failed in a way that its user can put right.
    """
    learner = Learner(spec, desk)
    try:
        if state is not None:
            learner.set_state(state)
        while not learner.finished:
            recorder.row(learner.iterate())
            if learner.iteration % _CHECKPOINT_ITERATIONS == 0 and learner.can_be_saved:
                recorder.save(learner.get_state())
        recorder.comparisons(learner.comparisons.arrays())
        recorder.segments(learner.sample.arrays())
        if learner.can_be_saved:
            recorder.save(learner.get_state())
    finally:
        learner.env.close()


class Predictor(NamedTuple):
    """What a policy with a replay is told of the reward."""

    predict: Callable[[NDArray[Any]], NDArray[Any]]  # features (..., obs + act) -> rewards (...)


class Learner:
    """One run: its parts, and how far it has come."""

    def __init__(self, spec: RunSpec, desk: Desk | None = None) -> None:
        self.spec, self.desk = spec, desk
        settings = make_part("policy", spec.policy)
        self.info = tasks.describe(spec.task)
        self.hardware = Hardware(spec.device, spec.precision)
        threads = self.hardware.threads if self.info.pixels else 1
        self.env: Any = tasks.make(spec.task, settings.environments, seeding.integer(spec.seed, "task"), threads)
        self.policy = settings.make(self.env, spec.seed, *((self.hardware,) if self.info.pixels else ()))
        self.labeler, self.strategy = make_part("labeler", spec.labeler), make_part("query", spec.query)
        action = self.env.single_action_space
        self.choices = input_count(action) if isinstance(action, gym.spaces.Discrete) else 0
        width: Width
        if self.info.pixels:
            from prefrl_core.reward.convolutional import ConvolutionalEnsemble

            _, height, across = self.env.single_observation_space.shape or ()
            width = height, across
            self.ensemble: Ensemble = ConvolutionalEnsemble(spec.reward_model, spec.seed, self.hardware)
        else:
            width = input_count(self.env.single_observation_space) + input_count(action)
            self.ensemble = Ensemble(spec.reward_model, width, spec.seed)
        self.fitter = Fitter(self.ensemble, spec.seed)
        self.waiting: set[int] = set()  # questions that people have not answered yet
        self.scene = self._scene()
        self.pool = Pool(_POOL_SEGMENTS, spec.segment, width, self.scene)
        self.comparisons = Comparisons(
            spec.labels, spec.segment, width, spec.reward_model.members, spec.reward_model.label_buffer
        )
        self.random = {
            name: seeding.generator(spec.seed, name) for name in ("segments", "queries", "labeler", "bootstrap")
        }
        self.rollouts = getattr(self.policy, "rollouts", 1)
        self.round_steps = self.rollouts * self.policy.rollout_steps * self.env.num_envs  # of one turn of the loop
        self.sample = Sample(spec.total_steps // self.round_steps)
        self.replays = hasattr(self.policy, "reward_changed")
        self._tell_reward()
        self.step = self.iteration = 0
        self.untrained_steps = self._untrained_steps()
        self.running_returns = np.zeros(self.env.num_envs)
        self.recent_returns: deque[float] = deque(maxlen=10)
        self.recent_lengths: deque[int] = deque(maxlen=10)
        self.running_lengths = np.zeros(self.env.num_envs, np.int64)
        self.observations, _ = self.env.reset(seed=seeding.integer(spec.seed, "task"))

    @property
    def finished(self) -> bool:
        """No environment can take another step within the budget."""
        return self.spec.total_steps - self.step < self.env.num_envs

    def iterate(self) -> Row:
        """One turn of the loop, a rollout or, where the policy asks for it, several; returns its row of metrics."""
        row: Row = dict.fromkeys(COLUMNS)
        untrained = self.step < self.untrained_steps
        if self.step == self.untrained_steps:
            self._stagger()
        acted, measured = zip(*(self._act_and_improve(untrained) for _ in range(self._rollouts_left())), strict=True)
        parts = zip(*acted, strict=True)
        true_rewards, games, done, features, rewards, scenes = (
            part[0] if len(part) == 1 else np.concatenate(part) for part in parts
        )
        row |= {"step": self.step, "iteration": self.iteration, "phase": "untrained" if untrained else "learning"}
        row |= self._count_returns(true_rewards, games, done) | _mean(measured)
        if self.spec.reward == "learned":
            row |= self._learn_reward(features, rewards, true_rewards, done, scenes)
        self.iteration += 1
        account = self.comparisons.account()
        return row | account | {"skipped": account["skipped"] - len(self.waiting)}

    def _stagger(self) -> None:
        """Put the environments at different points of their episodes. Where all have one length, those in lockstep
        show the policy beginnings for a while and then endings for a while, and it forgets the ones over the others."""
        if self.info.fixed_length and hasattr(self.env, "stagger"):
            self.observations = self.env.stagger()
            self.running_returns[:], self.running_lengths[:] = 0, 0

    def _tell_reward(self) -> None:
        """Tell a policy with a replay what rewards are now."""
        if self.replays and self.spec.reward == "learned":
            self.policy.reward_changed(Predictor(self.ensemble.reward))

    def _rollouts_left(self) -> int:
        """Rollouts of this turn; the last of a run may be shorter than the others."""
        steps_left = (self.spec.total_steps - self.step) // self.env.num_envs
        return min(self.rollouts, -(-steps_left // self.policy.rollout_steps))

    def _act_and_improve(self, untrained: bool) -> tuple[tuple[NDArray[Any], ...], Mapping[str, float]]:
        """One rollout, labelled and learned from: true rewards, hidden games, ends of episodes, features and predicted
        rewards, all but the games over (steps, environments), and what the policy measured."""
        steps = min(self.policy.rollout_steps, (self.spec.total_steps - self.step) // self.env.num_envs)
        rollout, truth = collect(self.env, self.policy, self.observations, steps, self.scene)
        self.observations = rollout.last_observations
        features: NDArray[Any] = truth.rewards
        rewards: NDArray[Any] = np.clip(truth.rewards, -self.info.clip, self.info.clip)
        if self.spec.reward == "learned":
            features = rollout.features(self.choices)
            rewards = self.ensemble.reward(features)
        progress = (self.step - self.untrained_steps) / max(1, self.spec.total_steps - self.untrained_steps)
        self.step += rewards.size
        seen = truth.rewards, truth.games, rollout.done, features, rewards, rollout.scenes
        if untrained:  # the policy only sees the rollout
            known = (rewards,) if self.replays and self.spec.reward == "true" else ()
            self.policy.observe(rollout, *known)
            return seen, {}
        return seen, self.policy.improve(rollout, rewards, progress)

    def _learn_reward(
        self,
        features: NDArray[Any],
        rewards: NDArray[Any],
        true_rewards: NDArray[Any],
        done: NDArray[np.bool_],
        scenes: NDArray[np.float32],
    ) -> Row:
        """Harvest segments, ask what is due, fit the reward; the predictions of this rollout are already made."""
        starts = draw_starts(done, self.spec.segment, self.random["segments"])
        if self.spec.reward_model.target == "return":  # it is told what the control is told
            true_rewards = np.clip(true_rewards, -self.info.clip, self.info.clip)
        clips, *others = (windows(values, starts, self.spec.segment) for values in (features, true_rewards, scenes))
        segments = Segments(frames.unstacked(clips) if self.info.pixels else clips, *others)
        row: Row = {"predicted_return": float(rewards.mean())}
        some = slice(None, None, -(-len(starts) // _AGREEMENT_SEGMENTS) or 1)
        predicted = windows(rewards, starts[some], self.spec.segment).sum(1)
        true = segments.true_rewards[some].sum(1)
        row |= agreement(predicted, true)
        self.sample.add(self.iteration, self.step, predicted, true)
        self.pool.add(segments)
        self.ensemble.observe(features)
        if self.step >= self.untrained_steps:
            first = self._unheard
            self._ask(self._due() - self.comparisons.count)
            if self.desk is not None:
                self._hear(self.desk, frames.pictures(features[:, :, -1]) if self.info.pixels else scenes)
            row |= self._fit(features, first)
            self._tell_reward()
        return row

    def _ask(self, count: int) -> None:
        """Put the ``count`` most useful of many candidate pairs to the labeler."""
        pool, random = self.pool.segments, self.random["queries"]
        first = self._unheard
        # An untrained ensemble's disagreement says nothing: the first questions are drawn uniformly.
        strategy = queries.Uniform() if first else self.strategy
        pairs = queries.draw_pairs(len(pool), max(0, count) * strategy.factor, random)
        if not len(pairs):
            return
        candidates = queries.Candidates(pairs, self._preferences(pairs), pool.features, self.comparisons.features)
        chosen = pairs[strategy.choose(candidates, min(count, len(pairs)), random)]
        if self.desk is not None:
            self._leave(self.desk, chosen)
            return
        level = sum(self.recent_returns) / max(1, sum(self.recent_lengths))
        left, right = pool.true_rewards[chosen[:, 0]], pool.true_rewards[chosen[:, 1]]
        answers = self.labeler.answer(Questions(left, right, level, first), self.random["labeler"])
        self.comparisons.add(pool, chosen, answers, self.step, self.random["bootstrap"])

    @property
    def _unheard(self) -> bool:
        """No question was answered yet: the reward model knows nothing."""
        return self.comparisons.count == len(self.waiting)

    def _leave(self, desk: Desk, chosen: NDArray[np.int64]) -> None:
        """Leave questions at the desk; some give way to a catch: of many pairs, the one that differs most in truth."""
        pool, first = self.pool.segments, self.comparisons.count
        returns = pool.true_rewards.sum(1)
        numbers = np.arange(first, first + len(chosen))
        catch = self.labeler.catches(numbers)
        for place in np.flatnonzero(catch):
            pairs = queries.draw_pairs(len(pool), _CATCH_PAIRS, self.random["queries"])
            chosen[place] = pairs[np.abs(np.subtract(*returns[pairs].T)).argmax()]
        nothing = np.full(len(chosen), np.nan)
        predicted = self._preferences(chosen).mean(0)
        self.comparisons.add(pool, chosen, nothing, self.step, self.random["bootstrap"])
        self.waiting.update(numbers.tolist())
        scenes = frames.pictures(pool.features[chosen][:, :, STACK - 1 :]) if self.info.pixels else pool.scenes[chosen]
        desk.ask(Asked(numbers, self.step, scenes, returns[chosen], predicted, catch))

    def _hear(self, desk: Desk, scenes: NDArray[np.float32]) -> None:
        """Show what the agent does, and take in what was answered."""
        desk.show(self.step, scenes[-_SHOWN_STEPS:, 0])
        for number, answer in desk.hear(self.iteration, self.labeler.backlog):
            (self.waiting.add if answer is None else self.waiting.discard)(number)
            self.comparisons.answer(number, np.nan if answer is None else answer)

    def _scene(self) -> int:
        """Numbers that say what to draw of an environment; 0 where nobody looks."""
        if not getattr(self.labeler, "needs_desk", False):
            self.desk = None
            return 0
        if self.desk is None:
            raise UserError(f"labeler {self.spec.labeler['name']!r} answers on a page: run `python -m bench label`")
        if not hasattr(self.env, "scenes"):
            raise UserError(
                f"task {self.info.id} cannot be shown to people (it has no scenes): choose a mujoco/ or an atari/ task"
            )
        return 0 if self.info.pixels else int(self.env.scenes().shape[1])  # frames are kept anyway

    def _preferences(self, pairs: NDArray[np.int64]) -> NDArray[Any]:
        """Each member's probability ``(members, pairs)`` that the left segment is preferred."""
        shown, places = np.unique(pairs, return_inverse=True)
        sums = self.ensemble.segment_sums(self.pool.segments.features[shown])[:, places.reshape(pairs.shape)]
        return preference(sums[..., 0], sums[..., 1])

    def _fit(self, features: NDArray[Any], first: bool) -> Row:
        """Fit the reward to all answers, longer the first time; without an answer only normalise it."""
        if self.comparisons.account()["answered"] == 0:
            rows = features.reshape(-1, *features.shape[2:])
            some = np.linspace(0, len(rows) - 1, self.ensemble.normalising_rows).astype(np.int64)
            self.ensemble.normalise(rows[some] if self.info.pixels else rows)
            return {}
        settings = self.spec.reward_model
        measured = self.fitter.fit(self.comparisons, settings.initial_updates if first else settings.updates)
        return {key: value if np.isfinite(value) else None for key, value in measured.items()}

    def _due(self) -> int:
        """Labels that should be answered before the next turn begins: what the schedule asks for at its end, so that
        the last label still teaches the last turn."""
        return schedule.due(
            self.spec.labels,
            self.spec.initial_labels,
            self.step - self.untrained_steps if self.comparisons.count else 0,
            max(1, self.spec.total_steps - self.untrained_steps - self.round_steps),
            self.spec.schedule_constant,
        )

    def _untrained_steps(self) -> int:
        """Steps of the untrained policy, in whole turns: an episode of each environment, and where the share of
        total steps allows it, enough for the first questions to be about segments that hardly overlap."""
        spec = self.spec
        episode = (_ENDLESS_STEPS if self.info.endless else self.info.episode_steps) * self.env.num_envs
        shown = 2 * schedule.initial(spec.labels, spec.initial_labels) * spec.segment
        own = getattr(self.policy, "untrained_steps", 0)
        wanted = max(own, min(episode, spec.total_steps // 4), min(shown, int(spec.total_steps * _UNTRAINED_SHARE)))
        return -(-wanted // self.round_steps) * self.round_steps

    def _count_returns(
        self, true_rewards: NDArray[np.float64], games: NDArray[np.float64], done: NDArray[np.bool_]
    ) -> Row:
        """Add up the true return of each episode; reports those that ended, if they had their whole length, or where
        their ends are hidden what the task says of them."""
        ended: list[float] = games[:, 1].tolist()
        self.recent_lengths.extend(games[:, 2].astype(int).tolist())
        for rewards, over in zip(true_rewards, done, strict=True):
            self.running_returns += rewards
            self.running_lengths += 1
            if self.info.fixed_length:  # staggering has cut some episodes short: their returns are not told
                cut = over & (self.running_lengths < self.info.episode_steps)
                self.running_returns[cut], self.running_lengths[cut] = 0, 0
                over = over & ~cut
            if over.any():
                ended += self.running_returns[over].tolist()
                self.recent_lengths.extend(self.running_lengths[over].tolist())
                self.running_returns[over], self.running_lengths[over] = 0, 0
        self.recent_returns.extend(ended)
        return {"episodes": len(ended), "true_return": float(np.mean(ended)) if ended else None}

    @property
    def can_be_saved(self) -> bool:
        """The task can give its state. A run on one that cannot starts over when it is resumed."""
        return hasattr(self.env, "get_state")

    def get_state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        return {
            "task": self.env.get_state(),
            "policy": self.policy.get_state(),
            "ensemble": self.ensemble.get_state(),
            "fitter": self.fitter.get_state(),
            "pool": self.pool.get_state(),
            "comparisons": self.comparisons.arrays(),
            "sample": self.sample.arrays(),
            "random": {name: seeding.state_of(random) for name, random in self.random.items()},
            "progress": {"step": self.step, "iteration": self.iteration},
            "waiting": np.array(sorted(self.waiting), np.int64),
            "observations": np.asarray(self.observations),
            "running_returns": self.running_returns.copy(),
            "running_lengths": self.running_lengths.copy(),
            "recent_returns": np.array(self.recent_returns),
            "recent_lengths": np.array(self.recent_lengths, np.int64),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``, on a learner of the same spec.

        Raises:
            UserError: the state is not that of such a run.
        """
        try:
            self.env.set_state(state["task"])
            self.policy.set_state(state["policy"])
            self.ensemble.set_state(state["ensemble"])
            self._tell_reward()
            self.fitter.set_state(state["fitter"])
            self.pool.set_state(state["pool"])
            self.comparisons.set_arrays(state["comparisons"])
            self.sample.set_arrays(state["sample"])
            for name, random in self.random.items():
                seeding.restore(random, state["random"][name])
            self.step, self.iteration = state["progress"]["step"], state["progress"]["iteration"]
            self.waiting = set(state.get("waiting", np.empty(0, np.int64)).tolist())
            self.observations = state["observations"]
            self.running_returns, self.running_lengths = state["running_returns"], state["running_lengths"]
            self.recent_returns.extend(state["recent_returns"].tolist())
            self.recent_lengths.extend(state["recent_lengths"].tolist())
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"the checkpoint is not one of this run ({error!r}): delete it to start over") from error


def _mean(measured: Sequence[Mapping[str, Any]]) -> Row:
    """The mean of each metric over the rollouts of one turn."""
    return {name: float(np.mean([one[name] for one in measured])) for name in measured[0]}
