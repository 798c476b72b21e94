"""Temporal crops, and pseudo-labels of unlabelled pairs (Park et al. 2022, SURF, sections 4.1 and 4.2).

It takes the gradient steps that its settings say, on the loop's own schedule, so that it differs from the default model
in the idea and not in the effort. Left out: the pool of pairs that grows with each
session of the released code; pairs are drawn anew from the newest segments.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.preference import preference
from prefrl_core.reward.crops import Cropped, CropSettings, crops
from prefrl_core.reward.fitted import Batch


@dataclass(frozen=True)
class SurfSettings(CropSettings):
    """Temporal crops, and pseudo-labels where a member is sure (SURF)."""

    shortest: float = 0.9  # share of the segment that a crop has at least
    longest: float = 1.0  # and at most
    crops: int = 1  # of each compared pair in one gradient step
    unlabelled: int = 4  # unlabelled pairs in a gradient step for each labelled one (mu of the paper)
    certain: float = 0.99  # a pair is given a pseudo-label where the predicted preference is this strong (tau)
    weight: float = 1.0  # of the pseudo-labelled pairs in the loss (lambda)
    learner: ClassVar[str] = f"{__name__}:Surf"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0.5 < self.certain <= 1, f"reward_model.certain = {self.certain}: in (0.5, 1]")
        require(self.unlabelled >= 1 and self.weight >= 0, "reward_model.unlabelled is at least 1, weight at least 0")


class Surf(Cropped):
    """Labelled pairs, and as many times ``unlabelled`` pairs of the pool, labelled by the member itself."""

    settings: SurfSettings
    needs_run = "unlabelled segments"

    def batch(self, member: int, comparisons: Comparisons, chosen: NDArray[np.int64], pool: Pool | None) -> Batch:
        """The weights make the loss of the paper: the mean over labelled pairs plus ``weight`` times the mean over all
        unlabelled ones, of which those that the member is not sure of count 0."""
        labelled = super().batch(member, comparisons, chosen, pool)
        labelled.kept = np.repeat(labelled.kept, self.settings.crops, axis=0)
        held = pool.segments if pool is not None else None
        if held is None or len(held) < 2:
            return labelled
        count = self.settings.unlabelled * len(labelled.mu)
        left = self.random.integers(0, len(held), count)
        right = (left + self.random.integers(1, len(held), count)) % len(held)  # another segment
        kept = held.features[np.stack([left, right], axis=1)]
        p = preference(*self.pair_sums(self.members[member], kept).T)  # of the whole segments, without a gradient
        sure = np.maximum(p, 1 - p) >= self.settings.certain
        mask = crops(kept.shape[:3], self.settings.shortest, self.settings.longest, self.random)
        total, first = count + len(labelled.mu), len(labelled.mu)
        weight = np.concatenate([np.full(first, total / first), sure * self.settings.weight * total / count])
        assert labelled.mask is not None
        return Batch(
            np.concatenate([labelled.kept, kept]),
            np.concatenate([labelled.mu, (p > 0.5).astype(np.float64)]),
            np.concatenate([labelled.returns, np.zeros((count, 2))]),
            weight,
            np.concatenate([labelled.mask, mask]),
        )
