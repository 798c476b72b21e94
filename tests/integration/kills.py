"""Kill -9 again and again, at random, workers and the parent, while a suite runs; then compare with an undisturbed one.

``python tests/integration/kills.py --kills 100`` prints what happened; the tests do a few.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench import check, store

REPOSITORY = Path(__file__).parents[2]
SUITE = """
name = "killed"
[run]
total_steps = {steps}
policy = {{name = "ppo", environments = 4, rollout_steps = 64, minibatch = 64, hidden = [16, 16]}}
[sweep]
task = ["mujoco/reacher@1", "mujoco/hopper@1"]
seed = {seeds}
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "40 labels"
labels = 40
"""
DETERMINISTIC = ("spec.json", "metrics.jsonl", "comparisons.safetensors", "segments.safetensors")


def start(suite: Path, out: Path) -> subprocess.Popen[bytes]:
    """The command, in the background."""
    words = [sys.executable, "-m", "bench", "run", str(suite), "--out", str(out), "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def workers(out: Path) -> list[int]:
    """Process ids of the workers on runs in ``out``."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            words = (entry / "cmdline").read_bytes()
            if b"bench.worker" in words and str(out).encode() in words:
                found.append(int(entry.name))
    return found


def content(out: Path) -> dict[str, bytes]:
    """What every run must end with, by file."""
    runs = [run for run in store.load(out) if run.status == "done"]
    return {f"{run.key}/{name}": (run.folder / name).read_bytes() for run in runs for name in DETERMINISTIC}


def unnamed(out: Path) -> set[str]:
    """What lies in a results folder without a finding about it."""
    return set(os.listdir(out)) - {one.path.name for one in check.inspect(out)} if out.exists() else set()


def kill_at_random(folder: Path, kills: int, seed: int = 0, steps: int = 24_000, seeds: int = 2) -> Counter[str]:
    """Run the suite, four runs a seed of ``steps`` each, over and over in new results folders until ``kills`` kills
    have hit; returns what happened.

    Raises:
        AssertionError: a run ended with other bytes than an undisturbed one, or no finding names what is left.
    """
    (suite := folder / "killed.toml").write_text(SUITE.format(steps=steps, seeds=seeds))
    began = time.monotonic()
    assert start(suite, folder / "undisturbed").wait() == 0
    pause = max(1.5, (time.monotonic() - began) / (4 * seeds))  # a slow machine is given the time to begin
    expected, dice, happened, round_ = content(folder / "undisturbed"), random.Random(seed), Counter[str](), 0
    assert len(expected) == 4 * seeds * len(DETERMINISTIC)
    while happened["kills"] < kills:
        out, round_ = folder / f"round-{round_}", round_ + 1
        finished = False
        while not finished:
            parent = start(suite, out)
            while parent.poll() is None and happened["kills"] < kills:
                time.sleep(dice.uniform(0.05, pause))
                victim = dice.choice(["parent", "worker"])
                with contextlib.suppress(ProcessLookupError, IndexError):
                    os.kill(parent.pid if victim == "parent" else dice.choice(workers(out)), signal.SIGKILL)
                    happened["kills"] += 1
                    happened[victim] += 1
                assert unnamed(out) == set()
            finished = parent.wait() == 0  # a run whose worker was killed too often fails, and is tried again
        found = content(out)
        assert found == expected, sorted(name for name in expected if found.get(name) != expected[name])
        happened["suites"] += 1
        happened["leftover drafts"] += sum(one.kind == "leftover" for one in check.inspect(out))
        assert {one.kind for one in check.inspect(out)} <= {"ok", "leftover"}
        happened["resumed sessions"] += sum(len(run.provenance.get("resumed", ())) for run in store.load(out))
    return happened


def main() -> None:
    """Kill as often as asked, and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=24_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        happened = kill_at_random(Path(folder), options.kills, options.seed, options.steps)
    print(dict(happened), "- every run ended with the same bytes")


if __name__ == "__main__":
    main()
