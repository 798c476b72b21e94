"""What a user may ask of a report: one table, a style, figures of one's own beside ours, seeds beyond the plan."""

from __future__ import annotations

import csv
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from test_report import COMMAND, Suite, plan, some, study_of, write_run

from bench import cli, report, suite
from bench.report import Asked, beside, comparison, figures, findings, ran, runs, style, write_report
from bench.suite import Planned
from prefrl_core.errors import UserError

HOPPER = "mujoco/hopper@1"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planned]]:
    """A finished suite without a report."""
    out, planned = tmp_path_factory.mktemp("runs"), plan(4)
    for run in planned:
        write_run(out, run)
    return out, planned


# One table, and no stale file


def test_a_table_alone_lies_beside_the_suites_page(
    whole: tuple[Path, list[Planned]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, planned = whole
    monkeypatch.setattr(suite.Suite, "runs", lambda self, *_: planned)
    assert cli.main(["report", "quick", "--out", str(out), "--only", "table=cost"]) == 0
    folder = out / "report-quick-table-cost"
    assert capsys.readouterr().out == f"{folder}/cost.md\n"
    assert sorted(path.name for path in folder.iterdir()) == ["cost.csv", "cost.md", "cost.tex", "files.json"]
    assert cli.main(["report", "quick", "--out", str(out), "--only", "table=costs"]) == 2
    assert "unknown table in --only: 'costs': did you mean 'cost'?" in capsys.readouterr().err
    assert not (out / "report-quick").exists()


def test_no_file_of_an_earlier_report_stays(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    out, planned = whole
    for name in ("cost", "runs"):
        write_report(Suite(), planned, out, tmp_path / "to", COMMAND, Asked(tables=(name,)))
        (tmp_path / "to/mine.txt").write_text("mine")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [
        *("files.json", "mine.txt", "runs.csv", "runs.md", "runs.tex")
    ]
    (tmp_path / "mine.txt").write_text("mine")
    made = {"made_by": "prefrl report", "files": ["../mine.txt", "runs.md", 3]}
    (tmp_path / "to/files.json").write_text(json.dumps(made))
    write_report(Suite(), planned, out, tmp_path / "to", COMMAND, Asked(tables=("cost",)))
    assert (tmp_path / "mine.txt").exists() and not (tmp_path / "to/runs.md").exists()


@pytest.mark.parametrize(
    ("record", "own", "says"),
    [
        (["thesis.tex"], "thesis.tex", "files.json was not made by a report"),
        ({"made_by": "me", "files": ["cost.md"]}, "cost.md", "cost.md was not made by a report"),
        (None, "cost.csv", "cost.csv was not made by a report"),
        ({"made_by": "prefrl report", "files": ["runs.md"]}, "cost.tex", "cost.tex was not made by a report"),
    ],
)
def test_a_report_overwrites_and_removes_nobody_elses_file(
    whole: tuple[Path, list[Planned]], tmp_path: Path, record: object, own: str, says: str
) -> None:
    out, planned = whole
    (tmp_path / own).write_text("mine")
    if record is not None:
        (tmp_path / "files.json").write_text(json.dumps(record))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(UserError, match=says):
        write_report(Suite(), planned, out, tmp_path, COMMAND, Asked(tables=("cost",)))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_report_of_an_earlier_version_is_written_anew_and_one_that_was_cut_off_too(
    whole: tuple[Path, list[Planned]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, planned = whole
    for name in ("index.html", "cost.md", "mine.md"):
        (tmp_path / name).write_text("old")
    (tmp_path / "files.json").write_text(json.dumps(["index.html", "cost.md", "mine.md"]))
    written, write = [], report.write_atomic

    def cut_off(path: Path, content: bytes) -> None:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(path.name)
        write(path, content)

    monkeypatch.setattr(report, "write_atomic", cut_off)
    with pytest.raises(KeyboardInterrupt):
        write_report(Suite(), planned, out, tmp_path, COMMAND, Asked(tables=("cost",)))
    monkeypatch.setattr(report, "write_atomic", write)
    write_report(Suite(), planned, out, tmp_path, COMMAND, Asked(tables=("cost",)))
    assert (tmp_path / "cost.md").read_text() != "old"


def test_of_two_reports_at_once_the_second_waits(
    whole: tuple[Path, list[Planned]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, planned = whole

    def write(table: str) -> Path:
        return write_report(Suite(), planned, out, tmp_path, COMMAND, Asked(tables=(table,)))

    replace_file, other = os.replace, threading.Thread(target=write, args=["runs"])

    def meanwhile(*names: Path) -> None:  # the first file is about to be put there
        monkeypatch.setattr(os, "replace", replace_file)
        other.start()
        other.join(timeout=2)
        replace_file(*names)

    monkeypatch.setattr(os, "replace", meanwhile)
    assert write("cost").name == "cost.md"
    other.join()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["files.json", "runs.csv", "runs.md", "runs.tex"]


# Seeds beyond the plan


def test_seeds_beyond_the_plan_are_told_or_used(
    whole: tuple[Path, list[Planned]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, planned = whole
    three = [run for run in planned if run.seed < 3]
    found = runs.beyond(three, out, ())
    assert {run.key for run in found} == {run.key for run in planned} - {run.key for run in three}
    assert runs.beyond(three, out, [run.key for run in planned]) == []
    study = replace(study_of(out, three), beyond=tuple(found))
    (said,) = [one.text for one in ran.remarks(study) if "--all-seeds" in one.text]
    assert said.startswith("10 finished runs beyond the plan lie here") and "HalfCheetah, 60 labels, seed 3" in said
    monkeypatch.setattr(suite.Suite, "runs", lambda self, *_: three)
    to = str(out.parent / "all")
    assert cli.main(["report", "quick", "--out", str(out), "--only", "table=runs", "--all-seeds", "--to", to]) == 0
    assert "4 of 4" in (Path(to) / "runs.md").read_text()


# A style of one's own


def test_a_style_changes_the_figures_and_their_colours(tmp_path: Path) -> None:
    path = tmp_path / "mine.mplstyle"
    path.write_text("axes.prop_cycle: cycler('color', ['ff0000', '00ff00'])\nfont.size: 20\nbackend: TkAgg\n")
    before = style.colours()
    with style.of_own(style.load(str(path))), style.styled():
        import matplotlib as mpl

        assert style.colours() == ("#ff0000", "#00ff00") and style.look(2).color == "#ff0000"
        assert mpl.rcParams["font.size"] == 20 and mpl.rcParams["svg.hashsalt"] == "prefrl"
    assert style.colours() == before and "axes.grid" in style.load("ggplot")


def test_controls_are_black_and_arms_on_the_true_reward_alone_are_told_apart(tmp_path: Path) -> None:
    planned = some(tmp_path, ["true reward", "200 labels"])
    controls = [run for run in planned if run.arm == "true reward"]
    others = [replace(run, arm=arm) for arm in ("PPO", "A2C") for run in controls]
    with_labels = figures.looks(study_of(tmp_path, planned + others))
    assert {arm for arm, look in with_labels.items() if look.color == style.BLACK} == {"true reward", "PPO", "A2C"}
    without = figures.looks(study_of(tmp_path, controls + others))
    assert without["true reward"].color == style.BLACK
    assert len({look.color for look in without.values()}) == len({look.marker for look in without.values()}) == 3


def test_the_matplotlibrc_counts_where_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 7\n")
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    assert style.load("matplotlibrc") == {"lines.linewidth": 7.0}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("font.size: large!\n", "font.size"),
        ("no.such.key: 3\n", "no.such.key"),
        ("font.size 3\n", "olon"),  # "Missing colon in file"
        (None, "no such file"),
    ],
)
def test_a_style_with_an_error_is_one_line(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "mine.mplstyle"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        style.load(str(path))
    assert "\n" not in str(error.value)


# Published figures of one's own


def test_figures_of_a_file_stand_beside_ours(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    out, planned = whole
    path, link = tmp_path / "theirs.csv", tmp_path / "link.csv"
    link.symlink_to(path)
    lines = ["700 labels,return,2500,", "700 labels,normalised,1.1,", "PEBBLE,return,2700,", "PEBBLE,return,900,50000"]
    path.write_text("source,task,arm,unit,value,step\n" + "".join(f"Lee 2021,mujoco/hopper,{line}\n" for line in lines))
    written = write_report(
        Suite(), planned, out, tmp_path / "to", COMMAND, Asked(tables=("beside", "efficiency"), beside=link)
    )
    with written.with_name("beside.csv").open() as file:
        ours, share, theirs = csv.DictReader(file)
    with written.with_name("efficiency.csv").open() as file:
        (cell,) = [one for one in csv.DictReader(file) if (one["task"], one["arm"]) == ("Hopper", "700 labels")]
    assert (ours["published"], ours["ours"], share["ours"]) == ("2500.0", cell["return"], cell["normalised"])
    assert theirs["ours"] == ""
    figures = beside.read(path, [HOPPER])
    assert beside.curves(figures, HOPPER, "return") == {"PEBBLE (Lee 2021)": ([50000.0], [900.0])}
    assert comparison.beside(study_of(out, planned)) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task,arm\n", "has the columns task, arm: give the columns source, task"),
        ("", "has the columns of nothing"),
        ("source,task,arm,unit,value,step\nL,mujoco/hopper,x,score,1,\n", r":2: 'score': known: normalised, return"),
        ("source,task,arm,unit,value,step\nL,mujoco/hoper,x,return,1,\n", "did you mean 'mujoco/hopper'"),
        ("source,task,arm,unit,value,step\nL,mujoco/hopper,x,return,nan,\n", "value = 'nan' is not a finite number"),
        ("source,task,arm,unit,value,step\nL,mujoco/hopper,x,return,1\n", "has 5 values"),
        ("source,task,arm,unit,value,step\n,mujoco/hopper,x,return,1,\n", "names no source"),
    ],
)
def test_a_file_with_wrong_columns_or_units_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(UserError, match=said) as error:
        beside.read(tmp_path / "x.csv", [HOPPER])
    assert "\n" not in str(error.value)


# What was found


def test_the_page_opens_with_the_order_of_the_budgets(whole: tuple[Path, list[Planned]]) -> None:
    order, apart, wrong, model = findings.findings(study_of(*whole))
    assert order.startswith("Of what the true reward teaches on average over 2 tasks, 60 labels teach 0.5")
    assert order.index("60 labels") < order.index("200 labels") < order.index("700 labels")
    assert apart.startswith("Told apart: 200 over 60 labels, +0.2")
    assert wrong.startswith("Beside 200 labels: 200 labels, 10 % wrong −0.1") and "Undecided" not in wrong
    assert model.startswith("The reward models predict which of two fresh segments is better in a share of 0.")


def test_what_is_undecided_is_told(tmp_path: Path) -> None:
    study = study_of(tmp_path, some(tmp_path, ["true reward", "60 labels", "200 labels"], seeds=1))
    assert "No budget is told from the next." in findings.findings(study)
