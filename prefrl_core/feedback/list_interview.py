"""Asking by ranked lists: one question after the other, each chosen by the answers before (``lists.py``)."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.interview import Answers, Interview, Opinion, Session
from prefrl_core.feedback.lists import Order, RankedList
from prefrl_core.feedback.queries import QueryStrategy
from prefrl_core.feedback.segments import Pool, Segments

_PARTS = ("features", "true_rewards", "scenes")


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

    def _ask(self, pool: Pool, opinion: Opinion, level: float, turn: int, step: int, first: bool) -> None:
        assert self.members is not None and self.newcomer is not None and pool.turn is not None
        opponent = self.order.opponent(self.random)
        shown = _joined(_joined(pool.segments, self.newcomer), _some(self.members, [opponent]))
        new, old = len(pool.segments), len(pool.segments) + 1
        swapped = bool(self.random.random() < 0.5)
        pairs = np.array([[old, new] if swapped else [new, old]])
        asked = self.comparisons.asked
        numbers = self.comparisons.ask(shown, pairs, step, self.bootstrap)
        self.answers.ask(Session(numbers, pairs, shown, step, level, first, asked), opinion)
        for number, answer in self.answers.hear(turn, step, pool.turn):
            self.comparisons.answer(number, answer)
        self.told.append(opponent)
        self._hear(float(self.comparisons.mu[numbers[0]]), swapped, step, int(numbers[0]))

    def _hear(self, mu: float, swapped: bool, step: int, question: int) -> None:
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
        self._imply(compared, step, question)
        kept = len(self.order.ranks) - 1  # of the members; a turn leaves the last one alone
        held = _some(self.members, range(len(self.members) - kept, len(self.members)))
        self.members = _joined(held, self.newcomer)
        self.newcomer, self.told = None, []

    def _imply(self, compared: NDArray[np.float64], step: int, question: int) -> None:
        """Write down how the newcomer compares with the members that nobody was asked about."""
        assert self.members is not None and self.newcomer is not None
        known = np.flatnonzero(~np.isnan(compared))
        known = known[~np.isin(known, self.told)]
        room = self.lists.pairs * self.comparisons.asked - self.comparisons.implied
        known = self.random.permutation(known)[: max(0, room)]
        pairs = np.stack([np.zeros(len(known), np.int64), 1 + known], axis=1)
        self.comparisons.imply(_joined(self.newcomer, self.members), pairs, compared[known], step, question)

    def get_state(self) -> dict[str, Any]:
        """The list and where the search is."""
        return {
            "order": self.order.get_state(),
            "told": np.array(self.told, np.int64),
            "members": _arrays(self.members),
            "newcomer": _arrays(self.newcomer),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.order.set_state(state["order"])
        self.told = state["told"].tolist()
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
