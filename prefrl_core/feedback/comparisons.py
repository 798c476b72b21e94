"""Everything that was asked: the two segments themselves, the answer, and who may learn from it.

The bootstrap is fixed at the moment of asking: each member draws once how often it will see a label, from Poisson(1),
the limit of |D| draws with replacement from |D| labels (Oza and Russell 2001). A fresh bootstrap at each fit would show
every member every label in the end, and their disagreement would fade. On average 1/e of the labels are left out of
a member's bootstrap; they are its validation data. Pairs of a ranked list have segments in common, so there it is drawn
who sees which segment (``list_interview.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.features import Features
from prefrl_core.feedback.segments import Segments

_ARRAYS = ("true_returns", "mu", "step_asked", "multiplicity")


class Comparisons:
    """Questions asked so far, at most ``budget``. A skipped question has ``mu`` NaN: it counts, but is not used.
    The same holds for an open one, which people have not answered yet.

    With ``newest``, the segments of no more questions than that are kept; of older ones only the answers. ``known``
    comparisons, recorded before the run, come first: they are used like the others, but do not count as labels. Nor do
    those that follow from a list of segments (``imply``), of which there may be ``implied``.
    """

    def __init__(
        self,
        budget: int,
        length: int,
        features: Features,
        members: int,
        newest: int = 0,
        known: int = 0,
        implied: int = 0,
    ) -> None:
        self.count = 0
        self.known = known
        self.open: set[int] = set()
        self._form, self._length = features, length
        budget += implied
        self._implied = np.zeros(budget + known, np.bool_)
        self._implies = implied > 0
        self._kept = min(budget + known, newest or budget + known)
        self._features = features.store(self._kept, length)  # question i has place i % kept
        self._true_returns = np.empty((budget + known, 2))
        self._mu = np.empty(budget + known)
        self._step_asked = np.empty(budget + known, np.int64)
        self._multiplicity = np.empty((budget + known, members), np.int64)

    features = property(
        lambda self: self._features[: self.count],
        doc="``(kept, 2, steps, width)``, left then right, in no order once some were dropped; of pixels their "
        "frames, in a ``Packed``.",
    )
    kept_mu = property(
        lambda self: self._mu[self._questions_kept()], doc="``(kept,)``: the answer to each question of ``features``."
    )
    true_returns = property(lambda self: self._true_returns[: self.count], doc="``(asked, 2)``, undiscounted sums.")
    mu = property(lambda self: self._mu[: self.count], doc="``(asked,)``: 1 left, 0 right, 0.5 tie, NaN skipped.")
    step_asked = property(lambda self: self._step_asked[: self.count], doc="``(asked,)`` in environment steps.")
    multiplicity = property(lambda self: self._multiplicity[: self.count], doc="``(asked, members)``.")

    def _questions_kept(self) -> NDArray[np.int64]:
        """The number of the question in each place of ``features``."""
        places = np.arange(min(self.count, self._kept))
        return places + (self.count - 1 - places) // max(1, self._kept) * self._kept

    @property
    def members(self) -> int:
        """Of the reward model, each with a bootstrap of its own."""
        return self._multiplicity.shape[1]

    @property
    def asked(self) -> int:
        """Questions that this run put."""
        return self.count - self.known - self.implied

    @property
    def implied(self) -> int:
        """Comparisons that follow from others, about which nobody was asked."""
        return int(np.count_nonzero(self._implied[: self.count]))

    @property
    def complete(self) -> bool:
        """The budget is used up."""
        return self.count == len(self._mu)

    @property
    def unanswered(self) -> bool:
        """None of this run's questions was answered or skipped yet."""
        return self.asked == len(self.open)

    @property
    def answered(self) -> bool:
        """One of this run's questions was answered; skipping it is no answer."""
        return bool(np.isfinite(self.mu[self.known :]).any())

    def bootstrap(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """``(count, members)``: how often each member draws each of so many."""
        return random.poisson(1.0, (count, self.members))

    def ask(
        self, pool: Segments, pairs: NDArray[np.int64], step: int, multiplicity: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Record questions about the pairs ``(asked, 2)`` of indices into ``pool``, open until they are answered, and
        of whose ``bootstrap`` they are ``(asked, members)``; returns their numbers ``(asked,)``."""
        numbers = np.arange(self.count, self.count + len(pairs))
        self._put(pool, pairs, np.full(len(pairs), np.nan), step, multiplicity)
        self.open.update(numbers.tolist())
        return numbers

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
        self._put(pool, pairs, mu, step, self.bootstrap(len(pairs), random))

    def imply(
        self,
        pool: Segments,
        pairs: NDArray[np.int64],
        mu: NDArray[np.float64],
        step: int,
        multiplicity: NDArray[np.int64],
    ) -> None:
        """Record what follows from answers, and of whose ``bootstrap`` it is ``(pairs, members)``."""
        self._put(pool, pairs, mu, step, multiplicity)
        self._implied[self.count - len(pairs) : self.count] = True

    def _put(
        self,
        pool: Segments,
        pairs: NDArray[np.int64],
        mu: NDArray[np.float64],
        step: int,
        multiplicity: NDArray[np.int64],
    ) -> None:
        span = slice(self.count, self.count + len(pairs))
        if span.stop > len(self._mu):
            raise ValueError(f"{span.stop} labels exceed the budget of {len(self._mu)}")
        if not np.all(np.isnan(mu) | ((mu >= 0) & (mu <= 1))):
            raise ValueError("an answer is 1 (left), 0 (right), between for a tie, or NaN for none")
        for place, pair in zip(range(span.start, span.stop), pairs, strict=True):
            self._features[place % self._kept] = pool.features[pair]
        self._true_returns[span] = pool.true_rewards.sum(1)[pairs]
        self._mu[span], self._step_asked[span], self._multiplicity[span] = mu, step, multiplicity
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
        """Memory of one question, of frames the mean of those held."""
        numbers = (self._true_returns, self._mu, self._step_asked, self._multiplicity)
        held = self.features if self.count else self._features
        return -(-held.nbytes // max(1, len(held))) + sum(array[:1].nbytes for array in numbers)

    def answer(self, question: int, mu: float | None) -> None:
        """The answer to a question that was asked, or another answer to it; None takes one back: it is open again.

        Raises:
            ValueError: the question was not asked, or an answer is not in [0, 1] or NaN.
        """
        if not 0 <= question < self.count:
            raise ValueError(f"question {question} was not asked: there are {self.count}")
        if not (mu is None or np.isnan(mu) or 0 <= mu <= 1):
            raise ValueError(f"an answer of {mu}")
        (self.open.add if mu is None else self.open.discard)(question)
        self._mu[question] = np.nan if mu is None else mu

    def bag(self, member: int) -> NDArray[np.int64]:
        """Indices of the answered questions in a member's bootstrap, repeated as often as it drew them."""
        return np.repeat(np.arange(self.count), self.multiplicity[:, member] * self._teaching)

    def newest_answered(self, most: int) -> NDArray[np.int64]:
        """Indices of the newest answered questions, at most so many, oldest first."""
        return np.flatnonzero(self._teaching)[-most:]

    def left_out(self, member: int) -> NDArray[np.int64]:
        """Indices of the answered questions outside a member's bootstrap."""
        return np.flatnonzero((self.multiplicity[:, member] == 0) & self._teaching)

    def rows(self, most: int) -> NDArray[Any]:
        """At most ``most`` single steps ``(rows, *shape)`` of the compared segments, evenly spread over all of them."""
        shape = (min(self.count, self._kept), 2, self._length)
        # not every k-th: k may divide the segment's length, and all rows would be of one place in it
        total = int(np.prod(shape))
        spread = np.linspace(0, total - 1, min(most, total)).astype(np.int64)
        return self._form.single(self._features, np.unravel_index(spread, shape))

    def account(self) -> dict[str, int]:
        """Questions asked (and paid for) as ``labels``, and of those answered, tied and skipped."""
        mu = self.mu[self.known :][~self._implied[self.known : self.count]]
        without, ties = int(np.isnan(mu).sum()), int((mu == 0.5).sum())
        skipped = without - len(self.open)
        return {"labels": self.asked, "answered": self.asked - without, "ties": ties, "skipped": skipped}

    @property
    def informative(self) -> bool:
        """There is an answer to learn from."""
        return not bool(np.isnan(self.mu).all())

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that this run asked, or the newest of it where the segments of no others are kept, as copies and without
        what follows from it; the frames of pixels compressed."""
        which = places = self._questions if self._implies else np.arange(self.known, self.count)
        if self.count > self._kept:
            which = np.sort(self._questions_kept())
            places = which % self._kept
        packed = self._form.pack(self.features, places)
        if isinstance(packed, dict):
            return {**self._numbers(which), "frames": packed["packed"], "frames_shape": packed["shape"]}
        return {"features": packed, **self._numbers(which)}

    @property
    def _questions(self) -> NDArray[np.int64]:
        """Numbers of the questions that this run put."""
        return self.known + np.flatnonzero(~self._implied[self.known : self.count])

    def get_state(self) -> dict[str, Any]:
        """Everything, known comparisons and open questions among it."""
        opened = np.array(sorted(self.open), np.int64)
        implied = {"implied": self._implied[: self.count].copy()} if self._implies else {}
        return {**self._form.saved(self.features), **self._numbers(slice(None)), "open": opened, **implied}

    def _numbers(self, which: Any) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name)[which].copy() for name in _ARRAYS}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``, and of ``arrays`` where nothing was known before the run."""
        self.count = len(state["mu"])
        self._form.restore(self.features, state)
        for name in _ARRAYS:
            getattr(self, name)[:] = state[name]
        self.open = set(state["open"].tolist()) if "open" in state else set()
        self._implied[: self.count] = state.get("implied", False)
