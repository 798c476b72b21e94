"""A reward model fitted to recorded comparisons, without a task: the same ensemble and the same fit as in a run."""

from __future__ import annotations

import numpy as np

from prefrl_core.errors import UserError
from prefrl_core.feedback.dataset import Recorded
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fit import Fitter
from prefrl_core.spec import RewardSettings

_BETWEEN_LOOKS = 10  # gradient steps between two changes of the L2 weight


def fit(recorded: Recorded, settings: RewardSettings | None = None, updates: int = 1000, seed: int = 0) -> Ensemble:
    """An ensemble after ``updates`` gradient steps; ``ensemble.reward(features)`` predicts.

    Raises:
        UserError: no comparison was answered, or the parameters diverged.
    """
    settings = settings or RewardSettings()
    comparisons = recorded.comparisons(settings.members, seed)
    if not comparisons.account()["answered"]:
        raise UserError(f"none of the {len(recorded)} comparisons was answered: nothing to fit a reward model to")
    ensemble = Ensemble(settings, comparisons.features.shape[-1], seed)
    ensemble.observe(comparisons.features)
    fitter = Fitter(ensemble, seed)
    for done in range(0, updates, _BETWEEN_LOOKS):
        fitter.fit(comparisons, min(_BETWEEN_LOOKS, updates - done))
    return ensemble


def accuracy(ensemble: Ensemble, recorded: Recorded) -> float:
    """Share of the comparisons with unequal true returns whose better segment the ensemble predicts; NaN of none."""
    predicted = ensemble.reward(recorded.comparisons().features).sum(-1)
    gaps, guesses = (np.subtract(*sums.T) for sums in (recorded.true_returns, predicted))
    told = gaps != 0
    return float(np.mean(np.sign(gaps[told]) == np.sign(guesses[told]))) if told.any() else float("nan")
