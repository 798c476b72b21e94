"""Who ranks K completions of a prompt: synthetic labelers that know the hidden gold score.

A labeler answers every pair at once, ``(prompts, K (K - 1) / 2)`` in the order of ``itertools.combinations``: 1 (the
first is better), 0 (the second) or 0.5 (equally good), as the main track's do. Pairs, not ranks, are kept, because a
labeler that flips pairs need not be transitive. Gold is given in standard deviations of what SFT samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.feedback import human_curve

Floats = NDArray[np.float64]


class Ranker(Protocol):
    """Ranks the completions of each prompt."""

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator) -> Floats:
        """Answers ``(prompts, pairs)`` to completions of ``gold`` and ``lengths`` (tokens), each ``(prompts, K)``."""


def differences(scores: Floats) -> Floats:
    """By how much the first of each pair is better: ``(prompts, K)`` to ``(prompts, K (K - 1) / 2)``.

    Raises:
        UserError: fewer than two completions, or a score that is no number.
    """
    require(scores.shape[1] >= 2, f"K = {scores.shape[1]}: a ranking needs at least 2 completions")
    require(bool(np.isfinite(scores).all()), "gold scores hold a value that is no finite number: check the task's gold")
    first, second = np.triu_indices(scores.shape[1], 1)
    return np.asarray(scores[:, first] - scores[:, second], np.float64)


def pairs_asked(prompts: int, candidates: int) -> int:
    """What ``prompts`` rankings cost in pairs, ties included."""
    return prompts * candidates * (candidates - 1) // 2


@dataclass(frozen=True)
class Ranked:
    """All imperfections of one person, freely combined; each is off by default, which is the oracle.

    The order is: bias, Plackett-Luce noise (a Gumbel draw a completion, so a pair is right with probability
    ``sigmoid(gap / tau)``), ties by the gap that is left, flips of untied pairs.
    """

    tau: float = 0.0  # scale of the Gumbel noise, in standard deviations of gold
    flip: float = 0.0  # probability that an untied pair is answered the wrong way round
    tie: float = 0.0  # gaps below this are ties
    length: float = 0.0  # gold that one token more is worth

    def __post_init__(self) -> None:
        require(self.tau >= 0, f"labeler setting tau = {self.tau}: at least 0")
        require(0 <= self.flip <= 0.5, f"labeler setting flip = {self.flip}: in [0, 0.5]")
        require(self.tie >= 0, f"labeler setting tie = {self.tie}: at least 0")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator) -> Floats:
        """Answers ``(prompts, pairs)``."""
        noise = random.gumbel(size=gold.shape)  # drawn whether needed or not, so that settings share their streams
        gap = differences(gold + self.length * lengths + self.tau * noise)
        flipped = random.random(gap.shape) < self.flip
        answers = np.where(gap == 0, 0.5, np.where(flipped, gap < 0, gap > 0))
        return np.where(np.abs(gap) < self.tie, 0.5, answers)


@dataclass(frozen=True)
class HumanCurve:
    """Ties and errs as often as people do at the same gap."""

    scale: float = 1.0  # above 1 the differences are easier to see

    def __post_init__(self) -> None:
        require(self.scale > 0, f"labeler setting scale = {self.scale}: must be above 0")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator) -> Floats:
        """Answers ``(prompts, pairs)``."""
        gap = differences(gold) * human_curve.RATING_SD * self.scale
        return human_curve.answers(gap.ravel(), random).reshape(gap.shape)
