"""A reward that also learns from what the critic makes of it (Liu et al. 2022, Meta-Reward-Net, section 4).

Inner level: the critic takes a step on the predicted rewards. Outer level: the critic that results should prefer what
the labels prefer, and the reward is changed so that it does. The policy gives the derivative of the outer loss with
respect to each reward (``policy/look_ahead.py``); here it goes on to the members' parameters.

One such step comes before each fit, about every 2,000 environment steps by the defaults of SAC; the released code takes
one every 1,000 to 10,000 while labels remain. As there, the newest labels are looked at, the optimiser is that of the
fit, and its other steps are those of the settings, so that MRN differs from the default model in one step a fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.protocol import LookAhead
from prefrl_core.reward.settings import EnsembleSettings


@dataclass(frozen=True)
class MrnSettings(EnsembleSettings):
    """The critic that the reward makes has to prefer what the labels prefer (MRN)."""

    outer_updates: int = 1  # gradient steps on the critic's preferences before each fit but the first
    outer_weight: float = 0.1  # of their loss, beside the loss of the fit
    newest: int = 16  # labels that one looks at; the release: those of the latest session
    fits_returns: ClassVar[bool] = False
    asks_critic: ClassVar[bool] = True
    learner: ClassVar[str] = f"{__name__}:Mrn"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.outer_updates >= 0 and self.newest >= 1, "reward_model.outer_updates at least 0, newest at least 1"
        )
        require(self.outer_weight >= 0, f"reward_model.outer_weight = {self.outer_weight}: at least 0")


class Mrn(Ensemble):
    """Takes gradient steps on the critic's preferences beside those on its own."""

    settings: MrnSettings
    needs_run = "what a critic makes of it"
    look_ahead: LookAhead | None = None

    def consult(self, look_ahead: LookAhead) -> None:
        """See ``AsksCritic``."""
        self.look_ahead = look_ahead

    def prepare(self, comparisons: Comparisons, pool: Pool | None) -> list[NDArray[np.int64]]:
        """The outer steps; at a run's first fit there is no critic of this reward yet."""
        if self.fitted and self.gradient_steps and self.look_ahead is not None:
            for _ in range(self.settings.outer_updates):
                self.outer_step(comparisons, self.look_ahead)
        return super().prepare(comparisons, pool)

    def outer_step(self, comparisons: Comparisons, look_ahead: LookAhead) -> float:
        """One gradient step of all members on the preferences of the critic to come; returns their loss."""
        known = comparisons.newest_answered(self.settings.newest)
        if not len(known):
            return 0.0
        first = np.asarray(comparisons.take(known))[:, :, 0]
        features, slopes, loss = look_ahead(first, comparisons.mu[known])
        self.backpropagate(features, np.float32(self.settings.outer_weight) * slopes)
        self.optimiser.step()
        return loss

    def backpropagate(self, features: NDArray[Any], slopes: NDArray[Any]) -> None:
        """Set the members' gradient to that of a loss, given its derivative ``(...)`` by the predicted rewards of
        features ``(..., width)``. Mean and scale of the members are taken as constants."""
        rows = self.standardize(features).reshape(-1, features.shape[-1])
        column = slopes.reshape(-1, 1).astype(np.float32)
        for index, member in enumerate(self.members):
            scale = self.settings.output_std / self.stds[index] if self.settings.normalise else 1.0
            member.forward(rows)
            member.backward(column * np.float32(scale / len(self.members)))
