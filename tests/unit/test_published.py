"""Published figures are the papers', and every suite of ours can be planned."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.report import published
from bench.suite import load, names
from prefrl_core.errors import UserError


def test_published_means_are_those_of_the_paper() -> None:
    """Section 1.7's seven tasks: 1.07, 0.95 and 0.68; figure 5 in the order of its own means."""
    seven = [f"mujoco/{t}@1" for t in published._TASKS if t != "inverted_pendulum"]
    assert all(map(published.known, seven))
    means = {labels: np.mean([published.normalised(task)[labels] for task in seven]) for labels in published.BUDGETS}
    assert means == pytest.approx({1400: 1.07, 700: 0.95, 350: 0.68}, abs=0.01)
    variants = ("full method", "no regularisation", "random queries", "no online queries", "no ensemble", "no segments")
    found = [np.mean([published.ablation(arm, task) for task in seven]) for arm in (*variants, "target")]
    np.testing.assert_allclose(found, [0.95, 0.88, 0.84, 0.81, 0.70, 0.36, 0.31], atol=0.011)


@pytest.mark.parametrize(
    "task", ["mujoco/inverted_pendulum@1", "mujoco-v5/hopper@1", "gymnasium/CartPole-v1", "my/task"]
)
def test_other_tasks_are_not_published(task: str) -> None:
    assert not published.known(task)


def test_every_ablation_of_the_paper_is_an_arm_of_our_suite() -> None:
    suite = load("mujoco-ablations")
    arms = {arm.name for arm in suite.arms}
    for variant in published._table("christiano2017_mujoco_ablations.csv"):
        assert {"original": "full method"}.get(variant, variant.replace("_", " ")) in arms
    assert suite.baseline == "full method"


@pytest.mark.parametrize("name", names())
def test_every_suite_of_ours_can_be_planned(name: str) -> None:
    suite = load(name)
    assert len(suite.runs()) == len(suite)
    assert any(run.spec.reward in ("true", "gold") for run in suite.runs(seeds=1))  # the control is in it


def test_a_baseline_that_is_no_arm_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    text = 'name = "mine"\nbaseline = "50 label"\n[sweep]\ntask = ["mujoco/hopper"]\n'
    file.write_text(text + '[[arm]]\nname = "50 labels"\nlabels = 50\n')
    with pytest.raises(UserError, match="baseline: '50 label': did you mean '50 labels'"):
        load(str(file))
