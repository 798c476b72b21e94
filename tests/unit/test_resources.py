"""What runs need of a cluster's nodes: read from the suite file, and no part of the run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import suite
from bench.resources import Needs
from prefrl_core.errors import UserError

SUITE = """
name = "s"
[sweep]
task = ["mujoco/hopper@1", "mujoco/ant@1"]
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "20 labels"
labels = 20
"""
TABLE = """
[resources]
cpus = 0.5
[resources.tasks."mujoco/ant@1"]
cpus = 2
gpus = 1
[resources.arms."20 labels"]
gpus = 0.25
"""


def runs(folder: Path, text: str) -> list[suite.Planned]:
    (folder / "s.toml").write_text(text)
    return suite.load(str(folder / "s.toml")).runs()


def test_an_arm_wins_over_its_task_and_that_over_all(tmp_path: Path) -> None:
    found = {(run.task, run.arm): run.needs for run in runs(tmp_path, SUITE + TABLE)}
    assert found == {
        ("mujoco/hopper@1", "true reward"): Needs(0.5, 0),
        ("mujoco/hopper@1", "20 labels"): Needs(0.5, 0.25),
        ("mujoco/ant@1", "true reward"): Needs(2, 1),
        ("mujoco/ant@1", "20 labels"): Needs(2, 0.25),
    }


def test_resources_are_no_part_of_a_run(tmp_path: Path) -> None:
    plain, other = runs(tmp_path, SUITE), runs(tmp_path, SUITE + TABLE)
    assert [run.key for run in plain] == [run.key for run in other]
    assert [run.spec for run in plain] == [run.spec for run in other]
    assert {run.needs for run in plain} == {Needs(1, 0)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[resources]\ncpu = 2", "unknown key in [resources]: 'cpu': did you mean 'cpus'?"),
        ("[resources]\ncpus = 0", "[resources] cpus = 0: should be greater than 0"),
        ("[resources]\ngpus = -1", "[resources] gpus = -1: should be greater than or equal to 0"),
        ("[resources]\ngpus = 1.5", "[resources] gpus = 1.5: give a whole number if it is above 1"),
        ("[resources]\ngpus = nan", "gpus = nan"),
        ("[resources]\ncpus = true", "cpus = True"),
        ('[resources.arms."30 labels"]\ncpus = 2', "unknown name in [resources.arms]: '30 labels': did you mean '20"),
        ('[resources.tasks."mujoco/ant@1"]\nram = 2', "unknown key in [resources.tasks.'mujoco/ant@1']: 'ram'"),
        ("[resources]\narms = 3", "[resources] arms = 3: should be a table of keys and values"),
    ],
)
def test_what_no_machine_can_give_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        runs(tmp_path, SUITE + text)
    assert says in str(caught.value) and str(caught.value).startswith(str(tmp_path))
