"""Seeds of a suite: how many each task and arm has."""

from __future__ import annotations

from pathlib import Path

from test_suite import SMALL, refused, write

from bench import suite


def test_a_task_has_seeds_of_its_own_for_the_arms_that_have_none(tmp_path: Path) -> None:
    text = SMALL.replace("total_steps = 80_000", "total_steps = 80_000\nseed = 4")
    text = text.replace('reward = "true"', 'reward = "true"\nseed = [5, 6, 7]')
    loaded = suite.load(write(tmp_path, text))
    runs = loaded.runs()
    seeds: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        seeds.setdefault((run.task, run.arm), []).append(run.seed)
    labels = ("20 labels", "20 labels, wrong")
    assert seeds == {
        **{(task, "true reward"): [5, 6, 7] for task in ("mujoco/reacher@1", "mujoco/hopper@1")},
        **{("mujoco/reacher@1", arm): [0, 1] for arm in labels},
        **{("mujoco/hopper@1", arm): [0, 1, 2, 3] for arm in labels},
    }
    assert len(runs) == len(loaded) == 2 * 3 + 2 * 2 + 2 * 4
    assert {run.spec.total_steps for run in runs if run.task == "mujoco/hopper@1"} == {80_000}
    fewer = loaded.runs(seeds=1)
    assert [run.seed for run in fewer] == [0] * 4 + [5] * 2
    keys = {run.key for run in suite.load(write(tmp_path, SMALL)).runs() if run.arm in labels}
    assert keys < {run.key for run in runs}  # more seeds are other runs beside the same ones


def test_a_suite_that_decides_leaves_the_seeds_of_a_task_out(tmp_path: Path) -> None:
    text = SMALL.replace("total_steps = 80_000", "total_steps = 80_000\nseed = 4")
    says = refused(tmp_path, text + "[decide]\ndifference = 0.1\n")
    assert says == ": [tasks.'mujoco/hopper@1'] seed: leave it out, [decide] takes as many seeds on each task"
