"""Ranked lists: one answer that teaches about many pairs.

A new segment is compared with one of a list after the other until its place is known; then it is known how it compares
with every other in the list. These implied pairs teach like answers. Nobody is asked about them, and nothing is paid:
``labels`` counts questions alone. ``ranked_list`` finds the place by binary search (Choi et al. 2024, LiRE, section 4),
``sequential_list`` compares with the segment before, or with the best so far (Hwang et al. 2023, SeqRank, section 4).

Both papers let a list grow over a fixed set of trajectories. Here its segments come from the policy as it learns, and a
list goes on over the turns. A wrong answer puts a segment into a wrong place, so it costs more than one pair.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import require
from prefrl_core.feedback.queries import Uniform

Ranks = NDArray[np.int64]
_NUMBERS = ("asked", "low", "high", "last", "direction")


class Order:
    """The list that is being made: a rank for each member, equal where two are as good, higher where one is better."""

    def __init__(self) -> None:
        self.ranks: Ranks = np.zeros(1, np.int64)  # a list begins with one segment, for nothing
        self.asked = 0  # questions about this list
        self.low, self.high = 0, 1  # the ranks between which the newcomer's place lies
        self.last, self.direction = 0, 0  # the member compared with last; where the list goes: up, down, not known

    def opponent(self, random: np.random.Generator) -> int:
        """The member that the newcomer is compared with next."""
        raise NotImplementedError

    def hear(self, mu: float) -> NDArray[np.float64] | None:
        """Take in whether the newcomer was preferred: 1, 0, 0.5 for a tie.

        Returns:
            Once its place is known, how it compares with each member ``(members,)``, NaN where that is not known; it is
            a member then, the last one. None as long as there is more to ask.
        """
        raise NotImplementedError

    def join(self, rank: int) -> NDArray[np.float64]:
        """Make the newcomer a member; returns how it compares with the others."""
        compared = 0.5 + 0.5 * np.sign(rank - self.ranks)
        self.ranks = np.append(self.ranks, rank)
        return compared

    def give_up(self) -> None:
        """The newcomer could not be compared: it does not join."""
        self.low, self.high = 0, int(self.ranks.max()) + 1

    def get_state(self) -> dict[str, Any]:
        """Copies of everything."""
        return {"ranks": self.ranks.copy(), **{name: getattr(self, name) for name in _NUMBERS}}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.ranks = state["ranks"].copy()
        for name in _NUMBERS:
            setattr(self, name, state[name])


class Insertion(Order):
    """Ranks are 0, 1, ... from the worst; a binary search finds the newcomer's, a tie ends it."""

    def opponent(self, random: np.random.Generator) -> int:
        """Any member of the middle rank."""
        return int(random.choice(np.flatnonzero(self.ranks == (self.low + self.high) // 2)))

    def hear(self, mu: float) -> NDArray[np.float64] | None:
        """See ``Order``."""
        self.asked += 1
        middle, tie = (self.low + self.high) // 2, mu == 0.5
        if mu > 0.5:
            self.low = middle + 1
        elif mu < 0.5:
            self.high = middle
        if self.low < self.high and not tie:
            return None
        rank = middle if tie else self.low
        if not tie:
            self.ranks[self.ranks >= rank] += 1  # room for a rank of its own
        compared = self.join(rank)
        self.low, self.high = 0, int(self.ranks.max()) + 1
        return compared


class Sequence(Order):
    """A run of segments that get better, or that get worse; a turn begins a new one with the last two."""

    def opponent(self, random: np.random.Generator) -> int:
        """The last."""
        return len(self.ranks) - 1

    def hear(self, mu: float) -> NDArray[np.float64] | None:
        """See ``Order``; of those before the turn nothing is known."""
        self.asked += 1
        step = int(np.sign(mu - 0.5))
        if self.direction * step >= 0:
            self.direction = self.direction or step
            return self.join(int(self.ranks[-1]) + step)
        self.direction, self.asked = step, 1
        before = np.full(len(self.ranks) - 1, np.nan)
        self.ranks = self.ranks[-1:]
        return np.concatenate([before, self.join(int(self.ranks[0]) + step)])


class Root(Order):
    """All members are at most as good as the root, the best so far."""

    def opponent(self, random: np.random.Generator) -> int:
        """The root."""
        return int(self.ranks.argmax())

    def hear(self, mu: float) -> NDArray[np.float64] | None:
        """See ``Order``; how a worse one compares with the others is not known."""
        self.asked += 1
        root, step = int(self.ranks.argmax()), int(np.sign(mu - 0.5))
        compared = self.join(int(self.ranks[root]) + step)
        if step < 0:
            compared = np.where(np.arange(len(compared)) == root, 0.0, np.nan)
        return compared


@dataclass(frozen=True)
class RankedList(Uniform):
    """New segments are sorted into a list by binary search; every pair of the list teaches (LiRE)."""

    questions: int = 100  # number of questions after which a new list begins
    pairs: int = 10  # most implied pairs that are used for each question; of more, this number is drawn
    ranks: ClassVar[bool] = True
    vectors_only: ClassVar[bool] = True
    revision: ClassVar[int] = 2  # pairs that are held out have a segment that was never seen

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self.factor == type(self).factor,
            f"query setting factor = {self.factor}: a list draws no candidates; leave it out",
        )
        require(self.questions >= 1, f"query setting questions = {self.questions}: at least 1")
        require(self.pairs >= 0, f"query setting pairs = {self.pairs}: at least 0")

    def order(self) -> Order:
        """A list of one segment."""
        return Insertion()


@dataclass(frozen=True)
class SequentialList(RankedList):
    """A new segment is compared with the one before; every pair of a run in one direction teaches (SeqRank)."""

    root: bool = False  # compare with the best segment so far instead

    def order(self) -> Order:
        """A list of one segment."""
        return Root() if self.root else Sequence()
