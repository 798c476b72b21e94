"""Runs with a replay: killed and resumed they give the same bytes, and when they are done their replay is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kills import DETERMINISTIC, REPOSITORY

from bench import check, store
from bench.video import acted
from prefrl_core import checkpoint

SUITE = """
name = "replay"
[run]
total_steps = 8_000
reward_model = {members = 2, hidden = [8], initial_updates = 20, updates = 2}
policy = {name = "sac", environments = 2, rollout_steps = 16, batch = 32, hidden = [16, 16], n_step = 3}
[sweep]
task = ["mujoco/reacher@1"]
seed = 1
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "40 labels"
labels = 40
"""


def run(suite: Path, out: Path) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "bench", "run", str(suite), "--out", str(out), "--workers", "2"]
    return subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, stdout=subprocess.DEVNULL)


def checkpoints(out: Path) -> list[Path]:
    return sorted(out.glob("*/checkpoint.safetensors"))


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("suite") / "replay.toml"
    path.write_text(SUITE)
    return path


def contents(out: Path) -> dict[str, bytes]:
    runs = store.load(out)
    assert [run.status for run in runs] == ["done", "done"]
    return {f"{run.key}/{name}": (run.folder / name).read_bytes() for run in runs for name in DETERMINISTIC}


def test_killed_and_resumed_is_uninterrupted(suite: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "killed"
    assert run(suite, whole).wait() == 0
    for _ in range(2):
        known = {path: path.stat().st_mtime_ns for path in checkpoints(out)}
        parent, until = run(suite, out), time.monotonic() + 120
        while parent.poll() is None and time.monotonic() < until:
            newer = [path for path in checkpoints(out) if path.stat().st_mtime_ns != known.get(path)]
            if len(newer) == 2:
                parent.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        parent.wait()
        assert all(
            len(checkpoint.sides(path)) == 2 for path in checkpoints(out) if not (path.parent / "done.json").exists()
        )
    assert run(suite, out).wait() == 0
    assert contents(out) == contents(whole)
    assert any("resumed" in one.provenance for one in store.load(out))
    for one in store.load(out):
        assert not checkpoint.sides(one.folder / "checkpoint.safetensors")
        assert acted(one, 50)[2].shape == (50,)  # enough is kept to film the agent
    assert {finding.kind for finding in check.inspect(out)} == {"ok"}


def test_a_truncated_replay_starts_the_run_over_and_says_so(suite: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    parent = run(suite, out)
    while parent.poll() is None and len(checkpoints(out)) < 2:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    time.sleep(0.5)  # its workers end with it
    one = next(one for one in store.load(out) if one.status == "unfinished")
    (side,) = [path for path in checkpoint.sides(one.folder / "checkpoint.safetensors") if "steps" in path.name]
    side.write_bytes(side.read_bytes()[:-1])
    words = [sys.executable, "-m", "bench.worker", str(one.folder)]
    told = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True, text=True)
    (warning,) = [line for line in told.stdout.splitlines() if "starts over" in line]
    assert told.returncode == 0 and side.name in warning and "truncated" in warning
    assert store.Run(one.folder).status == "done"
