"""Answers that the ensemble finds implausible are left out, very implausible ones turned around (Cheng et al. 2024,
RIME: the denoising discriminator); on request each member learns first how new a state is (its warm start).

It takes the gradient steps that its settings say, on the loop's own schedule, so that it differs from the default model
in the idea and not in the effort. The release takes five steps of the warm start for each step of the exploration; here
they follow it, on a uniform sample of what was seen. The policy's ``reset_critic = false`` keeps its explorer's critic.
The variance in the bound is that of the trusted losses of all fits so far. In the release deviations between fits are
taken from a mean that follows at a tenth of each step, from 0, which makes that variance larger.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.features import Features
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.neighbours import nearest
from prefrl_core.normalize import Moments
from prefrl_core.preference import preference
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fitted import Batch
from prefrl_core.reward.settings import EnsembleSettings
from prefrl_core.reward.transitions import Sample
from prefrl_core.rollout import Turn
from prefrl_core.settings import later

_NEIGHBOUR = 5  # whose distance says how new a state is, as released
_SEEN = 8192  # steps that the warm start learns from, a uniform sample of all before the first answer
_WARM_ROWS = 128  # of them in one gradient step


@dataclass(frozen=True)
class RimeSettings(EnsembleSettings):
    """Implausible answers are left out, and very implausible ones reversed (RIME)."""

    alpha: float = 0.5  # weight of the linear term in the bound on a trusted loss
    beta: float = 3.0  # weight of the losses' variance in that bound, at the first fit
    beta_end: float = 1.0  # the same weight from the ``beta_fits``-th fit on
    beta_fits: int = 60  # fits over which the weight falls
    turned: float = 0.001  # an answer to which the ensemble gives a lower probability is reversed
    memory: float = 0.1  # rate at which the bound follows the greatest loss among trusted answers
    warm_updates: int = later(0)  # gradient steps on the novelty of states, before the first fit to answers
    fits_returns: ClassVar[bool] = False
    learner: ClassVar[str] = f"{__name__}:Rime"
    revision: ClassVar[int] = 2  # the variance of all fits; what is implausible is turned inside the bound too

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.warm_updates >= 0, f"reward_model.warm_updates = {self.warm_updates}: at least 0")
        require(self.beta_fits >= 1, f"reward_model.beta_fits = {self.beta_fits}: at least 1")
        require(self.alpha >= 0, f"reward_model.alpha = {self.alpha}: at least 0")
        require(0 < self.turned < 0.5, f"reward_model.turned = {self.turned}: in (0, 0.5)")
        require(0 <= self.memory <= 1, f"reward_model.memory = {self.memory}: in [0, 1]")


class Rime(Ensemble):
    """Sorts the answers anew before each fit, by the ensemble's own loss of each."""

    settings: RimeSettings

    def __init__(self, settings: RimeSettings, features: Features, seed: int, segment: int = 0) -> None:
        super().__init__(settings, features, seed, segment)
        self.observed = features.shape[0] - int(getattr(features, "acted", 0))
        self.early = Sample(_SEEN if settings.warm_updates else 0, features.shape[0], seed)
        self.fits, self.greatest = 0, 0.0
        self.losses_trusted = Moments(1)  # over all fits
        self.answers: NDArray[np.float64] = np.zeros(0)  # (asked,), as they are trusted: NaN where they are not

    def observe(self, turn: Turn) -> None:
        """Take in the scale of the turn's features, and some of its steps until the warm start."""
        super().observe(turn)
        if len(self.early.rows):
            self.early.add(turn.features.reshape(-1, turn.features.shape[-1]))

    def warm_start(self) -> None:
        """Regress each member onto how new the states are that were seen so far, in [-1, 1]."""
        rows = self.early.rows[: min(self.early.seen, _SEEN)]
        states = rows[:, : self.observed]
        distances = np.sqrt(
            np.concatenate([nearest(part, states, _NEIGHBOUR + 1) for part in np.array_split(states, 8)])
        )
        target = distances - distances.mean()
        target /= np.abs(target).max() + np.float32(1e-6)
        for _ in range(self.settings.warm_updates):
            for member in self.members:
                chosen = self.random.integers(0, len(rows), _WARM_ROWS)
                error = member.forward(self.standardize(rows[chosen])) - target[chosen, None]
                member.backward(error * np.float32(2 / _WARM_ROWS))
            self.optimiser.step()
        self._forget()

    def prepare(self, comparisons: Comparisons, pool: Pool | None) -> list[NDArray[np.int64]]:
        """Questions whose answers are trusted or turned around. Ties are trusted."""
        if len(self.early.rows) and self.early.seen:
            self.warm_start()
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
        uncertain = min(beta * float(self.losses_trusted.variance[0]), 3.0)
        bound = -np.log(self.greatest + 1e-8) + settings.alpha * self.greatest + uncertain
        trusted, wrong = loss < bound, loss > -np.log(settings.turned)
        mu[told] = np.where(wrong, 1 - mu[told], np.where(trusted, mu[told], np.nan))
        if trusted.any():
            self.greatest += settings.memory * (float(loss[trusted].max()) - self.greatest)
            self.losses_trusted.update(loss[trusted])
        self.fits += 1
        return mu

    def batch(self, member: int, comparisons: Comparisons, chosen: NDArray[np.int64], pool: Pool | None) -> Batch:
        """The chosen pairs with the answers as they are trusted."""
        batch = super().batch(member, comparisons, chosen, pool)
        batch.mu = self.answers[chosen]
        return batch

    def get_state(self) -> dict[str, Any]:
        """Everything that a later fit depends on."""
        rime: dict[str, Any] = {"fits": self.fits, "greatest": self.greatest, "losses": self.losses_trusted.get_state()}
        if len(self.early.rows):
            rime["early"] = self.early.get_state()
        return {**super().get_state(), "rime": rime}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.fits, self.greatest = state["rime"]["fits"], state["rime"]["greatest"]
        self.losses_trusted.set_state(state["rime"]["losses"])
        if "early" in state["rime"]:
            self.early.set_state(state["rime"]["early"])
        else:
            self._forget()

    def _forget(self) -> None:
        """The warm start is over, or was not asked for."""
        self.early = Sample(0, self.features.shape[0], 0)
