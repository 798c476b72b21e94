"""The laws of a query strategy: ``choose(candidates, count, random)`` is pure, and names ``count`` different pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.conformance.laws import (
    FALSE_ALARM,
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
from prefrl_core.feedback.queries import Candidates, draw_pairs

_TRIALS = 400
_COUNT = 9


def _candidates(
    pairs: int = 60, segments: int = 30, asked: int = 5, members: int = 3, alike: bool = False, seed: int = 0
) -> Candidates:
    """Probabilities are multiples of 1/64, so that their mirror images are exact."""
    random = np.random.default_rng(seed)
    drawn = draw_pairs(segments, pairs, random)
    probabilities = (random.integers(1, 64, (members, len(drawn))) / 64).astype(np.float32)
    shown = (5 + 3 * random.standard_normal((segments, 4, 3))).astype(np.float32)
    before = (5 + 3 * random.standard_normal((asked, 2, 4, 3))).astype(np.float32)
    if alike:
        probabilities[:], shown[:] = 0.5, 1
    answers = random.choice([0.0, 0.5, 1.0, np.nan], asked)
    return Candidates(drawn, probabilities, shown, before, answers)


def _mirrored(one: Candidates) -> Candidates:
    swapped: list[Any] = [
        np.ascontiguousarray(part) for part in (one.pairs[:, ::-1], 1 - one.probabilities, one.asked[:, ::-1])
    ]
    return Candidates(swapped[0], swapped[1], one.segments, swapped[2], 1 - one.answers)


def _cases(subject: Subject) -> Iterator[tuple[Candidates, int]]:
    """Candidates and how many to choose: one, some, all; nothing asked yet; all alike; a single member."""
    factor = subject.make().factor
    for made in (
        _candidates(),
        _candidates(asked=0),
        _candidates(alike=True),
        _candidates(pairs=3, segments=3),
        *([] if getattr(subject.make(), "needs_ensemble", False) else [_candidates(members=1)]),
    ):
        pairs = len(made.pairs)
        yield from ((made, count) for count in sorted({1, max(1, pairs // factor), pairs}))


def _choose(part: Any, candidates: Candidates, count: int = _COUNT, seed: int = 0) -> NDArray[Any]:
    return np.asarray(part.choose(candidates, count, np.random.default_rng(seed)))


def factor(subject: Subject) -> str:
    """``factor``, the candidates drawn for each question, is a whole number of at least 1."""
    found = getattr(subject.make(), "factor", None)
    hold(type(found) is int and found >= 1, f"factor = {found!r}")
    return f"factor = {found}"


def valid_indices(subject: Subject) -> str:
    """The result is whole numbers that are indices of candidates."""
    for made, count in _cases(subject):
        chosen = _choose(subject.make(), made, count)
        hold(np.issubdtype(chosen.dtype, np.integer), f"indices of dtype {chosen.dtype}")
        outside = chosen[(chosen < 0) | (chosen >= len(made.pairs))]
        hold(not outside.size, f"index {outside[:1]} of {len(made.pairs)} candidates")
    return "0 to the number of candidates less one"


def as_many_as_asked(subject: Subject) -> str:
    """Exactly ``count`` candidates are chosen, from one to all."""
    for made, count in _cases(subject):
        shape = _choose(subject.make(), made, count).shape
        hold(shape == (count,), f"{count} of {len(made.pairs)} wanted, an array of shape {shape} came")
    return "one, some and all"


def no_repeats(subject: Subject) -> str:
    """No candidate is chosen twice."""
    for made, count in _cases(subject):
        chosen = _choose(subject.make(), made, count).reshape(-1)
        repeated = len(chosen) - len(np.unique(chosen))
        hold(not repeated, f"{repeated} of {count} chosen twice")
    return "each at most once"


def no_pair_with_itself(subject: Subject) -> str:
    """Each chosen pair has two different segments."""
    for made, count in _cases(subject):
        pairs = made.pairs[_choose(subject.make(), made, count)]
        hold(bool((pairs[:, 0] != pairs[:, 1]).all()), f"segment {pairs[0, 0]} would be compared with itself")
    return "two segments in every pair"


def deterministic(subject: Subject) -> str:
    """The same generator state gives the same choice."""
    return same_each_time(lambda: _choose(subject.make(), _candidates()))


def own_generator(subject: Subject) -> str:
    """Randomness comes only from the generator that is passed in."""
    return apart_from_global_state(lambda: _choose(subject.make(), _candidates()))


def no_memory(subject: Subject) -> str:
    """Earlier choices make no difference, because nothing of a strategy is saved when a run is cut off."""
    part = subject.make()
    with poisoned(0):
        fresh = as_bytes(_choose(subject.make(), _candidates()))
    for seed in range(1, 4):
        _choose(part, _candidates(seed=seed), seed=seed)
    with poisoned(0):
        again = as_bytes(_choose(part, _candidates()))
    hold(again == fresh, "earlier candidates changed a later choice")
    return "the same after three other choices"


def arguments_unchanged(subject: Subject) -> str:
    """Asking changes no candidate, no prediction and no segment."""
    made = _candidates()
    return unchanged(
        lambda: _choose(subject.make(), made),
        pairs=made.pairs,
        probabilities=made.probabilities,
        segments=made.segments,
        asked=made.asked,
    )


def nothing_kept_alive(subject: Subject) -> str:
    """The strategy keeps no reference to a segment."""

    def ask() -> Any:
        part, made = subject.make(), _candidates()
        _choose(part, made)
        return part, (made.pairs, made.probabilities, made.segments, made.asked)

    return let_go(ask)


def symmetric(subject: Subject) -> str:
    """It does not matter, in distribution, which segment of a pair is on the left."""
    straight, part = _candidates(), subject.make()

    def count(made: Candidates, salt: int) -> NDArray[np.int64]:
        chosen = [_choose(part, made, seed=salt + trial) for trial in range(_TRIALS)]
        return np.bincount(np.concatenate(chosen), minlength=len(made.pairs))

    found = count(straight, 0), count(_mirrored(straight), _TRIALS)
    same_shares(*found, _TRIALS, lambda place: f"pair {straight.pairs[place].tolist()} chosen")
    return f"{_TRIALS} choices of {_COUNT} and of their mirror images; false alarm below {FALSE_ALARM:g}"


LAWS = (
    factor,
    valid_indices,
    as_many_as_asked,
    no_repeats,
    no_pair_with_itself,
    deterministic,
    own_generator,
    no_memory,
    arguments_unchanged,
    nothing_kept_alive,
    symmetric,
)
