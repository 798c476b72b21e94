"""The laws of a labeler: ``answer(questions, random)`` is a pure function of its two arguments, and means something."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.conformance.laws import (
    FALSE_ALARM,
    NotApplicable,
    apart_from_global_state,
    as_bytes,
    hold,
    let_go,
    poisoned,
    same_each_time,
    same_shares,
    unchanged,
)
from bench.conformance.subject import Subject
from prefrl_core.feedback.labelers import Questions

_STEPS, _TIES, _UNEQUAL = 10, 4, 20
_BATCHES = 1_000  # of all questions, each with a generator of its own, so that they are independent
_ANSWERS = (1.0, 0.0, 0.5, float("nan"))
_Z = 4.75  # standard errors above chance that chance alone reaches once in a million


@cache
def _rewards() -> NDArray[np.float64]:
    """``(2, questions, steps)``: equal returns first (the right is the left backwards), then gaps small and large.
    Multiples of a quarter, so that a sum in another order is the same to the bit."""
    random = np.random.default_rng(0)
    scale = np.repeat([1, 2, 8], [_TIES + 8, 6, 6])[:, None]
    rewards = (random.integers(-3, 6, (2, _TIES + _UNEQUAL, _STEPS)) * scale / 4).astype(np.float64)
    rewards[1, :_TIES] = rewards[0, :_TIES, ::-1]
    rewards[0, _TIES:, 0] += np.where(rewards[0, _TIES:].sum(1) == rewards[1, _TIES:].sum(1), 0.25, 0)
    rewards.setflags(write=False)
    return rewards


def _questions(swapped: bool = False, first: bool = False, count: int | None = None) -> Questions:
    left, right = _rewards()[::-1, :count] if swapped else _rewards()[:, :count]
    pairs = np.arange(2 * left.shape[0]).reshape(2, -1).T
    return Questions(
        left=left.copy(),
        right=right.copy(),
        level=0.3,
        first_session=first,
        asked=0 if first else 150,
        step=5_000,
        spread=float(_rewards().sum(2).std()),
        segments=_features(count).copy(),
        pairs=pairs[:, ::-1].copy() if swapped else pairs.copy(),
    )


@cache
def _features(count: int | None) -> NDArray[np.float32]:
    """What the segments show, ``(segments, steps, width)``: the task on a line's position, velocity and action."""
    questions = _rewards()[:, :count].shape[1]
    return np.random.default_rng(1).standard_normal((2 * questions, _STEPS, 3)).astype(np.float32)


def _answer(part: Any, questions: Questions, seed: int = 0) -> NDArray[Any]:
    return np.asarray(part.answer(questions, np.random.default_rng(seed)))


@cache
def _drawn(subject: Subject, swapped: bool) -> NDArray[np.float64]:
    """Answers ``(batches, questions)``."""
    part, questions, salt = subject.make(), _questions(swapped), 10_000 * (1 + swapped)
    return np.stack([_answer(part, questions, salt + batch) for batch in range(_BATCHES)]).astype(np.float64)


def answers(subject: Subject) -> str:
    """There is one answer for each question: 1, 0, 0.5 or NaN."""
    for count in (1, 3, None):
        for first in (True, False):
            asked = _questions(first=first, count=count)
            found = _answer(subject.make(), asked)
            hold(found.shape == (len(asked.left),), f"{len(asked.left)} questions, answers of shape {found.shape}")
            hold(np.issubdtype(found.dtype, np.floating), f"answers of dtype {found.dtype}: floats are needed for NaN")
            odd = found[~(np.isin(found, _ANSWERS) | np.isnan(found))]
            hold(not len(odd), f"an answer of {odd[0] if len(odd) else ''}: 1, 0, 0.5 or NaN")
    shares = {str(a): np.mean(np.isnan(found) if a != a else found == a) for a in _ANSWERS}
    return ", ".join(f"{share:.0%} {answer}" for answer, share in shares.items() if share)


def deterministic(subject: Subject) -> str:
    """The same generator state gives the same answers."""
    return same_each_time(lambda: _answer(subject.make(), _questions()))


def own_generator(subject: Subject) -> str:
    """Randomness comes only from the generator that is passed in."""
    return apart_from_global_state(lambda: _answer(subject.make(), _questions()))


def no_memory(subject: Subject) -> str:
    """Earlier questions make no difference, because nothing of a labeler is saved when a run is cut off."""
    part = subject.make()
    with poisoned(0):
        fresh = as_bytes(_answer(subject.make(), _questions()))
    for seed in range(1, 4):
        _answer(part, _questions(swapped=True), seed)
    with poisoned(0):
        again = as_bytes(_answer(part, _questions()))
    hold(again == fresh, "earlier questions changed the answers to later ones")
    return "the same after 72 other questions"


def arguments_unchanged(subject: Subject) -> str:
    """The labeler does not change the questions that it is shown."""
    asked = _questions()
    shown = {name: value for name, value in vars(asked).items() if isinstance(value, np.ndarray)}
    return unchanged(lambda: _answer(subject.make(), asked), **shown)


def nothing_kept_alive(subject: Subject) -> str:
    """Neither the labeler nor its answers keep references to the questions."""

    def ask() -> Any:
        part, asked = subject.make(), _questions()
        given = part.answer(asked, np.random.default_rng(0))
        hold(
            not any(np.shares_memory(given, side) for side in (asked.left, asked.right, asked.segments)),
            "the answers are a view of what was shown: give an array of their own",
        )
        return part, (asked.left, asked.right, asked.segments, asked.pairs)

    return let_go(ask)


def symmetric(subject: Subject) -> str:
    """Swapped questions get mirrored answers, in distribution: it does not matter which segment is on the left."""
    straight, mirrored = _drawn(subject, False), 1 - _drawn(subject, True)

    def count(found: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.concatenate([(np.isnan(found) if a != a else found == a).sum(0) for a in _ANSWERS])

    def what(place: int) -> str:
        answer, question = divmod(place, _TIES + _UNEQUAL)
        left, right = _rewards()[:, question].sum(1)
        return f"answer {_ANSWERS[answer]} to returns {left:g} and {right:g}"

    same_shares(count(straight), count(mirrored), _BATCHES, what)
    asked = f"{_TIES + _UNEQUAL} questions and of their mirror images"
    return f"{_BATCHES} draws of {asked}; false alarm below {FALSE_ALARM:g}"


def prefers_the_better(subject: Subject) -> str:
    """Of two segments that differ, the one with the higher return is preferred more often than by chance. A labeler
    that ``judges_states`` is exempt."""
    if getattr(subject.make(), "judges_states", False):
        raise NotApplicable("it goes by what the segments show")
    found = _drawn(subject, False)[:, _TIES:]
    left, right = _rewards()[:, _TIES:].sum(2)
    right_or_wrong = np.where(np.isnan(found), 0, 2 * found - 1) * np.sign(left - right)
    decided = np.abs(right_or_wrong) == 1
    hold(bool(decided.any()), "it never decided between two segments of different return")
    agreement = float((right_or_wrong[decided] == 1).mean())
    scores = right_or_wrong.mean(1)
    error = scores.std() / np.sqrt(len(scores))
    hold(bool(scores.mean() > _Z * error), f"of its decisions {agreement:.1%} are for the better: no more than chance")
    return f"{agreement:.1%} of its decisions"


def calibrated(subject: Subject) -> str:
    """If it offers ``probabilities(questions)``, decided answers prefer the left segment with these probabilities, and
    always agree where they are 0 or 1."""
    from scipy.stats import binomtest

    offered = getattr(subject.make(), "probabilities", None)
    if offered is None:
        raise NotApplicable("it has no method probabilities(questions)")
    stated, found = np.asarray(offered(_questions())), _drawn(subject, False)
    hold(stated.shape == found.shape[1:], f"{found.shape[1]} questions, probabilities of shape {stated.shape}")
    hold(bool(np.all((stated >= 0) & (stated <= 1))), "a probability outside [0, 1]")
    for question, p in enumerate(stated):
        left, decided = int((found[:, question] == 1).sum()), int(np.isin(found[:, question], (0, 1)).sum())
        impossible = (p == 0 and left) or (p == 1 and left < decided)
        unlikely = decided and binomtest(left, decided, p).pvalue < FALSE_ALARM / len(stated)
        returns = " and ".join(f"{one:g}" for one in _rewards()[:, question].sum(1))
        hold(
            not (impossible or unlikely),
            f"returns {returns}: it states {p:.3f} for the left and chose it {left} of {decided} times",
        )
    return f"stated and found agree for {len(stated)} questions; false alarm below {FALSE_ALARM:g}"


LAWS = (
    answers,
    deterministic,
    own_generator,
    no_memory,
    arguments_unchanged,
    nothing_kept_alive,
    symmetric,
    prefers_the_better,
    calibrated,
)
