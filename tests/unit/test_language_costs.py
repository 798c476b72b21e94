"""What a language suite is said to cost: stages that runs share are counted once for a seed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import cli, estimate, suite
from bench.costs import Costs
from bench.tracks import language_costs
from prefrl_core.language.spec import LanguageSpec

SMALL = """
name = "small"
[run]
preset = "smoke"
[sweep]
task = ["language/tinyinstruct"]
seed = 2
[[arm]]
name = "base"
method = "base"
[[arm]]
name = "SFT"
method = "sft"
[[arm]]
name = "PPO"
rankings = 128
[[arm]]
name = "PPO-ptx"
rankings = 128
ppo = { gamma = 0.5 }
"""
UNITS = {"rows of text": 1.0, "demonstrations": 0.0, "answers": 0.0, "ranked answers": 0.0, "episodes": 0.0}


def costs(**units: float) -> Costs:
    return Costs(0, 1, 0.0, 0.0, 0.0, 0.0, 100, 1000, 0, 10**6, {**UNITS, "rows of text": 0.0, **units})


def probed(planned: list[suite.Planned], found: Costs) -> estimate.Probed:
    kinds = {estimate.Kind.of(one) for one in planned}
    assert len(kinds) == 1
    return estimate.Probed(dict.fromkeys(kinds, (found, 0.0)), frozenset(kinds), 0.0)


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        # per seed: pretraining once, SFT's mix once, the pretraining mix of PPO-ptx
        ("rows of text", 40 * 16 + 64 * 2 * 0.1 + 64),
        ("demonstrations", 64 * 2),
        ("ranked answers", 128 * 4),  # both arms learn from one reward model
        ("episodes", 2 * 64),
        # two blocks once; the end of each run; three points of each PPO's curve
        ("answers", 128 * 4 + 4 * 3 * 16 + 2 * 3 * 8 * 3),
    ],
)
def test_work_is_counted_once_for_a_seed(tmp_path: Path, unit: str, seconds: float) -> None:
    (path := tmp_path / "small.toml").write_text(SMALL)
    planned = suite.load(str(path)).runs()
    found = estimate.estimate(planned, probed(planned, costs(**{unit: 1.0})), workers=1)
    assert found.work == pytest.approx(2 * seconds)


def test_a_reward_model_of_another_size_has_a_pretraining_of_its_own() -> None:
    values = {"task": "language/tinyinstruct", "preset": "smoke"}
    like, other = (LanguageSpec.of({**values, "reward_model": {"width": width}}) for width in (0, 64))
    text = [sum(work.get("rows of text", 0) for work in language_costs.shared(spec).values()) for spec in (like, other)]
    assert text[1] == text[0] + 40 * 16


def test_rankings_shown_from_more_candidates_teach_a_reward_model_of_their_own() -> None:
    values = {"task": "language/tinyinstruct", "preset": "smoke"}
    few, many = (language_costs.shared(LanguageSpec.of({**values, "candidates": count})) for count in (0, 8))
    both = sum(work.get("ranked answers", 0) for work in (few | many).values())
    assert both == 2 * sum(work.get("ranked answers", 0) for work in few.values()) > 0


def test_a_real_probe_times_every_unit_of_work() -> None:
    found = language_costs.measure(LanguageSpec.of({"task": "language/tinyinstruct", "preset": "smoke"}), 0.1)
    assert set(found.units) == set(UNITS) and all(0 < seconds < 0.5 for seconds in found.units.values())
    assert found.checkpoint_bytes > 7 * 4 * 10_000 and json.dumps(found.units)


def test_a_dry_run_tells_the_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(estimate, "_ALL", 200.0)  # however busy the machine is
    (path := tmp_path / "small.toml").write_text(SMALL)
    assert cli.main(["run", str(path), "--dry-run", "--workers", "1", "--out", str(tmp_path / "runs")]) == 0
    shown = capsys.readouterr().out
    assert "8 runs, 8 to do" in shown and "1 of 1 kinds of work; inferred: none" in shown and "wall time  " in shown
