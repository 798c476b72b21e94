"""The DeepMind Control Suite's tasks: what they promise beside dm_control's numbers, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.physics import Bare, bare_speed
from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.tasks import TaskInfo, dmcontrol_models
from prefrl_core.tasks.dmcontrol_rewards import at_least, near_zero, small, softly_at_least
from prefrl_core.tasks.dmcontrol_tasks import CONTROL

SIZES = {  # numbers observed, numbers given
    "walker_stand": (24, 6),
    "walker_walk": (24, 6),
    "walker_run": (24, 6),
    "cheetah_run": (17, 6),
    "quadruped_walk": (78, 12),
    "quadruped_run": (78, 12),
    "humanoid_stand": (67, 21),
    "hopper_hop": (15, 4),
    "finger_spin": (9, 2),
    "ball_in_cup_catch": (8, 2),
    "cartpole_swingup": (5, 1),
    "reacher_easy": (6, 2),
}


def rollout(env: Any, steps: int, seed: int = 1) -> bytes:
    rng = np.random.default_rng(seed)
    low, high = env.action_space.low, env.action_space.high
    answers = [env.step(rng.uniform(low, high).astype(np.float32)) for _ in range(steps)]
    return b"".join(array.tobytes() for answer in answers for array in (*answer[:4], *answer[4].values()))


def test_terms_are_their_stated_worth_at_the_margin() -> None:
    x = np.array([-1.0, 0.0, 1.0, 2.0, 3.0])
    assert at_least(x, 2.0, 1.0, 0.5).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    assert at_least(x, 2.0, 2.0, 0.0).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    np.testing.assert_allclose(softly_at_least(x, 2.0, 1.0), [0.1**9, 0.1**4, 0.1, 1.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(near_zero(x, 1.0), [0.1, 1.0, 0.1, 0.1**4, 0.1**9], rtol=1e-12)
    assert small(x / 2).tolist() == [0.75, 1.0, 0.75, 0.0, 0.0]


def test_they_are_described_without_dm_control() -> None:
    code = (
        "import sys; from prefrl_core import tasks\n"
        "for name in tasks.names(): tasks.describe(name)\n"
        "print({'dm_control', 'mujoco', 'gymnasium'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert {f"dmcontrol/{name}@1" for name in SIZES} <= set(tasks.names())
    assert tasks.describe("dmcontrol/walker_walk") == TaskInfo("dmcontrol/walker_walk@1", 1000, 50, True)


def test_without_dm_control_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(dmcontrol_models, "distribution", missing)
    with pytest.raises(UserError, match=r"'dm_control': pip install 'prefrl-bench\[dmcontrol\]'"):
        tasks.make("dmcontrol/walker_walk", 1, 0)


def test_another_model_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Other:
        version = "1.0.99"

    monkeypatch.setattr(dmcontrol_models, "_folder", lambda: tmp_path)
    monkeypatch.setattr(dmcontrol_models, "distribution", lambda name: Other)
    (tmp_path / "walker.xml").write_text("<mujoco/>")
    with pytest.raises(UserError, match=r"walker.xml of dm_control 1.0.99 is another model.*==1.0.50"):
        tasks.make("dmcontrol/walker_walk", 1, 0)


def test_other_spaces_and_comments_are_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dm_control")
    text = (dmcontrol_models._folder() / "walker.xml").read_text()
    assert dmcontrol_models._checked("walker", text.replace("<option", "<!-- time --> <option"))
    with pytest.raises(UserError, match="another model"):
        dmcontrol_models._checked("walker", text.replace("0.0025", "0.0026"))


@pytest.mark.parametrize("id", ["dmcontrol/walker_fly", "dmcontrol/walker_walk@2", "dmcontrol/lqr_lqr_2_1"])
def test_what_is_not_there_is_refused_in_one_line(id: str) -> None:
    pytest.importorskip("dm_control")
    with pytest.raises(UserError, match=r"^[^\n]*(walker_walk|no time limit)[^\n]*$"):
        tasks.describe(id)


def test_another_task_without_dm_control_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefrl_core.tasks import dmcontrol_package

    for cached in (dmcontrol_package._suite, dmcontrol_package.names):
        cached.cache_clear()
    monkeypatch.setitem(sys.modules, "dm_control.mujoco.wrapper.mjbindings", None)
    with pytest.raises(UserError, match=r"'dm_control': pip install 'prefrl-bench\[dmcontrol\]'"):
        tasks.describe("dmcontrol/acrobot_swingup")


@pytest.mark.parametrize("name", SIZES)
def test_each_has_its_sizes_its_scenes_and_its_bare_loop(name: str) -> None:
    pytest.importorskip("dm_control")
    env: Any = tasks.make(f"dmcontrol/{name}", 2, 0)
    observations, _ = env.reset()
    assert (observations.shape[1], env.single_action_space.shape[0]) == SIZES[name]
    bare = Bare(name)
    bare.data = bare.data[:2]
    scene = env.scenes()
    assert scene.shape == (2, bare.model.nq + (2 if name == "reacher_easy" else 0))
    assert (bare_speed(f"dmcontrol/{name}@1", 0.01) or 0) > 100


def test_a_task_of_the_package_has_no_bare_loop_and_no_picture() -> None:
    pytest.importorskip("dm_control")
    from prefrl_core.tasks.rendering import painter

    assert bare_speed("dmcontrol/acrobot_swingup@1") is None
    with pytest.raises(UserError, match="cannot be drawn"):
        painter("dmcontrol/acrobot_swingup")


@pytest.mark.parametrize("name", SIZES)
def test_a_restored_state_goes_on_with_the_same_bytes_in_any_number_of_threads(name: str) -> None:
    pytest.importorskip("dm_control")
    env: Any = tasks.make(f"dmcontrol/{name}", 3, 4)
    env.reset()
    rollout(env, 17)
    env._elapsed[1] = 990  # an episode ends and another begins on the way
    saved = env.get_state()
    on = rollout(env, 30, seed=2)
    fresh: Any = tasks.make(f"dmcontrol/{name}", 3, 99, threads=2)
    fresh.set_state(saved)
    assert rollout(fresh, 30, seed=2) == on
    env.set_state(saved)
    assert rollout(env, 30, seed=2) == on


def test_reachers_target_moves_with_the_state() -> None:
    pytest.importorskip("dm_control")
    env: Any = tasks.make("dmcontrol/reacher_easy", 4, 0)
    env.reset()
    targets, saved = env.scenes()[:, 2:].copy(), env.get_state()
    radii = np.linalg.norm(targets, axis=1)
    assert len(set(radii)) == 4 and (radii >= 0.05).all() and (radii <= 0.2).all()
    env.reset()
    assert not np.array_equal(env.scenes()[:, 2:], targets)
    env.set_state(saved)
    assert np.array_equal(env.scenes()[:, 2:], targets)


def test_a_quadruped_that_is_diverging_is_refused() -> None:
    pytest.importorskip("dm_control")
    env: Any = tasks.make("dmcontrol/quadruped_walk", 2, 0)
    env.reset()
    actions = np.zeros(env.action_space.shape)
    actions[1, 3] = np.nan
    with pytest.raises(UserError, match=r"dmcontrol/quadruped_walk@1: action of environment 1"):
        env.step(actions)


def test_every_task_of_ours_is_listed() -> None:
    assert set(SIZES) == set(CONTROL)
