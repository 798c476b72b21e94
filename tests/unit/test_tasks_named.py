"""Tasks that another library steps, and those of others whose names look like ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from bench import suite
from bench.physics import bare_speed
from prefrl_core import registry, tasks
from prefrl_core.errors import UserError
from prefrl_core.tasks import rendering


@pytest.fixture
def mine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._parts, "task", dict(registry._parts["task"]))
    for name in ("mujoco/hopper_of_mine", "mujoco-mine/hopper", "plain"):
        registry.register("task", name)(type("Mine", (), {"info": tasks.TaskInfo(f"{name}@1", 100, 10, True)}))


@pytest.mark.parametrize("name", ["mujoco/hopper_of_mine", "mujoco-mine/hopper", "plain"])
def test_a_task_of_ones_own_has_no_yardstick_and_no_painter_of_ours(mine: None, name: str) -> None:
    assert bare_speed(f"{name}@1", seconds=0.01) is None
    with pytest.raises(UserError, match="cannot be drawn"):
        rendering.painter(f"{name}@1")


@pytest.mark.parametrize("name", ["atari/mine", "gymnasium/Mine-v0"])
def test_names_that_would_never_be_found_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="what begins so is a game's or Gymnasium's name"):
        registry.register("task", name)(type("Mine", (), {}))


def test_any_other_task_of_the_control_suite_can_be_planned(tmp_path: Path) -> None:
    pytest.importorskip("dm_control")
    file = tmp_path / "acrobot.toml"
    file.write_text(
        'name = "acrobot"\ntitle = "t"\ndescription = "d"\n[run]\ntotal_steps = 50_000\n[sweep]\n'
        'task = ["dmcontrol/acrobot_swingup@1"]\nseed = 1\n[[arm]]\nname = "control"\nreward = "true"\n'
    )
    (run,) = suite.load(str(file)).runs()
    assert run.task == "dmcontrol/acrobot_swingup@1" and bare_speed(run.task, seconds=0.01) is None


def test_an_environment_that_what_is_installed_cannot_make_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def old(*_: Any, **__: Any) -> None:
        raise ImportError("only supported on mujoco<3")

    monkeypatch.setattr(gym, "make_vec", old)
    with pytest.raises(UserError, match="Pendulum-v1@2 cannot be made with what is installed: only supported"):
        tasks.make("gymnasium/Pendulum-v1", 1, 0)
