"""Nothing that is read from outside ends in a traceback, hangs, or is told in more than a line.

``PREFRL_FUZZ=50 pytest tests/fuzz`` (``tox -e fuzz``) looks fifty times as long, with other examples each time.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import strategies as doors
from finished import finish
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from bench import check, cli, schemas, store, suite
from bench.answers import record
from bench.gate import baseline, compare, formats
from bench.parse import parse
from bench.recorder import FolderRecorder, Kept
from bench.suite_file import SuiteFile
from prefrl_core.errors import UserError

TIMES = int(os.environ.get("PREFRL_FUZZ", "1"))
SECONDS = 20  # that a command may take before it counts as hung
SUITE: dict[str, Any] = {
    "name": "small",
    "title": "t",
    "baseline": "a",
    "run": {"total_steps": 50_000, "labeler": {"name": "bpref", "mistake": 0.1}},
    "sweep": {"task": ["mujoco/reacher@1"], "seed": 2},
    "tasks": {"mujoco/reacher@1": {"labels": 10}},
    "arm": [{"name": "a", "labels": 20, "seed": [0, 3]}, {"name": "b", "policy": {"name": "ppo", "hidden": [8]}}],
    "resources": {"cpus": 1, "arms": {"a": {"gpus": 0.5}}},
}


def often(examples: int) -> Any:
    """So many examples: the same ones in the test suite, others each time in a longer search."""
    return settings(
        max_examples=examples * TIMES,
        deadline=None,
        derandomize=TIMES == 1,
        phases=[Phase.explicit, Phase.generate],  # examples are small as they are
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@contextlib.contextmanager
def in_time() -> Iterator[None]:
    def late(*_: Any) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def bench(*words: str) -> tuple[int, str]:
    """The exit code and what was said on stderr, which is a line where the command could not be carried out."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), in_time():
        code = cli.main(words)
    said = err.getvalue()
    assert code in (0, 1, 2), (words, code, said)
    assert code != 2 or (said.startswith("prefrl: ") and said.count("\n") == 1 and len(said) < 2000), said
    assert "\x1b" not in said + out.getvalue() and "\x00" not in said + out.getvalue()
    return code, said


@often(60)
@given(document=doors.spoiled(SUITE))
@example(document={**SUITE, "sweep": {"task": ["mujoco/reacher@1"], "seed": 10**11}})
@example(document={**SUITE, "run": {"schedule_constant": float("inf")}})
@example(document={**SUITE, "name": "a\nb"})
def test_suite_files(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.toml"
        path.write_text(doors.toml(document) if isinstance(document, dict) else str(document), "utf-8")
        bench("run", str(path), "--dry-run", "--no-probe", "--out", folder + "/runs")


@often(60)
@given(data=st.one_of(st.sampled_from(doors.RAW), st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
@example(data=b"a = " + b"[" * 5000)
@example(data=b"a = " + b"9" * 5000)
@example(data=b"a = 2020-01-01")
def test_suite_files_that_are_none(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "s.toml"
        path.write_bytes(data)
        assert bench("run", str(path), "--dry-run")[0] == 2


@often(40)
@given(document=doors.from_model(SuiteFile))
def test_suite_files_from_the_model(document: Any) -> None:
    with contextlib.suppress(UserError):
        parse(SuiteFile, document, "here")


WORDS = [
    *(
        "list",
        "run",
        "show",
        "report",
        "verify",
        "check",
        "gate",
        "export",
        "quick",
        "nosuch",
        "a.toml",
        "0123",
        "--help",
    ),
    *("--seeds", "--steps", "--only", "--out", "--workers", "--sample", "--margin", "--baseline", "--json", "--ship"),
    *("--to", "--suite", "--set", "--draw", "--format", "-x", "--", "--seeds=3", "task=hopper", "arm=", "seed=9"),
    "/dev/zero",
    *(
        "0",
        "-1",
        "1",
        "nan",
        "inf",
        "1e999",
        "9" * 30,
        "",
        " ",
        "\ud800",
        "a\nb",
        "漢字",
        "/dev/null",
        "/dev/zero",
        ".",
    ),
]


@often(80)
@given(words=st.lists(st.sampled_from(WORDS), max_size=6))
@example(words=["run", "quick", "--seeds", "100000000000"])
@example(words=["run", "quick", "--seeds", "9" * 5000])
@example(words=["show", "\ud800"])
@example(words=["report", "/dev/zero.toml"])
def test_command_lines(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        extra = ["--dry-run", "--no-probe"] if "run" in words else []
        bench(*extra[:0], *words, *extra)


@cache
def folder() -> Path:
    """A finished run with a checkpoint and answers, and one that is not finished; tests damage copies of it."""
    from test_ledger import asked

    from bench.answers.desk import LedgerDesk
    from bench.answers.ledger import NAME, Ledger

    comparisons = {"mu": np.array([0.0, 1.0, 0.5]), "features": np.zeros((3, 2, 4, 14), np.float32)}
    comparisons |= {"true_returns": np.zeros((3, 2)), "step_asked": np.zeros(3), "multiplicity": np.ones((3, 3))}
    out = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, out)
    for number, planned in enumerate(suite.load("quick").runs(seeds=1, only=["task=hopper", "arm=60 labels"]) * 2):
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
        bench("check", str(out))
        key = path.parent.name
        bench("show", key, "--out", str(out))
        bench("export", key, "--out", str(out), "--to", scratch + "/data")
        bench("run", "quick", "--dry-run", "--no-probe", "--out", str(out), "--seeds", "1")
        bench("gate", "quick", "--out", str(out), "--write-baseline", scratch + "/b.json", "--seeds", "1")


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

    unfinished = [run.status for run in store.load(folder())].index("partial")
    for file in ("metrics.jsonl", "timing.jsonl"):
        damaged(unfinished, file, change)


def entry(task: str, arm: str, seed: int) -> dict[str, Any]:
    sha, key = f"{seed:064x}", f"{seed:016x}"
    scores = {"true_return": 100.0 + seed, "untrained": -5.0, "speed": 0.5, "peak_memory_bytes": 2**28, "steps": 1000}
    made = {"key": key, "arm": arm, "task": task, "seed": seed, "reward": "true" if arm == "c" else "learned"}
    return {**made, **scores, "metrics_sha256": sha, "machine": {"cpu": "one", "numpy": "2"}}


BASELINE = {"schema": 1, "suite": "ci", "method": 4, "runs": [entry("t", arm, n) for arm in "cl" for n in range(3)]}


@often(60)
@given(document=st.one_of(doors.spoiled(BASELINE), doors.from_model(baseline.BaselineFile)))
@example(document={**BASELINE, "runs": [{**BASELINE["runs"][0], "true_return": 1e300}]})  # type: ignore[index]
@example(document={**BASELINE, "runs": [{**BASELINE["runs"][0], "speed": 0.0}]})  # type: ignore[index]
def test_baselines(document: Any) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path, good = Path(scratch) / "b.json", Path(scratch) / "good.json"
        path.write_text(json.dumps(document), "utf-8")
        good.write_text(json.dumps(BASELINE))
        sample = baseline.load(good)
        try:
            findings = compare.compare(baseline.load(path), sample)
        except UserError as error:
            assert "\n" not in str(error) or document != BASELINE
            return
        assert "not worse" in formats.headline("ci", findings) or compare.worse(findings)
        json.loads(formats.as_json("ci", findings, compare.Limits()))


def test_the_folder_that_is_damaged_is_sound_before() -> None:
    assert sorted(one.kind for one in check.inspect(folder())) == ["incomplete", "ok"]


def test_what_a_done_file_tells_is_what_a_model_tells() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        finish(Path(scratch), 5)
        assert parse(schemas.Done, json.loads((Path(scratch) / "done.json").read_text()), "done.json").steps == 5
