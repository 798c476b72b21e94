"""Answers that the ensemble finds implausible are left out, very implausible ones turned around (Cheng et al. 2024,
RIME: the denoising discriminator).

It takes the gradient steps that its settings say, on the loop's own schedule, so that it differs from the default model
in the idea and not in the effort. Left out: the warm start on the exploration reward.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.preference import preference
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fitted import Batch
from prefrl_core.reward.settings import EnsembleSettings


@dataclass(frozen=True)
class RimeSettings(EnsembleSettings):
    """Implausible answers are left out, very implausible ones turned around (RIME)."""

    alpha: float = 0.5  # of the bound's linear term
    beta: float = 3.0  # weight of the losses' variance in the bound at the first fit
    beta_end: float = 1.0  # and from the ``beta_fits``-th on
    beta_fits: int = 60  # fits over which the weight falls
    turned: float = 0.001  # an answer is turned around where the ensemble gives it less than this probability
    memory: float = 0.1  # rate at which the greatest loss among trusted answers is followed
    learner: ClassVar[str] = f"{__name__}:Rime"


class Rime(Ensemble):
    """Sorts the answers anew before each fit, by the ensemble's own loss of each."""

    settings: RimeSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fits, self.greatest, self.variance = 0, 0.0, 1.0
        self.answers: NDArray[np.float64] = np.zeros(0)  # (asked,), as they are trusted: NaN where they are not

    def prepare(self, comparisons: Comparisons, pool: Pool | None) -> list[NDArray[np.int64]]:
        """Questions whose answers are trusted or turned around. Ties are trusted."""
        self.answers = self.sorted(comparisons)
        return [bag[~np.isnan(self.answers[bag])] for bag in super().prepare(comparisons, pool)]

    def sorted(self, comparisons: Comparisons) -> NDArray[np.float64]:
        """The answers ``(asked,)`` as they are used in this fit."""
        settings, mu = self.settings, comparisons.mu.copy()
        told = np.flatnonzero((mu == 0) | (mu == 1))
        told = told[np.isin(told, np.concatenate([comparisons.bag(m) for m in range(len(self.members))]))]
        if not self.fitted or not len(told):
            return mu
        kept = comparisons.take(told)
        sums = self.segment_sums(kept.reshape(-1, *kept.shape[2:])).reshape(len(self.members), -1, 2)
        p = preference(sums[..., 0], sums[..., 1]).mean(0)
        loss = -np.log(np.where(mu[told] == 1, p, 1 - p) + 1e-12)
        share = min(1.0, self.fits / settings.beta_fits)
        beta = settings.beta + share * (settings.beta_end - settings.beta)
        bound = -np.log(self.greatest + 1e-8) + settings.alpha * self.greatest + min(beta * self.variance, 3.0)
        trusted, wrong = loss < bound, loss > -np.log(settings.turned)
        mu[told] = np.where(wrong & ~trusted, 1 - mu[told], np.where(trusted, mu[told], np.nan))
        if trusted.any():
            self.greatest += settings.memory * (float(loss[trusted].max()) - self.greatest)
            self.variance = float(loss[trusted].var())
        self.fits += 1
        return mu

    def batch(self, member: int, comparisons: Comparisons, chosen: NDArray[np.int64], pool: Pool | None) -> Batch:
        """The chosen pairs with the answers as they are trusted."""
        batch = super().batch(member, comparisons, chosen, pool)
        batch.mu = self.answers[chosen]
        return batch

    def get_state(self) -> dict[str, Any]:
        """Everything that a later fit depends on."""
        rime = {"fits": self.fits, "greatest": self.greatest, "variance": self.variance}
        return {**super().get_state(), "rime": rime}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.fits, self.greatest, self.variance = (state["rime"][name] for name in ("fits", "greatest", "variance"))
