"""A reward model of one's own, a small transformer over a segment: ``reward_model = { name = "transformer" }``."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from prefrl_core.registry import register
from prefrl_core.reward.module import ModuleSettings


class Transformer(torch.nn.Module):
    """Scores a whole segment; the shares of its steps add up to the score."""

    per_segment = True

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(features, width)
        self.attend = torch.nn.TransformerEncoderLayer(width, nhead=2, dim_feedforward=2 * width, batch_first=True)
        self.read = torch.nn.Linear(width, 1)

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        """Shares ``(segments, steps)`` of features ``(segments, steps, features)``."""
        return self.read(self.attend(self.embed(segments)))[..., 0]


@register("reward", "transformer")
@dataclass(frozen=True)
class TransformerSettings(ModuleSettings):
    """An ensemble of small transformers."""

    width: int = 16  # of its layers

    def network(self, width: int) -> torch.nn.Module:
        """One member, over features of that width."""
        return Transformer(width, self.width)
