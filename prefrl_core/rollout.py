"""Acting: what the policy did and what the task answered, as arrays over (steps, environments)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.environment import Environment, Shown
from prefrl_core.errors import UserError
from prefrl_core.frames import STACK, following, stacked


class Actor(Protocol):
    """Who acts."""

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Draw an action for each raw observation ``(envs, obs)``."""

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """What the task is given for drawn actions (continuous ones clipped to their bounds)."""


@dataclass(frozen=True)
class Rollout:
    """``steps`` consecutive steps of ``envs`` environments. Observations are raw: who needs them normalised does so.
    The true reward is not in here, so that nothing which is given a rollout can learn from it. Where observations are
    pixels, ``obs`` is (STACK, height, width), uint8, and ``observations`` a view of the frames, each kept once."""

    observations: NDArray[Any]  # (steps, envs, obs), those acted on; float32, or uint8 of pixels
    drawn_actions: NDArray[Any]  # (steps, envs, act) float32, or (steps, envs) int64 if discrete
    actions: NDArray[Any]  # the same as the task executed them
    terminated: NDArray[np.bool_]  # (steps, envs)
    truncated: NDArray[np.bool_]  # (steps, envs)
    last_observations: NDArray[Any]  # (envs, obs), after the last step
    ends: NDArray[np.int64]  # (ended, 2): step and environment of each episode's end
    final_observations: NDArray[Any]  # (ended, obs), the last observation of those episodes
    scenes: NDArray[np.float32]  # (steps, envs, scene): what to draw at each step; width 0 without people

    @property
    def done(self) -> NDArray[np.bool_]:
        """``(steps, envs)``: the episode ended at this step."""
        return self.terminated | self.truncated

    def next_values(self, values: NDArray[Any], last: NDArray[Any], final: NDArray[Any]) -> NDArray[Any]:
        """Value of what followed each step: ``values`` one step on, ``last`` at the rollout's end, ``final`` at an
        episode's end. Shapes ``(steps, envs)``, ``(envs,)``, ``(ended,)`` -> ``(steps, envs)``."""
        following = np.concatenate([values[1:], last[None]])
        following[self.ends[:, 0], self.ends[:, 1]] = final
        return following


@dataclass(frozen=True)
class Truth:
    """What is true of a rollout: for the log, the synthetic labelers and the control."""

    rewards: NDArray[np.float64]  # (steps, envs)
    games: NDArray[np.float64]  # (ended, 4): environment, score, steps, sum of rewards of hidden episodes


@dataclass(frozen=True)
class Turn:
    """What was acted between two fits of the reward: one rollout, or several that follow one another."""

    rollouts: tuple[Rollout, ...]
    features: NDArray[Any]  # (steps, envs, *shape): what a reward model sees, raw
    rewards: NDArray[np.floating[Any]]  # (steps, envs), predicted, all by one reward model
    done: NDArray[np.bool_]  # (steps, envs)
    scenes: NDArray[np.float32]  # (steps, envs, scene)

    def next_observations(self) -> NDArray[Any]:
        """``(steps, envs, obs)``: the observation that followed each step in the same episode."""
        return np.concatenate(
            [one.next_values(one.observations, one.last_observations, one.final_observations) for one in self.rollouts]
        )


def join(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays of rollouts that follow one another as one; a single one is not copied, and of stacks each frame once."""
    if len(arrays) == 1:
        return arrays[0]
    return following(arrays) if arrays[0].dtype == np.uint8 else np.concatenate(arrays)


def collect(
    env: Environment, policy: Actor, observations: NDArray[Any], steps: int, scene: int = 0
) -> tuple[Rollout, Truth]:
    """Act for ``steps`` steps from ``observations`` ``(envs, obs)``, the present ones of ``env``;
    ``scene`` numbers a step say what to draw, if the task's ``scenes()`` are to be kept.

    Returns:
        The rollout, and beside it the truth.

    Raises:
        UserError: the task returned a reward or an observation that is not finite.
    """
    space, count = env.single_action_space, env.num_envs
    discrete = isinstance(space, gym.spaces.Discrete)
    action_shape = space.shape or ()
    seen, newest = _allocate(observations, steps)
    pixels = seen is not newest
    drawn: NDArray[Any] = np.empty((steps, count, *action_shape), np.int64 if discrete else np.float32)
    actions = np.empty_like(drawn)
    rewards = np.empty((steps, count))
    terminated, truncated = np.zeros((2, steps, count), np.bool_)
    scenes = np.empty((steps, count, scene), np.float32)
    ends, final = [], []
    games: list[NDArray[np.float64]] = [np.zeros((0, 4))]
    for step in range(steps):
        newest[step] = observations[:, -1] if pixels else observations
        if scene and isinstance(env, Shown):
            scenes[step] = env.scenes()
        drawn[step] = policy.act(seen[step])
        actions[step] = policy.executed(drawn[step])
        observations, rewards[step], terminated[step], truncated[step], infos = env.step(actions[step])
        if "final_obs" in infos:
            for index in np.flatnonzero(infos["_final_obs"]):
                ends.append((step, index))
                final.append(infos["final_obs"][index])
        if "games" in infos:
            games.append(infos["games"])
    rollout = Rollout(
        observations=seen,
        drawn_actions=drawn,
        actions=actions,
        terminated=terminated,
        truncated=truncated,
        last_observations=np.asarray(observations, seen.dtype),
        ends=np.array(ends, np.int64).reshape(-1, 2),
        final_observations=np.array(final, seen.dtype).reshape(-1, *seen.shape[2:]),
        scenes=scenes,
    )
    _check(rollout, rewards)
    return rollout, Truth(rewards, np.concatenate(games))


def _allocate(observations: NDArray[Any], steps: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Memory for the observations of a rollout: the view that the policy reads, ``(steps, envs, obs)``, and the slice
    that is written at each step. For stacks of frames that slice is the newest frame; the first stack is stored here.
    """
    if observations.ndim == 2:
        seen = np.empty((steps, *observations.shape), np.float32)
        return seen, seen
    count, _, *size = observations.shape
    kept = np.empty((steps + STACK - 1, count, *size), np.uint8)
    kept[:STACK] = observations.transpose(1, 0, 2, 3)
    return stacked(kept), kept[STACK - 1 :]


def _check(rollout: Rollout, rewards: NDArray[np.float64]) -> None:
    """Raise UserError for numbers that are not finite, and for episodes that ended without their last observation."""
    for what, values in (
        ("reward", rewards),
        ("observation", rollout.observations),
        ("observation", rollout.last_observations),
        ("final observation", rollout.final_observations),
    ):
        if values.dtype != np.uint8 and not np.isfinite(values).all():
            raise UserError(f"the task gave a {what} of {values[~np.isfinite(values)][0]}: its code is at fault")
    if len(rollout.ends) != np.count_nonzero(rollout.done):
        raise UserError(
            f"{np.count_nonzero(rollout.done)} episodes ended but {len(rollout.ends)} last observations came in "
            "infos['final_obs']: the task has to reset in the step that ends an episode"
        )
