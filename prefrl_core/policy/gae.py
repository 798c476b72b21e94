"""Generalized advantage estimation (Schulman et al. 2016, equation 16)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def advantages(
    rewards: Floats,
    values: Floats,
    next_values: Floats,
    terminated: NDArray[np.bool_],
    done: NDArray[np.bool_],
    discount: float,
    trace: float,
) -> NDArray[np.float64]:
    """Advantages of a batch of trajectories.

    Args:
        rewards: ``(steps, envs)``.
        values: ``(steps, envs)``, of the observation acted on.
        next_values: ``(steps, envs)``, of the observation that followed in the same episode; at a time limit that
            is the episode's last observation, not the first of the next one.
        terminated: ``(steps, envs)``: nothing follows. A time limit is no termination: its value counts.
        done: ``(steps, envs)``: terminated or cut off; the trace stops here.
        discount: gamma.
        trace: lambda.
    """
    errors = rewards + discount * next_values * ~terminated - values
    decay = discount * trace * ~done
    result = np.empty(rewards.shape)
    running = np.zeros(rewards.shape[1])
    for step in reversed(range(len(rewards))):
        running = errors[step] + decay[step] * running
        result[step] = running
    return result
