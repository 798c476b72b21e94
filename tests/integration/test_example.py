"""The example of parts of one's own, run as its user runs it; and cut off with kill -9, with the real learner."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import store

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bench", "run", str(ROOT / "examples" / "my_suite.toml"), "--out"]
REWARD = [sys.executable, "-m", "bench", "run", str(ROOT / "examples" / "my_reward.toml"), "--out"]


def start(out: Path, command: list[str] = COMMAND) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    return subprocess.Popen(
        [*command, str(out)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def metrics(out: Path) -> dict[str, bytes]:
    return {run.key: (run.folder / "metrics.jsonl").read_bytes() for run in store.load(out)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    process = start(out)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return out


def test_example_suite_runs(undisturbed: Path) -> None:
    runs = store.load(undisturbed)
    assert [run.status for run in runs] == ["done"] * 4
    labelled = [run for run in runs if run.spec["reward"] == "learned"]
    assert all(run.spec["labeler"] == {"name": "unsure", "margin": 0.3} for run in labelled)
    assert all(run.rows[-1]["labels"] == 100 for run in labelled)


def test_killed_and_resumed_gives_the_same_bytes(undisturbed: Path, tmp_path: Path) -> None:
    killed_again_and_again(tmp_path, COMMAND)
    assert metrics(tmp_path) == metrics(undisturbed)
    for run in store.load(tmp_path):
        twin = undisturbed / run.key
        assert (run.folder / "comparisons.safetensors").read_bytes() == (twin / "comparisons.safetensors").read_bytes()


def test_a_reward_model_of_ones_own_beside_the_default_killed_and_resumed(tmp_path: Path) -> None:
    process = start(tmp_path / "whole", REWARD)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    killed_again_and_again(tmp_path / "killed", REWARD)
    assert metrics(tmp_path / "killed") == metrics(tmp_path / "whole")
    names = [run.spec["reward_model"].get("name", "ensemble") for run in store.load(tmp_path / "whole")]
    assert sorted(names) == ["ensemble", "ensemble", "transformer", "transformer"]


def killed_again_and_again(out: Path, command: list[str]) -> None:
    """Run the suite to its end, killed a few times on the way."""
    dice = random.Random()
    kills = 0
    while True:
        process = start(out, command)
        try:
            said, _ = process.communicate(timeout=dice.uniform(0.5, 1.5))
        except subprocess.TimeoutExpired:
            if kills < 6:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                process.communicate()
                time.sleep(0.2)  # the workers, in sessions of their own, end with their parent
                continue
            said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
        break
    assert kills


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run([*COMMAND, str(tmp_path)], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 2 and process.stderr.count("\n") == 1
    assert "plug-in 'my_lab' does not import" in process.stderr
