"""Atari as a task: nothing of the score is seen, nothing of an end is told, and what the log hears of games is true."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py")

import ale_py
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv as Games

from bench.tracks.environments import Environments
from prefrl_core import frames, tasks
from prefrl_core.errors import UserError
from prefrl_core.feedback.segments import Segments
from prefrl_core.hardware import Hardware
from prefrl_core.spec import RunSpec
from prefrl_core.tasks import atari
from prefrl_core.tasks.atari_games import GAMES, SEGMENT

# Bytes of the console's memory that hold the score, as the emulator's own reward functions read them.
SCORE = {
    "beam_rider": (9, 10, 11),
    "breakout": (76, 77),
    "enduro": (0x2B, 0x2C, 0x2D),
    "pong": (13, 14),
    "qbert": (0x59, 0x5A, 0x5B),
    "seaquest": (0x38, 0x39, 0x3A),
    "space_invaders": (0x66, 0x68),
}


def blanked(game: str) -> np.ndarray:
    mask = np.zeros((84, 84), bool)
    for top, bottom, left, right in GAMES[game].blank:
        mask[top:bottom, left:right] = True
    return mask


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """Which of 84 x 84 pixels any of these raw ones ``(210, 160)`` has a share in."""
    found = np.zeros((84, 84), bool)
    for y, x in np.argwhere(pixels):
        found[y * 84 // 210 : -(-(y + 1) * 84 // 210), x * 84 // 160 : -(-(x + 1) * 84 // 160)] = True
    return found


def shown_by_the_score(game: str) -> np.ndarray:
    """Pixels ``(210, 160)`` that change when nothing but the score in the console's memory does."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    console: Any = ale_py.ALEInterface()
    console.setInt("random_seed", 0)
    console.setFloat("repeat_action_probability", 0.0)
    console.loadROM(roms.get_rom_path(game))
    actions, random = console.getMinimalActionSet(), np.random.default_rng(0)
    touched = np.zeros((210, 160), bool)
    for step in range(600):
        console.act(actions[random.integers(len(actions))])
        if step % 100 != 99:
            continue
        saved, screens = console.cloneState(), []
        for trial in range(8):
            console.restoreState(saved)
            for byte in SCORE[game] if trial else ():
                tens, ones = random.integers(0, 10, 2).tolist()
                console.setRAM(byte, 2 * tens if game == "pong" else 16 * tens + ones)
            console.act(actions[0])
            console.act(actions[0])
            screens.append(console.getScreenGrayscale().reshape(210, 160).copy())
        touched |= (np.array(screens) != screens[0]).any(0)
        console.restoreState(saved)
    return touched


@pytest.mark.parametrize("game", GAMES)
def test_whatever_the_score_changes_on_the_screen_is_blanked(game: str) -> None:
    touched = shrunk(shown_by_the_score(game))
    assert touched.sum() > 20  # the score is seen somewhere
    assert not (touched & ~blanked(game)).any()


@pytest.mark.parametrize("game", GAMES)
def test_the_learner_sees_the_game_but_nothing_where_the_score_is(game: str) -> None:
    env = tasks.make(f"atari/{game}", 2, 0)
    seen = [env.reset(seed=0)[0]]
    random, scored = np.random.default_rng(0), 0.0
    for _ in range(300):
        observations, rewards, *_ = env.step(random.integers(0, env.single_action_space.n, 2))
        seen.append(observations)
        scored += float(np.abs(rewards).sum())
    pictures = np.array(seen)[:, :, -1]
    mask = blanked(game)
    assert pictures.dtype == np.uint8 and not pictures[:, :, mask].any()
    assert pictures[:, :, ~mask].std(0).max() > 5
    assert scored > 0 or game == "enduro"  # there was something to be seen


def test_frames_are_those_of_the_emulators_own_environment_with_the_score_blanked() -> None:
    """Also through the ends of games: the stack goes on, and there is no step that was not taken."""
    env: Any = tasks.make("atari/pong", 3, 0)
    observations, _ = env.reset(seed=7)
    theirs = Games("pong", 3, num_threads=1, stack_num=1, reward_clipping=False, autoreset_mode="SameStep")
    first = frames_of_start(env, theirs)
    assert np.array_equal(observations, np.repeat(first, 4, axis=1))
    stack, random, games, totals = observations.copy(), np.random.default_rng(1), [], np.zeros(3)
    for _ in range(1100):
        actions = random.integers(0, 6, 3)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        raw, gained, over, cut, _ = theirs.step(actions)
        raw[:, :, :9] = 0
        stack = np.concatenate([stack[:, 1:], raw], axis=1)
        assert np.array_equal(observations, stack) and np.array_equal(rewards, gained)
        assert not terminated.any() and not truncated.any() and "final_obs" not in infos
        totals += gained
        for index in np.flatnonzero(over | cut):
            games.append([index, totals[index]])
            totals[index] = 0
        told = infos.get("games", np.zeros((0, 3)))
        assert told[:, :2].tolist() == games[len(games) - len(told) :]
    assert len(games) >= 2 and all(-21 <= score <= -14 for _, score in games)


def frames_of_start(env: Any, theirs: Any) -> np.ndarray:
    from prefrl_core import seeding

    raw, _ = theirs.reset(seed=(seeding.integer(7, "start 0") + np.arange(3)) % 2**31)
    raw[:, :, :9] = 0
    return raw


@pytest.mark.parametrize("game", ["seaquest", "breakout"])  # one presses a button by itself
def test_a_saved_state_is_taken_up_exactly_also_behind_a_start_of_its_own(
    game: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atari, "_PERIOD", 70)
    env, other = (tasks.make(f"atari/{game}", 2, 5) for _ in range(2))
    env.reset(seed=5)
    random = np.random.default_rng(0)
    actions = random.integers(0, env.single_action_space.n, (200, 2))
    for row in actions[:100]:
        env.step(row)
    state = env.get_state()
    assert len(state["played"]) == 30 and state["start"] == 1
    other.set_state(state)
    for row in actions[100:]:
        for mine, its in zip(env.step(row)[:2], other.step(row)[:2], strict=True):
            assert np.array_equal(mine, its)
    with pytest.raises(UserError, match=f"saved state is of atari/{game} with 2 environments, but this is atari/pong"):
        tasks.make("atari/pong", 2, 0).set_state(state)


def test_a_state_saved_before_the_first_reset_begins_with_one() -> None:
    one, other = (tasks.make("atari/pong", 2, seed) for seed in (0, 1))
    other.set_state(one.get_state())  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="call reset"):
        other.step(np.zeros(2, np.int64))
    assert np.array_equal(one.reset()[0], other.reset()[0])
    assert np.array_equal(*(env.step(np.ones(2, np.int64))[0] for env in (one, other)))


def test_a_missing_program_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path))
    with pytest.raises(UserError, match=r"the game 'pong' cannot be read \(No such .* correct ALE_ROMS_DIR"):
        tasks.make("atari/pong", 2, 0)
    (tmp_path / "pong.bin").write_bytes(b"no game")
    with pytest.raises(UserError, match=r"'pong' cannot be read \(The hash of pong.bin does not match"):
        tasks.make("atari/pong", 2, 0)
    monkeypatch.setenv("ALE_ROMS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"'pong' cannot be read \(ROM directory .* doesn't exist"):
        tasks.make("atari/pong", 2, 0)


def test_seed_zero_is_a_seed_and_the_number_of_threads_changes_nothing() -> None:
    def played(seed: int, threads: int = 1) -> np.ndarray:
        env = tasks.make("atari/pong", 2, seed, threads)
        env.reset(seed=seed)
        return np.array([env.step(np.full(2, k % 6))[0] for k in range(60)])

    assert np.array_equal(played(0), played(0)) and np.array_equal(played(0), played(0, threads=2))
    assert not np.array_equal(played(0), played(1))


def test_bad_input_is_told() -> None:
    with pytest.raises(UserError, match="unknown game 'pnog': did you mean 'pong'"):
        tasks.describe("atari/pnog")
    with pytest.raises(UserError, match="atari/freeway@1 shows its score, .* or set score_shown = true"):
        RunSpec.of({"task": "atari/freeway", "labels": 10})
    assert RunSpec.of({"task": "atari/freeway", "labels": 10, "score_shown": True}).canonical()["score_shown"]
    assert RunSpec.of({"task": "atari/freeway", "reward": "true"}).task == "atari/freeway@1"
    with pytest.raises(UserError, match="policy 'trpo' on atari/pong@1: it knows no pixels; choose one of ppo, a2c"):
        RunSpec.of({"task": "atari/pong", "policy": "trpo"})
    with pytest.raises(UserError, match="device = 'cuda', .* mujoco/hopper@1 has no pixels"):
        RunSpec.of({"task": "mujoco/hopper", "device": "cuda"})
    with pytest.raises(UserError, match="interleaved = true: mujoco/hopper@1 has no pixels; leave it out"):
        RunSpec.of({"task": "mujoco/hopper", "interleaved": True})
    with pytest.raises(UserError, match="convolutions = 'resnet': choose one of mnih2015, mnih2013"):
        RunSpec.of({"task": "atari/pong", "policy": {"name": "ppo", "convolutions": "resnet"}})
    with pytest.raises(UserError, match="device = 'tpu': choose 'cpu' or 'cuda'"):
        RunSpec.of({"task": "atari/pong", "device": "tpu"})


def test_a_run_over_pixels_says_that_bfloat16_is_imitated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("prefrl_core.loop.learn", lambda *arguments: None)
    monkeypatch.setattr(Hardware, "remark", lambda self: f"slow {self.precision}")
    for task in ("atari/pong", "mujoco/hopper"):
        recorder: Any = SimpleNamespace(warn=said.append)
        Environments().learn(RunSpec.of({"task": task}), recorder, None, tmp_path, people=False)
    assert said == ["slow bfloat16"]


def test_settings_of_pixels_do_not_rename_other_runs() -> None:
    plain = RunSpec.of({"task": "mujoco/hopper"}).canonical()
    assert not {"device", "precision", "score_shown"} & plain.keys()
    assert not {"dropout", "label_buffer"} & plain["reward_model"].keys() and "scale_rewards" not in plain["policy"]
    assert not {"interleaved"} & plain.keys() and "convolutions" not in plain["policy"]
    spec = RunSpec.of({"task": "atari/pong", "policy": "a2c", "reward_model": {"dropout": 0.5}})
    assert "interleaved" not in spec.canonical() and "convolutions" not in spec.canonical()["policy"]
    assert spec.canonical()["policy"]["anneal"] == 1.6 and spec.reward_model["hidden"] == (64,)
    assert RunSpec.of(spec.canonical()) == spec


def test_stacks_are_views_of_frames_kept_once() -> None:
    kept = np.random.default_rng(0).integers(0, 256, (9, 2, 3, 5), dtype=np.uint8)
    seen = frames.stacked(kept)
    assert seen.shape == (6, 2, 4, 3, 5) and np.shares_memory(seen, kept)
    assert all(np.array_equal(seen[t, 1, k], kept[t + k, 1]) for t in range(6) for k in range(4))
    clips = np.stack([seen[1:4, 0], seen[3:6, 1]])
    apart = frames.unstacked(clips)
    assert apart.shape == (2, 6, 3, 5) and np.array_equal(frames.clips(apart), clips)
    assert np.array_equal(frames.unpack(frames.pack(apart)), apart)
    assert np.array_equal(frames.interleaved(seen), np.moveaxis(seen, -3, -1))


@pytest.mark.parametrize("game", ["pong", "beam_rider", "enduro"])  # the last two are those that pack worst
def test_three_thousand_comparisons_take_little_memory(game: str) -> None:
    from prefrl_core.features import Frames
    from prefrl_core.feedback.comparisons import Comparisons

    env: Any = tasks.make(f"atari/{game}", 4, 0)
    env.reset(seed=0)
    random, actions = np.random.default_rng(0), env.single_action_space.n
    shown = np.array([env.step(random.integers(0, actions, 4))[0][:, -1] for _ in range(SEGMENT + 3)])
    kept = Comparisons(2, SEGMENT, Frames(84, 84), 3)
    clips = Segments(shown.transpose(1, 0, 2, 3), np.zeros((4, SEGMENT)), np.empty((4, SEGMENT, 0)))
    kept.add(clips, np.arange(4).reshape(2, 2), np.ones(2), 0, np.random.default_rng(0))
    assert 3000 * kept.bytes_each < 100 * 2**20  # as plain arrays 1.1 GiB
    assert np.array_equal(np.asarray(kept.features), clips.features.reshape(2, 2, SEGMENT + 3, 84, 84))
