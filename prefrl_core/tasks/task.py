"""What a task is: its description (``TaskInfo``) and the protocol that a registered part keeps (``Task``)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv


@dataclass(frozen=True)
class TaskInfo:
    """What a run needs to know of a task before it is made."""

    id: str  # with its version
    episode_steps: int  # time limit in environment steps
    segment_steps: int  # environment steps of a clip that is compared
    fixed_length: bool  # every episode lasts until its time limit
    endless: bool = False  # ends of episodes are hidden: to the learner it is one that never ends
    pixels: bool = False  # observations are stacked frames; they go on over the ends of episodes
    clip: float = math.inf  # bound of the true reward, on either side, where a policy or a reward model is given it
    score_shown: bool = False  # the observation tells the true return, as a number on a screen does


class Task(Protocol):
    """What a registered part gives; ``packages`` (names of distributions) is optional."""

    @property
    def info(self) -> TaskInfo: ...

    def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv[Any, Any, Any]: ...
