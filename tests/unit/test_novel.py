"""The oracles of novel behaviours: what they reward, by figures worked out by hand, and what they are not fooled by."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import mujoco
import numpy as np
import pytest

from prefrl_core import tasks
from prefrl_core.tasks import novel
from prefrl_core.tasks.mujoco_tasks import Frame

ACTIONS = np.zeros((1, 6))


def frame(x: float, z: float, angle: float, foot: float = 0.0) -> Frame:
    qpos = np.array([[x, z, angle, 0, 0, 0, 0, 0, 0]], float)
    return Frame(qpos, qpos, np.zeros((1, 9)), np.array([[foot]]))


def one_leg(before: Frame, after: Frame) -> float:
    return float(novel.NOVEL["half_cheetah_one_leg"].score(before, after, ACTIONS, 0.05)[0][0])


def backflip(before: Frame, after: Frame) -> float:
    return float(novel.NOVEL["hopper_backflip"].score(before, after, ACTIONS, 0.008)[0][0])


@pytest.mark.parametrize(
    ("angle", "foot", "reward"),
    [
        (0.0, 0.45, 2.0),  # forward at two metres a second with the foot lifted
        (0.0, 0.9, 2.0),  # higher is worth no more
        (0.0, 0.0, -3.0),  # on both feet
        (0.0, 0.225, -0.5),
        (np.pi, 0.9, -3.0),  # on its back, feet in the air
        (-np.pi / 2, 0.9, 2.0),  # reared up
        (2 * np.pi, 0.5, 2.0),  # after a whole turn
    ],
)
def test_one_leg(angle: float, foot: float, reward: float) -> None:
    assert one_leg(frame(0.0, 0.0, angle, foot), frame(0.1, 0.0, angle, foot)) == pytest.approx(reward)


def test_a_backflip_is_backward_spin_at_a_height() -> None:
    assert backflip(frame(0, 1, 0.04), frame(0, 1.2, 0.0)) == pytest.approx(5 * 1.2)
    assert backflip(frame(0, 1, 0.0), frame(0, 1.2, 0.04)) == pytest.approx(-5 * 1.2)  # a somersault forward
    assert backflip(frame(0, 1, 9.0), frame(0, 1.0, 0.0)) == 10.0  # no faster than ten radians a second
    assert backflip(frame(0, 1, 0.04), frame(0, -0.1, 0.0)) == 0.0


def test_the_foot_that_is_looked_at_is_the_front_one() -> None:
    folder = Path(gymnasium.__file__).parent / "envs" / "mujoco" / "assets"
    model = mujoco.MjModel.from_xml_path(str(folder / "half_cheetah.xml"))
    assert model.body(novel._FRONT_FOOT).name == "ffoot"


def test_the_oracle_alone_sees_the_foot() -> None:
    ours, plain = tasks.make("mujoco/half_cheetah_one_leg@1", 2, 0), tasks.make("mujoco/half_cheetah@1", 2, 0)
    assert np.array_equal(ours.reset()[0], plain.reset()[0])
    actions = np.full((2, 6), 0.5, np.float32)
    steps = [(ours.step(actions), plain.step(actions)) for _ in range(20)]
    assert all(np.array_equal(a[0], b[0]) and not np.array_equal(a[1], b[1]) for a, b in steps)
