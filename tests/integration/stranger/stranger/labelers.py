"""One who tires, and one who looks at what the segments show instead of their rewards."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np


@dataclass(frozen=True)
class Tired:
    """Right at first; the more it has answered, the more often it answers anything."""

    patience: float = 100.0  # questions after which two in three answers are still meant

    def answer(self, questions, random):
        left, right = questions.left.sum(1), questions.right.sum(1)
        number = questions.asked + np.arange(len(left))
        asleep = random.random(len(left)) > np.exp(-0.4 * number / self.patience)
        guess = random.random(len(left)) < 0.5
        meant = np.where(left == right, 0.5, left > right)
        return np.where(asleep, guess, meant).astype(float)


@dataclass(frozen=True)
class Watching:
    """Prefers segments in which the cart is near the middle: judges states, as a vision-language model would."""

    close: float = 0.01  # metres of mean distance that count as equal

    judges_states: ClassVar[bool] = True

    def answer(self, questions, random):
        left, right = (-np.abs(side[..., 0]).mean(1) for side in (questions.left_features, questions.right_features))
        return np.where(np.abs(left - right) < self.close, 0.5, left > right).astype(float)
