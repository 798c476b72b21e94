"""Atari: the whole loop on Pong as ratios to the bare vector environment, and training from frames in both precisions.

Processor time of all threads, that which steps the games included; what is compared takes turns.
"""

from __future__ import annotations

import resource
from time import process_time
from typing import Any

import numpy as np
import pytest

from prefrl_core.hardware import Hardware
from prefrl_core.loop import start, turn
from prefrl_core.parts import Run
from prefrl_core.spec import RunSpec

pytest.importorskip("ale_py")
TASK, ENVS, ROUNDS = "atari/pong", 16, 5
CPU = {  # as suite atari-cpu
    "policy": {"name": "ppo", "convolutions": "mnih2013", "hidden": (256,)},
    "precision": "float32",
    "interleaved": True,
    "total_steps": 2_000_000,
}
RUNS: dict[str, dict[str, Any]] = {
    "ppo": {"reward": "true"},
    "a2c": {"reward": "true", "policy": "a2c"},
    "ppo-3000-labels": {"labels": 3000, "reward_model": {"initial_updates": 8}},
    "cpu": {**CPU, "reward": "true"},
    "cpu-3000-labels": {
        **CPU,
        "labels": 3000,
        "query": {"name": "disagreement", "factor": 5},
        "reward_model": {"initial_updates": 8, "updates": 2},
    },
}


def started(**settings: Any) -> Run:
    """A run in its second iteration; the first stands for the untrained phase."""
    learner = start(RunSpec.of({"task": TASK, "total_steps": 1_000_000} | settings))
    learner.untrained_steps = learner.turn_steps
    for _ in range(2):
        turn(learner)
    return learner


def seconds_per_step(learner: Run) -> float:
    start, step = process_time(), learner.step
    turn(learner)
    return (process_time() - start) / (learner.step - step)


def bare_seconds_per_step(games: Any, random: np.random.Generator, steps: int = 128) -> float:
    """``ale_py``'s vector environment alone, under random actions."""
    start = process_time()
    for _ in range(steps):
        games.step(random.integers(0, 6, ENVS))
    return (process_time() - start) / (steps * ENVS)


@pytest.mark.parametrize("run", RUNS)
def test_pong(benchmark: Any, run: str) -> None:
    if benchmark.disabled:
        pytest.skip("takes long, and only measures: such runs are tested in tests/integration/test_atari_runs.py")
    learner = started(**RUNS[run])
    games, random = learner.env._games, np.random.default_rng(0)
    times = [(seconds_per_step(learner), bare_seconds_per_step(games, random)) for _ in range(ROUNDS)]
    ours, bare = np.median(times, axis=0)
    benchmark.extra_info["env_steps_per_second"] = round(1 / ours)
    benchmark.extra_info["ratio_to_bare_games"] = round(bare / ours, 3)
    benchmark.extra_info["peak_memory_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    benchmark.pedantic(turn, (learner,), rounds=3)


def test_training_on_256_frames(benchmark: Any) -> None:
    """A gradient step of the actor-critic: bfloat16, beside float32."""
    from prefrl_core.policy.convolutional import Convolutional

    random = np.random.default_rng(0)
    seen = random.integers(0, 256, (256, 4, 84, 84), dtype=np.uint8)
    outputs, values = random.standard_normal((256, 6)), random.standard_normal(256)

    def stepper(precision: str) -> Any:
        network = Convolutional(6, (512,), np.random.default_rng(0), Hardware("cpu", precision))
        optimiser: Any = network.parameters.adam(1e-4)
        ready = network.prepare(seen)

        def step() -> float:
            start = process_time()
            network.forward(ready)
            network.backward(outputs, values)
            optimiser.step()
            return process_time() - start

        return step

    rough, exact = stepper("bfloat16"), stepper("float32")
    if not benchmark.disabled:
        times = np.median([(rough(), exact()) for _ in range(2 * ROUNDS)], axis=0)
        benchmark.extra_info["frames_per_second"] = round(256 / times[0])
        benchmark.extra_info["ratio_to_float32"] = round(times[1] / times[0], 3)
    assert benchmark.pedantic(rough, rounds=3) > 0
