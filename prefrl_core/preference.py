"""The Bradley-Terry model of a choice between two segments (Christiano et al. 2017, equation 1)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def preference(left: Floats, right: Floats) -> Floats:
    """Probability that the left segment is preferred, given the undiscounted sum of the reward of each side."""
    difference = left - right
    small = np.exp(-np.abs(difference))
    return np.where(difference >= 0, 1 / (1 + small), small / (1 + small))
