"""A report's tables of feedback efficiency, its aggregates and its picture of the reward model, over made-up runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_report import STEPS, plan, study_of, write_run

from bench import store
from bench.report import agreement, comparison, data, efficiency_tables, feedback, findings, formats, results
from bench.suite import Planned


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planned]]:
    """A finished suite."""
    out, planned = tmp_path_factory.mktemp("runs"), plan()
    for run in planned:
        write_run(out, run)
    return out, planned


def with_labels(study: data.Study, arm: str, labels: int) -> data.Study:
    """As where the suite's table of its second task sets the labels of an arm."""
    where = arm, study.tasks[1]
    runs = tuple(replace(run, spec=replace(run.spec, labels=labels)) for run in study.cells[where].runs)
    return replace(study, cells={**study.cells, where: data.Cell(runs)})


def test_labels_to_reach_lies_between_the_budgets_around_it(whole: tuple[Path, list[Planned]]) -> None:
    study = study_of(*whole)
    oracle, mistaken = study.series
    assert oracle.arms == ("60 labels", "200 labels", "700 labels")
    assert mistaken.label == "200 labels, 10 % wrong"
    found = results.feedback_efficiency(study, oracle, study.tasks[:1])
    assert found is not None and found.area is not None
    half, most, whole_of_it = found.reach.values()
    assert half.value == 60 and 200 < most.low <= most.value <= most.high < 700 <= max(whole_of_it.value, 700)
    assert 0.55 < found.area.value < 1.02
    table = efficiency_tables.labels_to_reach(study)
    assert table is not None
    assert [entry.text for entry in table.rows[0][:3]] == ["HalfCheetah", oracle.label, "≤ 60"]
    assert table.rows[1][3] == formats.Entry("not reached", "", "only 200 labels were tried")


def test_budgets_of_one_method_are_called_by_what_their_arms_have_in_common(whole: tuple[Path, list[Planned]]) -> None:
    study = study_of(*whole)
    (task, *_), (oracle, *_) = study.tasks, study.series
    cells = {(f"SURF, {arm}", task): study.cells[arm, task] for arm in oracle.arms}
    (named,) = data._series([arm for arm, _ in cells], cells)
    assert named.label == "SURF" != oracle.label and named.arms == tuple(f"SURF, {arm}" for arm in oracle.arms)


def test_aggregates_and_profiles_are_of_all_tasks(whole: tuple[Path, list[Planned]]) -> None:
    study = study_of(*whole)
    table = efficiency_tables.aggregates(study)
    assert table is not None and [row[0].text for row in table.rows] == list(study.arms)
    (record,) = [one for one in table.records if one["arm"] == "60 labels"]
    assert record["IQM"] == results.aggregates(study, "60 labels", ["IQM"])[0]["IQM"].value
    profiles = {one.arm: one for one in results.profiles(study)}
    assert profiles["60 labels"].mean[0] == 1.0 and profiles["60 labels"].mean[-1] == 0.0
    assert (profiles["700 labels"].mean >= profiles["60 labels"].mean).all()
    assert (profiles["60 labels"].low <= profiles["60 labels"].high).all()


def test_an_hour_of_labeling_is_told(whole: tuple[Path, list[Planned]]) -> None:
    study = study_of(*whole)
    table = efficiency_tables.per_hour(study)
    assert table is not None and table.header[1:] == list(study.arms[1:])
    score = results.normalised(study, study.tasks[0], "60 labels").value
    (record,) = [r for r in table.records if (r["task"], r["arm"]) == ("HalfCheetah", "60 labels")]
    assert record["normalised_per_hour"] == pytest.approx(score / (60 * 4 / 3600))


def test_an_hour_of_labeling_counts_the_labels_of_its_task(whole: tuple[Path, list[Planned]]) -> None:
    """An arm may have other budgets on other tasks, as those of suite dmcontrol do."""
    study = study_of(*whole)
    first, second = study.tasks
    mixed = with_labels(study, "60 labels", 600)
    table = efficiency_tables.per_hour(mixed)
    assert table is not None
    told = {one["task"]: one["normalised_per_hour"] for one in table.records if one["arm"] == "60 labels"}
    scores = [results.normalised(study, task, "60 labels").value for task in (first, second)]
    hours = [60 * 4 / 3600, 600 * 4 / 3600]
    of_both = results.score(study, "60 labels", [first, second]).value
    expected = [scores[0] / hours[0], scores[1] / hours[1], of_both / np.mean(hours)]
    assert list(told.values()) == pytest.approx(expected)


def test_predicted_is_drawn_against_true(whole: tuple[Path, list[Planned]]) -> None:
    out, planned = whole
    assert [one.name for one in agreement.of_suite(study_of(*whole))][1] == "agreement-hopper"
    run = next(run for run in planned if run.arm == "60 labels")
    arrays = store.Run(out / run.key).segments()
    late = arrays["step"] > 0.75 * STEPS
    (*_, last) = agreement.correlations(arrays, STEPS).values()
    assert last == pytest.approx(np.corrcoef(arrays["true"][late], arrays["predicted"][late])[0, 1])
    image = agreement.of_run(arrays, STEPS)
    assert image is not None and f"75% to 100%: r = {last:.2f}" in image.alt
    assert agreement.of_run({"step": np.zeros(0), "true": np.zeros(0), "predicted": np.zeros(0)}, STEPS) is None


def test_a_budget_is_that_of_the_task(whole: tuple[Path, list[Planned]]) -> None:
    mixed = with_labels(study_of(*whole), "60 labels", 900)
    cheetah, hopper = mixed.tasks
    oracle = mixed.series[0]
    assert list(mixed.budgets(oracle, [hopper]).items())[-1] == (900, "60 labels")
    budgets = {(cheetah,): (60, 200, 700), (hopper,): (200, 700, 900), (cheetah, hopper): (200, 700)}
    for tasks, expected in budgets.items():
        found = results.feedback_efficiency(mixed, oracle, tasks)
        assert found is not None and found.budgets == expected
    assert efficiency_tables.labels_to(mixed, hopper, 1000)[0] == [200, 700, 900]
    assert {image.name for image in feedback.feedback(mixed)} >= {"feedback-hopper", "feedback-all-tasks-iqm"}


def test_budgets_are_ordered_in_words_where_they_are_the_same_on_all_tasks(whole: tuple[Path, list[Planned]]) -> None:
    mixed = with_labels(study_of(*whole), "60 labels", 900)
    assert not [told for told in findings.findings(mixed) if "labels teach" in told]
    (hopper,) = mixed.tasks[1:]
    alone = {where: cell for where, cell in mixed.cells.items() if where[1] == hopper}
    order, apart, *_ = findings.findings(replace(mixed, cells=alone, tasks=(hopper,)))
    assert order.index("200 labels teach") < order.index("700 labels teach") < order.index("900 labels teach")
    assert "900 over 700 labels" in apart


def test_the_paper_stands_beside_an_arm_with_its_labels_on_each_task(whole: tuple[Path, list[Planned]]) -> None:
    study = study_of(*whole)
    assert list(comparison._budget_arms(study, study.tasks)) == [700]
    assert comparison.beside_the_paper(with_labels(study, "700 labels", 1400)) is None
