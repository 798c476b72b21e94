"""Tasks that each break one law (and now and then another with it), for test_conformance.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from bench.conformance.arena import Points
from prefrl_core.tasks import TaskInfo

TASKS: dict[str, Any] = {}


def task(law: str, **info: Any) -> Callable[[type], type]:
    """A task whose environment is the decorated class."""

    def add(cls: Any) -> Any:
        told = {"id": "broken/task@1", "episode_steps": 40, "segment_steps": 8, "fixed_length": True, **info}

        class Part:
            info = TaskInfo(**told)

            def make(self, num_envs: int, seed: int, threads: int) -> Any:
                return cls(num_envs, seed)

        TASKS[law] = Part
        return cls

    return add


task("description", segment_steps=41)(Points)


@task("spaces")
class WrongShape(Points):
    def step(self, actions: Any) -> Any:
        seen, rewards, *rest = super().step(actions)
        return seen, rewards[:, None], *rest


@task("finite")
class Infinite(Points):
    def step(self, actions: Any) -> Any:
        seen, rewards, *rest = super().step(actions)
        return seen, np.where(np.abs(np.asarray(actions)[:, 0]) == 0.5, np.inf, rewards), *rest


@task("same seed same episode")
class Unseeded(Points):
    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset()


@task("another seed another episode")
class Twins(Points):
    def _begin(self, which: Any) -> None:
        super()._begin(which)
        self.state[which] = self.state[which][:1]


@task("own generator")
class GlobalStart(Points):
    def _begin(self, which: Any) -> None:
        super()._begin(which)
        self.state[which] += random.random()


@task("autoreset")
class NextStep(Points):
    """Returns the last observation, and the first one only in the step after."""

    def step(self, actions: Any) -> Any:
        seen, rewards, terminated, truncated, infos = super().step(actions)
        return infos.get("final_obs", seen), rewards, terminated, truncated, infos


@task("fixed length")
class Early(Points):
    """Ends where the point has gone far: only under actions at the bounds."""

    def step(self, actions: Any) -> Any:
        self.elapsed[np.abs(self.state[:, 0]) > 6] = 39
        return super().step(actions)


@task("stagger")
class Lockstep(Points):
    def stagger(self) -> Any:
        """Starts all at once."""
        return self.reset()[0]


@task("shorten")
class Everywhere(Points):
    steps = 40

    def shorten(self, steps: int, which: Any) -> None:
        """Shortens the episodes of all."""
        self.steps = steps

    def step(self, actions: Any) -> Any:
        self.elapsed[self.elapsed == self.steps - 1] = 39
        return super().step(actions)


@task("arrays are the callers")
class Reused(Points):
    def step(self, actions: Any) -> Any:
        _, *rest = super().step(actions)
        return self.state, *rest


@task("actions unchanged")
class Clips(Points):
    def step(self, actions: Any) -> Any:
        np.clip(actions, -0.1, 0.1, out=actions)
        return super().step(actions)


@task("state")
class NoGenerator(Points):
    """Forgets its generator: seen at the next reset only."""

    def get_state(self) -> dict[str, Any]:
        return {name: value for name, value in super().get_state().items() if name != "random"}

    def set_state(self, state: dict[str, Any]) -> None:
        super().set_state({**state, "random": self.random.bit_generator.state})


class History(Points):
    """Returns views of one trajectory that it keeps."""

    seen: ClassVar[list[Any]] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.trajectory, self.time = np.zeros((4096, self.num_envs, 2)), 0
        return super().reset(seed=seed)

    def step(self, actions: Any) -> Any:
        seen, *rest = super().step(actions)
        self.trajectory[self.time] = seen
        self.time += 1
        return self.trajectory[self.time - 1], *rest
