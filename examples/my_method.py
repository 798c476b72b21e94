"""A method of one's own on the default reward model: newer answers count more.

``reward_model = { name = "newer", half_life = 100 }``. Everything but the weights is the default's: networks, fit,
checkpoints. A class that overrides one hook is all that most methods need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.registry import register
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fitted import Batch
from prefrl_core.reward.settings import EnsembleSettings


@register("reward", "newer")
@dataclass(frozen=True)
class NewerSettings(EnsembleSettings):
    """The default's settings, and one more."""

    half_life: float = 100.0  # number of later questions after which an answer counts half
    learner: ClassVar[str] = f"{__name__}:Newer"  # the class that these are the settings of

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.half_life > 0, f"reward_model.half_life = {self.half_life}: above 0")


class Newer(Ensemble):
    """Weighs the loss of each answer by its age."""

    settings: NewerSettings

    def batch(self, member: int, comparisons: Comparisons, chosen: NDArray[np.int64], pool: Pool | None) -> Batch:
        """The default's batch, with weights of mean 1, so that the size of a gradient step stays as it was."""
        batch = super().batch(member, comparisons, chosen, pool)
        weight = ages_weigh(comparisons.count - 1 - chosen, self.settings.half_life)
        batch.weight = weight / weight.mean()
        return batch


def ages_weigh(ages: NDArray[np.int64], half_life: float) -> NDArray[Any]:
    """Weight of each answer: 1 for the newest question, and half as much for each ``half_life`` questions since."""
    return 0.5 ** (ages / half_life)
