"""The laws of a policy: what it draws and learns follows from its seed, the rollouts and the rewards it is given."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from bench.conformance import arena
from bench.conformance.laws import (
    Broken,
    NotApplicable,
    apart_from_global_state,
    as_bytes,
    hold,
    let_go,
    same_each_time,
    unchanged,
)
from bench.conformance.short_run import through_a_file
from bench.conformance.subject import CHOICES, Subject
from prefrl_core.errors import UserError
from prefrl_core.loop import MEASURED_BY_RUN
from prefrl_core.rollout import Rollout, collect


class _Live:
    """A policy in its environment, fed with predicted rewards that are a function of what was seen."""

    def __init__(self, subject: Subject, seed: int = 0, choices: int | None = None, paid: float = 1.0) -> None:
        settings = subject.make()
        self.env = arena.Points(settings.environments, 5, subject.choices if choices is None else choices, paid)
        self.policy = settings.make(self.env, seed)
        self.observations, _ = self.env.reset(seed=5)
        self.said: list[Any] = []

    def rollout(self, steps: int | None = None) -> tuple[Rollout, NDArray[np.float32]]:
        made, _ = collect(self.env, self.policy, self.observations, steps or self.policy.rollout_steps)
        self.observations = made.last_observations
        return made, np.cos(made.observations.sum(-1))

    def learn(self, turns: int = 2) -> _Live:
        """Watch one rollout and learn from others; remembers all that it drew and measured."""
        for turn in range(turns + 1):
            seen, predicted = self.rollout()
            self.said.append(seen.drawn_actions)
            if turn == 0:
                self.policy.observe(seen)
            else:
                self.said.append(dict(self.policy.improve(seen, predicted, turn / (turns + 1))))
        return self

    def everything(self) -> bytes:
        return as_bytes([self.said, self.policy.get_state()])


def shapes_and_bounds(subject: Subject) -> str:
    """There is one finite action for each environment. As executed, it lies inside the task's action space."""
    tried = []
    for name, choices in (("continuous", 0), ("discrete", CHOICES)):
        try:
            live = _Live(subject, choices=choices)
        except UserError:  # it says that it does not take this kind of action
            continue
        space: gym.Space[Any] = live.env.single_action_space
        for _ in range(2):
            seen = live.learn().rollout()[0]
            hold(bool(np.isfinite(seen.drawn_actions).all()), f"a {name} action that is not finite")
            outside = [one for one in seen.actions.reshape(-1, *(space.shape or ())) if not space.contains(one)]
            hold(not outside, f"executed {outside[:1]}, outside {space}")
        tried.append(name)
    hold(bool(tried), "it takes neither continuous nor discrete actions")
    return " and ".join(tried)


def deterministic(subject: Subject) -> str:
    """The same seed and rollouts give the same actions, metrics and state."""
    return same_each_time(lambda: _Live(subject).learn().everything())


def own_generator(subject: Subject) -> str:
    """Randomness comes only from the seed that it is made with."""
    return apart_from_global_state(lambda: _Live(subject).learn().everything())


def arguments_unchanged(subject: Subject) -> str:
    """Observations, rollouts and predicted rewards are not changed."""
    live = _Live(subject).learn()
    seen, predicted = live.rollout()
    arrays = {name: value for name, value in vars(seen).items() if isinstance(value, np.ndarray)}

    def use() -> None:
        live.policy.executed(seen.drawn_actions[0])
        live.policy.act(seen.observations[0])
        live.policy.observe(seen)
        live.policy.improve(seen, predicted, 0.5)

    return unchanged(use, **arrays, rewards=predicted)


def true_reward_unread(subject: Subject) -> str:
    """The task's true reward makes no difference: the policy learns from the predicted reward that it is given."""
    real, turned = _Live(subject).learn(), _Live(subject, paid=-10.0).learn()
    hold(
        real.everything() == turned.everything(),
        "under another true reward, with equal predictions, it learned otherwise",
    )
    return "the same after the true reward was multiplied by -10"


def finite_metrics(subject: Subject) -> str:
    """``improve`` returns finite numbers, under the same names each time."""
    live = _Live(subject).learn()
    measured = [said for said in live.said if isinstance(said, dict)]
    for one in measured:
        bad = {name: value for name, value in one.items() if not np.isfinite(value)}
        hold(not bad, f"{bad}")
        hold(one.keys() == measured[0].keys(), f"{sorted(one)} after {sorted(measured[0])}")
        taken = sorted(one.keys() & MEASURED_BY_RUN)
        hold(not taken, f"{taken}, which the run measures itself: choose other names")
    return ", ".join(measured[0]) or "it measures nothing"


def state(subject: Subject) -> str:
    """Its state is restored from a checkpoint into a policy made with another seed. Both then continue alike, to the
    bit."""
    live, other = _Live(subject).learn(), _Live(subject, seed=1)
    saved = through_a_file({"policy": live.policy.get_state()})["policy"]
    other.policy.set_state(saved)
    if as_bytes(other.policy.get_state()) != as_bytes(live.policy.get_state()):
        raise Broken("the state is another one after set_state")
    other.env.set_state(live.env.get_state())
    other.observations, other.said = live.observations, list(live.said)
    hold(live.learn().everything() == other.learn().everything(), "it went on otherwise after set_state")
    return "the same after two more improvements"


def nothing_kept_alive(subject: Subject) -> str:
    """It keeps no reference to a rollout after it has learned from the next one."""

    def use() -> Any:
        live = _Live(subject)
        seen, predicted = live.rollout()
        live.policy.improve(seen, predicted, 0.0)
        live.learn(1)
        live.said.clear()
        return live.policy, [value for value in (*vars(seen).values(), predicted) if isinstance(value, np.ndarray)]

    return let_go(use)


def settings_by_task(subject: Subject) -> str:
    """If it offers ``settings_for(task)``, this returns only settings that exist."""
    if not hasattr(type(subject.make()), "settings_for"):
        raise NotApplicable("it has no settings_for")
    tasks = [arena.Line.info.id, arena.Choice.info.id, *([] if subject.choices else ["mujoco/hopper@1"])]
    for task in tasks:
        try:
            subject.plain(task)
        except UserError as error:
            raise Broken(f"on {task}: {error}") from error
    return f"settings for {len(tasks)} tasks"


LAWS = (
    shapes_and_bounds,
    deterministic,
    own_generator,
    arguments_unchanged,
    true_reward_unread,
    finite_metrics,
    state,
    nothing_kept_alive,
    settings_by_task,
)
