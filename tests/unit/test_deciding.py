"""When a sweep may stop: its boundaries against printed ones, its rule, and that it ends the same however it is run."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_report
from scipy import special
from test_report import COMMAND, plan, write_run

from bench import cli, parse, store, suite
from bench import purpose as settings
from bench.decide import compare, drive, power, spending, sweep
from bench.report import data
from bench.simulations import sweeps
from bench.suite import Planned
from bench.suite_file import SuiteFile, toml_place
from prefrl_core.errors import UserError

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spend", "bounds"),
    [  # the bounds that Lan and DeMets' functions give at five equal looks, in standard errors
        (lambda t, e: 4 * special.ndtr(-special.ndtri(1 - e / 4) / np.sqrt(t)), [4.877, 3.357, 2.680, 2.290, 2.031]),
        (lambda t, e: e * np.log(1 + (math.e - 1) * t), [2.438, 2.427, 2.410, 2.397, 2.386]),
    ],
    ids=["O'Brien and Fleming", "Pocock"],
)
def test_bounds_are_the_printed_ones(spend: Callable[[Any, float], Any], bounds: list[float]) -> None:
    found = special.ndtri(1 - spending.levels(FIVE, 0.05, spend) / 2)
    np.testing.assert_allclose(found, bounds, atol=0.005)


def test_looking_often_spends_the_error_once() -> None:
    """A Brownian motion looked at eighteen times crosses in one path of twenty."""
    levels = spending.at_seeds(3, 20, 0.05)
    bounds = special.ndtri(1 - np.array(list(levels.values())) / 2)
    steps = np.diff([0, *levels])
    paths = np.cumsum(np.random.default_rng(0).standard_normal((100_000, len(levels))) * np.sqrt(steps), axis=1)
    crossed = (np.abs(paths) / np.sqrt(list(levels)) > bounds).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.003)
    assert list(levels) == list(range(3, 21)) and (np.diff(bounds) < 0).all()


def made(**values: Any) -> settings.Decide:
    seeds = {"control": 5, "base": 3, "one": 3, "two": 4}
    table = {"difference": 0.1, **values}
    frame = {"name": "s", "sweep": {"task": ["task"]}, "arm": [{"name": name} for name in seeds], "decide": table}
    file = parse.parse(SuiteFile, frame, "s.toml", place=toml_place)
    return settings.of(file.decide, seeds, ["control"], ["task"], "base")


def test_what_is_left_out_is_every_arm_that_learns_from_labels() -> None:
    assert made() == settings.Decide(("one", "two"), "base", ("task",), 0.1, 0.05, 20)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"difference": 0}, r"\[decide\] difference = 0: should be greater than 0"),
        ({"difference": True}, "difference = True"),
        ({"error": 0.7}, r"error = 0.7: should be less than 0.5"),
        ({"arms": ["oen"]}, "'oen': did you mean 'one'"),
        ({"arms": ["base"]}, "'base' is what the others are compared with"),
        ({"against": "bse"}, "did you mean 'base'"),
        ({"tasks": []}, "should have at least 1 item"),
        ({"seed": 4}, "did you mean 'seeds'"),
        ({"seeds": 3}, "should be greater than 3"),
    ],
)
def test_bad_settings_are_one_line(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        made(**values)


def returns(effects: Sequence[float], seeds: int, spread: float = 0.1) -> dict[str, np.ndarray]:
    random = np.random.default_rng(5)
    return {
        name: 0.7 + effect + spread * random.standard_normal((4, seeds))
        for name, effect in zip(("base", *(f"arm {i}" for i in range(7))), (0.0, *effects), strict=True)
    }


SCALE = sweep.Scale(np.ones(4), np.full(4, 0.01), np.full(4, 0.01), 10)
EFFECTS = (-0.5, -0.3, 0.3, 0.0, 0.0, 0.02, 0.08)


def test_large_differences_are_seen_first_and_none_is_called_none() -> None:
    found = sweep.replay(sweeps.SETTINGS, 3, SCALE, returns(EFFECTS, 20))
    assert found.next is None
    by_arm = {one.arm: one for one in found.comparisons}
    assert [by_arm[f"arm {i}"].verdict for i in range(4)] == ["worse", "worse", "better", "alike"]
    assert by_arm["arm 0"].seeds == 3 and by_arm["arm 3"].seeds > 3
    for one in found.comparisons:
        assert one.low <= one.value <= one.high


@pytest.mark.parametrize(("theirs", "verdict"), [(0.5, "alike"), (0.4, "better"), (0.6, "worse")])
def test_returns_without_spread_decide_at_the_first_look(theirs: float, verdict: str) -> None:
    """As where every seed of every arm comes to the most that a task pays."""
    scale = sweep.Scale.of(np.ones((1, 5)), np.zeros(1))
    equal = {arm: np.full((1, 20), 0.5) for arm in returns((0.0,) * 7, 1)} | {"base": np.full((1, 20), theirs)}
    found = sweep.replay(sweeps.SETTINGS, 3, scale, equal)
    assert {(one.verdict, one.seeds) for one in found.comparisons} == {(verdict, 3)}
    for one in found.comparisons:
        assert one.low == pytest.approx(one.high) == pytest.approx(0.5 - theirs)


def test_few_seeds_of_few_arms_decide_nothing() -> None:
    """The spread of three arms of three seeds cannot be told, however large the difference looks."""
    decide = settings.Decide(("one",), "base", ("task",), 0.05, seeds=3)
    random = np.random.default_rng(0)
    some = {"one": 0.2 + 0.3 * random.normal(size=(1, 3)), "base": 0.6 + 0.3 * random.normal(size=(1, 3))}
    scale = sweep.Scale.of(1 + 0.3 * random.normal(size=(1, 3)), np.zeros(1))
    (found,) = sweep.replay(decide, 3, scale, some).comparisons
    assert found.verdict == "undecided" and found.low == -np.inf and found.high == np.inf


def test_a_replay_is_the_same_however_many_returns_are_there_too_early() -> None:
    """What lies beyond the seeds of a look does not count: runs of another machine may be ahead."""
    whole = returns(EFFECTS, 20)
    seen, step = [], 3
    while True:
        part = {arm: np.where(np.arange(20) < step, values, np.nan) for arm, values in whole.items()}
        state = sweep.replay(sweeps.SETTINGS, 3, SCALE, part)
        seen.append(state)
        if state.next is None:
            break
        assert state.next == step + 1 and state.open
        step = state.next
    assert seen[-1] == sweep.replay(sweeps.SETTINGS, 3, SCALE, whole)


def test_simulated_sweeps_are_as_seldom_wrong_as_promised() -> None:
    """Thirty of each kind; the thousand of docs/deciding.md are made by python -m bench.simulations sweeps."""
    for effects in sweeps.EFFECTS.values():
        found = [sweeps.one_sweep(np.random.default_rng(seed), "two modes", effects)[0] for seed in range(30)]
        assert sum(found) <= 4


@pytest.fixture
def driven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], drive.Driver]:
    """A suite of two tasks with arms at 1, 0.97 and 0.3 of the control, whose runs can be made up."""
    arms = {
        "true reward": ({"reward": "true"}, 1.0),
        "base": ({"labels": 700}, 1.0),
        "low": ({"labels": 60}, 0.3),
        "alike": ({"labels": 200}, 0.97),
    }
    monkeypatch.setattr(test_report, "ARMS", arms)
    monkeypatch.setattr(suite, "versions_of", lambda task: {"method": 1, "mujoco": "4.0.0"})
    text = 'name = "mine"\nbaseline = "base"\n[run]\ntotal_steps = 200_000\n[sweep]\nseed = 3\n'
    text += f"task = {list(test_report.TASKS)!r}\n[decide]\ndifference = 0.1\nseeds = 12\n"
    for name, (own, _) in arms.items():
        text += f"[[arm]]\nname = {name!r}\n" + "".join(f"{key} = {value!r}\n" for key, value in own.items())
    (file := tmp_path / "mine.toml").write_text(text.replace("'", '"'))
    return lambda out: drive.Driver(suite.load(str(file)), out)


def test_a_suite_is_run_until_it_is_decided_and_ends_the_same(
    driven: Callable[[Path], drive.Driver], tmp_path: Path
) -> None:
    stages: list[list[str]] = []

    def into(out: Path) -> Callable[[Sequence[Planned], float], int]:
        def execute(planned: Sequence[Planned], _: float) -> int:
            new = [one for one in planned if not (out / one.key / "done.json").exists()]
            for one in new:
                write_run(out, one)
            stages.append([one.arm for one in new])
            return 0

        return execute

    out = tmp_path / "whole"
    out.mkdir()
    state, code = driven(out).run(into(out), math.inf)
    assert state is not None and (code, state.next) == (0, None)
    verdicts = {one.arm: (one.verdict, one.seeds) for one in state.comparisons}
    assert verdicts["low"] == ("worse", 3) and verdicts["alike"][0] == "alike" and verdicts["alike"][1] > 3
    assert len(stages[0]) == 24 and all("low" not in stage for stage in stages[1:])
    assert state == driven(out).state()  # looked at again

    cut = tmp_path / "cut"
    cut.mkdir()
    assert driven(cut).state() is None  # nothing is there
    stopped, _ = driven(cut).run(into(cut), -math.inf)  # the time is spent after the first seeds
    assert stopped is not None and stopped.next == 4 and stopped.open == ["low", "alike"][1:]
    again, _ = driven(cut).run(into(cut), math.inf)
    assert again == state
    shown = drive.rows(driven(out).decide, state)
    assert shown[1][0] == "low" and shown[1][-1] == "worse" and shown[2][-1] == "less than 0.1 apart"
    assert "would be 72" in drive.spared(driven(out), state)


def test_what_cannot_be_decided_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (mine := tmp_path / "mine.toml").write_text(suite._read("quick")[1].replace("seed = 5", "seed = 2"))
    for words, says in (
        (["run", "quick", "--hours", "1", "--dry-run"], "nothing runs that it could stop"),
        (["run", "quick", "--hours", "0"], "no time left"),
        (["run", "quick", "--until-decided", "--hours", "0"], "no time left"),
        (["run", "quick", "--until-decided", "--only", "arm=30 labels"], "leave --only and --seeds out"),
        (["run", "mujoco", "--until-decided"], "has no [decide]"),
        (["compare", "30 labels", "400 labels"], "names no suite"),
        (["compare", "30 labels", "40 labels", "--suite", "quick"], "did you mean '400 labels'"),
        (["compare", "30 labels", "30 labels", "--suite", "quick"], "with another arm than itself"),
        (["compare", "quick:30 labels", f"{mine}:30 labels"], "share runs"),
        (["compare", "30 labels", "400 labels", "--suite", "quick", "--only", "task=hoper"], "matches nothing"),
        (["report", "quick", "--baseline", "30 label"], "did you mean '30 labels'"),
        (["power", "quick"], "no run of suite 'quick'"),
    ):
        assert cli.main([*words, "--out", str(tmp_path)]) == 2
        told = capsys.readouterr().err
        assert says in told and told.count("\n") == 1


def test_hours_end_any_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    until: list[float] = []
    monkeypatch.setattr("bench.runner.execute", lambda *arguments: until.append(arguments[-1]) or 0)
    for hours in (["--hours", "0.5"], []):
        assert cli.main(["run", "quick", *hours, "--out", str(tmp_path)]) == 0
    assert until[0] == pytest.approx(time.monotonic() + 1800, abs=60) and until[1] == math.inf


# Two arms beside each other, and what it would take


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> data.Study:
    out, planned = tmp_path_factory.mktemp("runs"), plan(4)
    for run in planned:
        write_run(out, run)
    return data.load(test_report.Suite(), planned, out, COMMAND)


def test_two_arms_on_each_task_and_in_all(study: data.Study) -> None:
    header, *lines = compare.rows(study, "700 labels", "60 labels")
    assert header[0] == "task" and [line[0] for line in lines] == ["HalfCheetah", "Hopper", "all"]
    for line in lines:
        assert line[1] == "4 and 4" and 0.3 < float(line[2]) < 0.6 and line[3].startswith("[0.")
        assert line[4] == "1.00" and 0 < float(line[7]) < 0.3
    assert [float(line[6]) for line in lines] == pytest.approx([2 / 70, 2 / 70, 2 / 4900], abs=5e-5)
    assert len(compare.notes(study, "700 labels", "60 labels")) == 1


def test_no_p_is_shown_as_0(study: data.Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare.results, "permutation", lambda *_: 0.00004)
    assert compare.rows(study, "700 labels", "60 labels")[1][6] == "< 0.0001"


def test_arms_are_named_with_their_suite() -> None:
    assert compare._split("quick:60 labels", None) == ("quick", "60 labels")
    assert compare._split("ratio 1:2", "quick") == ("quick", "ratio 1:2")


def test_seeds_for_a_difference_are_those_that_see_it_four_times_in_five() -> None:
    variance = np.full(4, 0.2**2)
    seeds = power.seeds_for(variance, 0.1)
    assert power.detectable(variance, seeds) <= 0.1 < power.detectable(variance, seeds - 1)
    random = np.random.default_rng(0)
    ours, theirs = random.normal(0.1, 0.2, (2000, 4, seeds)), random.normal(0, 0.2, (2000, 4, seeds))
    gaps = ours.mean((1, 2)) - theirs.mean((1, 2))
    error = np.sqrt((ours.var(2, ddof=1) + theirs.var(2, ddof=1)).sum(1) / seeds) / 4
    assert (gaps > special.stdtrit(8 * (seeds - 1), 0.975) * error).mean() == pytest.approx(0.8, abs=0.04)
    assert power.seeds_for(np.zeros(2), 0.1) == 2 and power.seeds_for(np.full(1, 1e9), 0.05) == power.MOST


def test_power_tells_seeds_and_hours(study: data.Study) -> None:
    lines = power.rows(study)
    assert [line[0] for line in lines[1:]] == ["0.05", "0.1", "0.2"]
    seeds = [int(line[1]) for line in lines[1:]]
    assert seeds == sorted(seeds, reverse=True) and seeds[-1] >= 2
    two, every = power.hours_a_seed(study)
    assert every == pytest.approx(2.5 * two, rel=0.1)  # five arms
    assert "2 of 2 tasks; spread of a seed (normalised): HalfCheetah 0.0" in power.note(study)
    few = dataclasses.replace(study, cells={w: dataclasses.replace(c, runs=c.runs[:2]) for w, c in study.cells.items()})
    with pytest.raises(UserError, match="and 8 are needed to tell the spread: run more seeds"):
        power.rows(few)


def test_arms_of_other_lengths_are_told_to_be_so(tmp_path: Path) -> None:
    planned = plan(4, ["mujoco/hopper@1"])
    for place, run in enumerate(planned):
        if run.arm == "60 labels":
            spec = dataclasses.replace(run.spec, total_steps=test_report.STEPS - 10_000)  # type: ignore[type-var]
            key = store.key_of(spec.canonical(), {"method": 1, "mujoco": "4.0.0"})
            planned[place] = dataclasses.replace(run, spec=spec, key=key)
        write_run(tmp_path, planned[place])
    found = data.load(test_report.Suite(), planned, tmp_path, COMMAND)
    assert "Hopper: the two took different numbers" in compare.notes(found, "700 labels", "60 labels")[1]
    assert len(compare.notes(found, "700 labels", "200 labels")) == 1
