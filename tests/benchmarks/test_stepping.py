"""Batched stepping of each MuJoCo task against a bare ``mj_step`` loop over the same simulations.

The ratio (1 is the bare loop's speed) goes into ``extra_info["ratio_to_bare_mj_step"]``; nothing is asserted about it.
For a task of the DeepMind Control Suite ``extra_info["times_dm_control"]`` says how many times as fast as dm_control's
own ``env.step`` it is.
Both are measured in turn from the same states with the same actions, the bare loop sets ``ctrl`` as well. In the v5
form a random policy falls within a few steps, and the starts of new episodes are counted on our side alone.
"""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time
from typing import Any

import numpy as np
import pytest

from bench.physics import NUM_ENVS, Bare
from prefrl_core import tasks
from prefrl_core.tasks.dmcontrol_tasks import CONTROL
from prefrl_core.tasks.mujoco_tasks import TASKS

STEPS = 400


def seconds_of_second(step: Callable[[Any], Any], first: Any, second: Any) -> float:
    """Processor time of the second of two steps: the first brings its memory back into the caches, as in use."""
    step(first)
    start = thread_time()
    step(second)
    return thread_time() - start


def ratio_to_bare(env: Any, name: str) -> float:
    """Median time of a bare step / median time of ours, which one goes first alternating.

    Medians of processor time, because the machine is shared; they leave out the rare step that starts many episodes.
    """
    bare = Bare(name)
    rng, times = np.random.default_rng(0), []
    for t in range(STEPS):
        first, second = rng.uniform(env.action_space.low, env.action_space.high, (2, *env.action_space.shape))
        actions = first.astype(np.float32), second.astype(np.float32)
        bare.set_physics(env._simulation.get_physics())
        pair = [(0, bare.step), (1, env.step)][:: 1 if t % 2 else -1]
        times.append([taken for _, taken in sorted((k, seconds_of_second(call, *actions)) for k, call in pair)])
    bare_seconds, our_seconds = np.median(np.array(times), axis=0)
    return float(bare_seconds / our_seconds)


def times_dm_control(env: Any, name: str) -> float:
    """Median time of dm_control's own step, for one environment, / ours, of the same number of steps each."""
    from prefrl_core.tasks.dmcontrol_package import _load, names

    theirs, times = _load(*names()[name], seed=0), []
    theirs.reset()
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        first, second = rng.uniform(env.action_space.low, env.action_space.high, (2, *env.action_space.shape))
        one = seconds_of_second(theirs.step, first[0], second[0])
        times.append((one, seconds_of_second(env.step, first, second) / NUM_ENVS))
    their_seconds, our_seconds = np.median(np.array(times), axis=0)
    return float(their_seconds / our_seconds)


def measured(benchmark: Any, id: str, name: str) -> Any:
    """A task after a timed step of all its environments; its answer was finite."""
    env: Any = tasks.make(id, NUM_ENVS, 0)
    env.reset()
    if not benchmark.disabled:
        benchmark.extra_info["ratio_to_bare_mj_step"] = ratio_to_bare(env, name)
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
