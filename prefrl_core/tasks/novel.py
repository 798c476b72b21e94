"""Novel behaviours that no simulator rewards, as Christiano et al. 2017 taught them to people's taste (section 3.2).

Each has a scripted oracle that knows the goal, in the place of the true reward, so that it can be learned and tested
without a person. The oracles are ours: the paper had people alone.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.tasks.dmcontrol_tasks import CONTROL
from prefrl_core.tasks.mujoco_tasks import TASKS, Definition, Floats, Frame, forward

_FRONT_FOOT = 7  # body of HalfCheetah
_LIFTED = 0.45  # metres: with its ankle so high, the front foot is off the ground for anybody to see
_FASTEST = 10.0  # rad/s; to spin faster is worth no more


def _backflip(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """Hopper turns backwards, off the ground: backward angular velocity of its torso, weighed by the torso's height."""
    spin = np.clip((before.qpos[:, 2] - after.qpos[:, 2]) / dt, -_FASTEST, _FASTEST)
    return spin * np.clip(after.qpos[:, 1], 0.0, 2.0), None


def _one_leg(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """HalfCheetah moves forward on its hind leg: velocity, less up to five for a front foot on the ground, and as much
    for being upside down, where both feet are in the air: an oracle that only looked at the foot was given that."""
    low = np.maximum(0.0, _LIFTED - after.extra[:, 0]) / _LIFTED
    overturned = np.maximum(0.0, -np.cos(after.qpos[:, 2]))
    return forward(before, after, dt) - 5.0 * (low + overturned), None


def _observe_cheetah(frame: Frame) -> Floats:
    """HalfCheetah's own observation; the height of its foot is for the oracle alone."""
    return frame.rows[:, 1:18].copy()


def backflips(angles: NDArray[np.floating[Any]]) -> int:
    """Whole backward turns of Hopper's torso, by its angles ``(steps,)`` in radians over an episode."""
    return int(max(0.0, np.floor((angles[0] - angles.min()) / (2 * np.pi))))


NOVEL: dict[str, Definition] = {
    "hopper_backflip": dataclasses.replace(TASKS["hopper"], score=_backflip, ends=False),
    "half_cheetah_one_leg": dataclasses.replace(
        TASKS["half_cheetah"],
        score=_one_leg,
        observe=_observe_cheetah,
        extra=lambda batch: [batch.bind("xpos")[:, _FRONT_FOOT, 2:]],
    ),
}


def definition(name: str) -> Definition:
    """Any of our MuJoCo tasks, by its name without room and version."""
    return {**TASKS, **NOVEL, **CONTROL}[name]
