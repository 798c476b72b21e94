"""What the runner makes of what executors tell, and how a run's files travel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from finished import finish

from bench import cli, progress, runner, store, suite, worker
from bench.executors import Ended, Event, node
from prefrl_core.errors import UserError


class Scripted:
    """Ends each attempt at a run as told."""

    workers = 1

    def __init__(self, ends: list[Ended]) -> None:
        self.ends, self.started, self.job = ends, 0, None

    def room(self, job: progress.Job) -> bool:
        return self.job is None

    def start(self, job: progress.Job) -> None:
        self.job, self.started = job, self.started + 1

    def heard(self, seconds: float) -> list[tuple[progress.Job, Event]]:
        job, self.job = self.job, None
        end = self.ends.pop(0)
        if job and end.code == 0 and not end.lost:
            finish(job.folder, 1000)
        return [(job, end)] if job else []

    def stop(self) -> None:
        pass


def attempt(tmp_path: Path, ends: list[Ended]) -> tuple[int, Scripted]:
    planned = suite.load("quick").runs(seeds=1, only=["arm=true"])
    executor = Scripted(ends)
    return runner.execute(planned, tmp_path, lambda _: executor, progress.Plain), executor


def test_a_lost_node_is_told_and_the_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, executor = attempt(tmp_path, [Ended(lost="its node died")] * 5 + [Ended()])
    assert code == 0 and executor.started == 6
    assert capsys.readouterr().out.count("seed 0: its node died; it goes on") == 5


def test_a_run_whose_nodes_always_die_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, executor = attempt(tmp_path, [Ended(lost="its node died")] * 9)
    assert code == 1 and executor.started == 6
    assert capsys.readouterr().out.splitlines()[-1].endswith("): its node died")


def test_a_finished_run_that_lost_its_metrics_is_not_called_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (planned,) = suite.load("quick").runs(seeds=1, only=["arm=true", "task=reacher"])
    run = store.create(tmp_path, planned.key, planned.spec.canonical(), suite.versions_of(planned.spec))
    (run.folder / "metrics.jsonl").write_text('{"step": 1000}\n')
    finish(run.folder, 1000)
    executor = Scripted([])

    def again() -> tuple[int, str]:
        code = runner.execute([planned], tmp_path, lambda _: executor, progress.Plain)
        return code, capsys.readouterr().out.splitlines()[-1]

    assert again() == (0, "1 run: 1 done (1 of them before).")
    (run.folder / "metrics.jsonl").unlink()
    code, said = again()
    assert code == 1 and said.endswith(
        f"{run.folder}/metrics.jsonl of a finished run is missing: restore it, or delete {run.folder} and run again"
    )


def test_a_code_that_only_looks_like_held_fails_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A worker that finds its run held says by whom; a plug-in that exits with the same code does not."""
    code, executor = attempt(tmp_path, [Ended(code=worker.HELD, last_words="it said nothing")])
    assert code == 1 and executor.started == 1
    assert capsys.readouterr().out.splitlines()[-1].endswith("): it said nothing")


def test_time_that_is_spent_stops_the_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As Ctrl-C does: the next command goes on from the last checkpoints."""
    planned = suite.load("quick").runs(seeds=1, only=["arm=true"])
    executor = Scripted([])
    assert runner.execute(planned, tmp_path, lambda _: executor, progress.Plain, until=0.0) == 0
    assert executor.started == 0 and "1 not finished" in capsys.readouterr().out


def test_without_ray_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bench.executors.ray import RayExecutor

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r'pip install "prefrl-bench\[ray\]"'):
        RayExecutor("127.0.0.1:6379", tmp_path, [])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--executor", "ray"], "--executor ray needs --address HOST:PORT"),
        (["--address", "a:1"], "add --executor ray"),
        (["--ship"], "--ship is for clusters"),
        (["--executor", "ray", "--address", "a:1", "--ship", "0"], "'0' is not a number from 0.1 to 86400"),
        (["--no-probe"], "--no-probe needs --dry-run"),
    ],
)
def test_options_that_would_do_nothing_are_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "quick", *words]) == 2
    assert says in capsys.readouterr().err


def test_only_what_is_new_travels_and_what_builds_on_the_rest_is_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    for name in ("checkpoint.safetensors", "done.json", "metrics.jsonl", "spec.json", ".lock", "done.json.tmp"):
        (there / name).write_text(name)
    files = node.changed(there, {})
    assert [*files][:2] == ["done.json", "checkpoint.safetensors"]  # read before what they build on
    assert {*files} == {"checkpoint.safetensors", "done.json", "metrics.jsonl", "spec.json"}
    written: list[str] = []
    write = node.write_atomic
    monkeypatch.setattr(node, "write_atomic", lambda path, data: (written.append(path.name), write(path, data)))
    node.bring_home(here, files)
    assert written[-2:] == ["checkpoint.safetensors", "done.json"] and (here / "metrics.jsonl").exists()
    known = {name: stamp for name, (stamp, _) in files.items()}
    assert node.changed(there, known) == {}
    with (there / "metrics.jsonl").open("a") as file:
        file.write("more")
    assert [*node.changed(there, known)] == ["metrics.jsonl"]


def test_a_node_without_the_folder_works_in_one_of_its_own_and_clears_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    planned = suite.load("quick").runs(seeds=1, only=["arm=true"])[0]
    (tmp_path / "out").mkdir()
    run = store.create(tmp_path / "out", planned.key, planned.spec.canonical(), suite.versions_of(planned.spec))
    spec = (run.folder / "spec.json").read_bytes().replace(b"40000", b"40001")  # refused at once
    worker: Any = node.NodeWorker()
    assert worker.look(str(run.folder / "nothing"))[1] is False
    assert worker.stop({}) == {}  # before it has begun
    worker.begin(str(run.folder), {"spec.json": spec})
    (scratch,) = tmp_path.glob("prefrl-*")
    end = None
    while end is None:
        _, end, files = worker.poll({}, False)
    assert end[0] == 2 and "spec.json" in files and "is not the spec that named" in end[1]
    assert scratch.exists() and worker.stop({}) and not scratch.exists()
