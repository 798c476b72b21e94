"""What the laws of a reward model teach and ask it: segments of a known reward, and answers without an error."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bench.conformance.laws import as_bytes
from bench.conformance.subject import Subject
from prefrl_core import frames
from prefrl_core.errors import UserError
from prefrl_core.features import Features, Frames, Vectors
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool, Segments
from prefrl_core.hardware import Hardware
from prefrl_core.reward.protocol import RewardLearner
from prefrl_core.rollout import Turn

_WIDTH, _ENVS = 4, 4
_WANTED = np.array([1.0, -2.0, 0.5, 0.0])  # the true reward is linear in the numbers
_SQUARE = 24  # pixels of a side
_COLUMNS = np.linspace(1.0, -1.0, frames.SIZE)  # the true reward of a picture: how far on the left its light is
_FRESH = 200  # pairs


class Sight(Protocol):
    """What a reward model sees in a lesson."""

    form: Features
    steps: int  # of a segment
    labels: int  # answers
    taught: int  # answers where something has to be learned

    def features(self, random: np.random.Generator, steps: int, envs: int) -> NDArray[Any]:
        """Features ``(steps, envs, *shape)``."""

    def truth(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """The true reward of features ``(..., *shape)``."""


class Numbers:
    """Four numbers a step."""

    form: Features = Vectors(_WIDTH)
    steps, labels, taught = 8, 200, 200

    def features(self, random: np.random.Generator, steps: int, envs: int) -> NDArray[Any]:
        """See ``Sight``."""
        return random.normal(5, 3, (steps, envs, _WIDTH)).astype(np.float32)

    def truth(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """See ``Sight``."""
        return np.asarray(features @ _WANTED)


class Pictures:
    """Frames with a light square, whose place is drawn anew for each."""

    form: Features = Frames(frames.SIZE, frames.SIZE, Hardware(precision="float32"))
    steps, labels, taught = 2, 100, 600

    def features(self, random: np.random.Generator, steps: int, envs: int) -> NDArray[Any]:
        """See ``Sight``."""
        around = steps + frames.STACK - 1, envs
        corners = random.integers(0, frames.SIZE - _SQUARE, (*around, 2, 1))
        inside = np.arange(frames.SIZE) - corners
        lit = ((inside >= 0) & (inside < _SQUARE)).astype(np.uint8)
        shown = 255 * lit[..., 0, :, None] * lit[..., 1, None, :]
        return frames.stacked(shown)

    def truth(self, features: NDArray[Any]) -> NDArray[np.float64]:
        """See ``Sight``."""
        return np.asarray(features[..., -1, :, :].mean(-2) @ _COLUMNS)


class Lesson:
    """A reward model, segments, and answers about them.

    Attributes:
        sight: pictures for a reward model that refuses vectors, else numbers.
        said: everything that it measured and predicted so far.
    """

    def __init__(self, subject: Subject, seed: int = 0, more: int = 1, brief: bool = True) -> None:
        """``more``: times the usual number of answers."""
        part = subject.briefly() if brief else subject.make()
        self.sight, self.model = _seated(part, seed)
        form, steps = self.sight.form, self.sight.steps
        labels = more * self.sight.labels if brief else self.sight.taught
        self.pool = Pool(2 * labels, steps, form)
        self.pool.add(self.segments(2 * labels, 0))
        self.comparisons = Comparisons(labels, steps, form, self.model.bootstraps, self.model.label_buffer)
        pairs = np.arange(2 * labels).reshape(labels, 2)
        self.comparisons.add(self.pool.segments, pairs, answers(self.pool.segments, pairs), 0, np.random.default_rng(9))
        self.said: list[Any] = []

    def segments(self, count: int, seed: int) -> Segments:
        """New segments."""
        clips = np.ascontiguousarray(
            self.sight.features(np.random.default_rng(seed), self.sight.steps, count).swapaxes(0, 1)
        )
        nothing = np.zeros((count, self.sight.steps, 0), np.float32)
        return Segments(self.sight.form.kept(clips), self.sight.truth(clips), nothing)

    def turn(self, number: int = 0) -> Turn:
        """What was acted: ``(steps, envs, *shape)``."""
        features = self.sight.features(np.random.default_rng(500 + number), 32, _ENVS)
        done = np.zeros(features.shape[:2], np.bool_)
        done[[10, 20], [1, 2]] = True
        return Turn((), features, np.zeros(features.shape[:2]), done, np.zeros((*done.shape, 0), np.float32))

    def learn(self, turns: int = 1) -> Lesson:
        """See a turn and fit, so many times."""
        for number in range(turns):
            self.pool.turn = turn = self.turn(number)
            self.model.observe(turn)
            self.said.append(dict(self.model.fit(self.comparisons, self.pool)))
            self.said.append(self.predicted(turn))
        return self

    def predicted(self, turn: Turn) -> NDArray[Any]:
        return np.asarray(self.model.predict(turn.features, turn.done))

    def preferences(self, held: Segments, pairs: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self.model.preferences(held.features, pairs))

    def accuracy(self) -> float:
        """Share of fresh pairs whose better segment it prefers."""
        fresh, pairs = self.segments(2 * _FRESH, 77), np.arange(2 * _FRESH).reshape(_FRESH, 2)
        return float(np.mean((self.preferences(fresh, pairs).mean(0) > 0.5) == (answers(fresh, pairs) > 0.5)))

    def everything(self) -> bytes:
        return as_bytes([self.said, self.model.get_state()])


def _seated(part: Any, seed: int) -> tuple[Sight, RewardLearner]:
    """A model of the part, and what it can see.

    Raises:
        UserError: it can be made for neither form.
    """
    try:
        return Numbers(), part.make(Numbers.form, seed, Numbers.steps)
    except UserError as error:
        if "pixels" not in str(error):
            raise
    return Pictures(), part.make(Pictures.form, seed, Pictures.steps)


def sees_pixels_alone(part: Any) -> bool:
    """Whether a reward model refuses vectors."""
    return isinstance(_seated(part, 0)[0], Pictures)


def answers(held: Segments, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Which side is better, without an error."""
    returns = held.true_rewards.sum(1)[pairs]
    return (returns[:, 0] > returns[:, 1]).astype(np.float64)
