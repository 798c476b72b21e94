"""Batched stepping of each MuJoCo task against a bare ``mj_step`` loop over the same simulations.

The ratio (1 is the bare loop's speed) goes into ``extra_info["ratio_to_bare_mj_step"]``; nothing is asserted about it.
Both are measured in turn from the same states with the same actions, the bare loop sets ``ctrl`` as well. In the v5
form a random policy falls within a few steps, and the starts of new episodes are counted on our side alone.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time
from typing import Any

import mujoco
import numpy as np
import pytest

from prefrl_core import tasks
from prefrl_core.tasks.mujoco_tasks import TASKS
from prefrl_core.tasks.simulation import Simulation

NUM_ENVS, STEPS = 16, 400


def seconds(call: Callable[[Any], Any], argument: Any) -> float:
    start = thread_time()
    call(argument)
    return thread_time() - start


def bare_loop(simulation: Simulation, frame_skip: int) -> Callable[[np.ndarray[Any, Any]], None]:
    bound = [(data, data.ctrl) for data in simulation.data]
    model, step = simulation.model, mujoco.mj_step

    def advance(actions: np.ndarray[Any, Any]) -> None:
        for (data, ctrl), row in zip(bound, actions, strict=True):
            ctrl[:] = row
            step(model, data, frame_skip)

    return advance


def ratio_to_bare(env: Any, frame_skip: int, name: str) -> float:
    """Median time of a bare step / median time of ours, which one goes first alternating.

    Medians of processor time, because the machine is shared; they leave out the rare step that starts many episodes.
    """
    copy = Simulation(TASKS[name], NUM_ENVS, 1)
    bare = bare_loop(copy, frame_skip)
    rng, times = np.random.default_rng(0), []
    for t in range(STEPS):
        actions = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        copy.set_physics(env._simulation.get_physics())
        pair = [(0, bare), (1, env.step)][:: 1 if t % 2 else -1]
        times.append([taken for _, taken in sorted((k, seconds(call, actions)) for k, call in pair)])
    bare_seconds, our_seconds = np.median(np.array(times), axis=0)
    return float(bare_seconds / our_seconds)


@pytest.mark.parametrize("form", ["mujoco", "mujoco-v5"])
@pytest.mark.parametrize("name", TASKS)
def test_batched_stepping(benchmark: Any, form: str, name: str) -> None:
    env: Any = tasks.make(f"{form}/{name}", NUM_ENVS, 0)
    env.reset()
    if not benchmark.disabled:
        benchmark.extra_info["ratio_to_bare_mj_step"] = ratio_to_bare(env, TASKS[name].frame_skip, name)
    rng = np.random.default_rng(0)
    actions = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
    result = benchmark.pedantic(env.step, (actions,), rounds=60, warmup_rounds=5)
    assert np.isfinite(result[1]).all()
