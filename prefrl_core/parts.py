"""The objects of one run, built from its spec: the only place that knows parts by name."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import features, known, seeding, tasks
from prefrl_core.environment import Environment, Saveable, Shown, Staggered, shorten
from prefrl_core.errors import UserError, require
from prefrl_core.features import Features
from prefrl_core.feedback import schedule
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.desk import Desk
from prefrl_core.feedback.interview import Answers, Interview, People, Program
from prefrl_core.feedback.labelers import Human, Labeler
from prefrl_core.feedback.list_interview import ListInterview
from prefrl_core.feedback.lists import RankedList
from prefrl_core.feedback.queries import QueryStrategy
from prefrl_core.feedback.segments import Pool
from prefrl_core.hardware import Hardware
from prefrl_core.policy.protocol import Policy
from prefrl_core.returns import Returns
from prefrl_core.reward.agreement import Sample
from prefrl_core.reward.protocol import RewardLearner
from prefrl_core.spec import RunSpec, make_part
from prefrl_core.tasks import TaskInfo

_POOL_SEGMENTS = 1024
_ENDLESS_STEPS = 1_250  # that stand for an episode where there is none: a game of an untrained player ends within them
_UNTRAINED_SHARE = 0.1  # of all steps, at most, beyond the one episode


@dataclass
class Run:
    """One run: its parts, and how far it has come."""

    spec: RunSpec
    info: TaskInfo
    env: Environment
    features: Features
    policy: Policy
    reward: RewardLearner
    pool: Pool
    comparisons: Comparisons
    interview: Interview
    returns: Returns
    sample: Sample
    cutting: np.random.Generator  # draws where segments begin
    untrained_steps: int  # before the first question, in whole turns
    observations: NDArray[Any]  # (envs, obs): those to act on next
    step: int = 0
    iteration: int = 0  # turns of the loop
    scene: int = 0  # numbers kept of each step, to show an environment to people; 0 without people
    random: dict[str, np.random.Generator] = field(default_factory=dict)  # every generator of the loop, by name

    @property
    def learns_reward(self) -> bool:
        """The policy is given a predicted reward, not the true one."""
        return self.spec.reward == "learned"

    @property
    def untrained(self) -> bool:
        """The policy is not improved yet, and nothing was asked."""
        return self.step < self.untrained_steps

    @property
    def finished(self) -> bool:
        """No environment can take another step within the budget."""
        return self.step >= self.usable_steps

    @property
    def usable_steps(self) -> int:
        """The budget in whole steps of all environments."""
        return self.spec.total_steps // self.env.num_envs * self.env.num_envs

    @property
    def progress(self) -> float:
        """Share of the steps after the untrained phase that are taken."""
        return (self.step - self.untrained_steps) / max(1, self.spec.total_steps - self.untrained_steps)

    @property
    def rollouts(self) -> int:
        """Rollouts of a whole turn."""
        return int(getattr(self.policy, "rollouts", 1))

    @property
    def turn_steps(self) -> int:
        """Environment steps of a whole turn."""
        return self.rollouts * self.policy.rollout_steps * self.env.num_envs

    @property
    def next_rollouts(self) -> list[int]:
        """Steps an environment of each rollout of the next turn; the last turn of a run may be shorter."""
        left, whole = (self.spec.total_steps - self.step) // self.env.num_envs, self.policy.rollout_steps
        return [min(whole, left - whole * done) for done in range(min(self.rollouts, -(-left // whole)))]

    @property
    def due(self) -> int:
        """Questions to put now: what the schedule wants asked before the next turn ends, so that the last label still
        counts in the last turn."""
        spec, asked = self.spec, self.comparisons.asked
        wanted = schedule.due(
            spec.labels,
            spec.initial_labels,
            self.step - self.untrained_steps if asked else 0,
            self.usable_steps - self.untrained_steps - self.turn_steps,  # 0 where only one turn learns: all are due
            spec.schedule_constant,
        )
        return wanted - asked

    @property
    def effort(self) -> dict[str, int | None]:
        """What learning took so far: ``reward_gradient_steps`` (None where the reward model does not say) and
        ``policy_updates``; a policy that does not say takes one at each improvement."""
        rollout = self.policy.rollout_steps * self.env.num_envs
        improvements = -(-max(0, self.step - self.untrained_steps) // rollout)
        updates = _whole(getattr(self.policy, "updates", improvements), "policy", self.spec.policy, "updates")
        steps = getattr(self.reward, "gradient_steps", None)
        if steps is not None:
            steps = _whole(steps, "reward_model", self.spec.reward_model, "gradient_steps")
        return {"reward_gradient_steps": steps, "policy_updates": updates}

    def stagger(self) -> None:
        """Put the environments at different points of their episodes, where all have one length. Synchronised
        environments show only beginnings, then only endings; the policy forgets one while it learns the other."""
        if self.info.fixed_length and isinstance(self.env, Staggered):
            self.observations = self.env.stagger()
            self.returns.begin_anew()

    @property
    def can_be_saved(self) -> bool:
        """The task can give its state. A run on one that cannot starts over when it is resumed."""
        return isinstance(self.env, Saveable)

    @property
    def _stateful(self) -> dict[str, Any]:
        parts = {"policy": self.policy, "reward": self.reward, "pool": self.pool, "comparisons": self.comparisons}
        lists = {"lists": self.interview} if isinstance(self.interview, ListInterview) else {}
        return {**parts, "returns": self.returns, "sample": self.sample, **lists}

    def get_state(self) -> dict[str, Any]:
        """Everything that the rest of the run depends on."""
        assert isinstance(self.env, Saveable)
        return {
            "task": self.env.get_state(),
            **{name: part.get_state() for name, part in self._stateful.items()},
            "random": {name: seeding.state_of(random) for name, random in self.random.items()},
            "progress": {"step": self.step, "iteration": self.iteration},
            "observations": np.asarray(self.observations),
        }

    def restore(self, state: dict[str, Any] | None) -> None:
        """The reverse of ``get_state``, on a run of the same spec; nothing for None.

        Raises:
            UserError: the state is not that of such a run.
        """
        if state is None:
            return
        assert isinstance(self.env, Saveable)
        try:
            self.env.set_state(state["task"])
            for name, part in self._stateful.items():
                part.set_state(state[name])
            for name, random in self.random.items():
                seeding.restore(random, state["random"][name])
            self.step, self.iteration = state["progress"]["step"], state["progress"]["iteration"]
            self.observations = state["observations"]
        except (KeyError, ValueError, TypeError) as error:
            raise UserError(f"the checkpoint is not one of this run ({error!r}): delete it to start over") from error


def build(spec: RunSpec, people: Desk | None = None, inputs: Path | None = None) -> Run:
    """The parts of a run that has not begun. ``people`` is where people answer, if they do; ``inputs`` the folder that
    keeps what the run begins from (see ``known.py``).

    Raises:
        UserError: a part cannot be made, or two do not fit each other.
    """
    settings, info = make_part("policy", spec.policy), tasks.describe(spec.task)
    hardware = Hardware(spec.device, spec.precision, spec.interleaved)
    threads = hardware.threads if info.pixels else 1
    env: Environment = tasks.make(spec.task, settings.environments, seeding.integer(spec.seed, "task"), threads)
    form = features.of_environment(env, hardware)
    policy = settings.make(env, spec.seed, *form.hardware)
    short = shorten(env, info.id, spec.policy.get("short_episodes", 0))
    reward = make_part("reward", spec.reward_model).make(form, spec.seed, spec.segment)
    recorded = known.comparisons(spec, form, inputs)
    known.restore_reward(spec, reward, form, inputs)
    random = {name: seeding.generator(spec.seed, name) for name in ("segments", "queries", "labeler", "bootstrap")}
    labeler: Labeler = make_part("labeler", spec.labeler)
    scene, answers = _answers(spec, info, labeler, people, env, form, random["labeler"])
    strategy: QueryStrategy = make_part("query", spec.query)
    comparisons = Comparisons(
        spec.labels,
        spec.segment,
        form,
        reward.bootstraps,
        reward.label_buffer,
        0 if recorded is None else len(recorded),
        spec.labels * strategy.pairs if isinstance(strategy, RankedList) else 0,
    )
    if recorded is not None:
        comparisons.set_state(recorded.arrays(reward.bootstraps, spec.seed))
    run = Run(
        spec,
        info,
        env,
        form,
        policy,
        reward,
        Pool(_POOL_SEGMENTS, spec.segment, form, scene),
        comparisons,
        _interview(strategy, answers, comparisons, random),
        Returns(info, env.num_envs, short),
        Sample(1),
        random["segments"],
        0,
        env.reset(seed=seeding.integer(spec.seed, "task"))[0],
        scene=scene,
        random=random,
    )
    run.sample = Sample(spec.total_steps // run.turn_steps)
    run.untrained_steps = _untrained_steps(run)
    require(
        run.untrained_steps < run.usable_steps,
        f"the untrained phase takes {run.untrained_steps} steps, in whole turns, and total_steps = {spec.total_steps}: "
        "nothing would be learned; raise total_steps, or lower policy.rollout_steps or policy.explore_steps",
    )
    return run


def _whole(value: Any, setting: str, part: Mapping[str, Any], name: str) -> int:
    """A count of a part's."""
    try:
        return operator.index(value)
    except TypeError as error:
        raise UserError(
            f"{setting} {part['name']!r} has {name} = {value!r}: make it a whole number, or leave it out"
        ) from error


def _interview(
    strategy: QueryStrategy, answers: Answers, comparisons: Comparisons, random: dict[str, np.random.Generator]
) -> Interview:
    """Who asks: about pairs, or by ranked lists."""
    generators = random["queries"], random["bootstrap"]
    if isinstance(strategy, RankedList):
        return ListInterview(strategy, answers, comparisons, *generators)
    return Interview(strategy, answers, comparisons, *generators)


def _answers(
    spec: RunSpec,
    info: TaskInfo,
    labeler: Labeler,
    people: Desk | None,
    env: Environment,
    form: Features,
    random: np.random.Generator,
) -> tuple[int, Answers]:
    """Who answers, and how many numbers a step have to be kept to show people an environment."""
    if not isinstance(labeler, Human):
        return 0, Program(labeler, random)
    if people is None:
        raise UserError(f"labeler {spec.labeler['name']!r} answers on a page: run `python -m bench label`")
    if not isinstance(env, Shown):
        raise UserError(
            f"task {info.id} cannot be shown to people (it has no scenes): choose a mujoco/, an atari/ or one of our "
            "dmcontrol/ tasks"
        )
    return form.scene_width(env), People(labeler, people, form)


def _untrained_steps(run: Run) -> int:
    """Steps of the untrained policy, in whole turns: an episode of each environment, and where the share of total
    steps allows it, enough for the first questions to be about segments that hardly overlap; or what the policy asks
    for, if that is more."""
    spec, info = run.spec, run.info
    episode = (_ENDLESS_STEPS if info.endless else info.episode_steps) * run.env.num_envs
    shown = 2 * schedule.initial(spec.labels, spec.initial_labels) * spec.segment
    wanted = max(min(episode, spec.total_steps // 4), min(shown, int(spec.total_steps * _UNTRAINED_SHARE)))
    wanted = max(wanted, int(getattr(run.policy, "untrained_steps", 0)))
    return -(-wanted // run.turn_steps) * run.turn_steps
