"""Smoothed answers, which bound the margin between two segments (STAR, 2025: preference label smoothing).

It takes the gradient steps that its settings say, on the loop's own schedule, so that it differs from the default model
in the idea and not in the effort. Left out: the second, in-sample critic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.fitted import Array, Batch
from prefrl_core.reward.settings import EnsembleSettings


@dataclass(frozen=True)
class StarSettings(EnsembleSettings):
    """Answers of 1 - e and e in the place of 1 and 0, so that the best margin is ln((1 - e) / e) (STAR)."""

    smoothing: float = 0.05  # e
    uniform_answer: float = 0.0  # the smoothing takes its place
    fits_returns: ClassVar[bool] = False
    revision: ClassVar[int] = 2  # validated on smoothed answers
    learner: ClassVar[str] = f"{__name__}:Star"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.smoothing < 0.5, f"reward_model.smoothing = {self.smoothing}: in [0, 0.5)")


class Star(Ensemble):
    """Fits to smoothed answers."""

    settings: StarSettings

    def losses(self, sums: Array, batch: Batch) -> tuple[NDArray[Any], NDArray[Any]]:
        """Those of smoothed answers, also where the model is validated; a tie stays one."""
        smoothed = batch.mu + self.settings.smoothing * (1 - 2 * batch.mu)
        return super().losses(sums, replace(batch, mu=smoothed))
