"""The eight MuJoCo tasks as Gymnasium's v5 defines them: start states, observations, rewards, ends of episodes.

Everything is a function of a batch: arrays have one row per environment, lengths are in metres, angles in radians,
velocities in metres or radians a second. The results equal Gymnasium's bit for bit, which is why some expressions
keep an order of operations, a data type or a scalar power that would not matter otherwise. Left out on purpose:
Gymnasium's options (reward weights, noise scales) and the terms that it reports in ``info``.
MuJoCo itself is not imported here, so that tasks can be listed without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Frame(NamedTuple):
    """What a task reads of ``n`` simulations after a step; each array is a view of ``rows``."""

    rows: Floats  # (n, nq + nv + extra)
    qpos: Floats  # (n, nq) joint positions
    qvel: Floats  # (n, nv) joint velocities
    extra: Floats  # (n, extra) what else the task reads, in the order of its ``extra`` views


Start = Callable[[np.random.Generator, Floats], tuple[Floats, Floats]]  # qpos of the model (nq,) -> qpos, qvel (nv,)
Observe = Callable[[Frame], Floats]
# frame before and after the step, actions as given (their type matters), seconds a step -> rewards, terminated or None
Score = Callable[[Frame, Frame, NDArray[Any], float], "tuple[Floats, Bools | None]"]


Derive = Callable[[Any], "tuple[Floats, Callable[[], None]]"]  # batch -> an array (n, k), and what computes it anew


def nothing(batch: Any) -> list[Floats]:
    """No views of a batch."""
    return []


@dataclass(frozen=True)
class Definition:
    """One task. Steps are environment steps, each of ``frame_skip`` simulation steps."""

    xml: str  # file among Gymnasium's MuJoCo assets, or dm_control/<name of dmcontrol_models.py>
    frame_skip: int
    episode_steps: int  # time limit
    segment_steps: int  # clip of the paper, see protocol.py
    start: Callable[[Any, Any], Any]  # a Start, or what another class of simulation begins with
    observe: Observe  # a new array (n, obs) that shares no memory with the frame
    score: Score
    ends: bool  # whether an episode can terminate before its time limit
    extra: Callable[[Any], list[Floats]] = nothing  # views (n, k) of a batch beyond qpos, qvel and contact forces
    contact_forces: bool = False  # whether cfrc_ext (n, 6 bodies), clipped, comes first in a frame's ``extra``
    derive: Derive | None = None  # numbers that both observation and reward are made of, last in a frame's ``extra``


def _uniform_start(scale: float, nv: int) -> Start:
    def start(rng: np.random.Generator, qpos0: Floats) -> tuple[Floats, Floats]:
        qpos = qpos0 + rng.uniform(-scale, scale, qpos0.size)
        return qpos, rng.uniform(-scale, scale, nv)

    return start


def _normal_start(nv: int) -> Start:
    def start(rng: np.random.Generator, qpos0: Floats) -> tuple[Floats, Floats]:
        qpos = qpos0 + rng.uniform(-0.1, 0.1, qpos0.size)
        return qpos, 0.1 * rng.standard_normal(nv)

    return start


def _reacher_start(rng: np.random.Generator, qpos0: Floats) -> tuple[Floats, Floats]:
    """Random arm; a resting target, uniform in a disc of 0.2 m by rejection."""
    qpos = rng.uniform(-0.1, 0.1, qpos0.size) + qpos0
    target = rng.uniform(-0.2, 0.2, 2)
    while np.linalg.norm(target) >= 0.2:
        target = rng.uniform(-0.2, 0.2, 2)
    qpos[-2:] = target
    qvel = rng.uniform(-0.005, 0.005, 4)
    qvel[-2:] = 0
    return qpos, qvel


def _from(column: int) -> Observe:
    """All positions and velocities from one column on: where the robot is along the track is not observed."""

    def observe(frame: Frame) -> Floats:
        return frame.rows[:, column:].copy()

    return observe


def _with_clipped_velocities(frame: Frame) -> Floats:
    positions = frame.qpos.shape[1] - 1
    observations = frame.rows[:, 1:].copy()
    velocities = observations[:, positions:]
    np.clip(velocities, -10.0, 10.0, out=velocities)
    return observations


def _observe_ant(frame: Frame) -> Floats:
    """13 positions, 14 velocities and the contact wrenches of the 13 bodies that are not the world."""
    return frame.rows[:, [*range(2, 29), *range(35, 113)]]


def _observe_reacher(frame: Frame) -> Floats:
    angles = np.ascontiguousarray(frame.qpos[:, :2])
    offset = frame.extra[:, 0:2] - frame.extra[:, 3:5]
    return np.concatenate((np.cos(angles), np.sin(angles), frame.qpos[:, 2:], frame.qvel[:, :2], offset), axis=1)


def _observe_double_pendulum(frame: Frame) -> Floats:
    angles = np.ascontiguousarray(frame.qpos[:, 1:])
    rest = np.clip(frame.rows[:, [3, 4, 5, 9]], -10.0, 10.0)  # three velocities, force of the cart's limit
    return np.concatenate((frame.qpos[:, :1], np.sin(angles), np.cos(angles), rest), axis=1)


def forward(before: Frame, after: Frame, dt: float) -> Floats:
    """Velocity (n,) along the track, from the first joint's positions."""
    velocity: Floats = (after.qpos[:, 0] - before.qpos[:, 0]) / dt
    return velocity


def torso_forward(before: Frame, after: Frame, dt: float) -> Floats:
    """Velocity (n,) of Ant's torso along x. Its position lags the joints by one simulation step, before and after."""
    velocity: Floats = (after.extra[:, 84] - before.extra[:, 84]) / dt
    return velocity


def reach_distance(frame: Frame) -> Floats:
    """Distance (n,) of Reacher's fingertip from its target."""
    offset = frame.extra[:, :3] - frame.extra[:, 3:]
    distance: Floats = np.sqrt(np.vecdot(offset, offset))
    return distance


def pole_penalty(frame: Frame, square: Callable[[Floats], Floats]) -> tuple[Floats, Floats]:
    """Penalties (n,) of the double pendulum for the tip's distance from (0, 2) and for the poles' velocities."""
    values = frame.rows.T[[6, 8, 4, 5]]  # x and y of the tip, velocities of the two joints
    values[1] -= 2
    x, y, v1, v2 = square(values)
    return 0.01 * x + y, 1e-3 * v1 + 5e-3 * v2


def _scalar_squares(values: Floats) -> Floats:
    """Squares by the C library's pow, which Gymnasium's ``**`` on scalars is: about one in a thousand differs from
    x * x in its last bit."""
    return np.array([value**2 for value in values.ravel().tolist()]).reshape(values.shape)


def _control_cost(weight: float, actions: NDArray[Any]) -> NDArray[Any]:
    cost: NDArray[Any] = weight * np.square(actions).sum(axis=1)  # in the actions' own precision, as Gymnasium has it
    return cost


def _runner(cost: float) -> Score:
    """Forward velocity less control cost, without an end."""

    def score(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
        return forward(before, after, dt) - _control_cost(cost, actions), None

    return score


def _hopper_healthy(frame: Frame) -> Bools:
    """Torso above 0.7 m and within 0.2 rad of upright, every other coordinate and velocity within 100."""
    z, angle = frame.qpos[:, 1], frame.qpos[:, 2]
    moderate = (np.abs(frame.rows[:, 2:]) < 100.0).all(axis=1)
    healthy: Bools = moderate & (z > 0.7) & (np.abs(angle) < 0.2)
    return healthy


def _walker_healthy(frame: Frame) -> Bools:
    """Torso between 0.8 and 2 m and within 1 rad of upright."""
    z, angle = frame.qpos[:, 1], frame.qpos[:, 2]
    healthy: Bools = (z > 0.8) & (z < 2.0) & (np.abs(angle) < 1.0)
    return healthy


def _survivor(is_healthy: Callable[[Frame], Bools]) -> Score:
    """Forward velocity, one for each step that ends healthy, less control cost; an unhealthy state ends the episode."""

    def score(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, Bools]:
        healthy = is_healthy(after)
        return forward(before, after, dt) + healthy - _control_cost(1e-3, actions), ~healthy

    return score


def _score_ant(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, Bools]:
    """Torso velocity and one for each healthy step (0.2 to 1 m high), less control and contact costs."""
    z = after.qpos[:, 2]
    healthy = (z >= 0.2) & (z <= 1.0)
    contact = 5e-4 * np.square(after.extra[:, :84]).sum(axis=1)
    return torso_forward(before, after, dt) + healthy - (_control_cost(0.5, actions) + contact), ~healthy


def _score_reacher(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, None]:
    return -reach_distance(after) - _control_cost(1, actions), None


def _score_double_pendulum(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, Bools]:
    """Ten for each step with the tip above 1 m, less two penalties; below, the episode ends."""
    fallen = after.extra[:, 2] <= 1
    distance, velocity = pole_penalty(after, _scalar_squares)
    return 10.0 * ~fallen - distance - velocity, fallen


def _score_pendulum(before: Frame, after: Frame, actions: NDArray[Any], dt: float) -> tuple[Floats, Bools]:
    """One for each step with the pole within 0.2 rad of upright; beyond, the episode ends."""
    fallen = np.abs(after.qpos[:, 1]) > 0.2
    return (~fallen).astype(np.float64), fallen


TASKS = {
    "hopper": Definition(
        "hopper.xml", 4, 1000, 60, _uniform_start(5e-3, 6), _with_clipped_velocities, _survivor(_hopper_healthy), True
    ),
    "walker2d": Definition(
        "walker2d_v5.xml",
        4,
        1000,
        45,
        _uniform_start(5e-3, 9),
        _with_clipped_velocities,
        _survivor(_walker_healthy),
        True,
    ),
    "swimmer": Definition("swimmer.xml", 4, 1000, 60, _uniform_start(0.1, 5), _from(2), _runner(1e-4), False),
    "half_cheetah": Definition("half_cheetah.xml", 5, 1000, 30, _normal_start(9), _from(1), _runner(0.1), False),
    "ant": Definition(
        "ant.xml",
        5,
        1000,
        30,
        _normal_start(14),
        _observe_ant,
        _score_ant,
        True,
        lambda batch: [batch.bind("xpos")[:, 1, :2]],  # torso
        contact_forces=True,
    ),
    "reacher": Definition(
        "reacher.xml",
        2,
        50,
        15,
        _reacher_start,
        _observe_reacher,
        _score_reacher,
        False,
        lambda batch: [batch.bind("xpos")[:, 3], batch.bind("xpos")[:, 4]],  # fingertip and target
    ),
    "inverted_double_pendulum": Definition(
        "inverted_double_pendulum.xml",
        5,
        1000,
        15,
        _normal_start(3),
        _observe_double_pendulum,
        _score_double_pendulum,
        True,
        lambda batch: [batch.bind("site_xpos")[:, 0], batch.bind("qfrc_constraint")[:, :1]],
    ),
    "inverted_pendulum": Definition(
        "inverted_pendulum.xml", 2, 1000, 15, _uniform_start(0.01, 2), _from(0), _score_pendulum, True
    ),
}
