"""Policies that each break one law (and now and then another with it), for test_conformance.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefrl_core.policy.ppo import PPO, PPOSettings
from prefrl_core.tasks import TaskInfo

POLICIES: dict[str, Any] = {}


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
