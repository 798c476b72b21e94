"""Runs survive what happens to processes, disks and files; their bytes do not tell that anything happened.

The processes are real; the learner is a quick one that is put in its place at the start of each interpreter
(``sitecustomize``), so the laboratory itself needs no switch for tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import progress, recorder, store, suite, worker

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

def learn(spec, recorder, state=None):
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

module = types.ModuleType("prefrl_core.learner")
module.learn = learn
sys.modules["prefrl_core.learner"] = module
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
        return store.create(self.out, planned.key, planned.spec.canonical(), suite.versions_of(planned.task))

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


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for process in made.workers():  # a failed test leaves nobody behind
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


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
    assert run.status == "partial"
    return run


@pytest.fixture
def undisturbed(lab: Lab) -> dict[str, bytes]:
    """The metrics of the suite's runs when nothing happens to them."""
    out = lab.folder / "undisturbed"
    code, stdout, stderr = lab.run(out=out, FAKE_PAUSE="0")
    assert code == 0, stdout + stderr
    expected = metrics(out)
    assert len(expected) == 6 and len(set(expected.values())) == 6
    return expected


@pytest.mark.parametrize("seed", [1, 2])
def test_kill_9_of_workers_and_parent_leaves_no_trace_in_the_numbers(
    lab: Lab, undisturbed: dict[str, bytes], seed: int
) -> None:
    dice = random.Random(seed)
    interrupted = 0
    for _ in range(6):
        parent = lab.begin("--workers", "2", FAKE_PAUSE="0.04")
        time.sleep(dice.uniform(0.7, 1.8))
        if workers := lab.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(dice.choice(workers), signal.SIGKILL)
                interrupted += 1
        time.sleep(dice.uniform(0, 0.5))
        parent.kill()
        parent.communicate()
        wait_for(lambda: not lab.workers(), seconds=5)  # nobody goes on without a parent
    assert interrupted >= 2
    code, stdout, _ = lab.run()
    assert code == 0, stdout
    assert metrics(lab.out) == undisturbed
    names = {path.name for run in store.load(lab.out) for path in run.folder.iterdir()}
    files = (
        "spec.json provenance.json metrics.jsonl timing.jsonl comparisons.safetensors checkpoint.safetensors done.json"
    )
    assert names == {*files.split(), ".lock"}


def test_a_killed_worker_goes_on_within_the_command(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    parent = lab.begin("--only", "seed=0", "--workers", "1", FAKE_PAUSE="0.05")
    run = store.Run(lab.out / lab.planned()[0].key)
    wait_for(lambda: checkpoint_of(run).exists())
    os.kill(lab.workers()[0], signal.SIGKILL)
    stdout, _ = parent.communicate(timeout=60)
    assert parent.returncode == 0 and "killed by SIGKILL; it goes on" in stdout
    assert metrics(lab.out).items() <= undisturbed.items() and "resumed" in run.provenance


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a worker notices at its next row")
def test_workers_end_with_their_parent_at_once(lab: Lab) -> None:
    parent = lab.begin("--workers", "2", FAKE_PAUSE="30")
    wait_for(lambda: lab.out.exists() and sum(bool(run.rows) for run in store.load(lab.out)) == 2)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not lab.workers(), seconds=5)


def test_a_resumed_run_does_not_repeat_what_the_checkpoint_has(lab: Lab) -> None:
    run = killed_half_way(lab)
    log = lab.folder / "log"
    assert lab.work(run.key, FAKE_LOG=str(log))[0] == 0
    steps = [int(line.split()[2]) for line in log.read_text().splitlines()]
    assert steps[0] >= 6000 and steps[-1] == 30000


def test_ctrl_c_stops_everything_and_says_how_to_go_on(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    parent = lab.begin(FAKE_PAUSE="0.05")
    wait_for(lambda: any(checkpoint_of(run).exists() for run in store.load(lab.out)) if lab.out.exists() else False)
    parent.send_signal(signal.SIGINT)
    stdout, stderr = parent.communicate(timeout=60)
    assert parent.returncode == 130 and stderr == ""
    assert "run the same command again" in stdout.splitlines()[-1]
    assert not lab.workers()
    assert lab.run()[0] == 0
    assert metrics(lab.out) == undisturbed


def test_what_is_done_is_not_done_again(lab: Lab) -> None:
    log = lab.folder / "log"
    lab.run("--seeds", "1", FAKE_LOG=str(log), FAKE_PAUSE="0")
    code, stdout, _ = lab.run("--seeds", "2", FAKE_LOG=str(log), FAKE_PAUSE="0")
    assert code == 0 and "4 runs: 4 done (2 of them before)." in stdout
    assert set(Counter(log.read_text().splitlines()).values()) == {1}


def test_two_runners_on_one_folder_share_the_work(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    log = lab.folder / "log"
    both = [lab.begin("--workers", "2", FAKE_LOG=str(log), FAKE_PAUSE="0.03") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], ends
    assert all("6 runs: 6 done" in stdout for stdout, _ in ends)
    work = Counter(log.read_text().splitlines())
    assert len(work) == 6 * 30 and set(work.values()) == {1}
    assert metrics(lab.out) == undisturbed


def test_a_second_worker_says_who_has_the_run(lab: Lab) -> None:
    run = lab.create(lab.planned()[0])
    first = lab.start(["bench.worker", str(run.folder)], extra={"FAKE_PAUSE": "0.1"})
    wait_for(lambda: run.rows)
    code, _, stderr = lab.work(run.key)
    assert code == worker.HELD and f"is being run by process {first.pid} on " in stderr
    first.kill()
    first.communicate()
    assert worker.holder(run.folder) is None


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("user", "the environment gave NaN: look at it"),
        ("crash", "RuntimeError: two lines"),
        ("nan", "metric ['true_return'] at step 12000 is not a finite number"),
    ],
)
def test_a_failed_run_leaves_its_siblings_running_and_is_tried_again(
    lab: Lab, undisturbed: dict[str, bytes], how: str, says: str
) -> None:
    code, stdout, stderr = lab.run(FAKE_SEED1=how)
    assert code == 1 and stderr == ""
    assert "6 runs: 4 done, 2 failed." in stdout and stdout.splitlines()[-1].startswith("failed: ")
    assert says in stdout.splitlines()[-1] and "Traceback" not in stdout
    failed = [run for run in store.load(lab.out) if run.status == "failed"]
    assert {run.spec["seed"] for run in failed} == {1}
    for run in failed:
        assert run.error is not None and says in run.error and len(run.rows) == 11
        assert "Traceback" in (run.folder / "traceback.txt").read_text()
    assert lab.run()[0] == 0
    assert metrics(lab.out) == undisturbed
    assert not (failed[0].folder / "failed.json").exists() and not (failed[0].folder / "traceback.txt").exists()


def test_a_worker_that_always_dies_is_given_up(lab: Lab) -> None:
    code, stdout, _ = lab.run("--only", "arm=20", FAKE_SEED1="killed", FAKE_PAUSE="0")
    assert code == 1 and "3 runs: 2 done, 1 failed." in stdout
    assert "its worker was killed by SIGSEGV" in stdout.splitlines()[-1]


def test_a_damaged_checkpoint_starts_the_run_over(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    run = killed_half_way(lab)
    path = checkpoint_of(run)
    path.write_bytes(path.read_bytes()[:-1])
    code, stdout, _ = lab.run("--only", "seed=0", "--only", "arm=true")
    (line,) = [line for line in stdout.splitlines() if "starts over" in line]
    assert code == 0 and run.key in line and str(path) in line
    assert metrics(lab.out) == {run.key: undisturbed[run.key]}


@pytest.mark.parametrize("damage", [lambda data: data[:100], lambda data: data.replace(b"1", b"2"), lambda data: b""])
def test_metrics_that_do_not_fit_the_checkpoint_start_the_run_over(
    lab: Lab, undisturbed: dict[str, bytes], damage: Callable[[bytes], bytes]
) -> None:
    run = killed_half_way(lab)
    path = run.folder / "metrics.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    code, stdout, _ = lab.work(run.key)
    warning = json.loads(stdout.splitlines()[0])
    assert code == 0 and "starts over" in warning["message"] and "metrics.jsonl" in warning["message"]
    assert metrics(lab.out) == {run.key: undisturbed[run.key]}


def test_a_spec_edited_by_hand_stops_the_command_before_anything_runs(lab: Lab) -> None:
    path = lab.create(lab.planned()[-1]).folder / "spec.json"
    path.write_text(path.read_text().replace('"seed": 2', '"seed": 3'))
    code, stdout, stderr = lab.run()
    assert code == 2 and stdout == "" and stderr.startswith(f"bench: {path} is not the spec that named this folder")
    assert stderr.count("\n") == 1 and len(store.load(lab.out)) == 1


def test_a_run_of_another_simulator_is_refused_and_untouched(lab: Lab) -> None:
    planned, versions = lab.planned()[0], {"method": 1, "mujoco": "3.3.0", "gymnasium": "1.0.0"}
    lab.out.mkdir()
    key = store.key_of(planned.spec.canonical(), versions)
    run = store.create(lab.out, key, planned.spec.canonical(), versions)
    code, _, stderr = lab.work(key)
    assert code == worker.REFUSED and "belongs to other software" in stderr and "'mujoco': '3.3.0'" in stderr
    assert run.status == "partial"
    assert lab.run("--seeds", "1", FAKE_PAUSE="0")[0] == 0  # and it is no obstacle to our own
    assert run.status == "partial" and len(store.load(lab.out)) == 3


def test_a_plugin_that_is_gone_fails_its_run_alone(lab: Lab) -> None:
    (lab.folder / "my_plugin.py").write_text("")
    (lab.folder / "tiny.toml").write_text('plugins = ["my_plugin"]\n' + SUITE)
    environment = {"PYTHONPATH": f"{lab.folder}:{REPOSITORY}"}
    code = "from bench import suite, store; from pathlib import Path; p = suite.load('tiny.toml').runs()[0]\n"
    code += "Path('runs').mkdir(); store.create(Path('runs'), p.key, p.spec.canonical(), suite.versions_of(p.task))"
    subprocess.run([sys.executable, "-c", code], cwd=lab.folder, env={**os.environ, **environment}, check=True)
    (lab.folder / "my_plugin.py").unlink()
    (run,) = store.load(lab.out)
    returncode, _, stderr = lab.work(run.key)
    assert returncode == worker.FAILED and stderr.count("\n") == 1
    assert run.error is not None and run.error.startswith("plug-in 'my_plugin' does not import: ModuleNotFoundError")


def test_the_worker_runs_on_one_thread_and_keeps_its_account(lab: Lab) -> None:
    run = lab.create(lab.planned()[1])
    assert lab.work(run.key, OPENBLAS_NUM_THREADS="7")[0] == 0
    done, (first, *_, last) = run.done, run.timing
    assert (done["steps"], done["labels"], done["schema"]) == (30000, 20, 1)
    assert 0 < first["seconds"] < last["seconds"] <= done["wall_seconds"] < 30
    assert 5e6 < done["peak_memory_bytes"] < 1 << 30
    assert set(run.provenance) >= {"git", "versions", "cpu", "cores", "platform", "started"}
    assert run.provenance["versions"]["mujoco"] and run.comparisons()["answers"].shape == (4,)


def test_lost_work_does_not_count_as_time_of_the_run(lab: Lab) -> None:
    run = killed_half_way(lab)
    kept = len(run.timing)
    time.sleep(0.5)
    assert lab.work(run.key, FAKE_PAUSE="0")[0] == 0
    seconds = [row["seconds"] for row in run.timing]
    assert [row["step"] for row in run.timing] == [1000 * n for n in range(1, 31)]
    assert kept >= 6 and seconds == sorted(seconds) and seconds[4] > 0.2  # the first session's are still there


def test_a_full_disk_is_one_line_and_what_was_recorded_is_readable(lab: Lab) -> None:
    lab.out.mkdir()
    script = f"mount -t tmpfs -o size=160k tmpfs {lab.out} && cd {lab.folder} && "
    script += f"{sys.executable} -m bench run tiny.toml --seeds 1 --out {lab.out}; echo code $?; "
    script += f"cp -r {lab.out} {lab.folder}/copy"
    probe = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "t", lab.out], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("no right to mount a small disk")
    path = f"{lab.folder / 'fake'}:{REPOSITORY}"
    long = lab.folder / "tiny.toml"
    long.write_text(SUITE.replace("30_000", "3_000_000"))  # 100 times the rows, more than the disk takes
    environment = {**os.environ, "PYTHONPATH": path, "FAKE_PAUSE": "0"}
    words = ["unshare", "-m", "sh", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=False, timeout=60)
    *_, last, code = done.stdout.splitlines()
    assert code == "code 1" and "no space left for " in last and "Traceback" not in done.stdout + done.stderr
    runs = store.load(lab.folder / "copy")
    assert len(runs) == 2 and sum(len(run.rows) for run in runs) > 100


def test_lines_are_whole_though_the_system_writes_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = recorder.Lines(tmp_path / "metrics.jsonl", 0)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    lines.append(b'{"step": 1}\n')
    monkeypatch.undo()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b'{"step": 1}\n' and lines.size == 12


def test_a_terminal_shows_the_running_runs(lab: Lab) -> None:
    import pty

    ours, theirs = pty.openpty()
    command = ["bench", "run", "tiny.toml", "--out", str(lab.out), "--seeds", "1"]
    extra = {"FAKE_PAUSE": "0.04", "TERM": "xterm", "COLUMNS": "120", "NO_COLOR": "1"}
    process = lab.start(command, stdout=theirs, extra=extra)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal's end is an error on Linux
        while data := os.read(ours, 4096):
            shown += data
    assert process.wait(timeout=20) == 0
    text = shown.decode()
    assert "mujoco/reacher@1" in text and "20/20" in text and "2 running, about" in text
    assert "2 runs: 2 done." in text.splitlines()[-1]


def _job(
    key: str, state: progress.State, step: int, rate: float | None, task: str = "mujoco/reacher@1"
) -> progress.Job:
    (planned, *_) = suite.load("quick").runs(seeds=1, steps=200_000, only=["arm=true"])
    job = progress.Job(suite.Planned("arm", task, 0, planned.spec, key), Path(key), state, step)
    if rate is not None:
        job.began, job.latest = (0.0, 0), step / rate
    return job


def test_the_time_left_follows_from_the_measured_rates() -> None:
    done, new = _job("a", "done", 200_000, 1000.0), _job("b", "waiting", 0, None)
    assert progress.remaining([new], workers=1) is None
    assert progress.remaining([done, new], workers=1) == pytest.approx(200)
    half = _job("c", "running", 100_000, 1000.0)
    assert progress.remaining([done, half, new], workers=2) == pytest.approx(200)  # two cores, but one run is 200 s
    assert progress.remaining([done, half, new], workers=1) == pytest.approx(300)
    slow = _job("d", "running", 100_000, 100.0, task="mujoco/ant@1")
    assert progress.remaining([done, half, slow], workers=2) == pytest.approx(1000)
    assert progress.remaining([done], workers=2) == 0
