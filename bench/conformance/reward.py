"""The laws of a reward model: what it predicts and learns follows from its seed, the turns it saw and the answers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from bench.conformance.short_run import through_a_file
from bench.conformance.subject import Subject
from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool, Segments
from prefrl_core.reward.protocol import RewardLearner
from prefrl_core.rollout import Turn

_STEPS, _WIDTH, _ENVS = 8, 4, 4
_WANTED = np.array([1.0, -2.0, 0.5, 0.0])  # the true reward is linear in the features
_LABELS, _FRESH = 200, 400
_TURNS = 40  # fits at most, until the linear reward is known
_LARGEST = 5.0  # times the processor time of a fit to a tenth of the comparisons, that a fit may take


class _Lesson:
    """A reward model, segments of a known linear reward, and answers without an error."""

    def __init__(self, subject: Subject, seed: int = 0, labels: int = _LABELS, brief: bool = True) -> None:
        form = Vectors(_WIDTH)
        try:
            part = subject.briefly() if brief else subject.make()
            self.model: RewardLearner = part.make(form, seed, _STEPS)
        except UserError as error:
            if "pixels" in str(error):
                raise NotApplicable(f"it is not for vectors: {error}") from error
            raise
        self.pool = Pool(2 * labels, _STEPS, form)
        self.pool.add(segments(2 * labels, 0))
        self.comparisons = Comparisons(labels, _STEPS, form, self.model.bootstraps, self.model.label_buffer)
        pairs = np.arange(2 * labels).reshape(labels, 2)
        self.comparisons.add(self.pool.segments, pairs, answers(self.pool.segments, pairs), 0, np.random.default_rng(9))
        self.said: list[Any] = []

    def turn(self, number: int = 0) -> Turn:
        """What was acted: ``(steps, envs, width)``."""
        features = np.random.default_rng(500 + number).normal(5, 3, (4 * _STEPS, _ENVS, _WIDTH)).astype(np.float32)
        done = np.zeros(features.shape[:2], np.bool_)
        done[[10, 20], [1, 2]] = True
        return Turn((), features, np.zeros(features.shape[:2]), done, features[..., :0])

    def learn(self, turns: int = 1) -> _Lesson:
        """See a turn and fit, so many times; remembers what was measured and predicted."""
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
        fresh, pairs = segments(2 * _FRESH, 77), np.arange(2 * _FRESH).reshape(_FRESH, 2)
        return float(np.mean((self.preferences(fresh, pairs).mean(0) > 0.5) == (answers(fresh, pairs) > 0.5)))

    def everything(self) -> bytes:
        return as_bytes([self.said, self.model.get_state()])


def segments(count: int, seed: int) -> Segments:
    """Segments whose true reward is a known linear function."""
    features = np.random.default_rng(seed).normal(5, 3, (count, _STEPS, _WIDTH)).astype(np.float32)
    return Segments(features, features @ _WANTED, features[..., :0])


def answers(held: Segments, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Which side is better, without an error."""
    returns = held.true_rewards.sum(1)[pairs]
    return (returns[:, 0] > returns[:, 1]).astype(np.float64)


def shapes(subject: Subject) -> str:
    """A reward for each step, a probability for each member and pair, all finite."""
    lesson = _Lesson(subject).learn()
    turn, pairs = lesson.turn(), np.array([[0, 1], [2, 3], [1, 0]])
    predicted, preferences = lesson.predicted(turn), lesson.preferences(lesson.pool.segments, pairs)
    hold(predicted.shape == turn.done.shape, f"rewards of shape {predicted.shape} for {turn.done.shape} steps")
    hold(preferences.ndim == 2 and preferences.shape[1] == 3, f"preferences of shape {preferences.shape} for 3 pairs")
    finite = bool(np.isfinite(predicted).all() and np.isfinite(preferences).all())
    hold(finite, "a prediction that is not finite")
    hold(bool(((preferences >= 0) & (preferences <= 1)).all()), "a preference outside [0, 1]")
    return f"{len(preferences)} members"


def deterministic(subject: Subject) -> str:
    """The same seed, turns and answers, the same predictions, metrics and state."""
    return same_each_time(lambda: _Lesson(subject).learn().everything())


def own_generator(subject: Subject) -> str:
    """Randomness comes from the seed it is made with alone, and nobody else's random numbers are used up."""
    return apart_from_global_state(lambda: _Lesson(subject).learn().everything())


def predictions_change_nothing(subject: Subject) -> str:
    """Asked again it says the same, and its state stays as it is."""
    lesson = _Lesson(subject).learn()
    turn, pairs = lesson.turn(3), np.arange(40).reshape(20, 2)
    before = as_bytes(lesson.model.get_state())
    first = as_bytes([lesson.predicted(turn), lesson.preferences(lesson.pool.segments, pairs)])
    lesson.preferences(segments(60, 3), pairs)
    lesson.predicted(lesson.turn(9))
    again = as_bytes([lesson.predicted(turn), lesson.preferences(lesson.pool.segments, pairs)])
    hold(first == again, "a second prediction of the same features differs")
    hold(as_bytes(lesson.model.get_state()) == before, "predicting changed its state")
    return "the same after 60 other segments and another turn"


def arguments_unchanged(subject: Subject) -> str:
    """Features, answers and segments stay as they are."""
    lesson = _Lesson(subject)
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
    """Left and right swapped give the complement."""
    lesson = _Lesson(subject).learn()
    pairs = np.arange(60).reshape(30, 2)
    straight, swapped = (lesson.preferences(lesson.pool.segments, p) for p in (pairs, pairs[:, ::-1].copy()))
    worst = float(np.abs(straight + swapped - 1).max())
    hold(worst < 1e-5, f"the two probabilities of a pair add up to one but for {worst:.2g}")
    return f"to within {worst:.1g}"


def bounded(subject: Subject) -> str:
    """A fit takes no more work for ten times as many comparisons."""
    from time import thread_time

    times = {}
    for labels in (_LABELS, 10 * _LABELS):
        lesson = _Lesson(subject, labels=labels).learn(2)
        began = thread_time()
        lesson.learn(3)
        times[labels] = (thread_time() - began) / 3
    few, many = times.values()
    hold(many < _LARGEST * few + 0.05, f"{few:.3f} s for {_LABELS} comparisons, {many:.3f} s for {10 * _LABELS}")
    return f"{few:.3f} s for {_LABELS} comparisons, {many:.3f} s for {10 * _LABELS}"


def learns(subject: Subject) -> str:
    """From 200 answers without an error it knows a linear reward: the better one of fresh pairs, nine times in ten."""
    lesson = _Lesson(subject, brief=False)
    accuracy = 0.0
    for turns in range(1, _TURNS + 1):
        accuracy = lesson.learn().accuracy()
        if accuracy > 0.9:
            turn = lesson.turn(99)
            truth = turn.features @ _WANTED
            correlation = float(np.corrcoef(lesson.predicted(turn).ravel(), truth.ravel())[0, 1])
            hold(
                correlation > 0,
                f"right about segments, but its rewards correlate with the true ones at {correlation:.2f}",
            )
            return f"{accuracy:.1%} after {turns} fits"
    raise Broken(f"right about {accuracy:.1%} of fresh pairs after {_TURNS} fits")


def members_differ(subject: Subject) -> str:
    """Several members do not all say the same."""
    lesson = _Lesson(subject).learn()
    fresh = lesson.preferences(segments(60, 5), np.arange(60).reshape(30, 2))
    if len(fresh) == 1:
        raise NotApplicable("it has one member")
    spread = float(fresh.std(0).max())
    hold(spread > 1e-6, "all members say the same: they share their start or their answers")
    return f"a standard deviation of up to {spread:.3f} between them"


def refuses_nonsense(subject: Subject) -> str:
    """Where its parameters are no longer finite it says so, instead of handing out numbers that are none."""
    lesson = _Lesson(subject)
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
    """``get_state`` through a checkpoint file into a model made with another seed: both go on alike, to the bit."""
    lesson, other = _Lesson(subject).learn(), _Lesson(subject, seed=1)
    other.model.set_state(through_a_file({"reward": lesson.model.get_state()})["reward"])
    if as_bytes(other.model.get_state()) != as_bytes(lesson.model.get_state()):
        raise Broken("the state is another one after set_state")
    other.said = list(lesson.said)
    hold(lesson.learn(2).everything() == other.learn(2).everything(), "it went on otherwise after set_state")
    return "the same after two more fits"


def nothing_kept_alive(subject: Subject) -> str:
    """No turn is held on to once the next one has been seen."""

    def use() -> Any:
        lesson = _Lesson(subject)
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
