"""Which pairs to ask about. A strategy is a pure function: asking changes no model, no normaliser and no pool.

The first questions of a run are always drawn uniformly, because an untrained ensemble's opinions say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require

Indices = NDArray[np.int64]
Scores = NDArray[np.float64]
Segments = NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """Pairs that could be asked about, and what is known of them. Nothing in here may be written to."""

    pairs: Indices  # (candidates, 2): indices into ``segments``, never equal
    probabilities: NDArray[np.float32]  # (members, candidates): each member's probability that the left is preferred
    segments: Segments  # (segments, steps, width): raw observations and actions, from the oldest segment to the newest
    # (asked, 2, steps, width): the same of all pairs asked about so far, left and right; of pixels a ``Packed``, from
    # which an index array takes some
    asked: Segments
    # (asked,): the answers to those, 1 left, 0 right, 0.5 tie; NaN where there is none (skipped, or still open)
    answers: Scores = field(default_factory=lambda: np.empty(0))


class QueryStrategy(Protocol):
    """Chooses among candidate pairs. ``needs_ensemble`` (default False) says that one member is not enough,
    ``vectors_only`` (default False) that segments of pixels are beyond it, ``window`` (default: all) that candidates
    are pairs of so many of the newest segments."""

    factor: int  # candidates drawn for each question

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Indices ``(count,)`` of the candidates to ask about, without repeats."""


@dataclass(frozen=True)
class _Strategy:
    """What those of ours that weigh many candidates have in common."""

    factor: int = 10  # candidates drawn for each question
    needs_ensemble: ClassVar[bool] = False
    vectors_only: ClassVar[bool] = False

    def __post_init__(self) -> None:
        require(self.factor >= 1, f"query setting factor = {self.factor}: at least 1")


@dataclass(frozen=True)
class Uniform(_Strategy):
    """Any pair is as good as another."""

    factor: int = 1  # candidates drawn for each question

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """The first ones: candidates come in random order."""
        return np.arange(count)


@dataclass(frozen=True)
class Disagreement(_Strategy):
    """The pairs whose predicted preference varies most across the ensemble (Christiano et al. 2017, section 2.2.4)."""

    needs_ensemble: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those of highest variance; of equal ones the earlier."""
        return _highest(disagreement(candidates), count)


@dataclass(frozen=True)
class Entropy(_Strategy):
    """The pairs whose mean predicted preference is nearest to a coin's: the entropy of the mean over the ensemble
    (uncertainty sampling, Lewis and Gale 1994). What B-Pref calls entropy is ``member_entropy``."""

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those of highest entropy; of equal ones the earlier."""
        return _highest(entropy(candidates), count)


@dataclass(frozen=True)
class MemberEntropy(_Strategy):
    """The pairs that the members are least sure of, each by itself: the mean of their entropies. The code of B-Pref
    (Lee et al. 2021) computes this under the name of entropy."""

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those of highest mean entropy; of equal ones the earlier."""
        return _highest(member_entropy(candidates), count)


@dataclass(frozen=True)
class MutualInformation(_Strategy):
    """The pairs whose answer tells most about which member is right: the entropy of the mean prediction less the mean
    entropy of the predictions (BALD, Houlsby et al. 2011)."""

    needs_ensemble: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those of highest mutual information; of equal ones the earlier."""
        return _highest(mutual_information(candidates), count)


@dataclass(frozen=True)
class KCenter(_Strategy):
    """Pairs unlike each other and unlike those asked before: greedy k-centre (Sener and Savarese 2018)."""

    vectors_only: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those that lie farthest from all chosen ones, one after the other."""
        return _spread(candidates, np.arange(len(candidates.pairs)), count)


@dataclass(frozen=True)
class DisagreementKCenter(_Strategy):
    """k-centre among the half on which the ensemble disagrees most (Lee et al. 2021, B-Pref)."""

    needs_ensemble: ClassVar[bool] = True
    vectors_only: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those far apart among the better half."""
        return _spread_among_half(candidates, disagreement, count)


@dataclass(frozen=True)
class EntropyKCenter(_Strategy):
    """k-centre among the half whose mean prediction has the highest entropy."""

    vectors_only: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those far apart among the better half."""
        return _spread_among_half(candidates, entropy, count)


@dataclass(frozen=True)
class MemberEntropyKCenter(_Strategy):
    """k-centre among the half whose members' entropies have the highest mean (Lee et al. 2021, B-Pref)."""

    vectors_only: ClassVar[bool] = True

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """Those far apart among the better half."""
        return _spread_among_half(candidates, member_entropy, count)


@dataclass(frozen=True)
class NearOnPolicy(_Strategy):
    """Uniform over pairs of segments of the present policy (near on-policy query, Hu et al. 2024, QPA)."""

    factor: int = 1  # candidates drawn for each question
    window: int = 128  # newest segments that count as the present policy's: about two rollouts

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.window >= 2, f"query setting window = {self.window}: at least 2")

    def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> Indices:
        """The first ones: candidates come from the window, in random order."""
        return np.arange(count)


def disagreement(candidates: Candidates) -> Scores:
    """Variance ``(candidates,)`` of the predicted preference across the members."""
    variance: Scores = candidates.probabilities.var(0)
    return variance


def entropy(candidates: Candidates) -> Scores:
    """Entropy ``(candidates,)``, in nats, of the mean predicted preference."""
    return _binary_entropy(candidates.probabilities.mean(0, dtype=np.float64))


def member_entropy(candidates: Candidates) -> Scores:
    """Mean ``(candidates,)`` over the members of the entropy, in nats, of each one's predicted preference."""
    return _binary_entropy(candidates.probabilities.astype(np.float64)).mean(0)


def mutual_information(candidates: Candidates) -> Scores:
    """Mutual information ``(candidates,)``, in nats, between the answer and the member."""
    return entropy(candidates) - member_entropy(candidates)


def _binary_entropy(p: Scores) -> Scores:
    """Of a coin; 0 where it is certain."""
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    return -inside * np.log(inside) - (1 - inside) * np.log1p(-inside)


def _highest(scores: Scores, count: int) -> Indices:
    return np.argsort(-scores, kind="stable")[:count]


def _spread_among_half(candidates: Candidates, score: Callable[[Candidates], Scores], count: int) -> Indices:
    half = max(count, len(candidates.pairs) // 2)
    return _spread(candidates, np.sort(_highest(score(candidates), half)), count)


def _spread(candidates: Candidates, eligible: Indices, count: int) -> Indices:
    """Greedy k-centre among ``eligible`` indices, the pairs asked so far being centres already (the mean of
    all points, while there are none)."""
    points, asked = embed(candidates)
    points = points[eligible]
    distances = np.full(len(points), np.inf)
    for start in range(0, len(asked), 64):
        block = asked[start : start + 64]
        distances = np.minimum(distances, _squared_distances(points, block).min(1))
    if not len(asked):
        distances = _squared_distances(points, points.mean(0)[None])[:, 0]
    chosen = np.empty(count, np.int64)
    for k in range(count):
        chosen[k] = np.argmax(distances)
        distances = np.minimum(distances, _squared_distances(points, points[chosen[k : k + 1]])[:, 0])
        distances[chosen[: k + 1]] = -1.0  # never twice, even where all points coincide
    return eligible[chosen]


def embed(candidates: Candidates) -> tuple[Segments, Segments]:
    """Points ``(candidates, 2 width)`` and ``(asked, 2 width)`` that stand for pairs: each segment's mean features in
    units of their standard deviation over the segments, the mean and the absolute difference of the two. Which side a
    segment is on makes no difference."""
    means = candidates.segments.mean(1)
    center, scale = means.mean(0), means.std(0) + np.float32(1e-6)

    def pair(left: Segments, right: Segments) -> Segments:
        return np.concatenate([(left + right) / 2, np.abs(left - right)], axis=1)

    scaled = (means - center) / scale
    asked = (candidates.asked.mean(2) - center) / scale
    return pair(scaled[candidates.pairs[:, 0]], scaled[candidates.pairs[:, 1]]), pair(asked[:, 0], asked[:, 1])


def _squared_distances(points: Segments, centers: Segments) -> Scores:
    """``(points, centers)``."""
    products = points @ centers.T
    squares = np.vecdot(points, points)[:, None] - 2 * products + np.vecdot(centers, centers)
    return np.maximum(squares, 0).astype(np.float64)


def draw_pairs(segments: int, count: int, random: np.random.Generator) -> Indices:
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
