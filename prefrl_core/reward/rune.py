"""A bonus where the members disagree, for exploration (Liang et al. 2022, RUNE, equation 4).

It takes the gradient steps that its settings say, on the loop's own schedule, so that it differs from the default model
in the idea and not in the effort.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.settings import EnsembleSettings
from prefrl_core.rollout import Turn


@dataclass(frozen=True)
class RuneSettings(EnsembleSettings):
    """A bonus for steps on which the members disagree; it fades (RUNE)."""

    bonus: float = 0.05  # weight of the standard deviation over the members at the first step (beta_0)
    fading: float = 1e-5  # share by which that weight falls with each environment step (rho)
    learner: ClassVar[str] = f"{__name__}:Rune"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.members >= 2, f"reward_model.members = {self.members}: one member cannot disagree with itself")
        require(self.bonus >= 0 and 0 <= self.fading < 1, "reward_model.bonus is at least 0, fading in [0, 1)")


class Rune(Ensemble):
    """Predicts mean plus ``beta_t`` times the standard deviation of the normalised members, t in environment steps."""

    settings: RuneSettings

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.seen = 0  # environment steps

    def predict(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        """Predicted reward ``(...)`` with the bonus."""
        weight = np.float32(self.settings.bonus * (1 - self.settings.fading) ** self.seen)
        normalised = self.normalised(features, done)
        return normalised.mean(0) + weight * normalised.std(0)

    def begin(self, seed: int) -> None:
        """Begin a run as it is now, with the whole bonus."""
        super().begin(seed)
        self.seen = 0

    def observe(self, turn: Turn) -> None:
        """Count the turn's steps."""
        super().observe(turn)
        self.seen += turn.done.size

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on."""
        return {**super().get_state(), "rune": {"seen": self.seen}}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.seen = state["rune"]["seen"]
