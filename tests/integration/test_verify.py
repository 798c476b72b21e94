"""Results can be trusted: a run that is made again gives its bytes, and one that was changed is told."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from finished_suite import folder_of, planned
from kills import kill_at_random

from bench import cli, store, verify


@pytest.fixture
def lab(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "lab")
    return tmp_path / "lab"


def test_every_run_comes_out_the_same(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(lab / "small.toml"), "--out", str(lab / "runs")]) == 0
    assert "4 of 4 runs came out the same" in capsys.readouterr().out


def test_a_part_of_a_suite_is_made_anew_and_a_single_run_has_no_parts(
    lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = planned(lab)[0]
    words = ["verify", str(lab / "small.toml"), "--out", str(lab / "runs")]
    assert cli.main([*words, "--only", f"arm={one.arm}", "--only", f"seed={one.seed}"]) == 0
    assert "1 of 1 runs came out the same" in capsys.readouterr().out
    assert cli.main(["verify", one.key, "--out", str(lab / "runs"), "--only", "seed=0"]) == 2
    assert capsys.readouterr().err == f"prefrl: --only chooses runs of a suite: {one.key!r} is one run\n"


def test_a_sample_is_drawn_from_the_finished_runs(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder_of(lab) / "done.json").unlink()
    assert cli.main(["verify", str(lab / "small.toml"), "--out", str(lab / "runs"), "--sample", "2"]) == 0
    shown = capsys.readouterr().out
    assert "2 of 2" in shown and folder_of(lab).name not in shown
    runs = [store.Run(lab / "runs" / one.key) for one in planned(lab)]
    drawn = {tuple(run.key for run in verify.sample(runs, 2, seed)) for seed in range(20)}
    assert len(drawn) == 3  # every pair of the three that are finished


def rewrite(folder: Path, change: str, to: str) -> None:
    """Change one number in the metrics, checksums included, as somebody would who wants to be believed."""
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    row = json.loads(lines[4])
    lines[4] = json.dumps({**row, change: float(to)}) + "\n"
    (folder / "metrics.jsonl").write_text("".join(lines))
    done = json.loads((folder / "done.json").read_text())
    done["metrics_sha256"] = hashlib.sha256("".join(lines).encode()).hexdigest()
    store.write_json(folder / "done.json", done)


def test_a_run_that_was_polished_is_told_with_the_place(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = folder_of(lab)
    rewrite(folder, "value_loss", "0.125")
    assert cli.main(["verify", folder.name[:6], "--out", str(lab / "runs")]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "DIFFERS" in shown and "they part at row 5 (step 1280): value_loss 0.125 -> " in shown
    assert "same processor and software" in shown


def test_where_rows_part() -> None:
    row = {"step": 1, "a": 1, "b": 2}
    assert verify.parting([row], [{**row, "b": 3}]) == "they part at row 1 (step 1): b 2 -> 3"
    assert "first 1 rows agree" in verify.parting([row], [row, row])
    assert "bytes do not" in verify.parting([row], [row])


def test_of_other_software_nothing_can_be_told(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = store.Run(folder_of(lab))
    versions = {**old.versions, "method": 0}
    key = store.key_of(old.spec, versions)
    store.write_json(
        old.folder / "spec.json", {"schema": store.SCHEMA, "key": key, "spec": old.spec, "versions": versions}
    )
    old.folder.rename(lab / "runs" / key)
    assert cli.main(["verify", key, "--out", str(lab / "runs")]) == 2
    assert "cannot tell" in capsys.readouterr().out


def test_nothing_to_verify_is_one_line(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", str(lab / "small.toml"), "--out", str(lab / "none")]) == 2
    assert "no finished run to verify" in capsys.readouterr().err


def test_kills_at_random_leave_no_trace(tmp_path: Path) -> None:
    happened = kill_at_random(tmp_path, kills=4, seed=1, steps=6_000, seeds=1)  # `kills.py` does a hundred
    assert happened["kills"] == 4 and happened["suites"] >= 1
