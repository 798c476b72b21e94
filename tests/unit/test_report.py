"""A report over made-up runs in the documented format: what it says, what it refuses, and that it is reproducible."""

from __future__ import annotations

import csv
import io
import json
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from finished import finish
from safetensors.numpy import save_file

import bench
from bench import store
from bench.report import atari, data, figures, ran, results, tables, write_report
from bench.suite import Planned
from prefrl_core.spec import RunSpec

TASKS = {"mujoco/half_cheetah@1": (-50.0, 1800.0), "mujoco/hopper@1": (280.0, 2400.0)}  # untrained, true reward
ARMS: dict[str, tuple[dict[str, Any], float]] = {  # settings, share of the true reward's level that the arm reaches
    "true reward": ({"reward": "true"}, 1.0),
    "60 labels": ({"labels": 60}, 0.55),
    "200 labels": ({"labels": 200}, 0.82),
    "700 labels": ({"labels": 700}, 1.02),
    "200 labels, 10 % wrong": ({"labels": 200, "labeler": {"name": "bpref", "mistake": 0.1, "skip": 0.0}}, 0.7),
}
COMMAND = "python -m bench report quick"
STEPS, ROLLOUT = 200_000, 2_048


@dataclass(frozen=True)
class Suite:
    name: str = "quick"
    title: str = "Learning from comparisons, quickly"
    description: str = "HalfCheetah and Hopper from 60, 200 and 700 comparisons, against the true reward."
    baseline: str = ""


def plan(seeds: int = 3, tasks: Sequence[str] = tuple(TASKS), arms: Sequence[str] = tuple(ARMS)) -> list[Planned]:
    """The runs of a suite such as ``quick``, in balanced order."""
    planned = []
    for seed, task, arm in ((seed, task, arm) for seed in range(seeds) for task in tasks for arm in arms):
        labeler = {"name": "oracle", "mistake": 0.0, "skip": 0.0}
        spec = RunSpec(task=task, seed=seed, total_steps=STEPS, **{"labeler": labeler, **ARMS[arm][0]})
        planned.append(Planned(arm, task, seed, spec, store.key_of(spec.canonical(), {"method": 1, "mujoco": "4.0.0"})))
    return planned


def rows_of(run: Planned, until: float = 1.0) -> Iterator[dict[str, Any]]:
    """Metrics of a made-up run: its return rises towards its arm's level, with the seed's own noise."""
    random = np.random.default_rng([run.seed, zlib.crc32(f"{run.arm}/{run.task}".encode())])  # whatever its key
    untrained, level = TASKS[run.task]
    noise = min(40.0, 0.02 * (level - untrained))  # points; less where scores are small
    level = untrained + (level - untrained) * ARMS[run.arm][1] * (1 + 0.04 * random.standard_normal())
    learned, accuracy = run.spec.reward == "learned", 0.6 + 0.35 * ARMS[run.arm][1]
    for iteration in range(1, int(until * STEPS / ROLLOUT) + 1):
        step = iteration * ROLLOUT
        grown = 0.0 if iteration <= 6 else 1 - np.exp(-3.5 * step / STEPS)
        episodes = int(random.integers(0, 4))
        mean = untrained + (level - untrained) * grown / (1 - np.exp(-3.5)) + noise * random.standard_normal()
        guess = 0.5 + (accuracy - 0.5) * (1 - np.exp(-step / 4e4)) + 0.02 * random.standard_normal()
        yield {
            "step": step,
            "iteration": iteration,
            "phase": "untrained" if iteration <= 6 else "learning",
            "episodes": episodes,
            "true_return": mean if episodes else None,
            "labels": int(run.spec.labels * grown),
            "reward_accuracy": min(guess, 1.0) if learned and iteration > 6 else None,
            "reward_correlation": min(guess, 1.0) if learned and iteration > 6 else None,
        }


def write_run(out: Path, run: Planned, until: float = 1.0, error: str = "", **provenance: Any) -> Path:
    """A run's folder, whole, stopped after a share of its steps (``until``) or failed with an error."""
    folder = store.create(out, run.key, run.spec.canonical(), {"method": 1, "mujoco": "4.0.0"}).folder
    versions = {"python": "3.11.7", "numpy": "2.4.6", "mujoco": "4.0.0", "gymnasium": "1.3.0", "prefrl": "0.1.0"}
    made = {
        "git": {"revision": "8d0c1f4b2a7e", "dirty": False},
        "versions": versions,
        "cpu": "AMD EPYC 7B13",
        "cores": 2,
        "platform": "Linux-6.1-x86_64",
        "started": f"2026-01-05T10:0{run.seed}:00+00:00",
    }
    store.write_json(folder / "provenance.json", {**made, **provenance})
    text = "".join(json.dumps(row) + "\n" for row in rows_of(run, until))
    (folder / "metrics.jsonl").write_text(text)
    if error:
        store.write_json(folder / "failed.json", {"error": error})
    elif until == 1.0:
        seconds = 18.0 + run.seed + (8.5 if run.spec.reward == "learned" else 0.0)
        if run.spec.reward == "learned":
            random = np.random.default_rng(run.seed)
            true = random.normal(size=256).astype(np.float32)
            arrays = {"true": true, "predicted": true + random.normal(size=256).astype(np.float32)}
            save_file({"step": np.repeat(np.arange(1, 9) * STEPS // 8, 32), **arrays}, folder / "segments.safetensors")
        finish(folder, STEPS, run.spec.labels, wall_seconds=seconds, peak_memory_bytes=310 * 2**20)
    return folder


def report(out: Path, planned: Sequence[Planned], to: str = "report-quick") -> Path:
    return write_report(Suite(), planned, out, out / to, COMMAND)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planned]]:
    """A finished suite and its report in ``report-quick``."""
    out, planned = tmp_path_factory.mktemp("runs"), plan()
    for run in planned:
        write_run(out, run)
    report(out, planned)
    return out, planned


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out and not rendered, which takes most of a report's time."""
    monkeypatch.setattr(figures, "_bytes", lambda figure, kind, colors=0: kind.encode())


def study_of(out: Path, planned: Sequence[Planned]) -> data.Study:
    return data.load(Suite(), planned, out, COMMAND)


def some(tmp_path: Path, arms: Sequence[str], seeds: int = 2, **provenance: Any) -> list[Planned]:
    """Finished HalfCheetah runs of some arms."""
    planned = plan(seeds, ["mujoco/half_cheetah@1"], arms)
    for run in planned:
        write_run(tmp_path, run, **provenance)
    return planned


def test_effort_stands_beside_the_cost_where_runs_tell_it(tmp_path: Path) -> None:
    planned = some(tmp_path, ["true reward", "60 labels"])
    assert "Policy updates" not in tables.cost(study_of(tmp_path, planned)).header
    for run in planned[1:]:  # the first was made by an older version
        done = json.loads((tmp_path / run.key / "done.json").read_text())
        steps = 0 if run.spec.reward == "true" else 800 + 4 * run.seed
        told = {"reward_gradient_steps": steps, "policy_updates": 25_000}
        store.write_json(tmp_path / run.key / "done.json", {**done, **told})
    made = tables.cost(study_of(tmp_path, planned))
    assert made.header[-2:] == ["Reward gradient steps", "Policy updates"]
    assert [[entry.text + entry.interval for entry in row[-2:]] for row in made.rows] == [
        ["0", "25,000"],
        ["802[800, 804]", "25,000"],
    ]
    assert [record.get("policy_updates") for record in made.records] == [None, *[25_000] * 3]
    frame = bench.load(tmp_path, suites=["quick"])
    assert frame["reward_gradient_steps"].max() == 804 and frame["policy_updates"].isna().sum() == 1


def test_graphics_cards_are_named_where_there_were_any(tmp_path: Path) -> None:
    planned = some(tmp_path, ["true reward"])
    assert "graphics cards" not in dict(ran.software(study_of(tmp_path, planned)))
    write_run(tmp_path, planned[0], cards=["NVIDIA H200", "NVIDIA H200"])
    assert dict(ran.software(study_of(tmp_path, planned)))["graphics cards"] == "NVIDIA H200"


# The whole report


def test_same_runs_give_the_same_bytes(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    report(out, list(reversed(planned))[::-1], "again")
    first, again = ({p.name: p.read_bytes() for p in (out / to).iterdir()} for to in ("report-quick", "again"))
    assert first.keys() == again.keys()
    assert [name for name in first if first[name] != again[name]] == []


def test_page_and_every_part_are_there(whole: tuple[Path, list[Planned]]) -> None:
    folder = whole[0] / "report-quick"
    for kind in ("png", "svg"):
        for name in ("curves", "curves-halfcheetah", "feedback-all-tasks-iqm", "accuracy-hopper"):
            assert (folder / f"{name}.{kind}").stat().st_size > 1000
    for name in ("efficiency", "labels-to-reach", "per-hour", "aggregates", "reward-model", "cost", "runs", "settings"):
        assert all((folder / f"{name}.{kind}").stat().st_size for kind in ("csv", "md", "tex"))
    page = (folder / "index.html").read_text()
    missing = [name for name in re.findall(r'href="([^#"]+)"', page) if not (folder / name).exists()]
    assert missing == []


def test_page_needs_no_network_and_names_its_command(whole: tuple[Path, list[Planned]]) -> None:
    page = (whole[0] / "report-quick" / "index.html").read_text()
    assert "<script" not in page
    assert re.findall(r"(?:https?:)?//[a-z]", re.sub(r'"data:[^"]*"', '""', page)) == []
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 10
    assert all(re.search(r'alt="[^"]{20,}"', image) for image in images)
    assert page.count(f"Made by <code>{COMMAND}</code>") >= len(images)


@pytest.mark.usefixtures("undrawn")
def test_scores_of_a_game_stand_beside_the_papers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "atari/pong@1", (-20.6, 19.0))
    planned = plan(2, ["atari/pong@1"], ["true reward", "700 labels"])
    for run in planned:
        write_run(tmp_path, run)
    table = atari.scores(study_of(tmp_path, planned))
    assert table is not None and {row["game"] for row in table.records} == {"Pong"}
    shown = {str(row["arm"]): row for row in table.records}
    assert list(shown) == [
        *("true reward", "700 labels", "paper, true reward"),
        *("paper, 10,000 labels", "paper, 5,600 labels", "paper, 3,300 labels"),
    ]
    paper, ours = shown["paper, true reward"], shown["700 labels"]
    assert paper["score"] == 20.5 and paper["normalised"] == 1 and abs(paper["human_normalised"] - 1.17) < 0.005
    # the table's random play and human tester: -20.7 and 14.6
    assert ours["human_normalised"] == pytest.approx((ours["score"] + 20.7) / 35.3)
    assert shown["true reward"]["normalised"] == 1
    monkeypatch.setitem(TASKS, "atari/breakout@1", (1.7, 300.0))
    others = plan(1, ["atari/breakout@1"], ["true reward", "700 labels"])
    for run in others:
        write_run(tmp_path, run)
    folder = report(tmp_path, [*planned, *others], "atari").parent
    page = (folder / "index.html").read_text()
    assert "paper, 3,300 labels" in page and "Human-normalised, IQM" in page and (folder / "games.csv").exists()


def test_no_tasks_of_the_papers_no_scores(whole: tuple[Path, list[Planned]]) -> None:
    assert atari.scores(study_of(*whole)) is None


def test_no_date_in_an_image(whole: tuple[Path, list[Planned]]) -> None:
    folder = whole[0] / "report-quick"
    assert "dc:date" not in (folder / "curves.svg").read_text()
    assert b"Software" not in (folder / "curves.png").read_bytes()


def test_numbers_are_those_of_the_runs(whole: tuple[Path, list[Planned]]) -> None:
    """The table against the definition, applied here by hand to the metrics."""
    out, planned = whole
    finals = []
    for run in planned:
        if (run.arm, run.task) == ("60 labels", "mujoco/hopper@1"):
            late = [row for row in rows_of(run) if row["step"] > 0.95 * STEPS and row["episodes"]]
            ended = sum(row["episodes"] for row in late)
            finals.append(sum(row["episodes"] * row["true_return"] for row in late) / ended)
    records = csv.DictReader(io.StringIO((out / "report-quick" / "efficiency.csv").read_text()))
    (found,) = [row for row in records if (row["task"], row["arm"]) == ("Hopper", "60 labels")]
    assert float(found["return"]) == pytest.approx(np.mean(finals))
    assert (found["seeds"], found["labels"]) == ("3", "60")
    assert float(found["normalised_low"]) < float(found["normalised"]) < float(found["normalised_high"])


def test_a_cell_has_one_draw_in_all_tables(whole: tuple[Path, list[Planned]]) -> None:
    """So the control is one yardstick, and a number and its interval are the same wherever they occur."""
    study = study_of(*whole)
    task = study.tasks[0]
    assert study.draws("60 labels", task) is study.draws("60 labels", task)
    assert results.level(study, "60 labels", [task]) == results.normalised(study, task, "60 labels")
    again = study_of(*whole).draws("60 labels", task)
    assert (again.shifts == study.draws("60 labels", task).shifts).all()
    assert (again.shifts != study.draws("200 labels", task).shifts).all()


def test_arms_tell_each_other_how_far_seeds_spread(whole: tuple[Path, list[Planned]]) -> None:
    """Two arms of three seeds have no interval; five have one, about as wide for all."""
    out, planned = whole
    fewer = study_of(out, [run for run in planned if run.arm in ("true reward", "60 labels")])
    one, other = (results.final_estimate(s, "60 labels", s.tasks[0], "true_return") for s in (fewer, study_of(*whole)))
    assert one.value == other.value and one.low == -np.inf and np.isfinite(other.low)
    told = [remark.text for remark in ran.remarks(fewer)]
    assert any("too few seeds are finished for an honest interval" in text for text in told)
