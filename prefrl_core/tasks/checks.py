"""What every environment of ours refuses in the same words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError


def require_finite(task: str, steps: NDArray[np.int64], **arrays: NDArray[Any]) -> None:
    """Raise UserError for the first environment with a value that is NaN or infinite.

    Args:
        steps: ``(num_envs,)`` of the episodes under way, for the message.
        arrays: by name ("action", "state", "reward"), one row per environment.
    """
    # A sum of squares is the quickest look at all values; it may overflow where all are finite, so it accuses nobody.
    if all(math.isfinite(np.vdot(array, array)) for array in arrays.values()):
        return
    for what, array in arrays.items():
        for i in np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1)).tolist():
            raise UserError(
                f"task {task}: {what} of environment {i} is not finite at step {steps[i]} of its episode: "
                "the policy or the simulation has diverged, try a smaller learning rate"
            )


def checked_actions(task: str, actions: Any, shape: tuple[int, ...], steps: NDArray[np.int64]) -> NDArray[Any]:
    """Actions as an array, before anything is stepped by them, so that refused ones have changed nothing.

    Args:
        shape: of the batch that the task takes.
        steps: ``(num_envs,)`` of the episodes under way, before this step.

    Raises:
        UserError: an action is NaN or infinite.
        ValueError: actions of another shape, or no real numbers.
    """
    actions = np.asarray(actions)
    if actions.shape != shape:
        raise ValueError(f"{task} takes actions of shape {shape}, got {actions.shape}")
    if actions.dtype.kind not in "fiu":
        raise ValueError(f"{task} takes real numbers as actions, got {actions.dtype}")
    require_finite(task, steps + 1, action=actions)
    return actions
