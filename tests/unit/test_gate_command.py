"""``bench gate`` over made-up folders of runs, and the broken builds that prove it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from test_report import plan, write_run

from bench import cli, store, suite
from bench.gate import baseline
from bench.suite import Planned

sys.path.insert(0, str(Path(__file__).parents[1] / "gate"))
import prove


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Planned]]:
    """Made-up finished runs of three seeds, which the command takes for the suite's."""
    planned = plan()
    for run in planned:
        folder = write_run(tmp_path, run)
        done = json.loads((folder / "done.json").read_text())
        cost = {"cpu_seconds": 20.0, "idle_seconds": 0.5, "bare_steps_per_second": 40_000}
        store.write_json(folder / "done.json", {**done, **cost})
    monkeypatch.setattr(suite.Suite, "runs", lambda *_: planned)
    return tmp_path, planned


def test_a_baseline_is_made_and_holds(finished: tuple[Path, list[Planned]], capsys: pytest.CaptureFixture[str]) -> None:
    out, planned = finished
    file, words = out / "base.json", ["gate", "quick", "--candidate", str(out)]
    assert cli.main([*words, "--write-baseline", str(file)]) == 0
    kept = baseline.load(file)
    assert kept == baseline.measured("quick", planned, out) and len(kept.runs) == len(planned)
    assert kept.runs[0].speed == pytest.approx(200_000 / 20.5 / 40_000, abs=1e-4)
    extra = ["--json", str(out / "g.json"), "--markdown", str(out / "g.md"), "--exact"]
    assert cli.main([*words, "--baseline", str(file), *extra]) == 0
    assert "quick: not worse than the baseline" in capsys.readouterr().out
    assert json.loads((out / "g.json").read_text())["worse"] is False and (out / "g.md").read_text().startswith("###")


def test_what_is_read_or_somebody_elses_is_not_overwritten(
    finished: tuple[Path, list[Planned]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = finished[0]
    file, words = out / "base.json", ["gate", "quick", "--candidate", str(out)]
    assert cli.main([*words, "--write-baseline", str(file)]) == 0
    kept = file.read_bytes()
    assert cli.main([*words, "--baseline", str(file), "--markdown", str(file)]) == 2
    assert "that file is read here, give another" in capsys.readouterr().err and file.read_bytes() == kept
    (thesis := out / "thesis.txt").write_text("years of work")
    assert cli.main([*words, "--write-baseline", str(thesis)]) == 2
    assert cli.main(["archive", "pack", "quick", "--out", str(out), "--to", str(thesis)]) == 2
    assert thesis.read_text() == "years of work"
    assert cli.main([*words, "--write-baseline", str(file)]) == 0  # a baseline is replaced


def test_a_slower_candidate_closes_the_gate(
    finished: tuple[Path, list[Planned]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, planned = finished
    baseline.save(out / "base.json", baseline.measured("quick", planned, out))
    for run in planned:  # asleep as long as it computes
        path = out / run.key / "done.json"
        store.write_json(path, {**json.loads(path.read_text()), "idle_seconds": 20.0})
    assert cli.main(["gate", "quick", "--candidate", str(out), "--baseline", str(out / "base.json")]) == 1
    assert "quick: WORSE than the baseline in throughput" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"schema": 9}', "has schema 9, this version reads 1"),
        ('{"schema": 1, "suite": "quick", "method": 3, "runs": [{}]}', "is damaged"),
    ],
)
def test_a_bad_baseline_is_one_line(
    finished: tuple[Path, list[Planned]], text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (file := finished[0] / "base.json").write_text(text)
    assert cli.main(["gate", "quick", "--candidate", str(finished[0]), "--baseline", str(file)]) == 2
    assert says in capsys.readouterr().err


def test_unfinished_runs_and_missing_words_are_one_line(
    finished: tuple[Path, list[Planned]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, planned = finished
    words = ["gate", "quick", "--candidate", str(out)]
    assert cli.main(words) == 2 and "either --baseline FILE" in capsys.readouterr().err
    assert cli.main([*words, "--baseline", str(out / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    (out / planned[0].key / "done.json").unlink()
    assert cli.main([*words, "--write-baseline", str(out / "base.json")]) == 2
    assert "1 of 30 runs of suite 'quick'" in capsys.readouterr().err


def test_the_broken_builds_of_the_proof_can_still_be_made(tmp_path: Path) -> None:
    """``tests/gate/prove.py`` changes lines of the source: they have to be there."""
    for index, changes in enumerate(prove.VARIANTS.values()):
        prove.build(tmp_path / str(index), changes)
