"""Parts that each break one law (and now and then another with it), for test_conformance.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bench.conformance.arena import Points
from prefrl_core.feedback.labelers import Mistake, Oracle, Questions, Stochastic
from prefrl_core.feedback.queries import Candidates, Uniform
from prefrl_core.policy.ppo import PPO, PPOSettings
from prefrl_core.tasks import TaskInfo

LABELERS: dict[str, Any] = {}  # by the law that each breaks
QUERIES: dict[str, Any] = {}
POLICIES: dict[str, Any] = {}
TASKS: dict[str, Any] = {}


def labeler(law: str, base: type = Oracle) -> Callable[[Any], Any]:
    """A labeler whose ``answer`` is the decorated function of (itself, questions, generator)."""

    def add(answer: Any) -> Any:
        LABELERS[law] = dataclass(frozen=True)(type("Bad", (base,), {"answer": answer, "__module__": __name__}))
        return answer

    return add


@labeler("answers")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return 2 * Oracle.answer(self, questions, rng) - 1


@labeler("deterministic")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return Stochastic().answer(questions, np.random.default_rng())


@labeler("own generator")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return np.where(random.random() < 0.5, 0.5, Oracle.answer(self, questions, rng))


@labeler("no memory")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    asked = self.__dict__["asked"] = self.__dict__.get("asked", 0) + 1
    return np.where(asked > 2, 0.5, Oracle.answer(self, questions, rng))


LABELERS["resumed is uninterrupted"] = LABELERS["no memory"]


@labeler("arguments unchanged")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    questions.left[:] -= questions.left.mean()
    return Oracle.answer(self, questions, rng)


@labeler("nothing kept alive")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    self.__dict__["seen"] = questions.right[:1]
    return Oracle.answer(self, questions, rng)


@labeler("symmetric")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    """Three in a hundred times the left, whatever it is."""
    return np.where(rng.random(len(questions.left)) < 0.03, 1.0, Oracle.answer(self, questions, rng))


@labeler("prefers the better")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return (rng.random(len(questions.left)) < 0.5).astype(float)


@labeler("calibrated", Mistake)
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    """States that it errs one time in ten, and errs one time in five."""
    return Mistake(mistake=0.2).answer(questions, rng)


@labeler("same run twice")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return np.where(np.random.rand(len(questions.left)) < 0.5, 0.5, Oracle.answer(self, questions, rng))  # noqa: NPY002


class PlainLabeler:
    def answer(self, questions: Questions, rng: np.random.Generator) -> Any:
        return Oracle().answer(questions, rng)


LABELERS["settings"] = PlainLabeler


def query(law: str) -> Callable[[Any], Any]:
    """A query strategy whose ``choose`` is the decorated function of (itself, candidates, count, generator)."""

    def add(choose: Any) -> Any:
        QUERIES[law] = dataclass(frozen=True)(type("Bad", (Uniform,), {"choose": choose, "__module__": __name__}))
        return choose

    return add


@dataclass(frozen=True)
class NoFactor(Uniform):
    factor: float = 1.5  # type: ignore[assignment]


QUERIES["factor"] = NoFactor


@query("valid indices")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.arange(1, count + 1)


@query("as many as asked")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.arange(count // 2)


QUERIES["budget exact"] = QUERIES["as many as asked"]


@query("no repeats")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return rng.integers(0, len(candidates.pairs), count)


@query("no pair with itself")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    candidates.pairs[:, 1] = candidates.pairs[:, 0]
    return np.arange(count)


QUERIES["different segments compared"] = QUERIES["no pair with itself"]


@query("deterministic")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.random.default_rng().permutation(len(candidates.pairs))[:count]


@query("own generator")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.random.permutation(len(candidates.pairs))[:count]  # noqa: NPY002


@query("no memory")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    start = self.__dict__["start"] = self.__dict__.get("start", -1) + 1
    return (np.arange(count) + start) % len(candidates.pairs)


@query("arguments unchanged")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    candidates.probabilities.sort()
    return np.arange(count)


@query("nothing kept alive")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    self.__dict__["latest"] = candidates.segments[-1]
    return np.arange(count)


@query("symmetric")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.argsort(-candidates.probabilities.mean(0), kind="stable")[:count]


def policy(law: str) -> Callable[[type], type]:
    """A policy of the decorated class, made by settings of a small PPO."""

    def add(cls: Any) -> Any:
        @dataclass(frozen=True)
        class Settings(PPOSettings):
            environments: int = 4
            rollout_steps: int = 32
            epochs: int = 1
            hidden: tuple[int, ...] = (8,)

            def make(self, env: Any, seed: int) -> PPO:
                made: PPO = cls(self, env, seed)
                made.env = env  # type: ignore[attr-defined]
                return made

        POLICIES[law] = Settings
        return cls

    return add


@policy("shapes and bounds")
class Unclipped(PPO):
    def executed(self, actions: Any) -> Any:
        return 3 * actions


@policy("deterministic")
class Entropic(PPO):
    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.acting = np.random.default_rng()


@policy("own generator")
class Global(PPO):
    def act(self, observations: Any) -> Any:
        return super().act(observations) + np.float32(0.1 * np.random.randn())  # noqa: NPY002


@policy("arguments unchanged")
class Scribbler(PPO):
    def improve(self, rollout: Any, rewards: Any, progress: float) -> Any:
        rewards -= rewards.mean()
        return super().improve(rollout, rewards, progress)


@policy("true reward unread")
class Cheat(PPO):
    def improve(self, rollout: Any, rewards: Any, progress: float) -> Any:
        return super().improve(rollout, rewards * self.env.paid, progress)  # type: ignore[attr-defined]


@policy("finite metrics")
class NaNs(PPO):
    def improve(self, rollout: Any, rewards: Any, progress: float) -> Any:
        return {**super().improve(rollout, rewards, progress), "policy_kl": float("nan")}


POLICIES["finite rows"] = POLICIES["finite metrics"]


@policy("state")
class Forgetful(PPO):
    def get_state(self) -> Any:
        return super().get_state()

    def set_state(self, state: Any) -> None:
        super().set_state({**state, "scale": self.scale.get_state()})


@policy("nothing kept alive")
class Hoarder(PPO):
    def improve(self, rollout: Any, rewards: Any, progress: float) -> Any:
        self.__dict__.setdefault("history", []).append(rollout.observations[0])
        return super().improve(rollout, rewards, progress)


@dataclass(frozen=True)
class OddSettings(PPOSettings):
    @classmethod
    def settings_for(cls, task: TaskInfo) -> dict[str, Any]:
        return {"temperature": 1.0} if "hopper" in task.id else {}


POLICIES["settings by task"] = OddSettings


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
