"""Nothing in a results folder ends in a traceback, hangs, or is told in more than a line."""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import strategies as doors
from commands import bench, in_time, often
from finished import finish
from hypothesis import example, given
from hypothesis import strategies as st

from bench import check, schemas, store, suite
from bench.answers import record
from bench.parse import parse
from bench.recorder import FolderRecorder, Kept
from prefrl_core import known
from prefrl_core.errors import UserError
from prefrl_core.feedback import dataset


@cache
def folder() -> Path:
    """A finished run with a checkpoint and answers, and one that is not finished; tests damage copies of it."""
    from test_ledger import asked

    from bench.answers.desk import LedgerDesk
    from bench.answers.ledger import NAME, Ledger

    comparisons = {"mu": np.array([0.0, 1.0, 0.5]), "features": np.zeros((3, 2, 4, 12), np.float32)}
    comparisons |= {"true_returns": np.zeros((3, 2)), "step_asked": np.zeros(3), "multiplicity": np.ones((3, 3))}
    out = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, out)
    for number, planned in enumerate(suite.load("quick").runs(seeds=1, only=["arm=30 labels"]) * 2):
        spec = {**planned.spec.canonical(), "seed": number}
        versions = suite.versions_of(planned.spec)
        run = store.create(out, store.key_of(spec, versions), spec, versions)
        store.write_json(run.folder / "provenance.json", {"versions": {"mujoco": "4.0.0"}, "cores": 2, "git": None})
        kept = FolderRecorder(run.folder, Kept(), lambda *_, **__: None)
        for step in (1000, 2000):
            kept.row({"step": step, "labels": 3, "true_return": 1.5, "episodes": 2, "phase": "learning"})
        kept.comparisons(comparisons)
        kept.segments({name: np.arange(4.0) for name in ("step", "predicted", "true")})
        kept.save({"step": 2000, "progress": {"step": 2000, "weights": np.arange(6.0)}})
        if not number:
            ledger = Ledger(run.folder / NAME)
            LedgerDesk(ledger).ask(asked(0, 3))
            ledger.close()
            kept.finish(2000, answers=lambda folder=run.folder: record.digest(folder))  # type: ignore[misc]
    return out


FILES = [
    *("spec.json", "provenance.json", "metrics.jsonl", "timing.jsonl", "comparisons.safetensors", "done.json"),
    *("segments.safetensors", "checkpoint.safetensors", "answers.sqlite", ".lock"),
]


def damaged(which: int, file: str, change: Any) -> None:
    """Look at a copy of the results after a change to one file."""
    with tempfile.TemporaryDirectory() as scratch:
        out = shutil.copytree(folder(), Path(scratch) / "runs")
        path = sorted(out.iterdir())[which] / file
        if not path.exists():
            path.touch()
        change(path)
        look(out, path.parent.name, scratch)
        bench("run", "quick", "--dry-run", "--no-probe", "--out", str(out), "--seeds", "1")
        bench("gate", "quick", "--out", str(out), "--write-baseline", scratch + "/b.json", "--seeds", "1")


def look(out: Path, key: str, scratch: str) -> None:
    """What reads a results folder without a suite."""
    bench("check", str(out))
    bench("show", key, "--out", str(out))
    bench("export", key, "--out", str(out), "--to", scratch + "/data")


@often(40)
@given(
    which=st.integers(0, 1),
    file=st.sampled_from(FILES),
    how=st.sampled_from(doors.DAMAGES),
    data=st.sampled_from(doors.RAW),
)
@example(0, ".lock", "folder", b"")
@example(0, "metrics.jsonl", "pipe", b"")
@example(0, "comparisons.safetensors", "device", b"")
def test_damaged_folders(which: int, file: str, how: str, data: bytes) -> None:
    damaged(which, file, lambda path: doors.damage(path, how, data))


ARRAYS = ["comparisons.safetensors", "segments.safetensors", "checkpoint.safetensors"]
JSON = {"spec.json": schemas.SpecFile, "provenance.json": schemas.Provenance, "done.json": schemas.Done}


@often(20)
@given(data=st.data(), which=st.integers(0, 1), file=st.sampled_from(sorted(JSON)))
def test_folders_with_spoiled_values(data: st.DataObject, which: int, file: str) -> None:
    def change(path: Path) -> None:
        text = path.read_text("utf-8")
        document = json.loads(text) if text else data.draw(doors.from_model(JSON[file]))
        path.write_text(json.dumps(data.draw(doors.spoiled(document))), "utf-8")

    damaged(which, file, change)


@often(10)
@given(row=doors.spoiled({"step": 1, "seconds": 1.0, "true_return": 2.0, "phase": "learning", "labels": 3}))
def test_folders_with_spoiled_rows(row: Any) -> None:
    def change(path: Path) -> None:
        path.write_bytes(path.read_bytes() + json.dumps(row).encode() + b"\n")

    unfinished = [run.status for run in store.load(folder())].index("unfinished")
    for file in ("metrics.jsonl", "timing.jsonl"):
        damaged(unfinished, file, change)


@often(10)
@given(data=st.data())
def test_folders_whose_author_made_them_consistent(data: st.DataObject) -> None:
    """A spec that makes no sense, with the key, the name and the checksums that belong to it."""
    run = finished()
    spec, versions = data.draw(st.tuples(doors.spoiled(run.spec), doors.spoiled(run.versions, times=1)))
    consistent(spec, versions if data.draw(st.booleans()) else run.versions)


_NONSENSE = [{"labeler": True}, {"plugins": 5}, {"reward_model": "x"}, {"total_steps": None}, {}]


@pytest.mark.parametrize("change", _NONSENSE)
def test_a_spec_that_makes_no_sense(change: dict[str, Any]) -> None:
    """The last has no plug-ins at all."""
    spec = {name: value for name, value in finished().spec.items() if change or name != "plugins"}
    consistent({**spec, **change}, finished().versions)


@often(10)
@given(file=st.sampled_from(ARRAYS), data=doors.arrays())
@example("comparisons.safetensors", doors.array_of("BF16"))
@example("segments.safetensors", doors.save({"step": np.zeros(3), "true": np.zeros((3, 1))}))
@example("segments.safetensors", doors.save({"true": np.zeros(3)}))
@example("checkpoint.safetensors", doors.save({}, {"plain": "[]"}))
@example("checkpoint.safetensors", doors.save({}, {"plain": "[" * 50_000}))
def test_folders_with_arrays_that_make_no_sense(file: str, data: bytes) -> None:
    """With the checksums that belong to them."""
    run = finished()
    with tempfile.TemporaryDirectory() as scratch:
        made = store.Run(shutil.copytree(run.folder, Path(scratch) / "runs" / run.key))
        (made.folder / file).write_bytes(data)
        sums = {name: store.checksum(made.folder / name) for name in made.done["sha256"]}
        store.write_json(made.folder / "done.json", made.done | {"sha256": sums})
        look(made.folder.parent, run.key, scratch)
        bench("show", run.key, "--out", str(made.folder.parent), "--picture", scratch + "/p.png")


@often(20)
@given(name=st.sampled_from(["x.safetensors", "/dev/zero", "../x.safetensors", "x"]), data=doors.arrays())
@example("/dev/zero", b"")
def test_exported_folders(name: str, data: bytes) -> None:
    """What a run may begin with: a folder of comparisons, a file of them, a fitted reward model."""
    with tempfile.TemporaryDirectory() as scratch, in_time():
        folder = Path(scratch)
        (folder / "x.safetensors").write_bytes(data)
        files = [{"name": name, "sha256": hashlib.sha256(data).hexdigest()}]
        (folder / "dataset.json").write_text(json.dumps({"files": files}))
        for read in (dataset.load, lambda path: known.named(str(path), "comparisons", "t")):
            for path in (folder, folder / "x.safetensors"):
                with contextlib.suppress(UserError):
                    read(path)
        with contextlib.suppress(UserError):
            known.named(str(folder / "x.safetensors"), "reward model", "t")


def finished() -> store.Run:
    return next(run for run in store.load(folder()) if run.status == "done")


def consistent(spec: Any, versions: Any) -> None:
    """Look at a folder of the finished run, made anew around another spec."""
    run = finished()
    with tempfile.TemporaryDirectory() as scratch:
        try:
            key = store.key_of(spec, versions)
        except UserError:
            return
        out = Path(scratch) / "runs"
        made = shutil.copytree(run.folder, out / key)
        store.write_json(made / "spec.json", {"schema": 1, "key": key, "spec": spec, "versions": versions})
        done = run.done | {"sha256": run.done["sha256"] | {"spec.json": store.checksum(made / "spec.json")}}
        store.write_json(made / "done.json", done)
        look(out, key, scratch)


def test_the_folder_that_is_damaged_is_sound_before() -> None:
    assert sorted(one.kind for one in check.inspect(folder())) == ["ok", "unfinished"]


def test_what_a_done_file_tells_is_what_a_model_tells() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        finish(Path(scratch), 5)
        assert parse(schemas.Done, json.loads((Path(scratch) / "done.json").read_text()), "done.json").steps == 5
