"""Pictures of tasks and clips of agents: drawn, encoded, and refused where they cannot be."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from bench import cli, store, video
from bench.answers.desk import LedgerDesk
from bench.answers.ledger import Ledger
from bench.labeling import clips
from bench.labeling.clips import Studio
from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.feedback.desk import Asked
from prefrl_core.tasks.novel import backflips
from prefrl_core.tasks.rendering import painter

SUITE = """
name = "short"
[run]
total_steps = 4_000
policy = {name = "ppo", environments = 4, rollout_steps = 64, minibatch = 64, hidden = [8]}
labels = 10
[sweep]
task = ["mujoco/reacher@1"]
[[arm]]
name = "10 labels"
"""


def cannot_be_drawn() -> str:
    """Why there are no pictures here; empty if there are."""
    try:
        painter("mujoco/reacher").close()
    except UserError as error:
        return str(error)
    return ""


drawn = pytest.mark.skipif(bool(cannot_be_drawn()), reason=cannot_be_drawn())


def decoded(data: bytes) -> np.ndarray:
    with av.open(io.BytesIO(data)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@drawn
@pytest.mark.parametrize("task", ["mujoco/half_cheetah", "mujoco/ant", "mujoco/hopper_backflip", "mujoco-v5/reacher"])
def test_pictures_show_what_moves(task: str) -> None:
    env: Any = tasks.make(task, 1, 0)
    env.reset(seed=0)
    who, pictures = painter(task, 160, 120), []
    for _ in range(2):
        pictures.append(who.draw(env.scenes()[0]))
        for _ in range(10):
            env.step(np.ones(env.action_space.shape, np.float32))
    who.close()
    assert pictures[0].shape == (120, 160, 3) and pictures[0].std() > 10
    assert not np.array_equal(*pictures)


@drawn
@pytest.mark.parametrize("name", ["walker_walk", "quadruped_run", "finger_spin"])
def test_the_control_suite_is_seen_by_its_own_cameras(name: str) -> None:
    pytest.importorskip("dm_control")
    test_pictures_show_what_moves(f"dmcontrol/{name}")


@drawn
def test_reachers_target_is_drawn_where_it_is() -> None:
    pytest.importorskip("dm_control")
    who = painter("dmcontrol/reacher_easy", 160, 120)
    pictures = [who.draw(np.array([0.0, 0.0, *target])).astype(int) for target in ((0.1, 0.1), (-0.1, 0.1))]
    who.close()
    right, left = (picture[..., 0] - picture[..., 1] for picture in pictures)
    redder = right - left
    assert np.nonzero(redder > 20)[1].mean() > 90  # columns: the target on the right, then on the left
    assert np.nonzero(redder < -20)[1].mean() < 70


@drawn
def test_an_agent_that_runs_far_is_drawn_on_the_same_floor() -> None:
    who = painter("mujoco/half_cheetah", 160, 120)
    scene = np.zeros(9)
    near = who.draw(scene)
    scene[0] = 300 * 80 / 60  # whole periods of the floor's pattern, far beyond its end
    assert np.abs(near.astype(int) - who.draw(scene)).mean() < 0.5
    scene[0] += 40 / 60
    assert np.abs(near.astype(int) - who.draw(scene)).mean() > 5  # half a period: black is white
    who.close()


def test_who_cannot_draw_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="cannot be drawn"):
        painter("gymnasium/CartPole-v1")
    import mujoco

    def missing(*values: Any) -> None:
        raise ImportError("cannot load EGL")

    monkeypatch.setattr(mujoco, "Renderer", missing)
    with pytest.raises(UserError, match=r"cannot load EGL.*apt-get install libegl1"):
        painter("mujoco/reacher")


def test_a_clip_has_its_frames_and_its_length() -> None:
    frames = np.zeros((30, 48, 64, 3), np.uint8)
    frames[:, :, :32] = np.arange(30, dtype=np.uint8)[:, None, None, None] * 8
    data = video.encode(frames, 1.5)
    found = decoded(data)
    assert found.shape == frames.shape and np.abs(found[:, :, :24].astype(int) - frames[:, :, :24]).mean() < 4
    with av.open(io.BytesIO(data)) as container:
        assert float(container.duration or 0) / av.time_base == pytest.approx(1.5, abs=0.01)


def test_the_trace_shows_the_curve_and_where_it_is() -> None:
    strips = video.trace(np.linspace(0, 1, 50), 200)
    assert strips.shape == (50, 72, 200, 3)
    cursors = [int(np.flatnonzero((strip == 255).all(-1).all(0))[0]) for strip in strips]
    assert cursors == sorted(cursors) and len(set(cursors)) == 50
    heights = [int(np.flatnonzero(strips[-1][:, x].std(-1) > 1).mean()) for x in range(20, 180, 20)]
    assert heights == sorted(heights, reverse=True)  # it rises
    assert video.trace(np.zeros(3), 100).shape == (3, 72, 100, 3)


@drawn
def test_the_agent_of_a_run_is_filmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "short.toml").write_text(SUITE)
    assert cli.main(["run", str(tmp_path / "short.toml"), "--out", str(tmp_path / "runs")]) == 0
    (run,) = store.load(tmp_path / "runs")
    show = ["show", run.key, "--out", str(tmp_path / "runs"), "--video"]
    assert cli.main([*show, str(tmp_path / "agent.mp4")]) == 0
    assert "300 steps, true reward" in capsys.readouterr().out
    found = decoded((tmp_path / "agent.mp4").read_bytes())
    assert found.shape == (300, 432, 480, 3) and np.abs(np.diff(found[:50].astype(int), axis=0)).max() > 50
    assert cli.main([*show, str(tmp_path / "agent.gif")]) == 2
    (run.folder / "checkpoint.safetensors").unlink()
    assert cli.main([*show, str(tmp_path / "agent.mp4")]) == 2
    assert "no checkpoint here" in capsys.readouterr().err


@drawn
def test_the_studio_draws_what_is_asked_and_what_will_be(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "a.sqlite")
    scenes = np.random.default_rng(0).uniform(-1, 1, (2, 2, 15, 4)).astype(np.float32)
    nothing = np.zeros(2)
    LedgerDesk(ledger).ask(Asked(np.arange(2), 0, scenes, np.zeros((2, 2)), nothing, nothing.astype(bool)))
    studio = Studio("mujoco/reacher@1", ledger)
    left, right = studio.clip(0, "left"), studio.clip(0, "right")
    assert left and right and left != right and studio.clip(0, "left") is left
    assert decoded(left).shape == (15, 240, 320, 3)
    assert studio.clip(9, "left") is None and studio.agent() is None
    LedgerDesk(ledger).show(50, scenes[0, 0])
    agent = studio.agent()
    assert agent is not None and agent[0] == 50 and len(decoded(agent[1])) == 15
    studio.close()
    ledger.close()


def test_a_studio_that_cannot_draw_says_so_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(task: str) -> None:
        raise UserError("no OpenGL to draw with")

    monkeypatch.setattr(clips, "painter", missing)
    ledger = Ledger(tmp_path / "a.sqlite")
    with pytest.raises(UserError, match="no OpenGL"):
        Studio("mujoco/reacher@1", ledger)
    ledger.close()


def test_a_clip_that_is_dropped_while_it_is_asked_for_is_drawn_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropping(OrderedDict[tuple[Any, ...], bytes]):
        def __contains__(self, what: object) -> bool:
            there = super().__contains__(what)
            if there and threading.current_thread().name != "studio":
                del self[what]  # type: ignore[arg-type]
            return there

    monkeypatch.setattr(clips, "painter", lambda task: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(clips, "film", lambda who, scenes, seconds: b"clip")
    ledger = Ledger(tmp_path / "a.sqlite")
    nothing = np.zeros(1)
    scenes = np.zeros((1, 2, 3, 4), np.float32)
    LedgerDesk(ledger).ask(Asked(np.arange(1), 0, scenes, np.zeros((1, 2)), nothing, nothing.astype(bool)))
    studio = Studio("mujoco/reacher@1", ledger)
    studio._clips = Dropping()
    assert [studio.clip(0, "left") for _ in range(3)] == [b"clip"] * 3
    studio.close()
    ledger.close()


def test_backflips_are_whole_backward_turns() -> None:
    assert [backflips(np.array(angles)) for angles in ([0.0, 1, 2], [0.0, -6.2], [0.0, -6.3], [1.0, -12, 0])] == [
        0,
        0,
        1,
        2,
    ]
