"""Acting: what the policy did and what the task answered, as arrays over (steps, environments)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.frames import STACK, stacked


class Policy(Protocol):
    """How to act, and how to act better. A policy optimiser is one file that offers this."""

    rollout_steps: int  # steps an environment takes between two improvements
    rollouts: int  # improvements between two looks at the reward model; 1 where it is left out

    def act(self, observations: NDArray[np.float32]) -> NDArray[Any]:
        """Draw an action for each raw observation ``(envs, obs)``."""

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """What the task is given for drawn actions (continuous ones clipped to their bounds)."""

    def observe(self, rollout: Rollout) -> None:
        """Take in a rollout's observations without learning from it."""

    def improve(self, rollout: Rollout, rewards: NDArray[np.floating[Any]], progress: float) -> dict[str, float]:
        """Learn from a rollout under ``rewards`` ``(steps, envs)``; ``progress`` in [0, 1] is the share of the run."""

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on."""

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""


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
    scenes: NDArray[np.float32]  # (steps, envs, scene): what to draw at each step; no width where nobody looks

    @property
    def done(self) -> NDArray[np.bool_]:
        """``(steps, envs)``: the episode ended at this step."""
        return self.terminated | self.truncated

    def features(self, discrete_actions: int = 0) -> NDArray[Any]:
        """What a reward model sees, ``(steps, envs, obs + act)``: observation and executed action, a discrete one
        of ``discrete_actions`` choices as a unit vector. Of pixels the observation alone, as in the paper."""
        if self.observations.dtype == np.uint8:
            return self.observations
        actions = np.eye(discrete_actions, dtype=np.float32)[self.actions] if discrete_actions else self.actions
        return np.concatenate([self.observations, actions], axis=-1, dtype=np.float32)

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
    games: NDArray[np.float64]  # (ended, 3): environment, score, steps of hidden episodes


def collect(
    env: gym.vector.VectorEnv, policy: Policy, observations: NDArray[Any], steps: int, scene: int = 0
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
    seen, newest = _room(observations, steps)
    pixels = seen is not newest
    drawn: NDArray[Any] = np.empty((steps, count, *action_shape), np.int64 if discrete else np.float32)
    actions = np.empty_like(drawn)
    rewards = np.empty((steps, count))
    terminated, truncated = np.zeros((2, steps, count), np.bool_)
    scenes = np.empty((steps, count, scene), np.float32)
    ends, final = [], []
    games: list[NDArray[np.float64]] = [np.zeros((0, 3))]
    for step in range(steps):
        newest[step] = observations[:, -1] if pixels else observations
        if scene:
            scenes[step] = env.scenes()  # type: ignore[attr-defined]
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


def _room(observations: NDArray[Any], steps: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Where the observations of a rollout go, ``(steps, envs, obs)``, and the part of it that is written at each step:
    all of it, or where they are stacks of frames, of which the first is put there now, the newest frame."""
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
