"""Rewards of the DeepMind Control Suite's tasks (Tassa et al. 2018, arXiv:1801.00690), over a batch.

Each lies in [0, 1] at every step: a product of terms, each 1 where a quantity is as wanted and less the further it is
away. Distances are divided by a margin; at that distance a term has a stated value. ``extra`` columns of a frame are
those that dmcontrol_tasks.py gathers for the domain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.tasks.mujoco_tasks import Floats, Frame, Score

_GAUSSIAN = float(np.sqrt(-2 * np.log(0.1)))  # a distance of one margin is worth 0.1
_CART_MARGINS = np.array([2.0, 5.0])  # metres of the cart, rad/s of the pole


def at_least(x: Floats, bound: float, margin: float, worth: float) -> Floats:
    """1 where ``x >= bound``, below it a line through ``worth`` at ``bound - margin`` down to 0."""
    missing = (bound - x) / margin * (1 - worth)
    return 1.0 - np.minimum(np.maximum(missing, 0.0), 1.0)


def softly_at_least(x: Floats, bound: float, margin: float) -> Floats:
    """1 where ``x >= bound``, below it half of a bell curve that is 0.1 at ``bound - margin``."""
    return _bell(np.maximum(bound - x, 0.0) / margin)


def near_zero(x: Floats, margin: float) -> Floats:
    """A bell curve of ``x``: 1 at 0 and 0.1 at a distance of ``margin``."""
    return _bell(x / margin)


def small(x: Floats) -> Floats:
    """1 - x², at least 0: what controls of size ``x`` are worth."""
    return np.maximum(1.0 - x * x, 0.0)


def _bell(distance: Floats) -> Floats:
    scaled = _GAUSSIAN * distance
    bell: Floats = np.exp(-0.5 * (scaled * scaled))
    return bell


def walker(speed: float) -> Score:
    """Torso above 1.2 m and upright; with a ``speed`` above 0 (m/s), weighed by how fast it moves forward.

    ``extra``: rotations of seven bodies (63), height of the torso, velocity of its subtree (3).
    """

    def score(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
        standing = softly_at_least(after.extra[:, 63], 1.2, 0.6)
        upright = (1 + after.extra[:, 8]) / 2
        posture: Floats = (3 * standing + upright) / 4
        if speed == 0:
            return posture, None
        return posture * (5 * at_least(after.extra[:, 64], speed, speed / 2, 0.5) + 1) / 6, None

    return score


def cheetah(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """Forward velocity of the torso's subtree over 10 m/s. ``extra``: that velocity (3)."""
    return at_least(after.extra[:, 0], 10.0, 10.0, 0.0), None


def quadruped(speed: float) -> Score:
    """Upright, and its own forward velocity at least ``speed`` m/s.

    ``extra``: activations (12), vertical part of the torso's z-axis, sensors with the velocity at 6.
    """

    def score(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
        moving = at_least(after.extra[:, 19], speed, speed, 0.5)
        return at_least(after.extra[:, 12], 1.0, 2.0, 0.0) * moving, None

    return score


def humanoid_stand(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """Head above 1.4 m, torso upright, small controls, and no movement of the whole over the floor.

    ``extra``: height of the head, rotation of the torso (9), its position (3), four limbs' (12), velocity (3).
    """
    extra = after.extra
    posture = softly_at_least(extra[:, 0], 1.4, 0.35) * at_least(extra[:, 9], 0.9, 1.9, 0.0)
    gentle = (4 + small(actions.astype(np.float64)).mean(axis=1)) / 5
    return gentle * posture * near_zero(extra[:, 25:27], 2.0).mean(axis=1), None


def hopper_hop(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """Torso 0.6 to 2 m above the foot, forward velocity over 2 m/s.

    ``extra``: heights of torso and foot, velocity of the torso's subtree (3), two touch sensors.
    """
    height = after.extra[:, 0] - after.extra[:, 1]
    standing = (height >= 0.6) & (height <= 2.0)
    return standing * at_least(after.extra[:, 2], 2.0, 1.0, 0.5), None


def finger_spin(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """1 while the body spins at 15 rad/s or faster in the wanted direction. ``extra``: all sensors."""
    return (after.extra[:, 4] <= -15.0).astype(np.float64), None


def ball_in_cup(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """1 while the ball, of radius 0.025 m, is inside the cup's square of 0.1 m.

    ``extra``: positions of the target (3) and of the ball (3).
    """
    away = np.abs(after.extra[:, 0:3:2] - after.extra[:, 3:6:2])
    inside = away < 0.05 - 0.025
    return (inside[:, 0] & inside[:, 1]).astype(np.float64), None


def cartpole_swingup(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """Pole upright and slow, cart in the middle, small controls. ``extra``: cosine and sine of the pole's angle."""
    upright = (after.extra[:, 0] + 1) / 2
    centered, slow = (1 + _bell(after.rows[:, 0:4:3] / _CART_MARGINS).T) / 2
    gentle = (4 + small(actions[:, 0].astype(np.float64))) / 5
    return upright * gentle * slow * centered, None


def reacher_easy(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    """1 while the fingertip, of radius 0.01 m, touches the target, of radius 0.05 m.

    ``extra``: from the fingertip to the target (2).
    """
    return (np.sqrt(np.vecdot(after.extra, after.extra)) <= 0.05 + 0.01).astype(np.float64), None
