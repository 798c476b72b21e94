"""How soon the level of the paper's control is reached, over made-up runs, beside a slow loop."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import test_report
from test_report import COMMAND, STEPS, Suite, plan, write_run

from bench.report import data, efficiency_tables, published

LEVELS = {"true reward": ({"reward": "true"}, 1.0)} | {
    f"{labels} labels": ({"labels": labels}, share) for labels, share in ((350, 0.4), (700, 0.8), (1400, 1.0))
}
PAPER = {"mujoco/half_cheetah@1": 1060.0, "mujoco/hopper@1": 9000.0}  # 0.6 of the made-up control's gain; never


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> data.Study:
    monkeypatch.setattr(test_report, "ARMS", LEVELS)
    monkeypatch.setattr(published, "returns", lambda task: {"start": 0.0, "true_reward": PAPER[task]})
    planned = plan(4, arms=tuple(LEVELS))
    for run in planned:
        folder = write_run(tmp_path, run)
        steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        rows = "".join(json.dumps({"step": step, "seconds": 20.0 * step / STEPS}) + "\n" for step in steps)
        (folder / "timing.jsonl").write_text(rows)
    return data.load(Suite(name="mine", baseline="700 labels"), planned, tmp_path, COMMAND)


def test_labels_to_the_papers_level_lie_between_the_budgets_around_it(study: data.Study) -> None:
    budgets, found = efficiency_tables.labels_to(study, "mujoco/half_cheetah@1", PAPER["mujoco/half_cheetah@1"])
    means = [study.cells[f"{n} labels", "mujoco/half_cheetah@1"].returns.mean() for n in budgets]
    share = (PAPER["mujoco/half_cheetah@1"] - means[0]) / (means[1] - means[0])
    assert budgets == [350, 700, 1400] and found.value == pytest.approx(350 * 2**share)
    assert 350 < found.low < found.value < found.high < 1400
    assert efficiency_tables.labels_to(study, "mujoco/hopper@1", 9000.0)[1].value == np.inf


def test_seconds_are_those_at_the_end_of_the_first_part_of_the_run_that_is_above(study: data.Study) -> None:
    for run in study.cells["true reward", "mujoco/half_cheetah@1"].finished:
        level, parts = PAPER["mujoco/half_cheetah@1"], 40
        for part in range(parts):
            inside = [
                (value, weight)
                for step, value, weight in zip(
                    *(run.metrics[c] for c in ("step", "true_return", "episodes")), strict=True
                )
                if part * STEPS / parts < step <= (part + 1) * STEPS / parts and weight > 0
            ]
            if inside and sum(v * w for v, w in inside) / sum(w for _, w in inside) >= level:
                break
        whole = 20.0 * run.metrics["step"][-1] / STEPS  # of the clock
        expected = min(20.0 * (part + 1) / parts, whole) / whole * run.done["cpu_seconds"]
        assert efficiency_tables.seconds_to(run, level) == pytest.approx(expected)


def test_the_table_tells_what_is_never_reached(study: data.Study) -> None:
    table = efficiency_tables.papers_level(study)
    assert table is not None
    cheetah, hopper = table.rows
    assert table.header == ["Task", "The paper's return", "Labels", "Seconds: true reward", "Seconds: 700 labels"]
    assert cheetah[1].text == "1060" and float(cheetah[3].text) > 0
    assert [entry.text for entry in hopper[2:]] == ["not reached"] * 3
    assert table.records[1]["seeds: true reward"] == "0 of 4"
