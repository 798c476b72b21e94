"""Distances to neighbours, by which states are called new."""

from __future__ import annotations

import numpy as np

from prefrl_core.networks import Array


def nearest(states: Array, others: Array, k: int) -> Array:
    """Squared distance ``(states,)`` from each of ``states`` to its k-th nearest of ``others``."""
    squared = np.vecdot(states, states)[:, None] + np.vecdot(others, others) - 2 * states @ others.T
    return np.maximum(np.partition(squared, k - 1, axis=1)[:, k - 1], np.float32(0))
