"""Asking: which pairs, whom, and what came of it. Programs and people answer through the same two calls.

A program answers at once. People answer when they come to it: questions are left at their desk, the loop goes on, and
once a turn it hears what was answered since (see ``desk.py``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError, require
from prefrl_core.features import Features
from prefrl_core.feedback import queries
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.desk import Asked, Desk, Heard
from prefrl_core.feedback.labelers import Human, Labeler, Questions
from prefrl_core.feedback.segments import Pool, Segments
from prefrl_core.rollout import Turn

_CATCH_PAIRS = 200  # of which the one with the greatest difference is the catch
_SHOWN_STEPS = 100  # of the agent, to people

Pairs = NDArray[np.int64]


class Opinion(Protocol):
    """What an interview asks a reward model."""

    def preferences(self, kept: NDArray[Any], pairs: Pairs) -> NDArray[np.floating[Any]]:
        """Each member's probability ``(members, pairs)`` that the left segment of a pair is preferred."""


@dataclass(frozen=True)
class Session:
    """Questions put at one moment."""

    numbers: NDArray[np.int64]  # (questions,)
    pairs: Pairs  # (questions, 2): indices into ``segments``, left and right
    segments: Segments
    step: int  # environment steps taken so far
    level: float  # true reward a step over the last ten episodes
    first: bool  # no question was asked before
    asked: int  # questions of this run before these


class Answers(Protocol):
    """Who answers: a program or people."""

    def revise(self, pairs: Pairs, first: int, pool: Segments, random: np.random.Generator) -> Pairs:
        """The pairs that are to be asked, in the place of those chosen; the first has the number ``first``."""

    def ask(self, session: Session, opinion: Opinion) -> None:
        """Take questions."""

    def hear(self, turn: int, step: int, acted: Turn, last: bool) -> Iterable[Heard]:
        """What was answered since the turn before; ``last``: nothing more will be asked."""


class Program:
    """A labeler that knows the true reward."""

    def __init__(self, labeler: Labeler, random: np.random.Generator) -> None:
        self.labeler, self.random = labeler, random
        self._given: list[Heard] = []

    def revise(self, pairs: Pairs, first: int, pool: Segments, random: np.random.Generator) -> Pairs:
        """The pairs as they are."""
        return pairs

    def ask(self, session: Session, opinion: Opinion) -> None:
        """Answer."""
        answers = checked(self.labeler.answer(_shown(session), self.random), len(session.pairs), self.labeler)
        self._given += [Heard(*pair) for pair in zip(session.numbers.tolist(), answers.tolist(), strict=True)]

    def hear(self, turn: int, step: int, acted: Turn, last: bool) -> Iterable[Heard]:
        """The answers given."""
        given, self._given = self._given, []
        return given


def _shown(session: Session) -> Questions:
    """What a program is shown of a session."""
    segments, pairs = session.segments, session.pairs
    left, right = (segments.true_rewards[pairs[:, side]] for side in (0, 1))
    features = segments.features.view()
    features.flags.writeable = False  # they are the pool's own
    return Questions(
        left=left,
        right=right,
        level=session.level,
        first_session=session.first,
        asked=session.asked,
        step=session.step,
        spread=float(segments.true_rewards.sum(1).std()),
        segments=features,
        pairs=pairs.copy(),
    )


class People:
    """Those who sit at a desk. Some questions give way to a catch: the one of many pairs that differs most in truth."""

    def __init__(self, labeler: Human, desk: Desk, form: Features) -> None:
        self.labeler, self.desk, self.form = labeler, desk, form

    def revise(self, pairs: Pairs, first: int, pool: Segments, random: np.random.Generator) -> Pairs:
        """The pairs with catches among them."""
        pairs, returns = pairs.copy(), pool.true_rewards.sum(1)
        for place in np.flatnonzero(self.labeler.catches(np.arange(first, first + len(pairs)))):
            drawn = queries.draw_pairs(len(pool), _CATCH_PAIRS, random)
            pairs[place] = drawn[np.abs(np.subtract(*returns[drawn].T)).argmax()]
        return pairs

    def ask(self, session: Session, opinion: Opinion) -> None:
        """Leave the questions at the desk."""
        segments, pairs = session.segments, session.pairs
        scenes = self.form.pictured(segments.features[pairs], segments.scenes[pairs])
        returns = segments.true_rewards.sum(1)[pairs]
        predicted = opinion.preferences(segments.features, pairs).mean(0)
        catches = self.labeler.catches(session.numbers)
        self.desk.ask(Asked(session.numbers, session.step, scenes, returns, predicted, catches))

    def hear(self, turn: int, step: int, acted: Turn, last: bool) -> Iterable[Heard]:
        """Show what the agent does, and take in what was answered; a run that waits waits for its last answers, which
        would teach nothing later."""
        self.desk.show(step, self.form.newest(acted.features, acted.scenes)[-_SHOWN_STEPS:, 0])
        return self.desk.hear(turn, min(self.labeler.backlog, 0) if last else self.labeler.backlog)


class Interview:
    """Holds what asking needs: who chooses, who answers, and where it is written down."""

    def __init__(
        self,
        strategy: queries.QueryStrategy,
        answers: Answers,
        comparisons: Comparisons,
        random: np.random.Generator,
        bootstrap: np.random.Generator,
    ) -> None:
        """``random`` draws the candidates, ``bootstrap`` who of the members learns from which answer."""
        self.strategy, self.answers, self.comparisons = strategy, answers, comparisons
        self.random, self.bootstrap = random, bootstrap

    def hold(self, count: int, pool: Pool, opinion: Opinion, level: float, turn: int, step: int) -> None:
        """Ask ``count`` questions about the segments of ``pool``, and write down what was answered since the last turn;
        ``level`` is the true reward a step over the last ten episodes."""
        if len(pairs := self._choose(count, pool.segments, opinion)):
            first = self.comparisons.unanswered
            pairs = self.answers.revise(pairs, self.comparisons.count, pool.segments, self.random)
            asked = self.comparisons.asked
            drawn = self.comparisons.bootstrap(len(pairs), self.bootstrap)
            numbers = self.comparisons.ask(pool.segments, pairs, step, drawn)
            self.answers.ask(Session(numbers, pairs, pool.segments, step, level, first, asked), opinion)
        assert pool.turn is not None
        for number, answer in self.answers.hear(turn, step, pool.turn, self.comparisons.complete):
            self.comparisons.answer(number, answer)

    def _choose(self, count: int, pool: Segments, opinion: Opinion) -> Pairs:
        """The ``count`` most useful of many candidate pairs. An untrained model's opinion says nothing: the first
        questions are drawn uniformly."""
        strategy = self.strategy if self.comparisons.answered else queries.Uniform()
        newest = min(len(pool), getattr(strategy, "window", len(pool)))
        pairs = queries.draw_pairs(newest, max(0, count) * strategy.factor, self.random) + (len(pool) - newest)
        if not len(pairs):
            return pairs
        preferences = opinion.preferences(pool.features, pairs)
        asked, answers = self.comparisons.features, self.comparisons.kept_mu
        candidates = queries.Candidates(pairs, preferences, pool.features, asked, answers)
        count = min(count, len(pairs))
        return pairs[_chosen(strategy.choose(candidates, count, self.random), count, len(pairs), strategy)]


def _chosen(given: Any, count: int, candidates: int, strategy: object) -> queries.Indices:
    """The indices ``(count,)`` of the chosen candidates.

    Raises:
        UserError: they are not ``count`` different ones of the candidates.
    """
    try:
        chosen = np.asarray(given)
    except ValueError:  # lists of different lengths
        chosen = np.array(given, object)
    require(
        chosen.shape == (count,)
        and all(isinstance(one, np.integer) and 0 <= one < candidates for one in chosen)
        and len(set(chosen.tolist())) == count,
        f"query strategy {type(strategy).__name__} has chosen {' '.join(str(given).split())[:100]}: an array of "
        f"{count} different indices of its {candidates} candidates is needed",
    )
    return chosen.astype(np.int64)


def checked(answers: Any, questions: int, labeler: object) -> NDArray[np.float64]:
    """The answers ``(questions,)`` of a labeler.

    Raises:
        UserError: they are of another number, or one is neither in [0, 1] nor NaN.
    """
    who = f"labeler {type(labeler).__name__}"
    try:
        given = np.asarray(answers, np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(f"{who} has answered {type(answers).__name__}: an array of numbers is needed") from error
    require(given.shape == (questions,), f"{who} has answered {questions} questions by an array of shape {given.shape}")
    require(
        bool(np.all(np.isnan(given) | ((given >= 0) & (given <= 1)))),
        f"{who} has given another answer than 1 (left), 0 (right), one between for a tie, or NaN for none",
    )
    return given
