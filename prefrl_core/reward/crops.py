"""Many temporal crops of each label (Hu et al. 2024, QPA, section 4.3): ``reward_model = "qpa"``, of which the queries
are ``query = "near_on_policy"``.

It takes the gradient steps that its settings say, on the loop's own schedule, so that it differs from the default model
in the idea and not in the effort. Crops are cut inside the compared segment: nothing
is kept beside it. Left out: QPA's own network and its stopping rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fitted import Batch
from prefrl_core.reward.settings import EnsembleSettings


@dataclass(frozen=True)
class CropSettings(EnsembleSettings):
    """Many crops of each label (QPA)."""

    shortest: float = 0.7  # share of the segment that a crop has at least (35 of 50 steps in the paper)
    longest: float = 0.9  # and at most (45 of 50)
    crops: int = 20  # of each compared pair in one gradient step
    fits_returns: ClassVar[bool] = False
    learner: ClassVar[str] = f"{__name__}:Cropped"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            0 < self.shortest <= self.longest <= 1,
            f"reward_model.shortest, longest = {self.shortest}, {self.longest}: shares of the segment, in order",
        )
        require(self.crops >= 1, f"reward_model.crops = {self.crops}: at least 1")


class Cropped(Ensemble):
    """Each pair counts by crops: one length for both sides, two starts of their own."""

    settings: CropSettings

    def batch(self, member: int, comparisons: Comparisons, chosen: NDArray[np.int64], pool: Pool | None) -> Batch:
        """Every chosen pair counts ``crops`` times, and is evaluated once."""
        settings, batch = self.settings, super().batch(member, comparisons, chosen, pool)
        batch.mu, batch.returns = (np.repeat(part, settings.crops, axis=0) for part in (batch.mu, batch.returns))
        shape = (len(batch.mu), *batch.kept.shape[1:3])
        batch.mask = crops(shape, settings.shortest, settings.longest, self.random)
        return batch


def crops(shape: tuple[int, ...], shortest: float, longest: float, random: np.random.Generator) -> NDArray[np.float32]:
    """Masks ``(pairs, 2, steps)`` of crops: for each pair one length, uniform between the two shares of the segment,
    and for each side a start of its own, uniform over those that fit."""
    pairs, sides, steps = shape
    least, most = max(1, round(shortest * steps)), max(1, round(longest * steps))
    lengths = random.integers(least, most + 1, (pairs, 1))
    starts = (random.random((pairs, sides)) * (steps - lengths + 1)).astype(np.int64)
    place = np.arange(steps)
    inside = (place >= starts[..., None]) & (place < (starts + lengths)[..., None])
    return inside.astype(np.float32)
