"""Everything that was asked: the two segments themselves, the answer, and who may learn from it.

The bootstrap is fixed at the moment of asking: each member draws once how often it will see a label, from Poisson(1),
the limit of |D| draws with replacement from |D| labels (Oza and Russell 2001). A fresh bootstrap at each fit would show
every member every label in the end, and their disagreement would fade. On average 1/e of the labels are left out of
a member's bootstrap; they are its validation data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import frames
from prefrl_core.feedback.segments import Segments, Width, empty

_ARRAYS = ("features", "true_returns", "mu", "step_asked", "multiplicity")


class Comparisons:
    """Questions asked so far, at most ``budget``. A skipped question has ``mu`` NaN: it counts, but teaches nothing.

    With ``newest``, the segments of no more questions than that are kept; of older ones only the answers.
    """

    def __init__(self, budget: int, length: int, width: Width, members: int, newest: int = 0) -> None:
        self.count = 0
        self._kept = min(budget, newest or budget)
        room = empty(2 * self._kept, length, width)
        self._features = room.reshape(self._kept, 2, *room.shape[1:])  # question i has place i % kept
        self._of_pixels = isinstance(width, tuple)
        self._true_returns = np.empty((budget, 2))
        self._mu = np.empty(budget)
        self._step_asked = np.empty(budget, np.int64)
        self._multiplicity = np.empty((budget, members), np.int64)

    features = property(
        lambda self: self._features[: self.count],
        doc="``(kept, 2, steps, width)``, left then right, of pixels their frames; in no order once some were dropped.",
    )
    true_returns = property(lambda self: self._true_returns[: self.count], doc="``(asked, 2)``, undiscounted sums.")
    mu = property(lambda self: self._mu[: self.count], doc="``(asked,)``: 1 left, 0 right, 0.5 tie, NaN skipped.")
    step_asked = property(lambda self: self._step_asked[: self.count], doc="``(asked,)`` in environment steps.")
    multiplicity = property(lambda self: self._multiplicity[: self.count], doc="``(asked, members)``.")

    def add(
        self,
        pool: Segments,
        pairs: NDArray[np.int64],
        mu: NDArray[np.float64],
        step: int,
        random: np.random.Generator,
    ) -> None:
        """Record answers ``mu`` to the pairs ``(asked, 2)`` of indices into ``pool``; the segments are copied.

        Raises:
            ValueError: more answers than the budget, or an answer that is not in [0, 1] or NaN.
        """
        span = slice(self.count, self.count + len(pairs))
        if span.stop > len(self._mu):
            raise ValueError(f"{span.stop} labels exceed the budget of {len(self._mu)}")
        if not np.all(np.isnan(mu) | ((mu >= 0) & (mu <= 1))):
            raise ValueError("an answer is 1 (left), 0 (right), between for a tie, or NaN for none")
        for place, pair in zip(range(span.start, span.stop), pairs, strict=True):
            self._features[place % self._kept] = pool.features[pair]
        self._true_returns[span] = pool.true_rewards.sum(1)[pairs]
        self._mu[span], self._step_asked[span] = mu, step
        self._multiplicity[span] = random.poisson(1.0, (len(pairs), self._multiplicity.shape[1]))
        self.count = span.stop

    def take(self, questions: NDArray[np.int64]) -> NDArray[Any]:
        """Features of some questions, copied; they must not be older than the newest that are kept."""
        taken: NDArray[Any] = self._features[questions % self._kept]
        return taken

    @property
    def _teaching(self) -> NDArray[np.bool_]:
        """``(asked,)``: answered, and its segments are still there."""
        teaching: NDArray[np.bool_] = ~np.isnan(self.mu)
        teaching[: max(0, self.count - self._kept)] = False
        return teaching

    @property
    def bytes_each(self) -> int:
        """Memory of one question."""
        numbers = (self._true_returns, self._mu, self._step_asked, self._multiplicity)
        return sum(array[:1].nbytes for array in (self._features, *numbers))

    def answer(self, question: int, mu: float) -> None:
        """The answer to a question that was added without one, or another answer to it.

        Raises:
            ValueError: the question was not asked, or an answer is not in [0, 1] or NaN.
        """
        if not 0 <= question < self.count:
            raise ValueError(f"question {question} was not asked: there are {self.count}")
        if not (np.isnan(mu) or 0 <= mu <= 1):
            raise ValueError(f"an answer of {mu}")
        self._mu[question] = mu

    def bag(self, member: int) -> NDArray[np.int64]:
        """Indices of the answered questions in a member's bootstrap, repeated as often as it drew them."""
        return np.repeat(np.arange(self.count), self.multiplicity[:, member] * self._teaching)

    def left_out(self, member: int) -> NDArray[np.int64]:
        """Indices of the answered questions outside a member's bootstrap."""
        return np.flatnonzero((self.multiplicity[:, member] == 0) & self._teaching)

    def rows(self, most: int) -> NDArray[Any]:
        """At most ``most`` single steps ``(rows, width)`` of the compared segments, evenly spread over all of them; of
        pixels ``(rows, STACK, height, width)``."""
        clips = frames.clips(self.features) if self._of_pixels else self.features
        # not every k-th: k may divide the segment's length, and all rows would be of one place in it
        total = clips.shape[0] * clips.shape[1] * clips.shape[2]
        spread = np.linspace(0, total - 1, min(most, total)).astype(np.int64)
        rows: NDArray[Any] = clips[np.unravel_index(spread, clips.shape[:3])]
        return rows

    def account(self) -> dict[str, int]:
        """Questions asked (and paid for) as ``labels``, and of those answered, tied and skipped."""
        skipped, ties = int(np.isnan(self.mu).sum()), int((self.mu == 0.5).sum())
        return {"labels": self.count, "answered": self.count - skipped, "ties": ties, "skipped": skipped}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that was recorded, as copies; the frames of pixels compressed."""
        arrays = {name: getattr(self, name).copy() for name in _ARRAYS if not (self._of_pixels and name == "features")}
        if self._of_pixels:
            packed = frames.pack(self.features)
            arrays |= {"frames": packed["packed"], "frames_shape": packed["shape"]}
        return arrays

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """The reverse of ``arrays``."""
        self.count = len(arrays["mu"])
        if self._of_pixels:
            arrays = {
                **arrays,
                "features": frames.unpack({"packed": arrays["frames"], "shape": arrays["frames_shape"]}),
            }
        for name in _ARRAYS:
            getattr(self, name)[:] = arrays[name]
