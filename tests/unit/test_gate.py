"""The gate over made-up samples: what it calls worse, what it blames, what it cannot tell."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bench.gate import compare, formats
from bench.gate.baseline import Entry, Sample
from bench.gate.compare import Finding, Limits
from prefrl_core.errors import UserError

TASKS = {"mujoco/a@1": (-50.0, 1000.0), "mujoco/b@1": (-9.0, -2.0)}  # untrained, true reward


ARMS = {"true reward": 1.0, "100 labels": 0.8}


MACHINE = {"cpu": "one", "numpy": "2"}


def digest(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()


def sample(
    level: Callable[[str, str], float] = lambda task, arm: 1.0, seed: int = 0, seeds: int = 8, **changed: Any
) -> Sample:
    """Runs whose returns have a spread of a tenth; ``level`` scales what each cell learns."""
    random, runs = np.random.default_rng(seed), []
    for task, (untrained, control) in TASKS.items():
        for arm, share in ARMS.items():
            for index in range(seeds):
                score = share * level(task, arm) + 0.1 * random.standard_normal()
                values: dict[str, Any] = {
                    "key": digest(arm, task, index)[:16],
                    "arm": arm,
                    "task": task,
                    "seed": index,
                    "reward": "true" if arm == "true reward" else "learned",
                    "steps": 1000,
                    "true_return": untrained + score * (control - untrained),
                    "untrained": untrained,
                    "metrics_sha256": digest(seed, arm, task, index),
                    "speed": 0.5 + 0.01 * random.standard_normal(),
                    "peak_memory_bytes": 200 * 2**20,
                    "machine": MACHINE,
                }
                runs.append(Entry(**{**values, **changed}))
    return Sample("ci", 3, tuple(runs))


def bad(findings: list[Finding]) -> list[tuple[str, str, str]]:
    return [(one.aspect, one.task, one.arm) for one in findings if one.verdict == "WORSE"]


def test_the_same_build_is_fine_to_the_byte() -> None:
    findings = compare.compare(sample(), sample(), Limits(exact=True))
    assert not bad(findings) and not compare.worse(findings)
    (exact,) = [one for one in findings if one.aspect == "exactness"]
    assert exact.verdict == "fine" and "32 of 32 runs" in exact.what


def test_samples_of_one_build_are_seldom_called_worse() -> None:
    alarms = [bool(bad(compare.compare(sample(), sample(seed=seed)))) for seed in range(1, 101)]
    assert sum(alarms) <= 2


def test_a_loss_everywhere_is_caught_though_no_cell_alone_is_sure() -> None:
    found = bad(compare.compare(sample(), sample(lambda *_: 0.8, seed=1)))
    assert ("learning", "all tasks", "") in found


def test_a_loss_in_one_cell_is_blamed_on_it() -> None:
    broken = sample(lambda task, arm: 0.4 if (task, arm) == ("mujoco/b@1", "100 labels") else 1.0, seed=1)
    found = bad(compare.compare(sample(), broken))
    assert ("learning", "mujoco/b@1", "100 labels") in found
    assert all(task in ("mujoco/b@1", "all tasks") for _, task, _ in found)


def test_a_control_that_got_worse_excuses_nobody() -> None:
    found = bad(compare.compare(sample(), sample(lambda *_: 0.5, seed=1)))
    assert ("learning", "mujoco/a@1", "true reward") in found and ("learning", "mujoco/a@1", "100 labels") in found


def test_a_loss_within_the_margin_is_not_called_worse() -> None:
    slightly = sample(lambda *_: 0.92)
    assert not bad(compare.compare(sample(), slightly))
    assert bad(compare.compare(sample(), slightly, Limits(margin=0.0)))


@pytest.mark.parametrize(
    ("changed", "aspect"), [({"speed": 0.4}, "throughput"), ({"peak_memory_bytes": 300 * 2**20}, "memory")]
)
def test_what_costs_more_is_caught(changed: dict[str, Any], aspect: str) -> None:
    found = bad(compare.compare(sample(), sample(**changed)))
    assert {one[0] for one in found} == {aspect} and len(found) == 4


def test_changed_numbers_are_told_and_fail_where_asked() -> None:
    (told,) = [one for one in compare.compare(sample(), sample(seed=1)) if one.aspect == "exactness"]
    assert told.verdict == "changed" and "0 of 32" in told.what and "METHOD_VERSION" in told.what
    assert ("exactness", "all tasks", "") in bad(compare.compare(sample(), sample(seed=1), Limits(exact=True)))


def test_bytes_of_another_machine_are_not_compared() -> None:
    other = sample(seed=1, machine={"cpu": "two", "numpy": "2"})
    (told,) = [one for one in compare.compare(sample(), other, Limits(exact=True)) if one.aspect == "exactness"]
    assert told.verdict == "not comparable"
    exact = Limits(exact=True)
    findings = compare.compare(sample(), other, exact)
    assert compare.untold(findings, exact) and not compare.untold(findings, Limits()) and not compare.worse(findings)
    assert formats.headline("ci", findings, exact).startswith("ci: CANNOT TELL whether the bytes are the same")
    assert json.loads(formats.as_json("ci", findings, exact))["cannot_tell"] is True


def of_reward_model(accuracy: float, loss: float, seed: int = 0) -> Sample:
    """As ``sample``, with a reward model so good at the end in the runs that have one."""
    random = np.random.default_rng([seed, 1])
    noise = iter(0.02 * random.standard_normal((1000, 2)))
    made = sample(seed=seed)
    runs = [
        run.model_copy(update={"reward_accuracy": accuracy + one, "reward_validation_loss": loss + other})
        if run.reward == "learned"
        else run
        for run, (one, other) in zip(made.runs, noise, strict=False)
    ]
    return dataclasses.replace(made, runs=tuple(runs))


def test_a_reward_model_that_got_worse_is_caught_though_the_policy_learns_as_well() -> None:
    """18 % of the oracle's answers swapped: accuracy 0.79 to 0.66, validation loss 0.68 to 1.00."""
    good, broken = of_reward_model(0.79, 0.68), of_reward_model(0.66, 1.0, seed=1)
    assert not bad(compare.compare(good, of_reward_model(0.79, 0.68, seed=1)))
    found = bad(compare.compare(good, broken))
    assert {aspect for aspect, *_ in found} == {"reward accuracy", "reward loss"}
    assert ("reward accuracy", "all tasks", "") in found and ("reward loss", "mujoco/a@1", "100 labels") in found
    assert not any(arm == "true reward" for _, _, arm in found)
    better = compare.compare(broken, good)
    assert not bad(better)


def test_a_seed_that_recorded_nothing_hides_no_other() -> None:
    good, broken = of_reward_model(0.79, 0.68), of_reward_model(0.66, 1.0, seed=1)
    of_one = {"reward_accuracy": None, "reward_validation_loss": None}
    first = next(run.key for run in broken.runs if run.reward == "learned")
    runs = [run.model_copy(update=of_one) if run.key == first else run for run in broken.runs]
    found = bad(compare.compare(good, dataclasses.replace(broken, runs=tuple(runs))))
    assert ("reward accuracy", "mujoco/a@1", "100 labels") in found
    runs = [run.model_copy(update=of_one) if run.task == "mujoco/a@1" else run for run in broken.runs]
    findings = compare.compare(good, dataclasses.replace(broken, runs=tuple(runs)))
    told = [one for one in findings if one.aspect == "reward accuracy" and one.verdict == "not comparable"]
    assert [(one.task, one.arm) for one in told] == [("mujoco/a@1", "100 labels")]


@pytest.mark.parametrize("there", [0, 1])
def test_too_few_seeds_that_recorded_something_are_no_pass(there: int) -> None:
    """One value has no spread: such a cell is not judged, and does not hide the loss in the others."""
    good, broken = of_reward_model(0.8, 0.68), of_reward_model(0.5, 0.68, seed=1)
    of_cell = [run.key for run in broken.runs if run.cell == ("mujoco/a@1", "100 labels")]
    runs = [
        run.model_copy(update={"reward_accuracy": None}) if run.key in of_cell[there:] else run for run in broken.runs
    ]
    found = compare.compare(good, dataclasses.replace(broken, runs=tuple(runs)))
    verdicts = {one.task: (one.verdict, one.what) for one in found if one.aspect == "reward accuracy"}
    assert verdicts["all tasks"][0] == verdicts["mujoco/b@1"][0] == "WORSE"
    assert verdicts["mujoco/a@1"] == (
        "not comparable",
        f"8 runs of the baseline and {there} of the candidate recorded it: 2 on both sides are needed",
    )


def test_a_baseline_that_knows_no_reward_model_says_so() -> None:
    findings = compare.compare(sample(), of_reward_model(0.7, 0.7))
    told = [one for one in findings if one.aspect.startswith("reward")]
    assert [one.verdict for one in told] == ["not comparable"] * 2 and "--write-baseline" in told[0].what


def test_what_could_have_been_seen_is_seen_four_times_in_five() -> None:
    whole = compare.compare(sample(seeds=20), sample(seed=1, seeds=20))[0]
    assert whole.task == compare.ALL and 0.1 < whole.detectable < 0.3
    lower = level(whole.detectable)
    found = [bad(compare.compare(sample(seeds=20), sample(lower, seed, 20))) for seed in range(2, 32)]
    lost = [("learning", compare.ALL, "") in one for one in found]
    assert 0.6 <= np.mean(lost) <= 1.0


def level(loss: float) -> Callable[[str, str], float]:
    """Every arm lower by so much of normalised return."""
    return lambda task, arm: (ARMS[arm] - loss) / ARMS[arm]


def test_some_of_a_suite_is_compared_with_a_baseline_of_all() -> None:
    """The scale is that of the whole baseline, so the control need not be run."""
    ours = sample(lambda *_: 0.5, seed=1)
    part = dataclasses.replace(ours, runs=tuple(run for run in ours.runs if run.arm == "100 labels"))
    found = bad(compare.compare(sample(), part, narrowed=True))
    assert ("learning", "mujoco/a@1", "100 labels") in found and all(arm != "true reward" for _, _, arm in found)
    with pytest.raises(UserError, match="is in one of them alone"):
        compare.compare(sample(), part)


def test_a_changed_default_is_judged_by_the_names_of_its_arms() -> None:
    findings = compare.compare(sample(), sample(lambda *_: 0.5, seed=1, key="f" * 16))
    assert ("learning", "all tasks", "") in bad(findings)
    (exact,) = [one for one in findings if one.aspect == "exactness"]
    assert exact.verdict == "not comparable" and "32 have another key" in exact.what


def test_with_exact_some_other_keys_are_no_pass() -> None:
    """The other runs have the bytes of the baseline; of these nothing is told."""
    runs = [
        run.model_copy(update={"key": run.key[::-1], "metrics_sha256": digest(run.key)}) if index % 2 else run
        for index, run in enumerate(sample().runs)
    ]
    changed = dataclasses.replace(sample(), runs=tuple(runs))
    for exact, verdict in ((True, "not comparable"), (False, "fine")):
        findings = compare.compare(sample(), changed, limits := Limits(exact=exact))
        (told,) = [one for one in findings if one.aspect == "exactness"]
        assert told.verdict == verdict and "16 of 16 runs" in told.what and "16 have another key" in told.what
        assert compare.untold(findings, limits) is exact


def test_another_processor_may_be_slower_than_the_same_one() -> None:
    other = {"cpu": "two", "numpy": "2"}
    assert not bad(compare.compare(sample(), sample(speed=0.4, machine=other)))
    found = bad(compare.compare(sample(), sample(speed=0.3, machine=other)))
    assert {one[0] for one in found} == {"throughput"} and len(found) == 4


def test_tasks_without_physics_have_no_throughput() -> None:
    findings = compare.compare(sample(speed=None), sample(speed=None))
    assert {one.verdict for one in findings if one.aspect == "throughput"} == {"not comparable"}
    assert not compare.worse(findings)


def test_the_order_of_findings_and_the_verdict_are_reproducible() -> None:
    first, again = (compare.compare(sample(), sample(seed=1)) for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("theirs", "ours", "says"),
    [
        (sample(), sample(seeds=2), "has 8 seeds in the baseline and 2 in the candidate"),
        (sample(), dataclasses.replace(sample(), method=4), "method 3, the candidate of 4"),
        (sample(), dataclasses.replace(sample(), suite="quick"), "suite 'ci', the candidate of 'quick'"),
        (sample(), sample(arm="another"), "is in one of them alone"),
        (sample(reward="learned"), sample(reward="learned"), "no true-reward runs"),
    ],
)
def test_what_cannot_be_compared_is_one_line(theirs: Sample, ours: Sample, says: str) -> None:
    with pytest.raises(UserError, match=says):
        compare.compare(theirs, ours)


def test_too_few_seeds_for_one_aspect_leave_the_others_judged() -> None:
    """Three seeds of two arms suffice for what is learned (8), of the one arm with a reward model they do not (4)."""
    few = sample(seeds=3, reward_accuracy=0.8, reward_validation_loss=0.5)
    findings = compare.compare(few, few)
    assert {one.verdict for one in findings if one.aspect == "learning"} == {"fine"}
    nothing = {"reward_accuracy": None, "reward_validation_loss": None}
    runs = [run.model_copy(update=nothing) if run.reward == "true" else run for run in few.runs]
    some = dataclasses.replace(few, runs=tuple(runs))
    findings = compare.compare(some, some)
    told = [one for one in findings if one.aspect == "reward accuracy"]
    assert [one.verdict for one in told] == ["not comparable"] and "is 4, and 8 are needed: run more" in told[0].what
    assert not compare.untold(findings, Limits()) and not compare.worse(findings)
    alone = dataclasses.replace(few, runs=tuple(run for run in few.runs if run.reward == "true"))
    findings = compare.compare(alone, alone)
    assert compare.untold(findings, Limits())
    assert "CANNOT TELL whether as much was learned: mujoco/a@1" in formats.headline("ci", findings)


def test_markdown_shows_what_is_wrong_and_folds_the_rest() -> None:
    text = formats.as_markdown("ci", compare.compare(sample(), sample(speed=0.3))).decode()
    assert text.startswith("### Gate: ci: WORSE than the baseline in throughput\n")
    shown, folded = text.split("<details>")
    assert shown.count("| WORSE | throughput |") == 4 and "| fine | memory |" in folded and "WORSE" not in folded


def test_json_has_every_finding_and_no_nan() -> None:
    findings = compare.compare(sample(speed=None), sample(speed=None, seed=1))
    told = json.loads(formats.as_json("ci", findings, Limits()))
    assert told["worse"] is False and len(told["findings"]) == len(findings) and told["limits"]["margin"] == 0.1
    assert None in {one["baseline"] for one in told["findings"]}
