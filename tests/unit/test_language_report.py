"""The report of made-up language runs: it finds again what they were made from, and says what is missing."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import language_runs as made
import numpy as np
import pytest
from test_report import undrawn  # noqa: F401  (a fixture)

from bench import store
from bench.report import data as any_data
from bench.report import write_report
from bench.report.language import data, efficiency, figures, frontier, matched, samples, tables
from bench.suite import Planned
from prefrl_core.language.spec import LanguageSpec

COMMAND = "python -m bench report language"
SMALL = made.arms((64,))
FEW = {name: made.arms()[name] for name in ("SFT", "PPO on gold", "PPO, 64 rankings", "PPO, 1024 rankings")}


def study(out: Path, planned: list[Planned], baseline: str = "") -> data.Language:
    return data.load(any_data.load(made.Suite(baseline=baseline), planned, out, COMMAND))


def written(folder: Path, planned: list[Planned], **how: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for run in planned:
        made.write_run(folder, run, **how)
    return folder


def records(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.decode())))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Planned]]:
    planned = made.plan()
    return written(tmp_path_factory.mktemp("language"), planned), planned


@pytest.fixture(scope="module")
def language(whole: tuple[Path, list[Planned]]) -> data.Language:
    return study(*whole)


@pytest.fixture(scope="module")
def report(whole: tuple[Path, list[Planned]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, planned = whole
    return write_report(made.Suite(), planned, out, tmp_path_factory.mktemp("report"), COMMAND).parent


def result(language: data.Language, name: str) -> data.Result:
    return next(one for one in language.results if one.name == name)


def test_a_report_with_intervals_does_not_say_that_there_are_none(report: Path) -> None:
    assert "too few seeds are finished for an honest interval" not in (report / "index.html").read_text()


def test_gaos_coefficients_are_found_again(language: data.Language) -> None:
    for budget in made.BUDGETS:
        for arm, best, a in (
            (f"best of n, {budget} rankings", True, made.A_BON),
            (f"PPO, {budget} rankings", False, 0.8),
        ):
            one = next(one for one in language.results if one.arm == arm)
            fitted = frontier.fit(frontier.points(language, one, "gold_gain"), best, arm)
            assert fitted is not None and fitted.r_squared > 0.8
            b = made.b_of(budget, best)
            assert fitted.a.value == pytest.approx(a, abs=0.06) and fitted.b.value == pytest.approx(b, abs=0.06)
            peak = a / (2 * b) if best else np.exp(a / b - 1)
            assert fitted.peak.value == pytest.approx(peak, rel=0.1)
            assert fitted.height.value == pytest.approx(peak * (a / 2 if best else b), rel=0.1)


def test_best_of_n_is_counted_from_sft_though_it_was_not_measured_at_one(tmp_path: Path) -> None:
    """On gold itself it is no control either: that is PPO alone."""
    arms: dict[str, dict[str, Any]] = {
        "from 4": {"method": "best_of_n", "rankings": 64, "best_of_n": {"n": [4, 8, 16]}},
        "from 1": {"method": "best_of_n", "rankings": 256, "best_of_n": {"n": [1, 8, 16]}},
        "least of 3": {
            "method": "best_of_n", "rankings": 64, "best_of_n": {"n": [4, 8, 16]},
            "reward_model": {"members": 3, "combine": "min"},
        },
    }  # fmt: skip
    planned = made.plan(1, arms)
    language = study(written(tmp_path / "runs", planned), planned)
    of = {one.arm: one for one in language.results}
    for method, called in (("best_of_n", "best_of_n"), ("ppo", "gold")):
        spec = LanguageSpec.of({"task": made.TASK, "method": method, "reward": "gold"})
        assert replace(of["from 1"], spec=spec).method == called
    for arm, first in (("from 4", 0.0), ("from 1", None)):
        (points,) = frontier.points(language, of[arm], "proxy_mean")
        measured = [told.value("proxy_mean") for one in language.results if one.arm == arm for told in one.runs]
        zero = measured[0] if first is None else first
        assert points[:, 1] == pytest.approx(np.array(measured) - zero)
    assert frontier.points(language, of["least of 3"], "proxy_mean") == []  # what SFT has of it is not known
    assert len(frontier.points(language, of["least of 3"], "gold_gain")) == 1


def test_a_fit_is_the_least_squares_that_numpy_finds() -> None:
    random = np.random.default_rng(0)
    seeds = [np.column_stack([d := random.uniform(0.1, 3, 9), random.normal(size=9) + d]) for _ in range(3)]
    every = np.concatenate(seeds)
    for best, second in ((True, every[:, 0] ** 2), (False, every[:, 0] * np.log(every[:, 0]))):
        fitted = frontier.fit(seeds, best, "any")
        expected = np.linalg.lstsq(np.column_stack([every[:, 0], -second]), every[:, 1], rcond=None)[0]
        assert fitted is not None
        np.testing.assert_allclose([fitted.a.value, fitted.b.value], expected, rtol=1e-9)
        np.testing.assert_allclose(fitted.at(every[:1, 0]), every[0, 0] * expected[0] - second[0] * expected[1])


def test_a_curve_that_only_rises_has_no_peak_and_two_points_no_curve() -> None:
    line = np.column_stack([np.arange(1.0, 6), 2 * np.arange(1.0, 6)])
    bent = frontier.fit([line, line * 1.1], True, "rising")
    assert bent is not None and bent.reach == 5.5 and bent.peak.value > bent.reach
    assert frontier.fit([line[:2]], True, "two") is None and frontier.fit([], True, "none") is None


def test_one_seed_tells_no_interval_of_a_fit() -> None:
    d = np.linspace(0.5, 3, 6)
    fitted = frontier.fit([np.column_stack([d, d * (1 - 0.3 * d)])], True, "one")
    assert fitted is not None and fitted.b.value == pytest.approx(0.3)
    assert (fitted.b.low, fitted.b.high) == (-np.inf, np.inf)


def test_two_policies_are_compared_where_both_have_come_to(language: data.Language) -> None:
    ptx, ppo = result(language, "PPO-ptx, 1024 rankings"), result(language, "PPO, 1024 rankings")
    assert matched.reference(language, ptx) is ppo and matched.reference(language, ppo) is None
    found = matched.matched(language, ptx, ["ptx_nll", "qa_acc"])
    assert found["matched_kl"] == pytest.approx(np.mean([told.curve("kl_exact")[-1] for told in ptx.runs]))
    # both lines are straight in KL, so the difference is that of their slopes times the KL of the nearer one
    assert found["matched_ptx_nll"].value == pytest.approx((0.005 - made.SLOPE) * found["matched_kl"])
    assert found["matched_qa_acc"].value == pytest.approx(0.05 * found["matched_kl"])


@pytest.mark.parametrize(("kl", "value"), [(0.0, 1.0), (1.0, 2.0), (1.5, 3.0), (2.0, 4.0), (3.0, 5.0), (4.0, np.nan)])
def test_a_curve_is_read_where_it_first_comes_to_a_distance(kl: float, value: float) -> None:
    wandering = np.array([[0.0, 1.0], [1.0, 2.0], [2.0, 4.0], [1.5, 9.0], [3.0, 5.0]])
    assert matched.at_kl(wandering, kl) == pytest.approx(value, nan_ok=True)


def test_the_tax_is_counted_from_the_runs_own_sft(language: data.Language) -> None:
    ppo, ptx = (result(language, f"{name}, 64 rankings").estimate("tax:ptx_nll") for name in ("PPO", "PPO-ptx"))
    kl = result(language, "PPO, 64 rankings").estimate("kl_exact").value
    assert ppo.value == pytest.approx(made.SLOPE * kl) and ptx.high < ppo.low


def test_a_task_without_facts_has_no_figure_of_them(language: data.Language) -> None:
    def forget(told: data.Told) -> data.Told:
        return replace(told, rows=[{**row, "qa_acc": None} for row in told.rows])

    ignorant = replace(
        language, results=[replace(one, runs=[forget(told) for told in one.runs]) for one in language.results]
    )
    names, of_facts = ([picture.name for picture in figures.taxes(of)] for of in (ignorant, language))
    assert names and not any("facts" in name for name in names) and any("facts" in name for name in of_facts)


def test_win_rates_are_those_of_the_samples(whole: tuple[Path, list[Planned]], language: data.Language) -> None:
    out, planned = whole
    wins = []
    for run in planned:
        if run.arm == "PPO, 4096 rankings":
            wins.append(store.Run(out / run.key).samples()[0]["win_judge"].mean())
    found = result(language, "PPO, 4096 rankings").estimate("mean:win_judge")
    assert found.value == pytest.approx(np.mean(wins)) and found.low < found.value < found.high
    best = result(language, "best of n, 64 rankings, n = 16")
    arrays = store.Run(best.runs[0].run.folder).samples()[0]
    np.testing.assert_array_equal(best.runs[0].sample("gold"), arrays["gold"][:, list(made.N).index(16)])


def test_seeds_differ_at_least_as_prompts_let_them(language: data.Language) -> None:
    """Seeds that come to the same mean by chance are believed to be as far apart as their prompts say."""
    one = result(language, "PPO, 4096 rankings")
    samples = [told.sample("win_judge") for told in one.runs]
    same = [row - row.mean() + 0.5 for row in samples]
    told = [replace(t, samples={**t.samples, "win_judge": row}) for t, row in zip(one.runs, same, strict=True)]
    made = replace(one, runs=tuple(told), family=[]).estimate("mean:win_judge")
    assert made.value == pytest.approx(0.5) and made.low == -np.inf  # alone, so few seeds have no interval
    family = [replace(one, arm=f"arm {i}", runs=tuple(told), family=[]) for i in range(4)]
    made = replace(one, runs=tuple(told), family=family).estimate("mean:win_judge")
    least = np.mean([row.var(ddof=1) / len(row) for row in samples])
    assert made.high - made.value >= 2.4 * np.sqrt(least / len(samples))


def test_a_rate_that_all_seeds_agree_on_has_no_interval_unless_it_is_so_by_definition(language: data.Language) -> None:
    """A rare event that no seed saw may still happen; best of n is as far from SFT as its formula says."""
    ppo, best = result(language, "PPO, 64 rankings"), result(language, "best of n, 64 rankings, n = 16")
    length = ppo.estimate("length")  # 12 tokens in every run
    assert length.value == 12 and np.isnan([length.low, length.high]).all()
    formula = np.log(16) - 15 / 16
    distance = best.estimate("kl_exact")
    assert [distance.value, distance.low, distance.high] == pytest.approx([formula] * 3)
    nobody_s = best.estimate("kl_exact", ppo)  # a difference to what was measured is measured
    assert nobody_s.low < nobody_s.value < nobody_s.high
    table = tables.answers(language)
    assert table is not None
    (told,) = (row for row in table.records if row["arm"] == "PPO, 64 rankings")
    assert told["length"] == 12 and np.isnan([told["length_low"], told["length_high"]]).all()


def test_differences_of_arms_are_paired_by_seed(language: data.Language) -> None:
    one, other = result(language, "PPO, 4096 rankings"), result(language, "PPO, 64 rankings")
    seeds = {told.run.seed: told.value("mean:gain") for told in other.runs}
    expected = np.mean([told.value("mean:gain") - seeds[told.run.seed] for told in one.runs])
    single, among = (one.estimate("mean:gain", other, count) for count in (1, 10))
    assert single.value == pytest.approx(expected) and single.low < single.value < single.high
    assert among.low < single.low and among.high > single.high  # all ten hold at once


def test_labels_to_half_the_gain_are_where_the_line_crosses_it(language: data.Language) -> None:
    found = {line.label: one for line, one in efficiency.feedback_efficiency(language, made.TASK)}
    assert set(found) == {"PPO", "PPO-ptx", *(f"best of n, n = {n}" for n in (4, 16, 64))}
    gains = [result(language, f"PPO, {budget} rankings").estimate("gold_gain").value for budget in made.BUDGETS]
    share = np.array(gains) / result(language, "PPO on gold").estimate("gold_gain").value
    after = int((share >= 0.5).argmax())
    weight = (0.5 - share[after - 1]) / (share[after] - share[after - 1])
    expected = made.BUDGETS[after - 1] * 4**weight
    assert after > 0 and found["PPO"].reach[0.5].value == pytest.approx(expected)
    assert found["PPO"].reach[1.0].value == np.inf
    table = tables.labels_to_reach(language)
    assert table is not None and {row["pairs_a_ranking"] for row in table.records} == {6}


def test_a_line_ascends_whatever_the_order_of_its_arms(language: data.Language) -> None:
    """A suite's table of a task may set the rankings of some arms."""
    turned = tuple(replace(one, arms=one.arms[::-1]) for one in language.study.series)
    other = replace(language, study=replace(language.study, series=turned))
    lines, again = (
        [(line.label, [one.name for one in line.results]) for line in efficiency.lines(found, made.TASK)]
        for found in (language, other)
    )
    assert again == lines


def test_each_reward_model_is_told_once(language: data.Language) -> None:
    found = language.reward_models(made.TASK)
    assert [one.spec.labels for one in found] == list(made.BUDGETS)
    accuracy = [one.estimate("reward_model:rm_accuracy").value for one in found]
    assert accuracy == sorted(accuracy) and accuracy[0] == pytest.approx(0.55, abs=0.02)


def test_the_page_and_every_part_are_there(report: Path) -> None:
    html = (report / "index.html").read_text()
    for name in ("outcomes", "answers", "labels-to-reach", "fits", "tax", "reward-model", "cost", "runs", "settings"):
        assert f'<table id="{name}"' in html
        for kind in ("md", "tex", "csv"):
            assert (report / f"{name}.{kind}").stat().st_size
    for name in ("win-rates", "labels", "frontier", "overoptimisation", "tax", "reward-model"):
        for kind in ("png", "svg"):
            assert (report / f"{name}.{kind}").stat().st_size > 1000
    assert "http://" not in html.replace("http://www.w3.org", "") and "Before you trust" not in html
    points = [row for row in records((report / "curves.csv").read_bytes()) if row["stage"] == "ppo"]
    assert len(points) == 9 * 9 * 3


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    planned = made.plan(2, FEW)
    out = written(tmp_path / "runs", planned)
    pages = [write_report(made.Suite(), planned, out, tmp_path / name, COMMAND).parent for name in ("one", "two")]
    files = [{path.name: path.read_bytes() for path in page.iterdir()} for page in pages]
    assert files[0] == files[1] and len(files[0]) > 40


def test_samples_can_be_judged_without_knowing_who_answered(language: data.Language, report: Path) -> None:
    (sheet,) = samples.sheets(language)
    assert sheet.who == ("base", "SFT", "PPO, 4096 rankings", "PPO-ptx, 4096 rankings", "PPO on gold")
    prompts = [sheet.rows[first : first + len(sheet.who)] for first in range(0, len(sheet.rows), len(sheet.who))]
    orders = {tuple(one["who"] for one in answers) for answers in prompts}
    assert all(len({one["prompt"] for one in answers}) == 1 for answers in prompts)
    assert len(orders) > 10 and all(set(order) == set(sheet.who) for order in orders)
    families = [answers[0]["family"] for answers in prompts]
    assert {family: families.count(family) for family in families} == dict.fromkeys(made.FAMILIES, 16)
    assert all(one["answer"].startswith(one["who"]) for one in sheet.rows)
    page = (report / "samples.html").read_text()
    assert "write a story about &lt;b&gt;cats&lt;/b&gt; 0" in page and "<b>cats" not in page and "&amp; more" in page
    assert len(records((report / "samples.csv").read_bytes())) == 48 * 5


def test_without_an_sft_arm_its_answers_are_those_that_the_runs_were_compared_with(tmp_path: Path) -> None:
    planned = made.plan(2, {"PPO, 64 rankings": SMALL["PPO, 64 rankings"]})
    (sheet,) = samples.sheets(study(written(tmp_path, planned), planned))
    assert sheet.who == ("SFT", "PPO, 64 rankings")
    assert {one["answer"] for one in sheet.rows[:2] if one["who"] == "SFT"} == {"SFT says 2"}
