"""Speed of the Control Suite's tasks, as a table: to a bare ``mj_step`` loop, and to dm_control's own ``env.step``.

    python -m bench.peers.control_speed [--envs 16 64] [TASK ...]

Needs the extra ``dmcontrol``. Times are medians of processor time, because a machine is rarely idle. All of a task's
are taken in turn: the bare loop steps the same states under the same actions. Before each timed step another one brings
that code's memory back into the caches, as in use. A median leaves out the rare step that starts many episodes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import thread_time
from typing import Any

import numpy as np

from bench.physics import NUM_ENVS, Bare
from prefrl_core import tasks
from prefrl_core.tasks.dmcontrol_tasks import CONTROL

_STEPS = 400  # timed steps of each


def seconds_of_second(step: Callable[[Any], Any], first: Any, second: Any) -> float:
    """Processor time of the second of two steps."""
    step(first)
    start = thread_time()
    step(second)
    return thread_time() - start


def bare_and_ours(env: Any, name: str, steps: int = _STEPS) -> tuple[float, float]:
    """Median seconds of a step of all simulations, a bare ``mj_step`` loop's and ours; they take turns in going first.

    Args:
        env: a MuJoCo task of ours, after its reset.
        name: the task without suite and version.
        steps: timed steps of each.
    """
    bare = Bare(name, env.num_envs)
    rng, times = np.random.default_rng(0), []
    for t in range(steps):
        first, second = rng.uniform(env.action_space.low, env.action_space.high, (2, *env.action_space.shape))
        actions = first.astype(np.float32), second.astype(np.float32)
        bare.set_physics(env._simulation.get_physics())
        pair = [(0, bare.step), (1, env.step)][:: 1 if t % 2 else -1]
        times.append([taken for _, taken in sorted((k, seconds_of_second(call, *actions)) for k, call in pair)])
    bare_seconds, our_seconds = np.median(np.array(times), axis=0)
    return float(bare_seconds), float(our_seconds)


def times_dm_control(env: Any, name: str, steps: int = _STEPS) -> float:
    """Median time of dm_control's own step of one environment / ours, of a batch divided by its environments."""
    from prefrl_core.tasks.dmcontrol_package import _load, names

    theirs, times = _load(*names()[name], seed=0), []
    theirs.reset()
    rng = np.random.default_rng(0)
    for _ in range(steps):
        first, second = rng.uniform(env.action_space.low, env.action_space.high, (2, *env.action_space.shape))
        one = seconds_of_second(theirs.step, first[0], second[0])
        times.append((one, seconds_of_second(env.step, first, second) / env.num_envs))
    their_seconds, our_seconds = np.median(np.array(times), axis=0)
    return float(their_seconds / our_seconds)


def row(name: str, counts: list[int]) -> str:
    """One task's line of the table."""
    physics, bare_ratios, factors = 0.0, [], []
    for count in counts:
        env: Any = tasks.make(f"dmcontrol/{name}", count, 0)
        env.reset()
        bare, ours = bare_and_ours(env, name)
        physics = physics or bare / count
        bare_ratios.append(f"{bare / ours:.2f}")
        factors.append(f"{times_dm_control(env, name):.1f}")
        env.close()
    return " | ".join([name, f"{1e6 * physics:.1f}", *bare_ratios, *factors])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="speed of the Control Suite's tasks")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="names such as walker_walk (default: all twelve)")
    parser.add_argument("--envs", nargs="+", type=int, default=[NUM_ENVS, 64], help="environments (default: 16 64)")
    options = parser.parse_args()
    counts = [str(count) for count in options.envs]
    heads = [f"to bare, {count}" for count in counts] + [f"to dm_control, {count}" for count in counts]
    print(" | ".join(["task", "bare µs a step", *heads]))
    for name in options.tasks or CONTROL:
        print(row(name, options.envs), flush=True)


if __name__ == "__main__":
    main()
