"""Asking by ranked lists: one question after the other, each chosen by the answers before (``lists.py``).

Pairs of a list have segments in common, and what is known of one pair follows from others. So each member of the reward
model draws which segments it sees, and learns from pairs of which it sees both. A pair that is held out has a segment
that the member has never seen. How often a member draws a pair is Poisson(1), as of any other question.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.interview import Answers, Interview, Opinion, Session
from prefrl_core.feedback.lists import Order, RankedList
from prefrl_core.feedback.queries import QueryStrategy
from prefrl_core.feedback.segments import Pool, Segments

_PARTS = ("features", "true_rewards", "scenes")
_PAIR_SEEN = 1 - np.exp(-1)  # of Poisson(1), the probability of at least 1


class ListInterview(Interview):
    """Keeps the list, its segments, and the newcomer that has no place yet."""

    def __init__(
        self,
        strategy: RankedList,
        answers: Answers,
        comparisons: Comparisons,
        random: np.random.Generator,
        bootstrap: np.random.Generator,
    ) -> None:
        super().__init__(cast(QueryStrategy, strategy), answers, comparisons, random, bootstrap)
        self.lists = strategy
        self.order: Order = strategy.order()
        self.members: Segments | None = None  # of the list
        self.newcomer: Segments | None = None  # one segment
        self.salt = int(bootstrap.integers(2**32))  # by which reward members see segments
        self.told: list[int] = []  # members that the newcomer was compared with

    def hold(self, count: int, pool: Pool, opinion: Opinion, level: float, turn: int, step: int) -> None:
        """Ask ``count`` questions, fewer where the pool has no segment that is not in the list."""
        first = self.comparisons.unanswered
        for _ in range(max(0, count)):
            if not self._ready(pool.segments):
                return
            self._ask(pool, opinion, level, turn, step, first)

    def _ready(self, pool: Segments) -> bool:
        """There is a list and a newcomer, drawn from the pool where they are needed."""
        if self.newcomer is None and self.order.asked >= self.lists.questions:
            self.order, self.members = self.lists.order(), None
        if self.members is None:
            self.members = self._draw(pool)
        if self.newcomer is None:
            self.newcomer = self._draw(pool)
        return self.members is not None and self.newcomer is not None

    def _draw(self, pool: Segments) -> Segments | None:
        """A segment that is not in the list yet, copied; None if there is none."""
        for place in self.random.permutation(len(pool)):
            seen = () if self.members is None else self.members.features
            if not any(np.array_equal(pool.features[place], one) for one in seen):
                return _some(pool, [int(place)])
        return None

    def _seen(self, segments: Segments) -> NDArray[np.bool_]:
        """``(segments, members)``: which reward members see them, by their content: a segment may come again."""
        drawn = np.empty((len(segments), self.comparisons.members))
        for row, one in zip(drawn, segments.features, strict=True):
            seeding.generator(self.salt, one.tobytes().hex()).random(out=row)
        return drawn < np.sqrt(_PAIR_SEEN)

    def _multiplicity(self, opponents: Any) -> NDArray[np.int64]:
        """``(pairs, members)``: how often each reward member draws the newcomer's pairs with some of the list."""
        assert self.members is not None and self.newcomer is not None
        seen = self._seen(self.newcomer) & self._seen(_some(self.members, opponents))
        # of those that see a pair, Poisson(1) given that it is not 0: a first event before time 1, and those after it
        first = -np.log1p(-_PAIR_SEEN * self.bootstrap.random(seen.shape))
        return np.where(seen, 1 + self.bootstrap.poisson(1 - first), 0)

    def _ask(self, pool: Pool, opinion: Opinion, level: float, turn: int, step: int, first: bool) -> None:
        assert self.members is not None and self.newcomer is not None and pool.turn is not None
        opponent = self.order.opponent(self.random)
        shown = _joined(_joined(pool.segments, self.newcomer), _some(self.members, [opponent]))
        new, old = len(pool.segments), len(pool.segments) + 1
        swapped = bool(self.random.random() < 0.5)
        pairs = np.array([[old, new] if swapped else [new, old]])
        asked = self.comparisons.asked
        numbers = self.comparisons.ask(shown, pairs, step, self._multiplicity([opponent]))
        self.answers.ask(Session(numbers, pairs, shown, step, level, first, asked), opinion)
        for number, answer in self.answers.hear(turn, step, pool.turn, False):
            self.comparisons.answer(number, answer)
        self.told.append(opponent)
        self._hear(float(self.comparisons.mu[numbers[0]]), swapped, step)

    def _hear(self, mu: float, swapped: bool, step: int) -> None:
        """Take in an answer; one that is skipped leaves the newcomer out."""
        assert self.members is not None and self.newcomer is not None
        if np.isnan(mu):
            self.order.asked += 1
            self.order.give_up()
            self.newcomer, self.told = None, []
            return
        compared = self.order.hear(1 - mu if swapped else mu)
        if compared is None:
            return
        self._imply(compared, step)
        kept = len(self.order.ranks) - 1  # of the members; a turn leaves the last one alone
        held = _some(self.members, range(len(self.members) - kept, len(self.members)))
        self.members = _joined(held, self.newcomer)
        self.newcomer, self.told = None, []

    def _imply(self, compared: NDArray[np.float64], step: int) -> None:
        """Write down how the newcomer compares with the members that nobody was asked about."""
        assert self.members is not None and self.newcomer is not None
        known = np.flatnonzero(~np.isnan(compared))
        known = known[~np.isin(known, self.told)]
        room = self.lists.pairs * self.comparisons.asked - self.comparisons.implied
        known = self.random.permutation(known)[: max(0, room)]
        pairs = np.stack([np.zeros(len(known), np.int64), 1 + known], axis=1)
        shown, drawn = _joined(self.newcomer, self.members), self._multiplicity(known)
        self.comparisons.imply(shown, pairs, compared[known], step, drawn)

    def get_state(self) -> dict[str, Any]:
        """The list and where the search is."""
        return {
            "order": self.order.get_state(),
            "told": np.array(self.told, np.int64),
            "salt": self.salt,
            "members": _arrays(self.members),
            "newcomer": _arrays(self.newcomer),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.order.set_state(state["order"])
        self.told = state["told"].tolist()
        self.salt = int(state["salt"])
        self.members, self.newcomer = (
            Segments(**{part: state[name][part].copy() for part in _PARTS}) if state[name] else None
            for name in ("members", "newcomer")
        )


def _some(segments: Segments, places: Any) -> Segments:
    """Some of them, copied."""
    chosen = np.asarray(list(places), np.int64)
    return Segments(*(getattr(segments, part)[chosen] for part in _PARTS))


def _joined(one: Segments, other: Segments) -> Segments:
    return Segments(*(np.concatenate([getattr(one, part), getattr(other, part)]) for part in _PARTS))


def _arrays(segments: Segments | None) -> dict[str, NDArray[Any]]:
    return {} if segments is None else {part: getattr(segments, part).copy() for part in _PARTS}
