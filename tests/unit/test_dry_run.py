"""What a dry run says: the plan, and its cost."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
from finished import finish

from bench import cli, estimate, store, suite
from bench.costs import Costs
from prefrl_core import tasks
from prefrl_core.errors import UserError

COSTS = Costs(
    untrained_steps=20_000,
    round_steps=1_000,
    untrained=0.1,
    first=2.0,
    learning=0.2,
    saving=0.16,
    row_bytes=300,
    checkpoint_bytes=5_000,
    comparison_bytes=1_000,
    memory_bytes=10**8,
)
TWO_TASKS = str(Path(__file__).parents[1] / "data/two_tasks.toml")  # 2 tasks x 5 arms x 3 seeds
DRY = ["run", TWO_TASKS, "--dry-run"]


def probed(planned: list[suite.Planned], start: float = 1.0) -> estimate.Probed:
    kinds = {estimate.Kind.of(one) for one in planned}
    return estimate.Probed(dict.fromkeys(kinds, (COSTS, start)), frozenset(kinds), 0.0)


def test_the_cost_of_a_run_is_that_of_its_turns() -> None:
    (one,) = suite.load(TWO_TASKS).runs(seeds=1, only=["task=hopper", "arm=60"])
    # 19 turns that act, one that ends with the first fit, 230 that learn, a checkpoint every 16 of them
    assert estimate.run_seconds(COSTS, one) == pytest.approx(19 * 0.1 + 2 + 230 * 0.2 + 250 / 16 * 0.16)
    found = estimate.estimate([one], probed([one]), workers=2)
    assert found.wall == found.work == pytest.approx(1 + 19 * 0.1 + 2 + 230 * 0.2 + 2.5)
    assert found.disk == 250 * 300 + 5_000 + 2 * 60 * 1_000
    assert found.memory == found.largest == 10**8 + 2 * 60 * 1_000


def test_workers_share_the_runs_in_their_order() -> None:
    planned = suite.load(TWO_TASKS).runs(seeds=1, only=["task=hopper", "arm=true"])
    three = [replace(planned[0], key=str(number)) for number in range(3)]
    one, two, many = (estimate.estimate(three, probed(three), workers) for workers in (1, 2, 8))
    assert (two.wall, many.wall) == (pytest.approx(one.wall / 3 * 2), pytest.approx(one.wall / 3))
    assert one.work == two.work == one.wall and (one.memory, two.memory, many.memory) == (10**8, 2 * 10**8, 3 * 10**8)


def test_seeds_and_labels_are_one_kind_of_work_and_what_is_not_measured_is_inferred_from_the_most_similar(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned = suite.load(TWO_TASKS).runs(seeds=2)
    slow = replace(COSTS, learning=9.0)

    def measure(one: suite.Planned, seconds: float, until: float) -> tuple[Costs, float] | str:
        if one.spec.labeler.get("mistake"):
            return "no time left"
        return (slow if "hopper" in one.task else COSTS), 1.0

    monkeypatch.setattr(estimate, "_measure", measure)
    found = estimate.probe(planned, workers=2)
    assert len(found.costs) == 6 and len(found.measured) == 4
    for kind, (costs, _) in found.costs.items():
        assert costs == (slow if "hopper" in kind.task else COSTS)
    monkeypatch.setattr(estimate, "_measure", lambda *_: "it broke")
    with pytest.raises(UserError, match=r"no run could be probed \(it broke\): see the plan with --no-probe"):
        estimate.probe(planned, workers=2)


def test_a_real_probe_says_what_was_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(estimate, "_EACH", 0.2)
    words = ["--only", "task=hopper", "--only", "arm=60", "--only", "arm=true", "--workers", "3"]
    assert cli.main([*DRY, *words, "--out", str(tmp_path / "runs")]) == 0
    shown = capsys.readouterr().out
    assert "6 runs, 6 to do: 1,500,000 steps" in shown and "on 3 workers, as fast as" in shown
    assert "2 of 2 kinds of work; inferred: none" in shown and not (tmp_path / "runs").exists()
    for what in ("wall time  ", "memory     ", "disk       "):
        (line,) = [line for line in shown.splitlines() if what in line]
        assert any(digit in line for digit in "123456789")


def test_a_plan_of_ten_thousand_runs_takes_seconds_and_is_shown_by_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*DRY, "--seeds", "1000", "--no-probe", "--out", str(tmp_path)]
    began = time.process_time()
    assert cli.main(words) == 0
    assert time.process_time() - began < 5
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 12 and shown[-1] == "10,000 runs, 10,000 to do: 2,500,000,000 steps"
    assert shown[1].split()[-6:] == ["1000", "0", "0", "0", "0", "1000"]
    assert cli.main([*words, "--verbose"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 10_002


@pytest.mark.parametrize(("name", "digest"), [("quick", "4a82223510db06c6"), ("mujoco-trpo", "b52eaac47a9dfe41")])
def test_keys_of_shipped_suites_stay(name: str, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that people have are found again; what changes a key on purpose changes this."""
    monkeypatch.setattr(tasks, "versions", lambda task: {"mujoco": "4.0.0", "gymnasium": "1.4.0"})
    keys = " ".join(run.key for run in suite.load(name).runs())
    assert hashlib.sha256(keys.encode()).hexdigest()[:16] == digest


@pytest.mark.parametrize("lost", ["metrics.jsonl", "spec.json"])
def test_a_dry_run_says_of_a_damaged_run_what_run_would_say(
    lost: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (planned,) = suite.load("quick").runs(seeds=1, only=["task=reacher", "arm=30"])
    run = store.create(tmp_path, planned.key, planned.spec.canonical(), suite.versions_of(planned.spec))
    (run.folder / "metrics.jsonl").write_text('{"step": 1000}\n')
    finish(run.folder, 40_000, 30)
    if lost == "spec.json":
        (run.folder / lost).write_text("{}")
    else:
        (run.folder / lost).unlink()
    filters = ["--seeds", "1", "--only", "task=reacher", "--only", "arm=30", "--out", str(tmp_path)]
    assert cli.main(["run", "quick", "--dry-run", "--no-probe", *filters]) == 1
    _, row, count, damage = capsys.readouterr().out.splitlines()
    assert row.endswith("damaged") and count == "1 run, 0 to do: 0 steps"
    assert damage.startswith("damaged: ") and str(run.folder / lost) in damage
    assert cli.main(["run", "quick", *filters]) == 1
    assert damage.removeprefix("damaged: ") in capsys.readouterr().out
