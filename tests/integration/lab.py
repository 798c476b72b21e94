"""What the tests of runners share: a suite file, results folders, and commands that run in them.

The processes are real; the learner is a quick one that is put in its place at the start of each interpreter
(``sitecustomize``), so the laboratory itself needs no switch for tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench import store, suite

REPOSITORY = Path(__file__).parents[2]
SUITE = """
name = "tiny"
[run]
total_steps = 30_000
[sweep]
task = ["mujoco/reacher@1"]
seed = 3
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "20 labels"
labels = 20
"""
LEARNER = """
import os, signal, sys, time, types

def learn(spec, recorder, state=None, people=None, inputs=None):
    import numpy as np
    from prefrl_core.errors import UserError
    random, step = np.random.default_rng([spec.seed, spec.labels]), 0
    if state is not None:
        step, random.bit_generator.state = state["step"], state["random"]
    how = os.environ.get("FAKE_SEED1") if spec.seed == 1 else None
    while step < spec.total_steps:
        step += 1000
        value = float(random.normal())
        if step == 12000 and how == "user":
            raise UserError("the environment gave NaN: look at it")
        if step == 12000 and how == "crash":
            raise RuntimeError("two\\nlines")
        if step == 12000 and how == "card":
            raise RuntimeError("CUDA error: the launch failed\\nCompile it to enable device-side assertions.")
        if step == 12000 and how == "exit":
            os._exit(0)
        if step == 12000 and how == "sys.exit":
            sys.exit(0)
        if step == 12000 and how == "fault":
            recorder.row(None)
        if step == 12000 and how == "moved":
            os.rename(os.path.dirname(recorder._folder), os.path.dirname(recorder._folder) + "-moved")
            recorder.save({})
        if step == 12000 and how == "nan":
            value = float("nan")
        if step == 12000 and how == "killed":
            os.kill(os.getpid(), signal.SIGSEGV)
        with open(os.environ.get("FAKE_LOG", os.devnull), "a") as log:
            log.write(f"{spec.labels} {spec.seed} {step}\\n")
        print("a plug-in's chatter")
        recorder.row({"step": step, "labels": spec.labels, "true_return": value, "episodes": 1})
        time.sleep(float(os.environ.get("FAKE_PAUSE", 0.01)))
        if step % 5000 == 0:
            recorder.comparisons({"answers": random.normal(size=4).round(3)})
            recorder.save({"step": step, "random": random.bit_generator.state})
    return {}

module = types.ModuleType("prefrl_core.loop")
module.learn = learn
sys.modules["prefrl_core.loop"] = module
"""


class Lab:
    """A suite file, results folders, and commands that run in them with the quick learner."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.out = folder, folder / "runs"
        (folder / "tiny.toml").write_text(SUITE)
        (folder / "fake").mkdir()
        (folder / "fake" / "sitecustomize.py").write_text(LEARNER)

    def start(
        self, command: list[str], stdout: int = subprocess.PIPE, extra: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": f"{self.folder / 'fake'}:{REPOSITORY}", **(extra or {})}
        words = [sys.executable, "-m", *command]
        return subprocess.Popen(
            words,
            stdout=stdout,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=environment,
            # A shell that starts the tests in the background has them ignore Ctrl-C, which children inherit.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def begin(self, *words: str, out: Path | None = None, **extra: str) -> subprocess.Popen[str]:
        return self.start(["bench", "run", "tiny.toml", "--out", str(out or self.out), *words], extra=extra)

    def run(self, *words: str, out: Path | None = None, **extra: str) -> tuple[int, str, str]:
        process = self.begin(*words, out=out, **extra)
        stdout, stderr = process.communicate(timeout=100)
        return process.returncode, stdout, stderr

    def work(self, key: str, **extra: str) -> tuple[int, str, str]:
        process = self.start(["bench.worker", str(self.out / key)], extra=extra)
        stdout, stderr = process.communicate(timeout=60)
        return process.returncode, stdout, stderr

    def planned(self) -> list[suite.Planned]:
        return suite.load(str(self.folder / "tiny.toml")).runs()

    def create(self, planned: suite.Planned) -> store.Run:
        self.out.mkdir(exist_ok=True)
        return store.create(self.out, planned.key, planned.spec.canonical(), suite.versions_of(planned.spec))

    def workers(self) -> list[int]:
        """Process ids of the workers on our runs."""
        found = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if (
                    f"{self.folder}/".encode() in (words := (entry / "cmdline").read_bytes())
                    and b"bench.worker" in words
                ):
                    found.append(int(entry.name))
        return found


def metrics(out: Path) -> dict[str, bytes]:
    return {run.key: (run.folder / "metrics.jsonl").read_bytes() for run in store.load(out) if run.status == "done"}


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def checkpoint_of(run: store.Run) -> Path:
    return run.folder / "checkpoint.safetensors"


def killed_half_way(lab: Lab) -> store.Run:
    """A run whose worker was killed with -9 after its first checkpoint."""
    run = lab.create(lab.planned()[0])
    process = lab.start(["bench.worker", str(run.folder)], extra={"FAKE_PAUSE": "0.05"})
    wait_for(lambda: checkpoint_of(run).exists() and len(run.rows) > 6)
    process.kill()
    process.communicate()
    assert run.status == "unfinished"
    return run
