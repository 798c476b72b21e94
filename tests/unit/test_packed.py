"""Compressed pairs of clips against the array that they stand for."""

from __future__ import annotations

import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest

from prefrl_core import frames
from prefrl_core.features import Frames
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Segments
from prefrl_core.packed import Packed

STEPS, SIDE = 6, 12


def clips(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 4, (count, STEPS + 3, SIDE, SIDE), dtype=np.uint8)


def both(pairs: int = 5) -> tuple[np.ndarray, Packed]:
    array = clips(2 * pairs).reshape(pairs, 2, STEPS + 3, SIDE, SIDE)
    packed = Packed(pairs, array.shape[2:])
    packed[:] = array
    return array, packed


@pytest.mark.parametrize(
    "where",
    [2, -1, np.array([4, 0, 0]), np.array([[1], [3]]), np.array([True, False, True, False, False]), [3, 1]],
    ids=["one", "last", "indices", "two axes", "mask", "list"],
)
def test_reads_and_writes_as_the_array_does(where: Any) -> None:
    array, packed = both()
    assert np.array_equal(packed[where], array[where])
    new = clips(2, 7)
    array[where] = packed[where] = np.broadcast_to(new, array[where].shape)
    assert np.array_equal(np.asarray(packed), array) and packed.shape == array.shape


def test_a_slice_is_a_view_as_that_of_an_array_is() -> None:
    array, packed = both()
    part, its = array[1:5:2], packed[1:5:2]
    assert len(its) == 2 and np.array_equal(np.asarray(its), part)
    part[1], its[1] = 3, np.full(packed.shape[1:], 3, np.uint8)
    assert np.array_equal(np.asarray(packed), array)
    assert [one.tolist() for one in its] == part.tolist()
    assert np.array_equal(its.clips(np.array([3, 0])), part.reshape(-1, *part.shape[2:])[[3, 0]])


def test_an_empty_one_is_black_and_a_saved_one_comes_back() -> None:
    array, packed = both()
    other = Packed(5, array.shape[2:])
    assert not np.asarray(other).any() and not len(Packed(0, (1, 2, 2)))
    other.load(packed.save())
    assert np.array_equal(np.asarray(other), array) and other.nbytes == packed.nbytes


def test_packed_part_by_part_is_the_stream_of_the_whole() -> None:
    array, packed = both()
    whole = zlib.compress(array.tobytes(), 1)
    assert frames.pack(array)["packed"].tobytes() == frames.pack(packed)["packed"].tobytes() == whole
    assert frames.pack(packed)["shape"].tolist() == list(array.shape)


def asked(pool: np.ndarray, pairs: np.ndarray, newest: int = 0) -> Comparisons:
    made = Comparisons(len(pairs), STEPS, Frames(*pool.shape[-2:]), 2, newest)
    true = np.arange(len(pool) * STEPS, dtype=float).reshape(len(pool), STEPS)
    segments = Segments(pool, true, np.empty((len(pool), STEPS, 0), np.float32))
    made.add(segments, pairs, np.ones(len(pairs)), 0, np.random.default_rng(0))
    return made


def test_comparisons_of_frames_are_those_of_plain_arrays() -> None:
    pool, pairs = clips(9), np.random.default_rng(1).integers(0, 9, (7, 2))
    made, plain = asked(pool, pairs), pool[pairs]
    assert np.array_equal(made.take(np.array([6, 2, 2])), plain[[6, 2, 2]])
    steps = frames.clips(plain).reshape(-1, 4, SIDE, SIDE)
    for most in (1, 10, 10_000):
        spread = np.linspace(0, len(steps) - 1, min(most, len(steps))).astype(np.int64)
        assert np.array_equal(made.rows(most), steps[spread])


@pytest.mark.parametrize("newest", [0, 4])
def test_comparisons_come_back_from_a_checkpoint_and_from_a_file(newest: int) -> None:
    pool, pairs = clips(9), np.random.default_rng(1).integers(0, 9, (7, 2))
    made = asked(pool, pairs, newest)
    for state in (made.get_state(), made.arrays()):  # the second has the questions alone whose segments are kept
        again = asked(pool, pairs[::-1], newest)
        again.set_state(state)
        last = len(state["mu"]) - 1
        assert last == (newest - 1 if newest and "open" not in state else 6)
        assert np.array_equal(again.take(np.array([last, last - 1])), pool[pairs[[6, 5]]])
        assert again.arrays().keys() == made.arrays().keys()
        assert all(np.array_equal(array, again.arrays()[name]) for name, array in made.arrays().items())


@pytest.mark.parametrize("newest", [0, 40])
def test_writing_them_down_takes_a_pair_out_at_a_time(newest: int) -> None:
    """A checkpoint's state and the file of all that was asked, without the whole of it in memory: 3,000 pairs of a
    game are 1.1 GiB."""
    pool = np.zeros((9, STEPS + 3, 84, 84), np.uint8)
    pool[:] = np.arange(9, dtype=np.uint8)[:, None, None, None]
    pairs = np.random.default_rng(1).integers(0, 9, (60, 2))
    made = asked(pool, pairs, newest)
    whole = (newest or 60) * 2 * pool[0].nbytes
    for write in (made.get_state, made.arrays):
        tracemalloc.start()
        written = write()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - sum(array.nbytes for array in written.values()) < whole / 4
