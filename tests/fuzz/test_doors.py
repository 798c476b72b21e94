"""Nothing that is read from outside ends in a traceback, hangs, or is told in more than a line: files and words."""

from __future__ import annotations

import contextlib
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import strategies as doors
from commands import bench, often
from hypothesis import example, given
from hypothesis import strategies as st

from bench import suite
from bench.gate import baseline, compare, formats
from bench.parse import parse
from bench.suite_file import SuiteFile
from prefrl_core.errors import UserError
from prefrl_core.language.spec import LanguageSpec
from prefrl_core.spec import RunSpec

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


@often(60)
@given(document=doors.spoiled(SUITE))
@example(document={**SUITE, "sweep": {"task": ["mujoco/reacher@1"], "seed": 10**11}})
@example(document={**SUITE, "run": {"schedule_constant": float("inf")}})
@example(document={**SUITE, "name": "a\nb"})
@example(document={**SUITE, "run": {"labels": [1] * 1000}})
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


@cache
def described(name: str) -> dict[str, Any]:
    """What the last run of a suite of ours is, in full."""
    return suite.load(name).runs(seeds=1)[-1].spec.canonical()


@pytest.mark.parametrize(("kind", "name"), [(RunSpec, "quick"), (LanguageSpec, "language")])
@often(40)
@given(data=st.data())
def test_specs(kind: Any, name: str, data: st.DataObject) -> None:
    document = data.draw(doors.spoiled(described(name)))
    with contextlib.suppress(UserError):
        kind.of(document if isinstance(document, dict) else {"task": document}).canonical()


@pytest.mark.parametrize("change", [{"plugins": 5}, {"plugins": "os"}, {"plugins": [None]}, {"task": []}])
def test_settings_that_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        RunSpec.of({**described("quick"), **change})
    with pytest.raises(UserError, match="unknown preset"):
        LanguageSpec.of({**described("language"), "preset": []})


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
        "compare",
        "power",
        "validate",
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
