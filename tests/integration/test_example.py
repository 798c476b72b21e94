"""The example of parts of one's own, run as its user runs it; and cut off with kill -9, with the real learner."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import store

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "bench", "run", str(ROOT / "examples" / "my_suite.toml"), "--out"]
SHORT = 'total_steps = 10_000\npolicy = { name = "ppo", environments = 4, rollout_steps = 64, hidden = [16, 16] }\n'


def start(out: Path, command: list[str] = COMMAND, *words: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    return subprocess.Popen(
        [*command, str(out), *words],
        env={**os.environ, "PYTHONPATH": paths, "PREFRL_TRIED": "my_lab my_reward"},  # their import is harmless
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
    killed(2, tmp_path, COMMAND, "--seeds", "1")
    expected = metrics(undisturbed)
    assert len(metrics(tmp_path)) == 2 and metrics(tmp_path).items() <= expected.items()
    for run in store.load(tmp_path):
        twin = undisturbed / run.key
        assert (run.folder / "comparisons.safetensors").read_bytes() == (twin / "comparisons.safetensors").read_bytes()


def test_a_reward_model_of_ones_own_beside_the_default_killed_and_resumed(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "my_reward.toml").read_text()
    short = re.sub("total_steps = .*\n", "", re.sub("policy = .*\n", "", text)).replace("[run]\n", f"[run]\n{SHORT}")
    (tmp_path / "short.toml").write_text(short)  # turns are short too, so that there are checkpoints
    command = [*COMMAND[:-2], str(tmp_path / "short.toml"), "--out"]
    process = start(tmp_path / "whole", command, "--seeds", "1")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    killed(1, tmp_path / "killed", command, "--seeds", "1", "--only", "arm=transformer")
    ((key, found),) = metrics(tmp_path / "killed").items()
    assert metrics(tmp_path / "whole")[key] == found
    names = [run.spec["reward_model"].get("name", "ensemble") for run in store.load(tmp_path / "whole")]
    assert sorted(names) == ["ensemble", "newer", "transformer"]


def killed(times: int, out: Path, command: list[str], *words: str) -> None:
    """Run the suite to its end, killed so often, each time when there is a new checkpoint."""
    for _ in range(times):
        known, process = checkpoints(out), start(out, command, *words)
        while checkpoints(out) == known and process.poll() is None:
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        time.sleep(0.2)  # the workers, in sessions of their own, end with their parent
    process = start(out, command, *words)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert any("resumed" in run.provenance for run in store.load(out))


def checkpoints(out: Path) -> dict[Path, int]:
    """When each was written."""
    return {path: path.stat().st_mtime_ns for path in out.glob("*/checkpoint.safetensors")}


def test_a_package_that_is_missing_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run([*COMMAND, str(tmp_path)], env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert process.returncode == 2 and process.stderr.count("\n") == 1
    assert "no module 'my_lab' in the current folder" in process.stderr
