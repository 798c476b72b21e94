"""Runs survive what happens to processes; their bytes do not tell that anything happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest
from lab import Lab, checkpoint_of, killed_half_way, metrics, wait_for

from bench import store, worker


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


def test_a_worker_that_always_dies_is_given_up(lab: Lab) -> None:
    code, stdout, _ = lab.run("--only", "arm=20", FAKE_SEED1="killed", FAKE_PAUSE="0")
    assert code == 1 and "3 runs: 2 done, 1 failed." in stdout
    assert "its worker was killed by SIGSEGV" in stdout.splitlines()[-1]


def test_a_card_that_fails_costs_nothing_that_was_saved(lab: Lab, undisturbed: dict[str, bytes]) -> None:
    code, stdout, _ = lab.run("--only", "arm=20", FAKE_SEED1="card", FAKE_PAUSE="0")
    line = stdout.splitlines()[-1]
    assert code == 1 and "3 runs: 2 done, 1 failed." in stdout
    assert "the graphics card failed (CUDA error: the launch failed): see whether it works (nvidia-smi)" in line
    assert line.endswith("it goes on from the last checkpoint")
    log = lab.folder / "log"
    assert lab.run("--only", "arm=20", FAKE_PAUSE="0", FAKE_LOG=str(log))[0] == 0
    assert log.read_text().split()[2] == "11000"
    assert metrics(lab.out).items() <= undisturbed.items() and len(metrics(lab.out)) == 3


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


def test_lost_work_does_not_count_as_time_of_the_run(lab: Lab) -> None:
    run = killed_half_way(lab)
    kept = len(run.timing)
    time.sleep(0.5)
    assert lab.work(run.key, FAKE_PAUSE="0")[0] == 0
    seconds = [row["seconds"] for row in run.timing]
    assert [row["step"] for row in run.timing] == [1000 * n for n in range(1, 31)]
    assert kept >= 6 and seconds == sorted(seconds) and seconds[4] > 0.2  # the first session's are still there
