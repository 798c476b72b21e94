"""A report of runs that are not whole, not alike or not there: what it says of them, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_report import ARMS, COMMAND, STEPS, TASKS, Suite, plan, report, some, study_of, undrawn, write_run  # noqa: F401

from bench import store
from bench.report import agreement, data, efficiency_tables, ran, results, tables
from prefrl_core.errors import UserError


def warnings(study: data.Study) -> str:
    return "\n".join(remark.text for remark in ran.remarks(study))


@pytest.mark.usefixtures("undrawn")
def test_unfinished_failed_and_missing_runs_are_named(tmp_path: Path) -> None:
    planned = plan(2, ["mujoco/hopper@1"], ["true reward", "60 labels", "200 labels"])
    for run in planned[:3]:
        write_run(tmp_path, run)
    write_run(tmp_path, planned[3], until=0.5)
    write_run(tmp_path, planned[4], until=0.2, error="NaN reward at step 40000: lower learning_rate")
    study = study_of(tmp_path, planned)
    page = report(tmp_path, planned).read_text()
    for said in ("1 of 2 seeds", "seed 1 unfinished at", "NaN reward at step 40000", "not started", "3 of 6 runs"):
        assert said in page
    cell = study.cells["60 labels", "mujoco/hopper@1"]
    assert len(cell.returns) == 1  # the failed run takes no part in the table
    curve = results.curves(study, "mujoco/hopper@1", "true_return")[1]
    assert (curve.counted, len(curve.runs)) == (1, 2)  # but it is drawn


@pytest.mark.usefixtures("undrawn")
def test_an_arm_that_is_not_finished_takes_no_band_from_the_others(tmp_path: Path) -> None:
    planned = plan(4, ["mujoco/hopper@1"], ["true reward", "60 labels", "200 labels", "700 labels"])
    for run in planned:
        write_run(tmp_path, run, until=0.3 if run.arm == "700 labels" else 1.0)
    curves = {one.arm: one for one in results.curves(study_of(tmp_path, planned), "mujoco/hopper@1", "true_return")}
    for arm in ("true reward", "60 labels", "200 labels"):
        one = curves[arm]
        assert (np.isfinite(one.low) == np.isfinite(one.mean)).all() and np.isfinite(one.low).sum() > 20


@pytest.mark.usefixtures("undrawn")
def test_a_suite_of_controls_alone_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a task that the paper has: there are no labels to tell of."""
    planned = some(tmp_path, ["true reward"])
    assert 'id="efficiency"' in report(tmp_path, planned).read_text()
    study = study_of(tmp_path, planned)
    assert efficiency_tables.labels_to(study, study.tasks[0], 100.0)[0] == []


@pytest.mark.usefixtures("undrawn")
def test_other_optimisers_begin_elsewhere_and_do_not_move_the_scale(tmp_path: Path) -> None:
    planned = plan(2, ["mujoco/hopper@1"], ["true reward", "60 labels"])
    other = [replace(one, spec=replace(one.spec, policy={"name": "trpo"})) for one in planned if one.arm == "60 labels"]
    for one in planned:
        write_run(tmp_path, one)
    study = study_of(tmp_path, planned)
    alone = data.untrained_level([run for run in study.runs if run.arm == "true reward"])
    mixed = [replace(run, spec=other[0].spec) if run.arm == "60 labels" else run for run in study.runs]
    control = study.cells["true reward", "mujoco/hopper@1"].spec
    assert data.untrained_level(mixed, control) == alone != data.untrained_level(mixed)


@pytest.mark.usefixtures("undrawn")
def test_runs_that_explore_first_or_act_in_another_range_do_not_move_the_scale(tmp_path: Path) -> None:
    planned = plan(2, ["mujoco/hopper@1"], ["true reward", "60 labels"])
    for one in planned:
        write_run(tmp_path, one)
    study = study_of(tmp_path, planned)

    def level(of_control: dict[str, object], of_other: dict[str, object]) -> float:
        spec = {"true reward": of_control, "60 labels": of_other}
        runs = [replace(run, spec=replace(run.spec, policy={"name": "sac", **spec[run.arm]})) for run in study.runs]
        return data.untrained_level(runs, runs[0].spec)

    alone, others = (
        data.untrained_level([run for run in study.runs if run.arm == arm]) for arm in ("true reward", "60 labels")
    )
    exploring: dict[str, object] = {"random_steps": 1000, "explore_steps": 9000}
    assert level({}, exploring) == level({}, {"action_limit": 0.3}) == alone
    assert level(exploring, {}) == others  # a control that explores is measured from where the others begin
    assert level({}, {}) == level(exploring, exploring) == data.untrained_level(study.runs)  # there is nothing else


@pytest.mark.usefixtures("undrawn")
def test_an_arm_that_learned_from_nothing_is_named(tmp_path: Path) -> None:
    planned = some(tmp_path, ["true reward", "60 labels"])
    assert "fitted to nothing" not in warnings(study_of(tmp_path, planned))
    none = [replace(run, spec=replace(run.spec, labels=0)) if run.arm == "60 labels" else run for run in planned]
    assert "60 labels has no labels, and not the true reward" in warnings(study_of(tmp_path, none))


@pytest.mark.usefixtures("undrawn")
def test_no_other_arm_on_the_true_reward_stands_in_for_the_control(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be another scale, and "all tasks" would mix the two."""
    planned = plan(2, arms=["true reward", "60 labels"])
    monkeypatch.setitem(ARMS, "another", ARMS["true reward"])
    versions = {"method": 1, "mujoco": "4.0.0"}
    other = [(run, replace(run.spec, policy={"name": "trpo"})) for run in planned if run.arm == "true reward"]
    second = [
        replace(run, arm="another", spec=spec, key=store.key_of(spec.canonical(), versions)) for run, spec in other
    ]
    for run in planned:
        whole = run.arm != "true reward" or run.task != "mujoco/hopper@1"
        write_run(tmp_path, run, until=1.0 if whole else 0.5)
    for run in second:
        write_run(tmp_path, run)
    study = study_of(tmp_path, planned + second)
    assert study.controls == {"mujoco/half_cheetah@1": "true reward"}
    assert "Hopper has no finished run of its control, true reward: its returns are not norm" in warnings(study)


@pytest.mark.usefixtures("undrawn")
def test_unfinished_runs_alone_are_drawn(tmp_path: Path) -> None:
    planned = plan(2, ["mujoco/hopper@1"], ["60 labels"])
    for run, until in zip(planned, (0.3, 0.6), strict=True):
        write_run(tmp_path, run, until=until)
    assert "0 of 2 seeds" in report(tmp_path, planned).read_text()
    (curve,) = results.curves(study_of(tmp_path, planned), "mujoco/hopper@1", "true_return")
    assert np.nanmax(curve.x[np.isfinite(curve.mean)]) < 0.3 * STEPS  # as far as both go


def test_nothing_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run of suite 'quick' .* start the suite by prefrl run, or name"):
        report(tmp_path, plan())


@pytest.mark.usefixtures("undrawn")
def test_without_control_returns_are_raw(tmp_path: Path) -> None:
    planned = some(tmp_path, ["60 labels", "200 labels"])
    study = study_of(tmp_path, planned)
    assert study.normalisable == ()
    assert "no finished run on the true reward" in warnings(study)
    page = report(tmp_path, planned).read_text()
    assert 'id="efficiency"' in page
    assert "normalised</td>" not in page


def test_control_no_better_than_untrained_is_no_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "mujoco/half_cheetah@1", (500.0, 100.0))
    study = study_of(tmp_path, some(tmp_path, ["true reward", "60 labels"]))
    assert study.normalisable == ()
    assert "no higher than the untrained policy" in warnings(study)


def test_one_seed_is_told_as_such(tmp_path: Path) -> None:
    study = study_of(tmp_path, some(tmp_path, ["true reward", "60 labels"], seeds=1))
    assert tables.efficiency(study).rows[0][4].interval == ""
    assert "one seed" in warnings(study)


def test_two_mujoco_versions_are_never_averaged(tmp_path: Path) -> None:
    planned = some(tmp_path, ["60 labels"])
    write_run(tmp_path, planned[0], versions={"mujoco": "3.9.1"})
    with pytest.raises(UserError, match=r"half_cheetah.* 3\.9\.1 .*4\.0\.0.*--out"):
        report(tmp_path, planned)


def test_dirty_tree_and_other_differences_are_warned_of(tmp_path: Path) -> None:
    planned = some(tmp_path, ["60 labels"])
    assert "uncommitted" not in warnings(study_of(tmp_path, planned))
    write_run(
        tmp_path,
        planned[0],
        git={"revision": "ffff", "dirty": True},
        versions={"mujoco": "4.0.0", "numpy": "2.5.0"},
    )
    told = warnings(study_of(tmp_path, planned))
    for said in ("uncommitted changes", "different git revisions", "different versions of numpy: 2.4.6, 2.5.0"):
        assert said in told


def test_damaged_runs_are_named_left_out_and_counted(tmp_path: Path) -> None:
    planned = some(tmp_path, ["60 labels"])
    damaged = tmp_path / planned[0].key / "metrics.jsonl"
    damaged.write_text(damaged.read_text()[:-100])
    with pytest.raises(UserError, match="sha256"):  # elsewhere it is an error
        study_of(tmp_path, planned)
    study = data.load(Suite(), planned, tmp_path, COMMAND, keep_damaged=True)
    assert "1 of 2 runs damaged and left out: HalfCheetah, 60 labels, seed 0 (" in warnings(study)
    assert len(study.cells["60 labels", study.tasks[0]].finished) == 1
    (tmp_path / planned[1].key / "segments.safetensors").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="sha256"):  # nothing is left
        report(tmp_path, planned)


@pytest.mark.usefixtures("undrawn")
def test_a_report_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    planned = some(tmp_path, ["60 labels"], seeds=1)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        report(tmp_path, planned, "file")


@pytest.mark.usefixtures("undrawn")
def test_text_of_a_suite_cannot_break_the_page(tmp_path: Path) -> None:
    planned = [replace(run, arm="<b>60 & more</b>") for run in some(tmp_path, ["60 labels"], seeds=1)]
    page = report(tmp_path, planned).read_text()
    assert "<b>60" not in page
    assert "&lt;b&gt;60 &amp; more" in page


def test_segments_of_another_seed_are_drawn_where_the_first_has_none(tmp_path: Path) -> None:
    planned = plan(2, ["mujoco/hopper@1"], ["true reward", "60 labels"])
    folders = [write_run(tmp_path, run) for run in planned]
    kept = [folder / "segments.safetensors" for folder in folders if (folder / "segments.safetensors").exists()]
    assert len(kept) == 2
    kept[0].unlink()
    assert agreement.of_suite(study_of(tmp_path, planned))
    kept[1].unlink()
    assert not agreement.of_suite(study_of(tmp_path, planned))


def test_runs_that_stand_alike_are_told_once(tmp_path: Path) -> None:
    planned = plan(9, ["mujoco/hopper@1"], ["true reward", "60 labels"])
    for run in planned:
        if run.arm == "true reward" or run.seed < 2:
            write_run(tmp_path, run)
        elif run.seed == 2:
            write_run(tmp_path, run, until=0.2, error="reward is {nan}")
    study = study_of(tmp_path, planned)
    (_, cell) = ran.progress(study).rows[1]
    assert cell.note == "seed 2 failed at 38912 of 200000 steps: reward is {nan}; seeds 3 to 8 not started"
    said = [remark.text for remark in ran.remarks(study)]
    assert "1 of 18 runs failed: Hopper, 60 labels, seed 2 (reward is {nan})." in said
    assert "6 of 18 runs not started: Hopper, 60 labels, seeds 3 to 8." in said


def test_of_many_places_the_first_are_told_and_the_rest_counted(tmp_path: Path) -> None:
    planned = plan(3)  # 2 tasks of 5 arms
    for run in planned:
        if run.seed == 0:
            write_run(tmp_path, run)
    (missing,) = [one.text for one in ran.remarks(study_of(tmp_path, planned)) if "not started" in one.text]
    assert missing.startswith("20 of 30 runs not started: ") and missing.count("seeds 1, 2") == 6
    assert missing.endswith("; and 8 more.")


def test_a_suite_of_controls_has_no_table_of_reward_models(tmp_path: Path) -> None:
    controls = study_of(tmp_path, some(tmp_path, ["true reward"]))
    assert tables.reward_model(controls) is None
