"""What a runner and its workers do about failures, damaged files, full disks and each other; what they show."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lab import REPOSITORY, SUITE, Lab, metrics

from bench import progress, recorder, store, suite, worker


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("user", "the environment gave NaN: look at it"),
        ("crash", "RuntimeError: two lines, at "),
        ("sys.exit", "raised by the module 'sitecustomize', not by this software"),
        ("exit", "its worker ended before the run did: a plug-in may have called os._exit or sys.exit"),
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
    assert {run.spec["seed"] for run in failed} == {1} or how == "exit"  # what ended at once left nothing
    assert len(failed) == 2 or how == "exit"
    for run in failed:
        assert run.error is not None and says in run.error and len(run.rows) == 11
        assert "Traceback" in (run.folder / "traceback.txt").read_text()
        if how == "crash":
            assert "sitecustomize.py" in run.error and "the trace is in" in run.error
    assert lab.run()[0] == 0
    assert metrics(lab.out) == undisturbed
    if how == "exit":
        return
    assert not (failed[0].folder / "failed.json").exists() and not (failed[0].folder / "traceback.txt").exists()


def test_a_fault_of_ours_in_a_run_is_said_to_be_ours_and_the_siblings_go_on(lab: Lab) -> None:
    code, stdout, stderr = lab.run("--seeds", "2", FAKE_SEED1="fault")
    assert code == 70 and stderr == "" and "4 runs: 2 done, 2 failed." in stdout
    said = stdout.splitlines()[-1]
    assert "a fault of ours, not yours (AttributeError" in said and "traceback.txt; report it with that file" in said


def test_a_results_folder_that_is_moved_away_is_one_line(lab: Lab) -> None:
    code, stdout, stderr = lab.run("--seeds", "2", "--workers", "1", "--only", "arm=true", FAKE_SEED1="moved")
    assert code in (1, 2) and "Traceback" not in stdout + stderr and "fault of ours" not in stdout + stderr
    assert "No such file or directory: see that nothing there was moved" in stdout + stderr


def test_too_few_files_fail_runs_by_name(lab: Lab) -> None:
    words = f"ulimit -n 20; exec {sys.executable} -m bench run tiny.toml --out {lab.out} --workers 6"
    path = f"{lab.folder / 'fake'}:{REPOSITORY}"
    done = subprocess.run(
        ["bash", "-c", words],
        cwd=lab.folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    said = done.stdout + done.stderr
    assert done.returncode in (0, 1, 2) and "Traceback" not in said and "fault of ours" not in said
    assert done.returncode == 0 or "Too many open files: allow more open files (ulimit -n), or use fewer" in said


def test_a_spec_edited_by_hand_fails_its_run_and_the_siblings_go_on(lab: Lab) -> None:
    path = lab.create(lab.planned()[-1]).folder / "spec.json"
    path.write_text(path.read_text().replace('"seed": 2', '"seed": 3'))
    code, stdout, stderr = lab.run()
    assert code == 1 and stderr == "" and "6 runs: 5 done, 1 failed." in stdout
    assert f"{path} is not the spec that named this folder" in stdout.splitlines()[-1]


def test_a_run_of_another_simulator_is_refused_and_untouched(lab: Lab) -> None:
    planned, versions = lab.planned()[0], {"method": 1, "mujoco": "3.3.0", "gymnasium": "1.0.0"}
    lab.out.mkdir()
    key = store.key_of(planned.spec.canonical(), versions)
    run = store.create(lab.out, key, planned.spec.canonical(), versions)
    code, _, stderr = lab.work(key)
    assert code == worker.REFUSED and "belongs to other software" in stderr and "'mujoco': '3.3.0'" in stderr
    assert run.status == "unfinished"
    assert lab.run("--seeds", "1", FAKE_PAUSE="0")[0] == 0  # and it is no obstacle to our own
    assert run.status == "unfinished" and len(store.load(lab.out)) == 3


def test_a_plugin_that_is_gone_fails_its_run_alone(lab: Lab) -> None:
    (lab.folder / "my_plugin.py").write_text("")
    (lab.folder / "tiny.toml").write_text('plugins = ["my_plugin"]\n' + SUITE)
    environment = {"PYTHONPATH": f"{lab.folder}:{REPOSITORY}"}
    code = "from bench import suite, store; from pathlib import Path; p = suite.load('tiny.toml').runs()[0]\n"
    code += "Path('runs').mkdir(); store.create(Path('runs'), p.key, p.spec.canonical(), suite.versions_of(p.spec))"
    subprocess.run([sys.executable, "-c", code], cwd=lab.folder, env={**os.environ, **environment}, check=True)
    (lab.folder / "my_plugin.py").unlink()
    (run,) = store.load(lab.out)
    returncode, _, stderr = lab.work(run.key)
    assert returncode == worker.FAILED and stderr.count("\n") == 1
    assert run.error is not None and run.error.startswith(
        "plug-in 'my_plugin': no module 'my_plugin' in the current folder"
    )


def test_the_worker_runs_on_one_thread_and_keeps_its_account(lab: Lab) -> None:
    run = lab.create(lab.planned()[1])
    assert lab.work(run.key, OPENBLAS_NUM_THREADS="7")[0] == 0
    done, (first, *_, last) = run.done, run.timing
    assert (done["steps"], done["labels"], done["schema"]) == (30000, 20, 1)
    assert 0 < first["seconds"] < last["seconds"] <= done["wall_seconds"] < 30
    assert 5e6 < done["peak_memory_bytes"] < 1 << 30
    assert set(run.provenance) >= {"git", "versions", "cpu", "cores", "platform", "started"}
    assert run.provenance["versions"]["mujoco"] and run.comparisons()["answers"].shape == (4,)


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
