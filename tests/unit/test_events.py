"""TensorBoard's event files: one record a row of metrics, whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bench import cli, events, progress, runner, store, suite
from bench.events import EventFile
from prefrl_core.errors import UserError

ROOT = Path(__file__).parents[2]


def row(number: int) -> bytes:
    values = {"step": 100 * number, "iteration": number, "phase": "learning", "true_return": 1.5 * number, "labels": 3}
    return json.dumps({**values, "policy_kl": None, "reward_loss": 0.25}).encode() + b"\n"


def folder(out: Path) -> store.Run:
    run = store.Run(out / "0123456789abcdef")
    run.folder.mkdir()
    store.write_json(run.folder / "provenance.json", {"started": "2026-01-01T00:00:00+00:00"})
    timing = "".join(json.dumps({"step": 100 * n, "seconds": 0.5 * n}) + "\n" for n in range(9))
    (run.folder / "timing.jsonl").write_text(timing)
    return run


def write(run: store.Run, *rows: int, rest: bytes = b"") -> None:
    (run.folder / "metrics.jsonl").write_bytes(b"".join(map(row, rows)) + rest)


def read(path: Path) -> list[Any]:
    """As TensorBoard reads it: checksums are compared."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    return list(EventFileLoader(str(path)).Load())


def steps(path: Path) -> list[int]:
    first, *rest = read(path)
    assert first.file_version == "brain.Event:2"
    return [event.step for event in rest]


def test_a_row_is_a_record_and_its_numbers_are_scalars(tmp_path: Path) -> None:
    run, path = folder(tmp_path), tmp_path / "events.out.tfevents.x"
    write(run, 0, 1, 2)
    EventFile(run, path).follow()
    event = read(path)[2]
    assert (event.step, event.wall_time) == (100, 1767225600 + 0.5)
    scalars = {value.tag: value.tensor.float_val[0] for value in event.summary.value}
    assert scalars == {"return/true_return": 1.5, "labels/labels": 3.0, "reward model/reward_loss": 0.25}


def test_it_follows_a_run_that_grows_is_cut_back_and_grows_again(tmp_path: Path) -> None:
    run, path = folder(tmp_path), tmp_path / "events.out.tfevents.x"
    file = EventFile(run, path)
    file.follow()
    for rows, rest in (((0,), row(1)[:9]), ((0, 1, 2), b""), ((0,), b""), ((), b""), ((0, 1), row(2)[:3])):
        write(run, *rows, rest=rest)
        file.follow()
    assert steps(path) == [0, 100, 200]
    write(run, 0, 1, 2, 3)
    file.follow()
    file.follow()
    assert steps(path) == [0, 100, 200, 300]


@pytest.mark.parametrize("lost", [0, 1, 30, 100])
def test_a_new_process_goes_on_where_the_file_ends(tmp_path: Path, lost: int) -> None:
    run, path = folder(tmp_path), tmp_path / "events.out.tfevents.x"
    write(run, 0, 1, 2)
    first = EventFile(run, path)
    first.follow()
    first.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) - lost])  # killed in the middle of a record
    write(run, 0)  # and the run was cut back to its checkpoint
    second = EventFile(run, path)
    second.follow()
    write(run, 0, 1, 2)
    second.follow()
    assert path.read_bytes() == whole
    write(run, 0, 1, 2, 3)
    second.follow()
    assert steps(path) == [0, 100, 200, 300]


def test_only_one_process_writes_a_file(tmp_path: Path) -> None:
    run, path = folder(tmp_path), tmp_path / "events.out.tfevents.x"
    first = EventFile(run, path)
    with pytest.raises(BlockingIOError):
        EventFile(run, path)
    first.close()
    EventFile(run, path).close()


def test_a_full_disk_ends_the_events_and_not_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = suite.load("quick").runs(seeds=1)[:1]
    jobs = [runner.job_of(planned[0], tmp_path)]
    store.create(tmp_path, planned[0].key, planned[0].spec.canonical(), suite.versions_of(planned[0].spec))
    said: list[str] = []
    monkeypatch.setattr(progress.Plain, "note", lambda self, text: said.append(text))
    monkeypatch.setattr(EventFile, "follow", lambda self: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with events.watched(progress.Plain, tmp_path)(jobs, 1) as shown:
        shown.changed(jobs[0])
    assert sum("no more TensorBoard events" in text for text in said) == 1


def test_a_run_that_another_command_follows_is_left_to_it(tmp_path: Path) -> None:
    planned = suite.load("quick").runs(seeds=1)[:2]
    jobs = [runner.job_of(one, tmp_path) for one in planned]
    run = store.create(tmp_path, planned[0].key, planned[0].spec.canonical(), suite.versions_of(planned[0].spec))
    path = events.path(tmp_path / "tensorboard", jobs[0])
    other = EventFile(run, path)
    jobs[0].state = "running"
    with events.watched(progress.Plain, tmp_path)(jobs, 1) as shown:
        write(run, 0, 1)
        shown.tick()
        assert path.stat().st_size == 0  # the other has not flushed yet, and we wrote nothing
        other.close()
        shown._next = 0.0  # type: ignore[attr-defined]
        shown.tick()
    assert steps(path) == [0, 100]


def test_without_tensorboard_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(UserError, match=r"pip install 'prefrl-bench\[tensorboard\]'"):
        events.watched(progress.Plain, tmp_path)


def test_killed_and_resumed_every_row_is_there_once_and_the_runs_bytes_are_the_same(tmp_path: Path) -> None:
    """The parent is killed some times; what it leaves half-followed is completed, and the runs are undisturbed."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "examples")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "bench", "run", str(ROOT / "examples" / "my_suite.toml"), "--seeds", "1", "--out"]
    plain, watched = tmp_path / "plain", tmp_path / "watched"
    events_of = watched / "tensorboard"  # looked at alone: the runs' folders beside it appear and are renamed meanwhile
    subprocess.run([*command, str(plain)], env=environment, check=True, capture_output=True, timeout=120)
    for size in (2_000, 8_000, None):  # bytes of some event file at which all is killed
        process = subprocess.Popen(
            [*command, str(watched), "--tensorboard"],
            env=environment,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        while size and not any(path.stat().st_size > size for path in events_of.rglob("events.out.tfevents.*")):
            assert process.poll() is None, "it was done before it could be killed"
            time.sleep(0.01)
        if size:
            os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(timeout=120) == (-signal.SIGKILL if size else 0)
    found = {path.name.rpartition(".")[2]: path for path in events_of.rglob("events.out.tfevents.*")}
    for run in store.load(watched):
        twin = plain / run.key / "metrics.jsonl"
        assert (run.folder / "metrics.jsonl").read_bytes() == twin.read_bytes()
        assert steps(found.pop(run.key)) == [row["step"] for row in run.rows]
    assert not found


def test_finished_runs_get_their_events_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'examples'}")
    words = [
        "run",
        str(ROOT / "examples/my_suite.toml"),
        "--seeds",
        "1",
        "--steps",
        "4000",
        "--only",
        "arm=true reward",
    ]
    assert cli.main([*words, "--out", str(tmp_path)]) == 0
    assert not (tmp_path / "tensorboard").exists()
    for _ in range(2):
        assert cli.main([*words, "--out", str(tmp_path), "--tensorboard"]) == 0
        [path] = tmp_path.rglob("events.out.tfevents.*")
        assert steps(path) == [row["step"] for row in store.load(tmp_path)[0].rows]
    assert path.parts[-5:-1] == ("my", "point@1", "true reward", f"seed 0 {path.name[-16:-10]}")
    shutil.rmtree(tmp_path / "tensorboard")
