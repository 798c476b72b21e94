"""The report of made-up language runs that are not whole, not alike, or would break it."""

from __future__ import annotations

import json
from pathlib import Path

import language_runs as made
import numpy as np
import pytest
from test_language_report import COMMAND, SMALL, records, result, study, written
from test_report import undrawn  # noqa: F401  (a fixture)

from bench import store
from bench.report import write_report
from bench.report.language import figures, matched, tables
from prefrl_core.errors import UserError


@pytest.mark.usefixtures("undrawn")
def test_what_is_missing_is_told(tmp_path: Path) -> None:
    planned = made.plan(2, SMALL)
    left = {"PPO, 64 rankings": {"until": 0.5}, "PPO-ptx, 64 rankings": {"error": "loss is no number"}}
    for run in planned:
        if run.arm != "PPO on gold" and not (run.arm == "SFT" and run.seed):
            made.write_run(tmp_path, run, **(left.get(run.arm, {}) if run.seed else {}))
    html = write_report(made.Suite(), planned, tmp_path, tmp_path / "report", COMMAND).read_text()
    assert "1 of 12 runs failed: tinyinstruct, PPO-ptx, 64 rankings, seed 1 (loss is no number)." in html
    assert "1 of 12 runs unfinished" in html and "3 of 12 runs not started" in html
    assert "tinyinstruct has no finished run of PPO on gold" in html and 'id="labels-to-reach"' not in html
    assert '<small class="why">1 of 2 seeds</small>' in html
    outcomes = records((tmp_path / "report" / "outcomes.csv").read_bytes())
    assert {row["seeds"] for row in outcomes if row["arm"] == "PPO, 64 rankings"} == {"1"}


@pytest.mark.usefixtures("undrawn")
def test_unfinished_runs_alone_make_a_report_and_none_at_all_an_error(tmp_path: Path) -> None:
    planned = made.plan(1, {"PPO, 64 rankings": SMALL["PPO, 64 rankings"]})
    with pytest.raises(UserError, match="no run of suite 'language'"):
        write_report(made.Suite(), planned, tmp_path, tmp_path / "report", COMMAND)
    made.write_run(tmp_path, planned[0], until=0.5)
    assert (
        "1 of 1 runs unfinished"
        in write_report(made.Suite(), planned, tmp_path, tmp_path / "report", COMMAND).read_text()
    )
    assert "No run with samples is finished yet" in (tmp_path / "report" / "samples.html").read_text()


def test_ablations_stand_beside_their_baseline(tmp_path: Path) -> None:
    arms = {"PPO": {"rankings": 1024}, "beta 0.5": {"rankings": 1024, "ppo": {"beta": 0.5}}}
    arms |= {
        "gamma 0.3": {"rankings": 1024, "ppo": {"gamma": 0.3}},
        "oracle of length": {"rankings": 1024, "labeler": "biased"},
    }
    planned = made.plan(4, arms)
    out = written(tmp_path / "runs", planned)
    language = study(out, planned, "PPO")
    panels = figures.panels(language, made.TASK, "ppo")
    assert {name: [one.arm for one in ones] for name, ones in panels.items()} == {
        "ppo.beta": ["PPO", "beta 0.5"], "ppo.gamma": ["PPO", "gamma 0.3"], "labeler": ["PPO", "oracle of length"],
    }  # fmt: skip
    made_table = tables.comparison(language)
    assert made_table is not None and [row[0].text for row in made_table.rows] == list(arms)[1:]
    gamma = next(row for row in made_table.records if row["arm"] == "gamma 0.3")
    runs = {run.arm: [] for run in planned}
    for run in planned:
        runs[run.arm].append(store.Run(out / run.key).samples()[0])
    gaps = [(b["gold"] - a["gold"]).mean() for a, b in zip(runs["PPO"], runs["gamma 0.3"], strict=True)]
    assert gamma["gain"] == pytest.approx(np.mean(gaps)) and gamma["gain_low"] < gamma["gain"] < gamma["gain_high"]
    beside = matched.reference(language, result(language, "beta 0.5"))
    assert beside is result(language, "PPO")


def test_code_outside_of_its_tree_has_no_revision(tmp_path: Path) -> None:
    planned = made.plan(1, {"SFT": {"method": "sft"}})
    folder = made.write_run(tmp_path, planned[0])
    store.write_json(folder / "provenance.json", {**store.Run(folder).provenance, "git": None})
    html = write_report(made.Suite(), planned, tmp_path, tmp_path / "report", COMMAND).read_text()
    assert "<dt>git revision</dt><dd>unknown</dd>" in html


def test_a_damaged_sample_is_an_error(tmp_path: Path) -> None:
    planned = made.plan(1, {"SFT": {"method": "sft"}})
    folder = made.write_run(tmp_path, planned[0])
    (folder / "samples.safetensors").write_bytes(b"cut off")
    with pytest.raises(UserError, match="is not what the run recorded"):
        study(tmp_path, planned)


def test_text_of_a_run_cannot_break_the_page(tmp_path: Path) -> None:
    planned = made.plan(1, {"<script>": {"method": "sft"}})
    folder = made.write_run(tmp_path, planned[0])
    texts = json.loads((folder / "samples.json").read_text())
    store.write_json(folder / "samples.json", {**texts, "response": ["<script>alert(1)</script>"] * made.PROMPTS})
    page = write_report(made.Suite(), planned, tmp_path, tmp_path / "report", COMMAND)
    assert "<script" not in page.read_text() + (page.parent / "samples.html").read_text()
