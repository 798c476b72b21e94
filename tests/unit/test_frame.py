"""Runs as a tidy frame: what it holds, what it leaves out and says so, and the notebook that shows it."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import language_runs
import nbclient
import nbformat
import numpy as np
import pytest
import test_report
from test_report import ARMS, plan, study_of, write_run

import bench
from bench import frame, spread, store, suite
from bench.report import results
from bench.suite import Planned
from prefrl_core.errors import UserError

EXAMPLE = Path(__file__).parents[2] / "examples/frame.ipynb"


@pytest.fixture
def whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[Planned]]:
    """Made-up runs that suite ``quick`` plans, the last of them unfinished."""
    out, planned = tmp_path / "runs", plan(3)
    out.mkdir()
    for run in planned:
        write_run(out, run, until=0.5 if run is planned[-1] else 1.0)
    monkeypatch.setattr(suite.Suite, "runs", lambda self, *_: planned if self.name == "quick" else [])
    return out, planned


def test_a_run_has_a_row_with_its_settings_and_what_it_came_to(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    made = bench.load(out)
    assert len(made) == len(planned) and list(made["key"]) == [run.key for run in planned]
    assert set(made["suite"]) == {"quick"} and tuple(made.columns[: len(frame.LEADING)]) == frame.LEADING
    study = study_of(*whole)
    of_cell = made[(made["arm"] == "60 labels") & (made["task"] == study.tasks[0])]
    np.testing.assert_allclose(sorted(of_cell["final"]), sorted(study.cells["60 labels", study.tasks[0]].returns))
    shares = made[made["status"] == "done"].groupby(["arm", "task"])["normalised"].mean()
    for (arm, task), share in shares.items():
        assert share == pytest.approx(results.normalised(study, task, arm).value)
    last = made.iloc[-1]
    assert last["status"] == "unfinished" and np.isnan(last["final"]) and np.isnan(last["wall_seconds"])
    assert of_cell["spec.labels"].eq(60).all() and of_cell["spec.labeler.name"].eq("oracle").all()
    assert of_cell["wall_seconds"].gt(0).all() and made.attrs["damaged"] == {}


def test_rows_are_those_that_the_runs_recorded(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    made = bench.load(out)
    rows = bench.load_rows(made[made["seed"] == 0])
    assert list(rows.columns[:5]) == ["suite", "arm", "task", "seed", "key"] and set(rows["seed"]) == {0}
    lines = (out / planned[0].key / "metrics.jsonl").read_text().splitlines()
    own = rows[rows["key"] == planned[0].key]
    assert len(own) == len(lines) and own["step"].iloc[-1] == json.loads(lines[-1])["step"]
    assert len(bench.load_rows(made.iloc[:0])) == 0


def test_a_control_that_hardly_rises_is_no_scale_here_either(
    whole: tuple[Path, list[Planned]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spread, "CLEARLY", 1 - 1e-12)  # so that no gain is clear
    assert bench.load(whole[0])["normalised"].isna().all()


def test_an_unfinished_control_leaves_its_task_without_a_scale(
    whole: tuple[Path, list[Planned]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next arm on the true reward is not taken for it."""
    out, planned = whole
    first = [run for run in planned if run.arm == "true reward" and run.task == planned[0].task]
    for run in first:
        (out / run.key / "done.json").unlink()
    monkeypatch.setitem(ARMS, "another", ARMS["true reward"])
    spec = dataclasses.replace(first[0].spec, policy={"name": "trpo"})
    key = store.key_of(spec.canonical(), {"method": 1, "mujoco": "4.0.0"})
    planned.append(dataclasses.replace(first[0], arm="another", spec=spec, key=key))
    write_run(out, planned[-1])
    made = bench.load(out)
    of_task = made[made["task"] == planned[0].task]
    assert of_task["final"].notna().sum() > 3 and of_task["normalised"].isna().all()
    assert made[made["task"] != planned[0].task]["normalised"].notna().any()


def test_a_game_that_outlasts_the_untrained_phase_begins_at_random_play_as_in_a_report(
    whole: tuple[Path, list[Planned]], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, planned = whole
    monkeypatch.setitem(test_report.TASKS, enduro := "atari/enduro@1", (0.0, 400.0))
    rows, unended = test_report.rows_of, {"episodes": 0, "true_return": None}
    monkeypatch.setattr(
        test_report,
        "rows_of",
        lambda *run: (row | unended if row["phase"] == "untrained" else row for row in rows(*run)),
    )
    planned += (games := plan(3, [enduro], ["true reward", "60 labels"]))
    for run in games:
        write_run(out, run)
    made = bench.load(out)
    (share,) = made[(made["task"] == enduro) & (made["arm"] == "60 labels")].groupby("arm")["normalised"].mean()
    assert share == pytest.approx(results.normalised(study_of(*whole), enduro, "60 labels").value)


def test_runs_of_no_suite_have_a_row_without_a_name(whole: tuple[Path, list[Planned]]) -> None:
    made = frame.load([whole[0]], suites=["ci"])
    assert len(made) == len(whole[1]) and set(made["suite"]) == {""} and made["normalised"].isna().all()


def test_one_suite_needs_no_list_and_two_of_one_name_are_one_line(whole: tuple[Path, list[Planned]]) -> None:
    out = whole[0]
    assert list(bench.load(out, "quick")["key"]) == list(bench.load(out, ["quick", "quick"])["key"])
    (mine := out.parent / "mine.toml").write_text(suite._read("quick")[1])
    with pytest.raises(UserError, match="mine.toml: another of these suites has the name 'quick' too"):
        bench.load(out, ["quick", str(mine)])


def test_damaged_runs_are_named_left_out_and_counted(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    (out / planned[0].key / "metrics.jsonl").write_text("{}\n")
    (out / planned[1].key / "spec.json").write_text("nonsense")
    with pytest.warns(UserWarning, match=f"2 damaged runs left out: .*{planned[0].key}"):
        made = bench.load(out)
    assert len(made) == len(planned) - 2 and len(made.attrs["damaged"]) == 2
    assert "sha256 differs" in made.attrs["damaged"][str(out / planned[0].key)]


def test_runs_whose_plug_in_is_not_here_are_not_called_damaged(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    spec = {**planned[0].spec.canonical(), "plugins": ["no_such_plugin"]}
    versions = {"method": 1, "mujoco": "4.0.0"}
    run = store.create(out, store.key_of(spec, versions), spec, versions)
    (run.folder / "metrics.jsonl").write_text('{"step": 1000}\n')
    with pytest.warns(UserWarning) as told:
        made = bench.load(out)
    said = (
        f"1 run left out with parts that are not here: {run.key} (plug-in 'no_such_plugin': no module 'no_such_plugin'"
    )
    assert [str(one.message)[: len(said)] for one in told] == [said]
    assert len(made) == len(planned) and made.attrs["damaged"] == {}
    assert "start from the folder that has it" in made.attrs["absent"][str(run.folder)]


def test_two_folders_are_one_frame_unless_their_versions_differ(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    other = out.parent / "other"
    other.mkdir()
    (out / planned[0].key).rename(other / planned[0].key)
    write_run(other, planned[1])  # there twice
    assert len(bench.load([out, other])) == len(planned)
    provenance = json.loads((other / planned[0].key / "provenance.json").read_text())
    provenance["versions"]["mujoco"] = "3.9.0"
    (other / planned[0].key / "provenance.json").write_text(json.dumps(provenance))
    with pytest.raises(UserError, match=r"come from MuJoCo 3.9.0 .* and 4.0.0"):
        bench.load([out, other])


def test_language_runs_come_to_a_gain_in_gold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = language_runs.plan(2, {name: language_runs.arms()[name] for name in ("PPO on gold", "PPO, 64 rankings")})
    for run in planned:
        language_runs.write_run(tmp_path, run)
    monkeypatch.setattr(suite.Suite, "runs", lambda self, *_: planned if self.name == "language" else [])
    made = bench.load(tmp_path, suites=["language"])
    assert list(made["reward"]) == ["gold", "learned"] * 2 and made["final"].notna().all()
    assert made[made["reward"] == "gold"]["normalised"].mean() == pytest.approx(1.0)
    assert "gold_gain" in bench.load_rows(made).columns


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results in"):
        bench.load(tmp_path / "none")
    with pytest.raises(UserError, match="did you mean 'quick'"):
        bench.load(tmp_path, suites=["quik"])
    with pytest.raises(UserError, match="did you mean 'quick'"):
        bench.load(tmp_path, suites="quik")
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        bench.laod  # noqa: B018


def test_importing_the_laboratory_does_not_import_pandas() -> None:
    code = "import sys, bench, bench.cli; bench.cli.parser(); print('pandas' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the beginning, in a folder of its own: it trains four short runs."""
    monkeypatch.delenv("MPLBACKEND", raising=False)  # a notebook shows its figures by a backend of its own
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [str(out) for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    assert any("true reward" in text for text in shown) and any("image/png" in text for text in shown)
