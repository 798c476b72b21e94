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
        """The default's batch, weighed by age."""
        batch = super().batch(member, comparisons, chosen, pool)
        batch.weight = weights(chosen, self.settings.half_life)
        return batch


def weights(questions: NDArray[np.int64], half_life: float) -> NDArray[Any]:
    """Weight ``(questions,)`` of each answer by the number of its question: half as much for each ``half_life``
    questions that it is older. Their mean is 1, so that the size of a gradient step stays as it was."""
    weight = 0.5 ** ((questions.max() - questions) / half_life)  # by age within the batch, so that not all can be 0
    return weight / weight.mean()
