"""Which pairs to ask about. A strategy is a pure function: asking changes no model, no normaliser and no pool."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core.registry import register


@dataclass(frozen=True)
class Candidates:
    """Pairs that could be asked about."""

    pairs: NDArray[np.int64]  # (candidates, 2): indices into the pool of segments, never equal
    probabilities: NDArray[np.float32]  # (members, candidates): each member's probability that the left is preferred


class QueryStrategy(Protocol):
    """Chooses among candidate pairs."""

    factor: int  # candidates drawn for each question

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Indices ``(count,)`` of the candidates to ask about, without repeats."""


@register("query", "uniform")
@dataclass(frozen=True)
class Uniform:
    """Any pair is as good as another."""

    factor: int = 1  # candidates drawn for each question

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """The first ones: candidates come in random order."""
        return np.arange(count)


@register("query", "disagreement")
@dataclass(frozen=True)
class Disagreement:
    """The pairs whose predicted preference varies most across the ensemble (Christiano et al. 2017, section 2.2.4)."""

    factor: int = 10  # candidates drawn for each question

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Those of highest variance; of equal ones the earlier."""
        return np.argsort(-candidates.probabilities.var(0), kind="stable")[:count]


def draw_pairs(segments: int, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    """``count`` different pairs ``(count, 2)`` of different segments, uniform over all unordered pairs, in random
    order and orientation; all pairs there are if they are fewer."""
    total = segments * (segments - 1) // 2
    ranks = random.choice(total, min(count, total), replace=False) if total else np.empty(0, np.int64)
    # the pair (i, j) with i < j has rank j (j - 1) / 2 + i
    high = ((1 + np.sqrt(1 + 8 * ranks.astype(np.float64))) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > ranks  # the square root may have been rounded up
    pairs = np.stack([ranks - high * (high - 1) // 2, high], axis=1)
    swap = random.random(len(pairs)) < 0.5
    pairs[swap] = pairs[swap, ::-1]
    return pairs
