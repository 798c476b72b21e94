"""Labelers who answer in their own time: what the learner and a desk, at which people sit, say to each other.

A synthetic labeler answers at once. People do not: the learner leaves questions at the desk, goes on, and hears once a
turn of its loop what was answered since. Which answers it heard in which turn is the desk's to remember, because the
same answers heard in the same turns give the same run, to the byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Asked:
    """Questions put at one moment; arrays have a row each. What is true of them is for the report, not for the eye."""

    numbers: NDArray[np.int64]  # (questions,), counted from 0 over the run
    step: int  # environment steps taken so far
    scenes: NDArray[np.float32]  # (questions, 2, steps, scene): what has to be drawn, left then right
    true_returns: NDArray[np.float64]  # (questions, 2)
    predicted: NDArray[np.float64]  # (questions,): the ensemble's probability that the left one is preferred
    catch: NDArray[np.bool_]  # (questions,): chosen because its better side is beyond doubt


class Heard(NamedTuple):
    """News of one question. ``answer``: 1 left, 0 right, 0.5 equally good, NaN cannot tell; None: taken back."""

    number: int
    answer: float | None


class Desk(Protocol):
    """Where people sit. A turn that was heard once always gives the same news again."""

    def ask(self, asked: Asked) -> None:
        """Leave questions; those left already, by the same run before it was cut off, are not left again."""

    def hear(self, turn: int, backlog: int) -> Sequence[Heard]:
        """News since the turn before; waits until no more than ``backlog`` questions are open (-1: until a few are
        answered)."""

    def show(self, step: int, scenes: NDArray[np.float32]) -> None:
        """What the agent does now, ``(steps, scene)``."""


class EmptyDesk:
    """Nobody sits there: for a run that people taught and that is only looked at."""

    def ask(self, asked: Asked) -> None:
        pass

    def hear(self, turn: int, backlog: int) -> Sequence[Heard]:
        return ()

    def show(self, step: int, scenes: NDArray[np.float32]) -> None:
        pass
