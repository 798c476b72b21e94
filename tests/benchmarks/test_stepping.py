"""Batched stepping of each MuJoCo task against a bare ``mj_step`` loop over the same simulations.

The ratio (1 is the bare loop's speed) goes into ``extra_info["ratio_to_bare_mj_step"]``; nothing is asserted about it.
For a task of the DeepMind Control Suite ``extra_info["times_dm_control"]`` says how many times as fast as dm_control's
own ``env.step`` it is.
Both are measured in turn from the same states with the same actions, the bare loop sets ``ctrl`` as well. In the v5
form a random policy falls within a few steps, and the starts of new episodes are counted on our side alone.
``python -m bench.peers.control_speed`` prints the Control Suite's ratios as a table.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.peers.control_speed import bare_and_ours, times_dm_control
from bench.physics import NUM_ENVS
from prefrl_core import tasks
from prefrl_core.tasks.dmcontrol_tasks import CONTROL
from prefrl_core.tasks.mujoco_tasks import TASKS


def measured(benchmark: Any, id: str, name: str) -> Any:
    """A task after a timed step of all its environments; its answer was finite."""
    env: Any = tasks.make(id, NUM_ENVS, 0)
    env.reset()
    if not benchmark.disabled:
        bare, ours = bare_and_ours(env, name)
        benchmark.extra_info["ratio_to_bare_mj_step"] = bare / ours
    rng = np.random.default_rng(0)
    actions = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
    result = benchmark.pedantic(env.step, (actions,), rounds=60, warmup_rounds=5)
    assert np.isfinite(result[1]).all()
    return env


@pytest.mark.parametrize("form", ["mujoco", "mujoco-v5"])
@pytest.mark.parametrize("name", TASKS)
def test_batched_stepping(benchmark: Any, form: str, name: str) -> None:
    measured(benchmark, f"{form}/{name}", name)


@pytest.mark.parametrize("name", CONTROL)
def test_batched_stepping_of_the_control_suite(benchmark: Any, name: str) -> None:
    pytest.importorskip("dm_control")
    env = measured(benchmark, f"dmcontrol/{name}", name)
    if not benchmark.disabled:
        benchmark.extra_info["times_dm_control"] = times_dm_control(env, name)
