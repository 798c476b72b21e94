"""Asks where the ensemble disagrees, and keeps away from what was called equal before."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Regret:
    factor: int = 8  # candidates drawn for each question

    def choose(self, candidates, count, random):
        disagreement = candidates.probabilities.astype(np.float64).var(0)
        means = candidates.segments.mean(1, dtype=np.float64)[candidates.pairs].mean(1)
        tied = candidates.asked[candidates.answers == 0.5].mean((1, 2), dtype=np.float64)
        if len(tied):  # ties teach little: keep away from what was called equal
            distance = np.sqrt(((means[:, None] - tied[None]) ** 2).sum(-1)).min(1)
            disagreement = disagreement * (1 - np.exp(-distance))
        return np.argsort(-disagreement, kind="stable")[:count]
