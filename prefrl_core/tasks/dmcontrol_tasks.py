"""Twelve tasks of the DeepMind Control Suite (Tassa et al. 2018): start states and observations; see docs/dmcontrol.md.

Each episode has 1,000 steps and ends there only. A start writes into a probe, a simulation at the model's defaults, and
draws its numbers in the suite's order, so that with the same numbers it gives the same state. Observations are the
suite's, one after another in its order. MuJoCo is not imported here, so that tasks can be listed without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from prefrl_core.tasks import dmcontrol_rewards as rewards
from prefrl_core.tasks.mujoco_tasks import Definition, Derive, Floats, Frame, Observe, Score, nothing

_EPISODE, _SEGMENT = 1000, 50  # steps; PEBBLE and its successors compare clips of 50 (Lee et al. 2021)
_SETTLING = 200  # simulation steps of a cheetah that falls to the ground

Start = Callable[[Any, Any], None]  # (generator, probe)


def _random_joints(random: Any, probe: Any) -> None:
    """A free body's orientation, then every joint with limits, uniform within them, and every other hinge."""
    if probe.free:
        quaternion = random.random(4)
        probe.data.qpos[3:7] = quaternion / np.linalg.norm(quaternion)
    probe.data.qpos[probe.joints] = random.uniform(probe.low, probe.high)


def _without_contact(draw: Start) -> Start:
    """Draw until nothing touches."""

    def start(random: Any, probe: Any) -> None:
        draw(random, probe)
        while probe.touches():
            draw(random, probe)

    return start


def _settled(random: Any, probe: Any) -> None:
    """Joints with limits are random, then the cheetah falls; its first step still feels the forces of the default pose,
    as in the suite."""
    probe.forward()
    limited = probe.limited
    probe.data.qpos[probe.joints[limited]] = random.uniform(probe.low[limited], probe.high[limited])
    probe.settle(_SETTLING)


def _above_the_floor(random: Any, probe: Any) -> None:
    """A random orientation, raised by centimetres until nothing touches."""
    orientation = random.standard_normal(4)
    probe.data.qpos[:3] = 0.0
    probe.data.qpos[3:7] = orientation / np.linalg.norm(orientation)
    while probe.touches():
        probe.data.qpos[2] += 0.01


def _ball_in_the_air(random: Any, probe: Any) -> None:
    probe.data.qpos[2] = random.uniform(-0.2, 0.2)
    probe.data.qpos[3] = random.uniform(0.2, 0.5)


def _hanging_pole(random: Any, probe: Any) -> None:
    probe.data.qpos[0] = 0.01 * random.standard_normal()
    probe.data.qpos[1] = np.pi + 0.01 * random.standard_normal()
    probe.data.qvel[:] = 0.01 * random.standard_normal(2)


def _random_target(random: Any, probe: Any) -> None:
    """A random arm, and a target 0.05 to 0.2 m away: two numbers of the simulation's own, since the model is shared."""
    _random_joints(random, probe)
    angle = random.uniform(0, 2 * np.pi)
    radius = random.uniform(0.05, 0.20)
    probe.data.userdata[:] = radius * np.sin(angle), radius * np.cos(angle)


def _columns(*columns: int) -> Observe:
    """These columns of a frame's rows."""
    chosen = np.array(columns)

    def observe(frame: Frame) -> Floats:
        return frame.rows.take(chosen, axis=1)

    return observe


_QUADRUPED = np.array([*range(7, 23), *range(29, 57), *range(64, 67), 57, *range(58, 64), *range(67, 91)])
_HOPPER = np.array([*range(1, 14), 19, 20])
_FINGER = np.array([0, 1, 5, 7, 2, 3, 4, 14, 15])


def _observe_quadruped(frame: Frame) -> Floats:
    """Joints and activations, velocity, uprightness, accelerometer and gyroscope, then forces and torques at the toes
    on a scale that is logarithmic in large ones."""
    observations = frame.rows.take(_QUADRUPED, axis=1)
    toes = observations[:, 54:]
    np.arcsinh(toes, out=toes)
    return observations


def _observe_humanoid(frame: Frame) -> Floats:
    """Joints, height of the head, hands and feet as the torso sees them, its vertical, the velocities."""
    extra, count = frame.extra, len(frame.rows)
    limbs = extra[:, 13:25].reshape(count, 4, 3) - extra[:, None, 10:13]
    seen = np.einsum("nki,nij->nkj", limbs, extra[:, 1:10].reshape(count, 3, 3)).reshape(count, 12)
    return np.concatenate((frame.qpos[:, 7:], extra[:, :1], seen, extra[:, 7:10], extra[:, 25:28], frame.qvel), axis=1)


def _observe_hopper(frame: Frame) -> Floats:
    """Joints and velocities, the touch sensors on a logarithmic scale; not how far it has come."""
    observations = frame.rows.take(_HOPPER, axis=1)
    touch = observations[:, 13:]
    np.log1p(touch, out=touch)
    return observations


def _observe_finger(frame: Frame) -> Floats:
    """Two joints, the tip from the spinner's hinge, three velocities, two touch sensors on a logarithmic scale."""
    observations = frame.extra.take(_FINGER, axis=1)
    tip, touch = observations[:, 2:4], observations[:, 7:]
    np.subtract(tip, frame.extra[:, 11:14:2], out=tip)
    np.log1p(touch, out=touch)
    return observations


def _walker_extra(batch: Any) -> list[Floats]:
    rotations = batch.bind("xmat").reshape(batch.nsim, -1)[:, 9:]
    return [rotations, _body(batch, "xpos", "torso")[:, 2:], batch.bind("sensordata")]


def _quadruped_extra(batch: Any) -> list[Floats]:
    return [batch.bind("act"), _body(batch, "xmat", "torso")[:, 8:], batch.bind("sensordata")]


def _humanoid_extra(batch: Any) -> list[Floats]:
    limbs = [_body(batch, "xpos", name) for name in ("left_hand", "left_foot", "right_hand", "right_foot")]
    velocity = batch.model.sensor("torso_subtreelinvel").adr[0]
    torso = _body(batch, "xmat", "torso"), _body(batch, "xpos", "torso")
    sensors = batch.bind("sensordata")[:, velocity : velocity + 3]
    return [_body(batch, "xpos", "head")[:, 2:], *torso, *limbs, sensors]


def _hopper_extra(batch: Any) -> list[Floats]:
    heights = [_body(batch, "xipos", name)[:, 2:] for name in ("torso", "foot")]
    return [*heights, batch.bind("sensordata")]


def _sensors(batch: Any) -> list[Floats]:
    return [batch.bind("sensordata")]


def _cup_extra(batch: Any) -> list[Floats]:
    return [batch.bind("site_xpos")[:, batch.model.site("target").id], _body(batch, "xpos", "ball")]


def _pole(batch: Any) -> tuple[Floats, Callable[[], None]]:
    """Cosine and sine ``(n, 2)`` of the pole's angle from the vertical, computed as MuJoCo's kinematics computes the
    pole's rotation, from half of the angle and with the C library's functions: the same bits on most processors."""
    angle, pole = batch.bind("qpos")[:, 1], np.empty((batch.nsim, 2))

    def derive() -> None:
        halves = (0.5 * angle).tolist()
        cos, sin = np.array(list(map(math.cos, halves))), np.array(list(map(math.sin, halves)))
        pole[:, 0], pole[:, 1] = cos * cos - sin * sin, 2 * (cos * sin)

    return pole, derive


def _to_target(batch: Any) -> tuple[Floats, Callable[[], None]]:
    """From the fingertip to the target ``(n, 2)``, in metres."""
    target, tip = batch.bind("userdata"), batch.bind("geom_xpos")[:, batch.model.geom("finger").id, :2]
    offset = np.empty((batch.nsim, 2))

    def derive() -> None:
        np.subtract(target, tip, out=offset)

    return offset, derive


def _body(batch: Any, field: str, name: str) -> Floats:
    """A body's part ``(n, k)`` of a field."""
    part: Floats = batch.bind(field)[:, batch.model.body(name).id]
    return part


_WALKER = _columns(*(18 + 9 * body + part for body in range(7) for part in (0, 2)), 81, *range(9, 18))


def _task(
    model: str,
    frame_skip: int,
    start: Start,
    observe: Observe,
    score: Score,
    extra: Callable[[Any], list[Floats]] = nothing,
    derive: Derive | None = None,
) -> Definition:
    """One task; ``model`` is a name of dmcontrol_models.py."""
    xml, ends = f"dm_control/{model}", False
    return Definition(xml, frame_skip, _EPISODE, _SEGMENT, start, observe, score, ends=ends, extra=extra, derive=derive)


CONTROL = {
    "walker_stand": _task("walker", 10, _random_joints, _WALKER, rewards.walker(0), _walker_extra),
    "walker_walk": _task("walker", 10, _random_joints, _WALKER, rewards.walker(1), _walker_extra),
    "walker_run": _task("walker", 10, _random_joints, _WALKER, rewards.walker(8), _walker_extra),
    "cheetah_run": _task("cheetah", 1, _settled, _columns(*range(1, 18)), rewards.cheetah, _sensors),
    "quadruped_walk": _task(
        "quadruped_walk", 4, _above_the_floor, _observe_quadruped, rewards.quadruped(0.5), _quadruped_extra
    ),
    "quadruped_run": _task(
        "quadruped_run", 4, _above_the_floor, _observe_quadruped, rewards.quadruped(5), _quadruped_extra
    ),
    "humanoid_stand": _task(
        "humanoid", 5, _without_contact(_random_joints), _observe_humanoid, rewards.humanoid_stand, _humanoid_extra
    ),
    "hopper_hop": _task("hopper", 4, _random_joints, _observe_hopper, rewards.hopper_hop, _hopper_extra),
    "finger_spin": _task(
        "finger_spin", 2, _without_contact(_random_joints), _observe_finger, rewards.finger_spin, _sensors
    ),
    "ball_in_cup_catch": _task(
        "ball_in_cup", 10, _without_contact(_ball_in_the_air), _columns(*range(8)), rewards.ball_in_cup, _cup_extra
    ),
    "cartpole_swingup": _task(
        "cartpole", 1, _hanging_pole, _columns(0, 4, 5, 2, 3), rewards.cartpole_swingup, derive=_pole
    ),
    "reacher_easy": _task(
        "reacher", 1, _random_target, _columns(0, 1, 4, 5, 2, 3), rewards.reacher_easy, derive=_to_target
    ),
}
