"""The laws of a reward model: what it predicts and learns follows from its seed, the turns it saw and the answers."""

from __future__ import annotations

from typing import Any

import numpy as np

from bench.conformance.laws import (
    Broken,
    NotApplicable,
    apart_from_global_state,
    as_bytes,
    hold,
    let_go,
    same_each_time,
    unchanged,
)
from bench.conformance.lesson import Lesson
from bench.conformance.short_run import through_a_file
from bench.conformance.subject import Subject
from prefrl_core.errors import UserError

_TURNS = 40  # fits at most, until the known reward is learned
_LARGEST = 5.0  # times the processor time of a fit to a tenth of the comparisons, that a fit may take


def shapes(subject: Subject) -> str:
    """There is a reward for each step, and a probability for each member and pair. All are finite."""
    lesson = Lesson(subject).learn()
    turn, pairs = lesson.turn(), np.array([[0, 1], [2, 3], [1, 0]])
    predicted, preferences = lesson.predicted(turn), lesson.preferences(lesson.pool.segments, pairs)
    hold(predicted.shape == turn.done.shape, f"rewards of shape {predicted.shape} for {turn.done.shape} steps")
    hold(preferences.ndim == 2 and preferences.shape[1] == 3, f"preferences of shape {preferences.shape} for 3 pairs")
    finite = bool(np.isfinite(predicted).all() and np.isfinite(preferences).all())
    hold(finite, "a prediction that is not finite")
    hold(bool(((preferences >= 0) & (preferences <= 1)).all()), "a preference outside [0, 1]")
    return f"{len(preferences)} members"


def deterministic(subject: Subject) -> str:
    """The same seed, turns and answers give the same predictions, metrics and state."""
    return same_each_time(lambda: Lesson(subject).learn().everything())


def own_generator(subject: Subject) -> str:
    """Randomness comes only from the seed that it is made with, and no other generator is advanced."""
    return apart_from_global_state(lambda: Lesson(subject).learn().everything())


def predictions_change_nothing(subject: Subject) -> str:
    """Predicting twice gives the same, and does not change the state."""
    lesson = Lesson(subject).learn()
    turn, pairs = lesson.turn(3), np.arange(40).reshape(20, 2)
    before = as_bytes(lesson.model.get_state())
    first = as_bytes([lesson.predicted(turn), lesson.preferences(lesson.pool.segments, pairs)])
    lesson.preferences(lesson.segments(60, 3), pairs)
    lesson.predicted(lesson.turn(9))
    again = as_bytes([lesson.predicted(turn), lesson.preferences(lesson.pool.segments, pairs)])
    hold(first == again, "a second prediction of the same features differs")
    hold(as_bytes(lesson.model.get_state()) == before, "predicting changed its state")
    return "the same after 60 other segments and another turn"


def arguments_unchanged(subject: Subject) -> str:
    """Features, answers and segments are not changed."""
    lesson = Lesson(subject)
    turn, held = lesson.turn(), lesson.pool.segments
    lesson.pool.turn = turn
    arrays = {"features": turn.features, "done": turn.done, "segments": held.features, "mu": lesson.comparisons.mu}

    def use() -> None:
        lesson.model.observe(turn)
        lesson.model.predict(turn.features, turn.done)
        lesson.model.preferences(held.features, np.array([[0, 1]]))
        lesson.model.fit(lesson.comparisons, lesson.pool)

    return unchanged(use, **arrays, compared=lesson.comparisons.features)


def complement(subject: Subject) -> str:
    """With left and right swapped, the predicted preference is the complement."""
    lesson = Lesson(subject).learn()
    pairs = np.arange(60).reshape(30, 2)
    straight, swapped = (lesson.preferences(lesson.pool.segments, p) for p in (pairs, pairs[:, ::-1].copy()))
    worst = float(np.abs(straight + swapped - 1).max())
    hold(worst < 1e-5, f"the two probabilities of a pair add up to one but for {worst:.2g}")
    return f"to within {worst:.1g}"


def bounded(subject: Subject) -> str:
    """A fit to ten times as many comparisons takes no more work."""
    from time import thread_time

    times = {}
    for more in (1, 10):
        lesson = Lesson(subject, more=more).learn(2)
        began = thread_time()
        lesson.learn(3)
        times[len(lesson.comparisons.mu)] = (thread_time() - began) / 3
    few, many = times.values()
    seen = ", ".join(f"{seconds:.3f} s for {labels} comparisons" for labels, seconds in times.items())
    hold(many < _LARGEST * few + 0.05, seen)
    return seen


def learns(subject: Subject) -> str:
    """From 200 correct answers (600 about pictures) it learns a linear reward: it prefers the better segment in nine of
    ten fresh pairs."""
    lesson = Lesson(subject, brief=False)
    accuracy = 0.0
    for turns in range(1, _TURNS + 1):
        accuracy = lesson.learn().accuracy()
        if accuracy > 0.9:
            turn = lesson.turn(99)
            truth = lesson.sight.truth(turn.features)
            correlation = float(np.corrcoef(lesson.predicted(turn).ravel(), truth.ravel())[0, 1])
            hold(
                correlation > 0,
                f"right about segments, but its rewards correlate with the true ones at {correlation:.2f}",
            )
            return f"{accuracy:.1%} after {turns} fits"
    raise Broken(f"right about {accuracy:.1%} of fresh pairs after {_TURNS} fits")


def members_differ(subject: Subject) -> str:
    """If there are several members, they do not all predict the same."""
    lesson = Lesson(subject).learn()
    fresh = lesson.preferences(lesson.segments(60, 5), np.arange(60).reshape(30, 2))
    if len(fresh) == 1:
        raise NotApplicable("it has one member")
    spread = float(fresh.std(0).max())
    hold(spread > 1e-6, "all members say the same: they share their start or their answers")
    return f"a standard deviation of up to {spread:.3f} between them"


def refuses_nonsense(subject: Subject) -> str:
    """If its parameters are no longer finite, it raises an error instead of returning NaN or infinity."""
    lesson = Lesson(subject)
    if lesson.pool.segments.features.dtype == np.uint8:
        raise NotApplicable("pixels are always numbers")
    lesson.comparisons.features[:] = np.nan
    lesson.pool.turn = lesson.turn()
    lesson.model.observe(lesson.pool.turn)
    try:
        with np.errstate(invalid="ignore"):  # NaN is what it is given: NumPy's warnings of it say nothing new
            for _ in range(3):
                lesson.model.fit(lesson.comparisons, lesson.pool)
    except UserError as error:
        return str(error)
    raise Broken("fitted to features of NaN, it said nothing")


def state(subject: Subject) -> str:
    """Its state is restored from a checkpoint into a model made with another seed. Both then continue alike, to the
    bit."""
    lesson, other = Lesson(subject).learn(), Lesson(subject, seed=1)
    other.model.set_state(through_a_file({"reward": lesson.model.get_state()})["reward"])
    if as_bytes(other.model.get_state()) != as_bytes(lesson.model.get_state()):
        raise Broken("the state is another one after set_state")
    other.said = list(lesson.said)
    hold(lesson.learn(2).everything() == other.learn(2).everything(), "it went on otherwise after set_state")
    return "the same after two more fits"


def nothing_kept_alive(subject: Subject) -> str:
    """It keeps no reference to a turn after it has seen the next one."""

    def use() -> Any:
        lesson = Lesson(subject)
        first = lesson.turn()
        lesson.pool.turn = first
        lesson.model.observe(first)
        lesson.model.fit(lesson.comparisons, lesson.pool)
        lesson.learn(2)
        lesson.said.clear()
        return lesson.model, [first.features, first.done]

    return let_go(use)


LAWS = (
    shapes,
    deterministic,
    own_generator,
    predictions_change_nothing,
    arguments_unchanged,
    complement,
    bounded,
    learns,
    members_differ,
    refuses_nonsense,
    state,
    nothing_kept_alive,
)
