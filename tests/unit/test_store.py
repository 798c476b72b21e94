"""Run folders: whole or known not to be, and never taken for another run."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import finish
from safetensors.numpy import save_file

from bench import store
from bench.recorder import FolderRecorder, Kept
from prefrl_core.errors import UserError

SPEC = {
    "task": "mujoco/hopper@1",
    "seed": 0,
    "policy": {"learning_rate": 0.0003},
    "labeler": {"name": "oracle"},
    "query": {"name": "near_on_policy"},
    "reward_model": {},
    "labels": 10,
    "segment": 25,
    "total_steps": 20,
}
VERSIONS = {"method": 1, "mujoco": "4.0.0"}
KEY = store.key_of(SPEC, VERSIONS)
ROWS: list[dict[str, Any]] = [{"step": 10, "true_return": None}, {"step": 20, "true_return": 1.5}]


def lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def make(out: Path, metrics: bytes = lines(ROWS), done: bool = False) -> store.Run:
    run = store.create(out, KEY, SPEC, VERSIONS)
    (run.folder / "metrics.jsonl").write_bytes(metrics)
    if done:
        finish(run.folder, 20)
    return run


def test_a_run_comes_back_as_it_was_written(tmp_path: Path) -> None:
    make(tmp_path, done=True)
    (run,) = store.load(tmp_path)
    assert (run.key, run.spec, run.versions, run.rows) == (KEY, SPEC, VERSIONS, ROWS)
    assert run.status == "done" and run.done["steps"] == 20
    np.testing.assert_array_equal(run.column("true_return"), [np.nan, 1.5])


def test_the_key_depends_on_every_value_and_not_on_the_order() -> None:
    assert store.key_of(dict(reversed(SPEC.items())), VERSIONS) == KEY
    assert store.key_of({**SPEC, "seed": 1}, VERSIONS) != KEY
    assert store.key_of(SPEC, {**VERSIONS, "mujoco": "4.0.1"}) != KEY
    with pytest.raises(UserError, match="not a finite number"):
        store.key_of({"seed": float("nan")}, VERSIONS)


def test_status_follows_the_files(tmp_path: Path) -> None:
    run = store.Run(tmp_path / KEY)
    seen = [run.status]
    make(tmp_path)
    seen.append(run.status)
    assert run.error is None
    store.write_json(run.folder / "failed.json", {"error": "diverged"})
    seen.append(run.status)
    assert run.error == "diverged"
    finish(run.folder, 20)
    assert [*seen, run.status] == ["not started", "unfinished", "failed", "done"] and run.error is None


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_the_last_line_of_an_unfinished_run_may_be_cut_off(tmp_path: Path, cut: int) -> None:
    assert make(tmp_path, lines(ROWS)[:-cut]).rows == ROWS[:1]


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    run = make(tmp_path, b'{"step": 10}\n{"st\x00p": \n{"step": 30}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2 is damaged .*run again"):
        _ = run.rows


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-1], lambda data: data.replace(b"1.5", b"9.5"), lambda data: b""]
)
def test_rows_of_a_finished_run_are_those_it_ended_with(tmp_path: Path, damage: Any) -> None:
    run = make(tmp_path, done=True)
    path = run.folder / "metrics.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="sha256 differs"):
        _ = run.rows
    path.unlink()
    with pytest.raises(UserError, match="cannot be read"):
        _ = run.rows


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("0.0003", "0.0004"), "is not the spec that named this folder"),
        (lambda text: text.replace('"4.0.0"', '"4.0.1"'), "is not the spec that named this folder"),
        (lambda text: text.replace(KEY, "0" * 16), "is not the spec that named this folder"),
        (lambda text: text.replace('"schema": 1', '"schema": 2'), "has schema 2, this version reads 1"),
        (lambda text: text[:-20], "is damaged"),
        (lambda text: "[]", "no JSON object"),
        (lambda text: "", "is damaged"),
    ],
)
def test_a_spec_that_was_changed_is_refused_in_one_line(tmp_path: Path, change: Any, says: str) -> None:
    path = make(tmp_path).folder / "spec.json"
    path.write_text(change(path.read_text()))
    (run,) = store.load(tmp_path)
    with pytest.raises(UserError) as caught:
        _ = run.spec
    assert says in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(UserError):
        store.create(tmp_path, KEY, SPEC, VERSIONS)


def test_a_renamed_folder_is_refused(tmp_path: Path) -> None:
    os.rename(make(tmp_path).folder, tmp_path / ("0" * 16))
    with pytest.raises(UserError, match="is not the spec that named this folder"):
        _ = store.load(tmp_path)[0].spec


def test_load_takes_runs_alone_and_opens_nothing(tmp_path: Path) -> None:
    for name in ("ffffffffffffffff", "0123456789abcdef", "report-quick", "0123", ".0123456789abcdef.x"):
        (tmp_path / name).mkdir()
    (tmp_path / "aaaaaaaaaaaaaaaa").write_text("a file")
    (tmp_path / "ffffffffffffffff" / "spec.json").write_text("not JSON: nobody has asked yet")
    assert [run.key for run in store.load(tmp_path)] == ["0123456789abcdef", "ffffffffffffffff"]
    with pytest.raises(UserError, match="no results in .*missing"):
        store.load(tmp_path / "missing")


def test_a_run_is_found_by_the_beginning_of_its_key(tmp_path: Path) -> None:
    for name in ("abc0000000000000", "abd0000000000000"):
        (tmp_path / name).mkdir()
    assert store.find(tmp_path, "ABC").key == "abc0000000000000"
    with pytest.raises(UserError, match="begins the keys of 2 runs"):
        store.find(tmp_path, "ab")
    with pytest.raises(UserError, match="no run 'x'"):
        store.find(tmp_path, "x")


def test_comparisons_come_back_and_damage_is_named(tmp_path: Path) -> None:
    run = make(tmp_path)
    assert run.comparisons() == {}
    path = run.folder / "comparisons.safetensors"
    save_file({"answers": np.arange(4.0)}, path)
    np.testing.assert_array_equal(run.comparisons()["answers"], np.arange(4.0))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UserError, match=r"comparisons\.safetensors is damaged"):
        run.comparisons()


def test_segments_have_all_of_their_arrays_as_long_as_each_other(tmp_path: Path) -> None:
    run = make(tmp_path)
    path, whole = run.folder / "segments.safetensors", {name: np.arange(4.0) for name in ("step", "true", "predicted")}
    save_file(whole, path)
    assert run.segments().keys() == whole.keys()
    for name in whole:
        save_file({other: array for other, array in whole.items() if other != name}, path)
        with pytest.raises(UserError, match=rf"segments\.safetensors is damaged \(it lacks {name}\)"):
            run.segments()
        save_file({**whole, name: np.arange(3.0)}, path)
        with pytest.raises(UserError, match=r"segments\.safetensors is damaged \(\w+ is float64 of shape"):
            run.segments()
    save_file({}, path)
    with pytest.raises(UserError, match="it lacks predicted, step, true"):
        run.segments()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "done.json"
    store.write_json(path, {"old": True})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write_json(path, {"new": True})
    assert json.loads(path.read_text()) == {"old": True} and [path.name for path in tmp_path.iterdir()] == ["done.json"]


def _create(out: Path) -> None:
    store.create(out, KEY, SPEC, VERSIONS)


def test_many_processes_make_one_folder(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_create, [tmp_path] * 16)
    assert [path.name for path in tmp_path.iterdir()] == [KEY] and store.Run(tmp_path / KEY).spec == SPEC


def test_reading_needs_neither_the_learner_nor_the_simulator(tmp_path: Path) -> None:
    make(tmp_path, done=True)
    code = (
        "import sys; from pathlib import Path; from bench import store\n"
        f"print(store.load(Path({str(tmp_path)!r}))[0].rows)\n"
        "bad = {'torch', 'mujoco', 'gymnasium', 'prefrl_core.loop', 'prefrl_core.tasks'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.strip() == str(ROWS), done.stderr


def test_a_clock_that_jumps_changes_no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations come from a clock that only goes forward; the date is told once, in the provenance."""
    run = make(tmp_path)
    kept = FolderRecorder(run.folder, Kept(), lambda *_, **__: None)
    for step, date in ((1000, 2e9), (2000, 0.0), (3000, 4e9)):
        monkeypatch.setattr(time, "time", lambda date=date: date)
        kept.row({"step": step, "labels": 0})
    kept.finish(3000)
    seconds = [row["seconds"] for row in run.timing]
    assert seconds == sorted(seconds) and 0 <= run.done["wall_seconds"] < 60 and 0 <= run.done["cpu_seconds"] < 60
