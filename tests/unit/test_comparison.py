"""Arms beside a baseline and ours beside published figures, over made-up runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_report
from matplotlib.figure import Figure
from test_report import COMMAND, Suite, plan, undrawn, write_run  # noqa: F401  (a fixture)

from bench import pairwise, stats
from bench.report import (
    comparison,
    data,
    efficiency_tables,
    feedback,
    figures,
    heatmap,
    ran,
    results,
    write_report,
)
from bench.report.results import Curve

ABLATIONS: dict[str, tuple[dict[str, Any], float]] = {
    "true reward": ({"reward": "true"}, 1.0),
    "full method": ({"labels": 700}, 1.0),
    "random queries": ({"labels": 700, "query": {"name": "uniform"}}, 0.9),
    "no segments": ({"labels": 700, "segment": 1}, 0.3),
    "mine": ({"labels": 700, "segment": 2}, 1.2),
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> data.Study:
    monkeypatch.setattr(test_report, "ARMS", ABLATIONS)
    planned = plan(4, arms=tuple(ABLATIONS))
    for run in planned:
        write_run(tmp_path, run)
    return data.load(Suite(name="ablations", baseline="full method"), planned, tmp_path, COMMAND)


def value(text: str) -> float:
    return float(re.match(r"\+?[-−]?[\d.]+", text)[0].replace("−", "-"))


def test_each_arm_is_compared_with_the_baseline(study: data.Study) -> None:
    table = comparison.against_baseline(study)
    assert table is not None
    assert [row[0].text for row in table.rows] == ["full method", "random queries", "no segments", "mine"]
    by_arm = {record["arm"]: record for record in table.records}
    for arm, share in (("random queries", 0.9), ("no segments", 0.3), ("mine", 1.2)):
        assert by_arm[arm]["difference"] == pytest.approx(share - 1.0, abs=0.1)
        assert by_arm[arm]["difference_low"] <= by_arm[arm]["difference"] <= by_arm[arm]["difference_high"]
        levels = by_arm[arm]["normalised"], by_arm["full method"]["normalised"]
        assert by_arm[arm]["difference"] == pytest.approx(levels[0] - levels[1])
    assert by_arm["no segments"]["probability_of_improvement"] == 0
    assert by_arm["mine"]["probability_of_improvement"] > 0.8
    assert "difference" not in by_arm["full method"]
    assert table.rows[3][2].text.startswith("+")


def test_each_task_weighs_the_same_in_a_mean_however_many_seeds_it_has(study: data.Study) -> None:
    hopper = study.tasks[1]
    short = {w: replace(cell, runs=cell.runs[:1]) if w == ("mine", hopper) else cell for w, cell in study.cells.items()}
    unequal = replace(study, cells=short)
    level = results.level(unequal, "mine", study.tasks)
    one_by_one = [results.normalised(unequal, task, "mine").value for task in study.tasks]
    assert level.value == pytest.approx(np.mean(one_by_one))


def test_the_papers_ablation_stands_beside_ours(study: data.Study) -> None:
    """Over the suite's own tasks: cheetah and hopper."""
    table = comparison.against_baseline(study)
    assert table is not None
    by_arm = {record["arm"]: record for record in table.records}
    cheetah, hopper = (1182 + 50) / (4209 + 50), (2341 - 280) / (4183 - 280)
    assert by_arm["no segments"]["paper_normalised"] == pytest.approx((cheetah + hopper) / 2)
    assert np.isnan(by_arm["mine"]["paper_normalised"])  # the paper has no such variant
    assert table.rows[3][4].text == "–"


def test_the_order_of_the_parts_stands_beside_the_papers(study: data.Study) -> None:
    table = comparison.order(study)
    assert table is not None
    told = [[cell.text for cell in row] for row in table.rows]
    assert [row[:3] for row in told] == [
        ["full method", "1", "2"],
        ["random queries", "2", "1"],  # better on the paper's cheetah, about equal on its hopper
        ["no segments", "3", "3"],
    ]
    assert told[0][3] == "–" and told[2][3] == comparison.SAME
    assert "tau of the two orders, 1 the same and −1 the reverse: 0.33" in table.caption
    assert table.records[2]["direction"] == comparison.SAME and "direction" not in table.records[0]


@pytest.mark.parametrize(
    ("low", "high", "paper", "says"),
    [(-0.5, -0.1, -0.2, comparison.SAME), (-0.5, -0.1, 0.2, comparison.OPPOSITE), (-0.5, 0.1, -0.2, comparison.OPEN)],
)
def test_a_direction_is_told_only_where_the_interval_leaves_zero_out(
    low: float, high: float, paper: float, says: str
) -> None:
    assert comparison._verdict(stats.Estimate((low + high) / 2, low, high), paper) == says


def test_two_arms_or_other_peoples_have_no_order(study: data.Study) -> None:
    cells = {where: cell for where, cell in study.cells.items() if where[0] != "no segments"}
    assert comparison.order(replace(study, cells=cells, arms=[a for a in study.arms if a != "no segments"])) is None
    assert comparison.order(replace(study, baseline="")) is None


def test_arms_with_the_same_labels_are_not_drawn_against_labels(study: data.Study) -> None:
    assert (
        not study.sweeps_labels and efficiency_tables.labels_to_reach(study) is None and feedback.feedback(study) == []
    )
    assert replace(study, baseline="").sweeps_labels


@pytest.mark.usefixtures("undrawn")
def test_of_many_arms_only_the_control_and_the_baseline_are_drawn_with_their_spread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {f"segments of {n}": ({"labels": 700, "segment": n}, 0.9) for n in range(3, 6)}
    monkeypatch.setattr(test_report, "ARMS", ABLATIONS | more)
    planned = plan(2, arms=(*ABLATIONS, *more))
    for run in planned:
        write_run(tmp_path, run)
    suite = Suite(name="ablations", baseline="full method")
    crowd = data.load(suite, planned, tmp_path, COMMAND)
    assert figures.banded(crowd) == {"true reward", "full method"}
    few = [run for run in planned if run.arm not in more]
    assert figures.banded(data.load(suite, few, tmp_path, COMMAND)) == set(ABLATIONS)
    page = write_report(suite, planned, tmp_path, tmp_path / "report", COMMAND).read_text()
    told = "of so many arms only full method and true reward are drawn with bands and seeds"
    assert told in " ".join(page.split())
    assert "of so many arms" not in write_report(suite, few, tmp_path, tmp_path / "few", COMMAND).read_text()


def test_the_papers_row_stands_beside_an_arm_that_was_run_alone(study: data.Study) -> None:
    cells = {where: cell for where, cell in study.cells.items() if where[0] in ("true reward", "random queries")}
    alone = replace(study, cells=cells, arms=("true reward", "random queries"))
    table = comparison.against_baseline(alone)
    assert table is not None and [row[0].text for row in table.rows] == ["random queries"]
    (told,), whole = table.records, comparison.against_baseline(study)
    assert whole is not None
    (same,) = [one for one in whole.records if one["arm"] == "random queries"]
    for name in ("paper_normalised", "paper_difference"):
        assert told[name] == same[name]
    assert told["normalised"] == pytest.approx(same["normalised"], abs=0.01)  # untrained: over the runs that there are


def test_without_a_baseline_or_control_there_is_no_comparison(study: data.Study) -> None:
    assert comparison.against_baseline(replace(study, baseline="")) is None
    assert heatmap.heatmap(replace(study, baseline="")) == []
    cells = {where: cell for where, cell in study.cells.items() if where[0] != "true reward"}
    bare = replace(study, cells=cells, arms=study.arms[1:])
    table = comparison.against_baseline(bare)
    assert table is not None and table.rows[1][1].text == "–"  # nothing to normalise by
    assert heatmap.heatmap(bare) == []


def test_the_map_holds_normalised_returns_and_their_mean(study: data.Study) -> None:
    made = heatmap.heat(study)
    assert made is not None
    arms, tasks, values = made
    assert arms == list(ABLATIONS)[1:] and tasks == ["HalfCheetah", "Hopper", "Mean"]
    np.testing.assert_allclose(values.mean(1), [1.0, 0.9, 0.3, 1.2], atol=0.08)
    np.testing.assert_allclose(values[:, 2], values[:, :2].mean(1))
    (image,) = heatmap.heatmap(study)
    assert image.png.startswith(b"\x89PNG") and b"HalfCheetah" in image.alt.encode()
    assert image.svg == heatmap.heatmap(study)[0].svg
    alone = {where: cell for where, cell in study.cells.items() if where[1] == study.tasks[0]}
    single = heatmap.heat(replace(study, cells=alone, tasks=study.tasks[:1]))
    assert single is not None and single[1] == ["HalfCheetah"]  # a mean over one task is that task
    np.testing.assert_array_equal(single[2], values[:, :1])


def test_lines_of_many_single_seeds_do_not_hide_the_means(study: data.Study) -> None:
    def lines(seeds: int) -> int:
        axis, points = Figure().subplots(), np.linspace(0, 1, 20)
        runs, numbers = np.zeros((seeds, 20)), tuple(range(seeds))
        arms = ("true reward", "full method")
        figures._lines(axis, study, [Curve(arm, points, numbers, runs, *[points] * 3, seeds, "") for arm in arms])
        return len(axis.lines)

    assert (lines(5), lines(16)) == (2 * 5 + 2, 2)


def test_the_report_shows_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arms = {"true reward": ({"reward": "true"}, 1.0)} | {f"{n} labels": ({"labels": n}, 0.9) for n in (350, 700, 1400)}
    monkeypatch.setattr(test_report, "ARMS", arms)
    planned = plan(3, arms=tuple(arms))
    for run in planned:
        write_run(tmp_path, run)
    suite = Suite(name="mine", baseline="700 labels")
    page = write_report(suite, planned, tmp_path, tmp_path / "report", COMMAND).read_text()
    assert 'id="versus"' in page and 'id="published"' in page and "Christiano et al. 2017, figures 2 and 5" in page
    rows = (tmp_path / "report/paper.md").read_text().splitlines()
    assert rows[0].startswith(
        "| Task | true reward: ours | true reward: paper | 1400 labels: ours | 1400 labels: paper"
    )
    assert [row.split("|")[1].strip() for row in rows[2:]] == ["HalfCheetah", "Hopper", "Mean of 2 tasks"]
    last = [value(part.strip()) for part in rows[-1].split("|")[4:-1]]
    assert last[1] == pytest.approx((5352 / 4259 + 4142 / 3903) / 2, abs=0.01)  # published, 1400 labels
    assert last[0] == pytest.approx(0.9, abs=0.08)
    assert (tmp_path / "report/heatmap.svg").exists() and (tmp_path / "report/comparison.csv").exists()


# Statistics


def test_probability_of_improvement_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(0.3, 1, 7), rng.normal(0, 1, 5)), (np.array([1.0, 2, 2]), np.array([2.0, 0, 2]))]
    wins = [np.mean([(a > b) + 0.5 * (a == b) for a in x for b in y]) for x, y in pairs]
    found = pairwise.probability_of_improvement(pairs)
    assert found.value == pytest.approx(np.mean(wins))
    assert 0 < found.low < found.value < found.high < 1


@pytest.mark.parametrize("seeds", [3, 10])
def test_probability_of_improvement_covers_its_true_value(seeds: int) -> None:
    """Of 400 studies of two tasks, the 95 % interval holds the truth in 92 % at least, with three seeds as with ten."""
    from scipy.stats import norm

    rng, covered = np.random.default_rng(3), 0
    truth = norm.cdf(0.5 / np.sqrt(2))
    for _ in range(400):
        pairs = [(rng.normal(0.5, 1, seeds), rng.normal(0, 1, seeds)) for _ in range(2)]
        found = pairwise.probability_of_improvement(pairs)
        covered += found.low <= truth <= found.high
    assert covered >= 0.92 * 400


def test_one_seed_has_no_interval() -> None:
    found = pairwise.probability_of_improvement([(np.array([1.0]), np.array([0.0]))])
    assert (found.value, found.low, found.high) == (1.0, -np.inf, np.inf)


def test_a_difference_is_that_of_the_two_scores() -> None:
    shifts = np.random.default_rng(0).normal(0, 0.3, (3, 1000))
    cells = [[stats.Draws(np.array([1.0, 2, 3]), shifts[0]), stats.Draws(np.array([2.0, 2, 2]), shifts[1])]]
    control = stats.Draws(np.array([4.0, 4, 4]), 0.01 * shifts[2])
    scores = stats.normalised_scores(cells, [control], [0.0], stats.mean_over_tasks)
    gap = scores.difference(0, 1)
    assert gap.value == pytest.approx(0.0) and -0.5 <= gap.low < 0 < gap.high <= 0.5


def test_the_control_is_one_with_itself(study: data.Study) -> None:
    """Its mean is 1 by definition, in every draw of its level; it was 1.00 [0.84, 3.42] by an independent draw."""
    level = results.level(study, "true reward", study.tasks)
    assert [level.value, level.low, level.high] == pytest.approx([1, 1, 1], abs=1e-12)
    found, _ = results.aggregates(study, "true reward")
    assert [found["mean"].low, found["mean"].high] == pytest.approx([1, 1], abs=1e-12)
    table = efficiency_tables.aggregates(study)
    assert table is not None and (table.rows[0][3].text, table.rows[0][3].interval) == ("1.00", "")
    (profile,) = [one for one in results.profiles(study) if one.arm == "true reward"]
    below = results.LEVELS < 0.8  # all runs of the control are above that, whatever its level is
    assert (profile.low[below] == 1).all() and (profile.low[~below] < 1).any()


def test_a_task_whose_control_hardly_rises_is_not_normalised(study: data.Study) -> None:
    hopper, returns = study.tasks[1], {}
    for where, cell in study.cells.items():
        noisy = [data.Run(**vars(run)) for run in cell.runs]
        if where == ("true reward", hopper):
            for seed, run in enumerate(noisy):
                flat = study.untrained[hopper] + 60 + 400 * (-1) ** seed
                run.metrics["true_return"][run.untrained == 0] = flat
        returns[where] = replace(cell, runs=tuple(noisy))
    unclear = replace(study, cells=returns)
    gain = unclear.gain(hopper)
    assert gain.value > 0 > gain.low and unclear.normalisable == (study.tasks[0],)
    (told,) = [one.text for one in ran.remarks(unclear) if "not clearly above its noise" in one.text]
    assert told.startswith("On Hopper the gain of the runs on the true reward") and "not normalised" in told
