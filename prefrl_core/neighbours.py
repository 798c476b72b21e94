"""Distances to neighbours, by which states are called new."""

from __future__ import annotations

import numpy as np

from prefrl_core.networks import Array

_FAR = 1e4  # times their variance: there the difference of two squares has lost four of float32's seven digits


def nearest(states: Array, others: Array, k: int) -> Array:
    """Squared distance ``(states,)`` from each of ``states`` to its k-th nearest of ``others``; to the farthest where
    there are fewer."""
    k, middle = min(k, len(others)), others.mean(0)
    if np.vecdot(middle, middle) > _FAR * others.var(0).sum():
        states, others = states - middle, others - middle
    squared = np.vecdot(states, states)[:, None] + np.vecdot(others, others) - 2 * states @ others.T
    return np.maximum(np.partition(squared, k - 1, axis=1)[:, k - 1], np.float32(0))
