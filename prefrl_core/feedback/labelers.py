"""Who answers: synthetic labelers that know the true reward (B-Pref's teachers, Lee et al. 2021, section 4.1); people.

An answer is 1 (the left segment is better), 0 (the right), 0.5 (equally good) or NaN (cannot tell: skipped).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError, require
from prefrl_core.feedback import human_curve
from prefrl_core.preference import preference
from prefrl_core.settings import later


@dataclass(frozen=True)
class Questions:
    """The questions of one session, and what a program that answers them is shown. Nothing in here may be written to.

    A session is all that is asked at one moment, after a turn of the loop. A labeler keeps no state of its own: what
    changes with the run, tiredness for example, follows from ``asked`` and ``step``.
    """

    left: NDArray[np.float64]  # (questions, steps): true rewards
    right: NDArray[np.float64]  # (questions, steps): true rewards
    level: float  # true reward a step, averaged over the last ten episodes; scales the adaptive thresholds
    first_session: bool  # no question was asked before this session
    asked: int = 0  # questions of this run before these, so that question i is number ``asked + i``
    step: int = 0  # environment steps that the run has taken
    spread: float = 1.0  # standard deviation of the true returns of ``segments``
    # (segments, steps, width): raw features of all segments that could be asked about; of pixels their frames
    segments: NDArray[Any] = field(default_factory=lambda: np.empty((0, 0, 0), np.float32))
    # (questions, 2): indices into ``segments``, left and right
    pairs: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), np.int64))

    @property
    def left_features(self) -> NDArray[Any]:
        """``(questions, steps, width)`` float32: what the left segments show, raw observations followed by executed
        actions (a discrete one as a unit vector). Of pixels the frames ``(questions, frames, height, width)`` uint8."""
        return np.asarray(self.segments[self.pairs[:, 0]])

    @property
    def right_features(self) -> NDArray[Any]:
        """The same of the right segments."""
        return np.asarray(self.segments[self.pairs[:, 1]])


class Labeler(Protocol):
    """Answers questions. One that offers ``probabilities(questions)``, of the left where it decides, is held to it by
    ``prefrl validate``. ``judges_states = True`` says that it goes by what the segments show, not by their rewards."""

    def answer(self, questions: Questions, random: np.random.Generator) -> NDArray[np.float64]:
        """An answer ``(questions,)`` to each: 1 for the left, 0 for the right, 0.5 for a tie, NaN to skip. A pure
        function of its two arguments."""


@dataclass(frozen=True)
class Teacher:
    """All of B-Pref's imperfections, freely combined, in the order of its code: skip, equal, stochastic or myopic
    choice, mistake; equal overrides a mistake.

    Thresholds adapt to the policy: ``d = level * steps * epsilon``, multiplied in the order of B-Pref's code. A pair of
    poor segments (both returns at most ``d_skip``) is skipped, and one of returns closer than ``d_equal`` is a tie.
    Where returns are negative on average both thresholds are, as in the published code, and neither takes effect.
    """

    rationality: float = -1.0  # beta of the Bradley-Terry choice; -1 stands for infinite: always the better one
    discount: float = 1.0  # gamma: weight gamma^(H-1-t) of step t, so below 1 later steps count more
    mistake: float = 0.0  # probability of the opposite answer
    skip: float = 0.0  # epsilon of d_skip
    equal: float = 0.0  # epsilon of d_equal
    # The published code multiplies by epsilon once in the first session and twice in later ones, and takes a tie of
    # returns for a preference of the left. True reproduces that; False is the paper's formula with a tie as 0.5.
    bpref_code: bool = False
    # Rationality counts per standard deviation of the true returns of the segments that could be asked about, not per
    # unit of return. Where returns are normal, 1.18 then names the better side three times in four, on every task.
    per_spread: bool = later(False)

    def __post_init__(self) -> None:
        if not 0 <= self.mistake <= 1:
            raise UserError(f"labeler setting mistake = {self.mistake}: a probability is in [0, 1]")
        if not 0 < self.discount <= 1:
            raise UserError(f"labeler setting discount = {self.discount}: in (0, 1]")
        if not (self.rationality == -1 or self.rationality > 0) or self.skip < 0 or self.equal < 0:
            raise UserError("labeler settings: rationality is above 0 or -1, skip and equal are at least 0")

    def answer(self, questions: Questions, random: np.random.Generator) -> NDArray[np.float64]:
        """An answer ``(questions,)`` to each."""
        left, right = questions.left.sum(1), questions.right.sum(1)
        mu = self._prefer(questions, random)
        mu = np.where(random.random(len(mu)) < self.mistake, 1 - mu, mu)
        mu[np.abs(left - right) < self._threshold(self.equal, questions)] = 0.5
        if (threshold := self._threshold(self.skip, questions)) > 0:
            mu[np.maximum(left, right) <= threshold] = np.nan
        return mu

    def probabilities(self, questions: Questions) -> NDArray[np.float64]:
        """The probability ``(questions,)`` that the left is preferred, given that one of the two is."""
        left, right = self._weighed(questions)
        if self.rationality > 0:
            beta = self._beta(questions)
            p = np.asarray(preference(beta * left, beta * right), np.float64)
        else:
            p = np.where(left == right, 1.0 if self.bpref_code else 0.5, (left > right).astype(np.float64))
        return self.mistake + (1 - 2 * self.mistake) * p

    def _weighed(self, questions: Questions) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns ``(questions,)`` of both sides, later steps counting more where the labeler is myopic."""
        weights = self.discount ** np.arange(questions.left.shape[1] - 1, -1, -1.0)
        return questions.left @ weights, questions.right @ weights

    def _prefer(self, questions: Questions, random: np.random.Generator) -> NDArray[np.float64]:
        left, right = self._weighed(questions)
        chance = random.random(len(left))  # drawn whether needed or not, so that settings share their streams
        if self.rationality > 0:
            beta = self._beta(questions)
            return (chance < preference(beta * left, beta * right)).astype(np.float64)
        return np.where(left == right, 1.0 if self.bpref_code else 0.5, (left > right).astype(np.float64))

    def _threshold(self, epsilon: float, questions: Questions) -> float:
        threshold = questions.level * questions.left.shape[1] * epsilon
        return threshold * epsilon if self.bpref_code and not questions.first_session else threshold

    def _beta(self, questions: Questions) -> float:
        return self.rationality / (questions.spread or 1.0) if self.per_spread else self.rationality


@dataclass(frozen=True)
class Oracle(Teacher):
    """Always right."""


@dataclass(frozen=True)
class Stochastic(Teacher):
    """Answers by a Bradley-Terry draw on the true returns."""

    rationality: float = 1.0


@dataclass(frozen=True)
class Mistake(Teacher):
    """Wrong one time in ten."""

    mistake: float = 0.1


@dataclass(frozen=True)
class Skip(Teacher):
    """Skips pairs of poor segments."""

    skip: float = 0.1


@dataclass(frozen=True)
class Equal(Teacher):
    """Calls close returns equal."""

    equal: float = 0.1


@dataclass(frozen=True)
class Myopic(Teacher):
    """Looks mostly at the end of a segment."""

    discount: float = 0.9


@dataclass(frozen=True)
class Human:
    """People, on the page of ``python -m bench label``."""

    goal: str = ""  # what they are asked to prefer, in plain words
    backlog: int = 8  # training pauses while more questions than this are open; -1: it never does
    catch: float = 0.05  # share of the questions whose better side is beyond doubt, to measure a person's accuracy

    needs_desk: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(len(self.goal) <= 300, f"labeler setting goal: {len(self.goal)} characters, at most 300")
        require(self.backlog >= -1, f"labeler setting backlog = {self.backlog}: at least 0, or -1 for no limit")
        require(0 <= self.catch <= 0.5, f"labeler setting catch = {self.catch}: a share from 0 to 0.5")

    def answer(self, questions: Questions, random: np.random.Generator) -> NDArray[np.float64]:
        """Nobody is here to answer at once."""
        raise UserError("labeler 'human' answers on a page, not in a program: run `python -m bench label`")

    def catches(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which questions are catches: every ``1 / catch``-th one."""
        return np.floor((numbers + 1) * self.catch) > np.floor(numbers * self.catch)


@dataclass(frozen=True)
class HumanCurve:
    """Ties and errs as often as people do at the same gap (``feedback/human_curve.py``).

    A standard deviation of the true returns of the segments that could be asked about (``Questions.spread``) stands for
    that of one sentence's ratings, 0.82 points, times ``scale``. Where these are all equal, so are all pairs.
    """

    scale: float = 1.0  # above 1 the differences are easier to see, below 1 harder

    def __post_init__(self) -> None:
        require(self.scale > 0, f"labeler setting scale = {self.scale}: must be above 0")

    def answer(self, questions: Questions, random: np.random.Generator) -> NDArray[np.float64]:
        """An answer ``(questions,)`` to each."""
        return human_curve.answers(self._rated(questions), random)

    def probabilities(self, questions: Questions) -> NDArray[np.float64]:
        """The probability ``(questions,)`` that the left is preferred, given that one of the two is."""
        return human_curve.first_preferred(self._rated(questions))

    def _rated(self, questions: Questions) -> NDArray[np.float64]:
        """By how many rating points the left is better ``(questions,)``."""
        left, right = questions.left.sum(1), questions.right.sum(1)
        return (left - right) / (questions.spread or 1.0) * human_curve.RATING_SD * self.scale
