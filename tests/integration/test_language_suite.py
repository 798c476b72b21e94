"""A small suite of language runs from its file to its page: shared stages, kill -9, the same bytes again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import REPOSITORY, metrics, wait_for

from bench import cli, runner, store, suite
from bench.progress import Job

SUITE = """
name = "small"
[run]
preset = "smoke"
ppo = { episodes = 192 }
[sweep]
task = ["language/tinyinstruct@1"]
seed = 1
[[arm]]
name = "SFT"
method = "sft"
[[arm]]
name = "PPO, 16 rankings"
"""


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench", *words]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)


def workers(folder: Path) -> list[int]:
    """Process ids of the workers in that folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes()
            if b"bench.worker" in words and f"{folder}/".encode() in words:
                found.append(int(entry.name))
    return found


def test_a_suite_is_run_killed_resumed_reported_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(SUITE)
    sft, ppo = suite.load("small.toml").runs()
    run = store.Run(tmp_path / "runs" / ppo.key)
    parent = start(tmp_path, "run", "small.toml", "--workers", "2")
    # runs of one seed share their stages, so the second begins when the first has made them: alone, or waiting for it
    wait_for(lambda: (run.folder / "checkpoint.safetensors").exists(), seconds=60)
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    wait_for(lambda: not workers(tmp_path / "runs"), seconds=10)
    assert run.status == "unfinished"
    stages = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "stages").glob("*.safetensors")}
    assert {name.split("-")[0] for name in stages} == {"pretrain", "sft", "candidates", "reward"}

    assert cli.main(["run", "small.toml", "--workers", "1"]) == 0
    assert "resumed" in run.provenance and run.provenance["versions"]["torch"]
    after = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "runs" / "stages").glob("*.safetensors")}
    assert after.items() >= stages.items(), "a stage was made twice"
    assert run.done["labels"] == 16 and run.done["steps"] == ppo.spec.total_steps
    assert {name for name in run.done["sha256"] if name.startswith("samples")} == set(store.SAMPLES)

    assert cli.main(["report", "small.toml"]) == 0
    html = (tmp_path / "runs" / "report-small" / "index.html").read_text()
    assert "2 of 2 runs finished" in html and 'href="samples.html"' in html
    assert cli.main(["check", "runs"]) == 0 and cli.main(["show", ppo.key[:6]]) == 0
    assert "gold gain" in capsys.readouterr().out

    assert cli.main(["verify", "small.toml", "--workers", "1"]) == 0
    assert "2 of 2 runs came out the same, byte by byte" in capsys.readouterr().out
    assert set(metrics(tmp_path / "runs")) == {sft.key, ppo.key}


def test_damage_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "sft-1.safetensors").write_bytes(b"cut off")
    (tmp_path / "stages" / "sft-2.safetensors.tmp").write_bytes(b"")
    assert cli.main(["check", str(tmp_path)]) == 1
    shown = capsys.readouterr().out
    assert "a stage that cannot be read" in shown and "sft-2.safetensors.tmp" in shown and "1 leftover" in shown


class Rooms:
    """An executor that has room for so many and ends nothing."""

    def __init__(self, workers: int) -> None:
        self.workers, self.started = workers, list[str]()

    def room(self, job: Job) -> bool:
        return len(self.started) < self.workers

    def start(self, job: Job) -> None:
        self.started.append(f"{job.planned.arm}, seed {job.planned.seed}")


class Silent:
    def changed(self, job: Job) -> None:
        pass


@pytest.mark.parametrize(
    ("text", "started"),
    [
        (SUITE.replace("seed = 1", "seed = 2"), ["SFT, seed 0", "SFT, seed 1"]),
        (SUITE, ["SFT, seed 0", "PPO, 16 rankings, seed 0"]),  # rather wait for a stage than leave a core alone
    ],
)
def test_runs_that_begin_with_the_same_stages_are_not_done_at_once_where_there_are_others(
    tmp_path: Path, text: str, started: list[str]
) -> None:
    (tmp_path / "small.toml").write_text(text)
    jobs = [Job(one, tmp_path / one.key) for one in suite.load(str(tmp_path / "small.toml")).runs()]
    rooms = Rooms(2)
    runner.Runner(jobs, tmp_path, rooms, Silent())._fill()  # type: ignore[arg-type]
    assert rooms.started == started
