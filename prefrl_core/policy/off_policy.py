"""What learners from a replay have in common: the scale of their rewards, and their state."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from prefrl_core import seeding
from prefrl_core.networks import Array
from prefrl_core.policy.replay import Replay

_ALIKE = 1e-3  # a standard deviation of rewards below which they are taken to be alike


class OffPolicy:
    """A learner from a replay, which says by name what its state is made of."""

    _PARTS: ClassVar[tuple[str, ...]]  # what has a state of its own, the replay apart
    _PROGRESS: ClassVar[tuple[str, ...]]  # numbers
    _GENERATORS: ClassVar[tuple[str, ...]]

    replay: Replay
    reward_mean, reward_std = 0.0, 0.0  # of the rewards over the replay; 0: never measured

    @property
    def reward_scale(self) -> float:
        """What rewards are divided by: their standard deviation, or 1 while nearly all of them are alike. Where a
        reward is rare, the first one would else be worth a million."""
        return self.reward_std if self.reward_std > _ALIKE else 1.0

    def _follow_scale(self, rewards: Array, rate: float) -> None:
        """Bring the rewards' mean and standard deviation towards those of a sample; a sample's are taken as they are
        until they differ."""
        mean, std = float(rewards.mean(dtype=np.float64)), float(rewards.std(dtype=np.float64)) + 1e-6
        rate = rate if self.reward_std > _ALIKE else 1.0
        self.reward_mean += rate * (mean - self.reward_mean)
        self.reward_std += rate * (std - self.reward_std)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on, the reward apart: after ``set_state`` call
        ``reward_changed`` again."""
        return {
            **{name: getattr(self, name).get_state() for name in self._PARTS},
            "replay": self.replay.get_state(),
            "progress": {name: getattr(self, name) for name in self._PROGRESS},
            "random": {name: seeding.state_of(getattr(self, name)) for name in self._GENERATORS},
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``; from a finished run, whose replay is not kept, it can only ``act``."""
        for name in self._PARTS:
            getattr(self, name).set_state(state[name])
        if "steps" in state["replay"]:
            self.replay.set_state(state["replay"])
        for name in self._PROGRESS:
            setattr(self, name, state["progress"][name])
        for name in self._GENERATORS:
            seeding.restore(getattr(self, name), state["random"][name])
