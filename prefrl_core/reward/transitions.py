"""Transitions that a reward model keeps to learn the dynamics from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.rollout import Turn


def transitions(turn: Turn, observed: int) -> NDArray[np.float32]:
    """``(transitions, width + observed)``: the features of each step of a turn and the observation that followed in the
    same episode; a turn's last steps, and those that end episodes, are left out."""
    pairs = np.concatenate([turn.features[:-1], turn.features[1:, :, :observed]], axis=2)
    return np.asarray(pairs[~turn.done[:-1]], np.float32)


class Sample:
    """At most ``capacity`` rows, at any time a uniform sample of all that were added (Vitter 1985, algorithm R)."""

    def __init__(self, capacity: int, width: int, seed: int) -> None:
        self.rows, self.seen = np.zeros((capacity, width), np.float32), 0
        self.begin(seed)

    def begin(self, seed: int) -> None:
        """Draw what is kept anew."""
        self.keeping = seeding.generator(seed, "reward transitions")

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take in rows ``(rows, width)``, copied."""
        number = self.seen + np.arange(len(rows))
        places = np.where(number < len(self.rows), number, self.keeping.integers(0, number + 1))
        kept = places < len(self.rows)
        self.rows[places[kept]] = rows[kept]
        self.seen += len(rows)

    def draw(self, count: int, random: np.random.Generator) -> NDArray[np.float32]:
        """``count`` rows, with repeats."""
        return self.rows[random.integers(0, min(self.seen, len(self.rows)), count)]

    def get_state(self) -> dict[str, Any]:
        """Copies of everything."""
        held = self.rows[: min(self.seen, len(self.rows))].copy()
        return {"rows": held, "seen": self.seen, "keeping": seeding.state_of(self.keeping)}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.seen = state["seen"]
        self.rows[: len(state["rows"])] = state["rows"]
        seeding.restore(self.keeping, state["keeping"])
