"""A run's description: one canonical form, and one clear line for each mistake."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from prefrl_core import registry
from prefrl_core.errors import UserError
from prefrl_core.policy.sac import SACSettings
from prefrl_core.spec import RunSpec

HOPPER = {"task": "mujoco/hopper@1", "total_steps": 100_000, "labels": 50}


def test_two_spellings_of_a_run_are_one() -> None:
    short = RunSpec.of({**HOPPER, "task": "mujoco/hopper", "labeler": "mistake"})
    long = RunSpec.of({**HOPPER, "segment": 60, "labeler": {"name": "mistake", "mistake": 0.1}, "policy": "ppo"})
    assert short == long and short.canonical() == long.canonical()
    assert RunSpec.of(short.canonical()) == short  # what a run's folder keeps makes the same run again


def test_canonical_form_is_strict_json_and_complete() -> None:
    canonical = RunSpec.of(HOPPER).canonical()
    assert json.loads(json.dumps(canonical, allow_nan=False)) == canonical
    assert canonical["policy"]["learning_rate"] == 3e-4 and canonical["segment"] == 60
    assert canonical["reward_model"]["members"] == 3


def test_integers_pass_for_floats_but_not_booleans_for_integers() -> None:
    assert RunSpec.of({**HOPPER, "initial_labels": 1}).canonical()["initial_labels"] == 1.0
    with pytest.raises(UserError, match="'labels' = True: expected int"):
        RunSpec.of({**HOPPER, "labels": True})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": 3}, "unknown run setting 'label': did you mean 'labels'?"),
        ({"task": "mujoco/hoper"}, "did you mean 'mujoco/hopper'?"),
        ({"task": "mujoco/hopper@7"}, "has no version '7'"),
        ({"task": 3}, "a task is named by text"),
        ({"labels": -1}, "a budget is 0 or more"),
        ({"labels": 5000}, "ask at most 833"),
        ({"labels": "many"}, "expected int"),
        ({"segment": 1001}, "an episode of mujoco/hopper@1 has 1000 steps"),
        ({"segment": 200}, "segments are cut from 128 steps"),
        ({"seed": -1}, "seeds are 0 or more"),
        ({"total_steps": 0, "labels": 0}, "at least one step"),
        ({"total_steps": 15, "labels": 0}, "16 environments"),
        ({"reward": "imagined"}, "choose 'learned' or 'true'"),
        ({"reward": "true"}, "the control asks nothing"),
        ({"initial_labels": 0.0}, "a share above 0"),
        ({"initial_labels": float("nan")}, "is not a finite number"),
        ({"schedule_constant": -1.0}, "must be above 0"),
        ({"task": "mujoco-v5/hopper"}, "ends episodes early"),
        ({"labeler": 3}, "labeler = 3 needs a name"),
        ({"labeler": "orakel"}, "did you mean 'oracle'?"),
        ({"labeler": {"name": "bpref", "mistakes": 0.1}}, "did you mean 'mistake'?"),
        ({"labeler": {"name": "bpref", "mistake": 2.0}}, "a probability is in [0, 1]"),
        ({"query": "disagree"}, "did you mean 'disagreement'?"),
        ({"reward_model": {"name": "rune", "members": 1}}, "members = 1: one member cannot disagree with itself"),
        ({"reward_model": {"name": "rime", "beta_fits": 0}}, "beta_fits = 0: at least 1"),
        ({"reward_model": {"name": "rime", "memory": -3.0}}, "memory = -3.0: in [0, 1]"),
        (
            {"reward_model": {"name": "qpa", "target": "return"}},
            "'qpa' with target = 'return': what it does is about answers",
        ),
        ({"query": "recent"}, "unknown query 'recent'"),
        ({"policy": {"name": "ppo", "recent": 100}}, "unknown setting of policy 'ppo': 'recent'"),
        ({"policy": {"name": "trpo", "explore_steps": 100}}, "unknown setting of policy 'trpo': 'explore_steps'"),
        ({"reward_model": {"name": "qpa", "longest": 1.2}}, "shares of the segment, in order"),
        ({"policy": {"name": "ppo", "minibatch": 0}}, "minibatch = 0: at least 2"),
        ({"policy": {"name": "ppo", "minibatch": 1}}, "minibatch = 1: at least 2, because one normalised advantage is"),
        ({"policy": {"name": "ppo", "environments": 1, "rollout_steps": 1}}, "environments x rollout_steps = 1"),
        ({"policy": {"name": "trpo", "environments": 1, "rollout_steps": 1}}, "environments x rollout_steps = 1"),
        ({"policy": {"name": "ppo", "hidden": [0]}}, "widths of at least 1"),
        ({"policy": {"name": "ppo", "discount": 1.5}}, "in [0, 1]"),
        ({"reward_model": {"members": 0}}, "reward_model.members = 0: at least 1"),
        ({"reward_model": {"uniform_answer": 1.0}}, "in [0, 1)"),
        ({"reward_model": {"target": "regret"}}, "choose 'preference' or 'return'"),
        ({"reward_model": {"target": "return"}, "labeler": "stochastic"}, "no labeler is heard"),
        ({"reward_model": {"member": 3}}, "did you mean 'members'?"),
        ({"plugins": ["no_such_package"]}, "plug-in 'no_such_package': no module"),
    ],
)
def test_each_mistake_gets_one_line(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        RunSpec.of({**HOPPER, **change})
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_no_task_at_all() -> None:
    with pytest.raises(UserError, match="a run needs a task"):
        RunSpec.of({})


def test_a_plug_in_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_plugin.py").write_text("raise ValueError('two\\nlines')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as caught:
        RunSpec.of({**HOPPER, "plugins": ["broken_plugin"]})
    said = str(caught.value)
    assert said.startswith("plug-in 'broken_plugin' does not import: ValueError: two lines, at ")
    assert "broken_plugin.py, line 1" in said and "\n" not in said


def test_a_name_is_taken_once() -> None:
    with pytest.raises(UserError, match="'oracle' is already registered"):
        registry.register("labeler", "oracle")(type("Other", (), {}))


def test_entry_points_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "their_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[prefrl.labeler]\ntheirs = their_package:Theirs\nbroken = their_package:Missing\n"
    )
    (tmp_path / "their_package.py").write_text(
        "from prefrl_core.feedback.labelers import Teacher\nclass Theirs(Teacher):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._entry_points.cache_clear()
    try:
        assert "theirs" in registry.names("labeler")
        assert RunSpec.of({**HOPPER, "labeler": "theirs"}).labeler["name"] == "theirs"
        with pytest.raises(UserError, match="labeler 'broken' .* does not import: AttributeError"):
            RunSpec.of({**HOPPER, "labeler": "broken"})
    finally:
        registry._entry_points.cache_clear()
        registry._parts["labeler"].pop("theirs", None)


def test_tuned_is_the_optimiser_that_the_task_is_best_with() -> None:
    tuned = RunSpec.of({"task": "mujoco/half_cheetah", "policy": "tuned"})
    assert tuned == RunSpec.of({"task": "mujoco/half_cheetah", "policy": "sac"})
    assert tuned.canonical()["policy"]["name"] == "sac"
    swimmer = RunSpec.of({"task": "mujoco/swimmer", "policy": {"name": "tuned", "kl": 0.02}}).policy
    assert (swimmer["name"], swimmer["entropy"], swimmer["kl"]) == ("trpo", 0.003, 0.02)
    assert RunSpec.of({"task": "gymnasium/CartPole-v1", "policy": "tuned", "reward": "true"}).policy["name"] == "ppo"
    assert RunSpec.of({"task": "mujoco/hopper"}).policy["name"] == "ppo"


@pytest.mark.parametrize("task", ["mujoco/ant", "mujoco-v5/ant", "mujoco/half_cheetah"])
def test_a_setting_stated_at_its_usual_value_is_kept_where_the_task_has_another(task: str) -> None:
    """Ant has action_limit = 0.3, and the canonical form leaves out what is as in older versions, which is 1.0."""
    for field in dataclasses.fields(SACSettings):
        policy = {"name": "sac", field.name: field.default}
        spec = RunSpec.of({"task": task, "policy": policy, "variable_length": True})
        assert spec.policy.get(field.name, field.default) == field.default
        assert RunSpec.of(json.loads(json.dumps(spec.canonical()))) == spec, field.name
