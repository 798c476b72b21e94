"""What the loop may ask of a batch of environments: stepping, which all can, and what only some can.

An environment says what it can do by having the methods: one with ``get_state`` and ``set_state`` is ``Saveable``, one
with ``stagger`` is ``Staggered``, one with ``shorten`` is ``Shortened``, one with ``scenes`` is ``Shown``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError

_WHOLE_EVERY = 4  # of so many environments one keeps its whole episodes, whose returns are reported


class Environment(Protocol):
    """``num_envs`` environments that are stepped together and reset in the step that ends an episode."""

    num_envs: int

    @property
    def single_observation_space(self) -> gym.Space[Any]: ...
    @property
    def single_action_space(self) -> gym.Space[Any]: ...

    def reset(self, *, seed: int | None = None) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode everywhere; observations ``(envs, obs)``."""

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Observations, rewards, terminated and truncated, a row an environment, and infos; where episodes ended,
        ``infos["final_obs"]`` has their last observations and ``infos["_final_obs"]`` says which they are."""

    def close(self) -> None:
        """Give back what the environments hold."""


@runtime_checkable
class Saveable(Protocol):
    """A run in it can go on where it was cut off."""

    def get_state(self) -> dict[str, Any]:
        """Everything that later steps depend on: arrays and plain values."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``get_state`` was called."""


@runtime_checkable
class Staggered(Protocol):
    """Its episodes can be spread, so that they end at different times."""

    def stagger(self) -> NDArray[Any]:
        """Start an episode everywhere, each at another point of its time limit; observations ``(envs, obs)``."""


@runtime_checkable
class Shortened(Protocol):
    """Some of its environments can be truncated early, and begin anew."""

    def shorten(self, steps: int, which: NDArray[np.bool_]) -> None:
        """From now on truncate episodes after ``steps`` steps in the environments ``which`` ``(envs,)``. It is called
        before the first reset, also where a run goes on from a saved state, which need not have it."""


def shorten(env: Environment, task: str, steps: int) -> NDArray[np.bool_]:
    """Truncate episodes after ``steps`` steps in three of four environments; 0 leaves all as they are.

    Returns:
        ``(envs,)``: the environments whose episodes are short.

    Raises:
        UserError: the task cannot do it.
    """
    which = np.arange(env.num_envs) % _WHOLE_EVERY != 0 if steps else np.zeros(env.num_envs, np.bool_)
    if steps:
        if not isinstance(env, Shortened):
            raise UserError(f"policy.short_episodes = {steps}: task {task} cannot end episodes early: leave it out")
        env.shorten(steps, which)
    return which


@runtime_checkable
class Shown(Protocol):
    """People can be shown what happens in it."""

    def scenes(self) -> NDArray[Any]:
        """What has to be drawn of each environment now, ``(envs, scene)``."""
