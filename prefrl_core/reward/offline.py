"""A reward model fitted to recorded comparisons, without a task: the same model and the same fit as in a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefrl_core import METHOD_VERSION, checkpoint
from prefrl_core.errors import UserError, require
from prefrl_core.features import Vectors
from prefrl_core.feedback.recorded import Recorded
from prefrl_core.reward.fitted import FittedReward
from prefrl_core.rollout import Turn
from prefrl_core.spec import complete, make_part

_BETWEEN_LOOKS = 10  # gradient steps between two changes of the L2 weight


def fit(
    recorded: Recorded, reward_model: str | Mapping[str, Any] = "ensemble", updates: int = 1000, seed: int = 0
) -> FittedReward:
    """A reward model after ``updates`` gradient steps; its ``predict(features)`` predicts.

    Args:
        reward_model: its name, or a table of name and settings, as a suite file has it.

    Raises:
        UserError: no comparison was answered, the parameters diverged, or the reward model learns from something
            that only a run has.
    """
    settings = make_part("reward", complete("reward", reward_model))
    features = np.concatenate([recorded.observations, recorded.actions], axis=-1)
    model = settings.make(Vectors(features.shape[-1]), seed, features.shape[2])
    if not isinstance(model, FittedReward):
        raise UserError(f"reward_model {type(model).__name__} cannot be fitted by itself: inherit from FittedReward")
    require(
        not model.needs_run,
        f"reward_model {type(model).__name__} learns from {model.needs_run}, and recorded comparisons have nothing of "
        "the kind: use it in a run",
    )
    require(not model.label_buffer, "reward_model.label_buffer does nothing for recorded comparisons: leave it out")
    comparisons = recorded.comparisons(model.bootstraps, seed)
    if not comparisons.informative:
        raise UserError(f"none of the {len(recorded)} comparisons was answered: nothing to fit a reward model to")
    model.observe(_turn(comparisons.features))
    for done in range(0, updates, _BETWEEN_LOOKS):
        model.take_steps(comparisons, min(_BETWEEN_LOOKS, updates - done))
    return model


def accuracy(model: FittedReward, recorded: Recorded) -> float:
    """Share of the comparisons with unequal true returns whose better segment the model predicts; NaN of none."""
    kept = recorded.comparisons().features
    sums = model.segment_sums(kept.reshape(-1, *kept.shape[2:])).mean(0).reshape(-1, 2)
    gaps, guesses = (np.subtract(*each.T) for each in (recorded.true_returns, sums))
    told = gaps != 0
    return float(np.mean(np.sign(gaps[told]) == np.sign(guesses[told]))) if told.any() else float("nan")


def save(path: Path, model: FittedReward, recorded: Recorded, reward_model: str | Mapping[str, Any]) -> None:
    """Write a fitted model, for ``known_reward`` of a run on the same task with the same ``reward_model``."""
    table = complete("reward", reward_model)
    about = {
        "method": METHOD_VERSION,
        "task": recorded.about.get("task"),
        "shape": list(model.features.shape),
        "reward_model": table,
    }
    checkpoint.save(path, {"about": about, "state": model.get_state()})


def _turn(features: Any) -> Turn:
    """Compared segments in the place of a turn of a run."""
    nothing = np.zeros((0, 0))
    return Turn((), features, nothing, nothing.astype(bool), nothing.astype(np.float32))
