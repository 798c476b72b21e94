"""The whole loop on HalfCheetah, as ratios measured in one run: to the bare physics and to the true-reward control.

Processor time, one thread, control and learned reward taking turns, so that a busy machine slows both alike.
"""

from __future__ import annotations

import resource
from time import thread_time
from typing import Any

import numpy as np
import pytest

from bench.physics import NUM_ENVS, Bare
from prefrl_core.loop import start, turn
from prefrl_core.parts import Run
from prefrl_core.spec import RunSpec

TASK, STEPS, ROUNDS = "mujoco/half_cheetah", 1_000_000, 12


def started(**settings: Any) -> Run:
    """A run that has left its untrained phase behind."""
    learner = start(RunSpec.of({"task": TASK, "total_steps": STEPS, **settings}))
    while learner.step < learner.untrained_steps + 4096:
        turn(learner)
    return learner


def seconds_per_step(learner: Run) -> float:
    start, step = thread_time(), learner.step
    turn(learner)
    return (thread_time() - start) / (learner.step - step)


def bare_seconds_per_step(learner: Run, bare: Bare, steps: int = 64) -> float:
    """The physics alone, from the present state of a run, under random actions."""
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, NUM_ENVS, 6))
    bare.set_physics(learner.env.get_state()["physics"])
    start = thread_time()
    for batch in actions:
        bare.step(batch)
    return (thread_time() - start) / (steps * NUM_ENVS)


@pytest.mark.parametrize("labels", [0, 700, 1400])
def test_loop(benchmark: Any, labels: int) -> None:
    control = started(reward="true")
    learner = started(labels=labels) if labels else control
    if benchmark.disabled:
        assert turn(learner)["step"] == learner.step
        return
    bare = Bare("half_cheetah")
    times = [
        (seconds_per_step(learner), seconds_per_step(control), bare_seconds_per_step(control, bare))
        for _ in range(ROUNDS)
    ]
    ours, controls, physics = np.median(times, axis=0)
    benchmark.extra_info["env_steps_per_second"] = round(1 / ours)
    benchmark.extra_info["ratio_to_bare_mj_step"] = round(physics / ours, 3)
    benchmark.extra_info["ratio_to_true_reward"] = round(controls / ours, 3)
    benchmark.extra_info["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    benchmark.pedantic(turn, (learner,), rounds=10)


@pytest.mark.parametrize("policy", ["trpo", "a2c"])
def test_loop_of_other_optimisers(benchmark: Any, policy: str) -> None:
    """On the true reward, beside PPO."""
    learner, ppo = started(reward="true", policy=policy), started(reward="true")
    if benchmark.disabled:
        assert turn(learner)["step"] == learner.step
        return
    bare = Bare("half_cheetah")
    times = [
        (seconds_per_step(learner), seconds_per_step(ppo), bare_seconds_per_step(ppo, bare)) for _ in range(ROUNDS)
    ]
    ours, others, physics = np.median(times, axis=0)
    benchmark.extra_info["env_steps_per_second"] = round(1 / ours)
    benchmark.extra_info["ratio_to_bare_mj_step"] = round(physics / ours, 3)
    benchmark.extra_info["ratio_to_ppo"] = round(others / ours, 3)
    benchmark.pedantic(turn, (learner,), rounds=10)


@pytest.mark.parametrize("labels", [100, 1400, 10_000])
def test_fit_is_bounded(benchmark: Any, labels: int) -> None:
    """One refit as a share of the rest of an iteration, whatever the number of labels."""
    learner = started(labels=100)
    arrays = learner.comparisons.arrays()
    from prefrl_core.feedback.comparisons import Comparisons

    many = Comparisons(labels, learner.spec.segment, learner.features, 3)
    chosen = np.arange(labels) % len(arrays["mu"])
    many.set_state({name: array[chosen] for name, array in arrays.items()})
    updates = learner.spec.reward_model["updates"]
    if not benchmark.disabled:
        control = started(reward="true")
        rest = np.median([seconds_per_step(control) for _ in range(ROUNDS)]) * 2048
        spent = []
        for _ in range(ROUNDS):
            start = thread_time()
            learner.reward.take_steps(many, updates)
            spent.append(thread_time() - start)
        benchmark.extra_info["share_of_the_rest_of_an_iteration"] = round(float(np.median(spent) / rest), 3)
    measured = benchmark.pedantic(learner.reward.take_steps, (many, updates), rounds=5)
    assert np.isfinite(measured["reward_loss"])
