"""Observations that are pictures: a step's observation is the newest frames, stacked. They are kept unstacked, every
frame once, as uint8, and are stacked where they are used, by a view that copies nothing."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]

SIZE = 84  # pixels of a frame's side
STACK = 4  # frames in an observation, the newest last (Mnih et al. 2015)


def stacked(frames: Frames) -> Frames:
    """Observations ``(steps, ..., STACK, height, width)`` as a view of the frames ``(steps + STACK - 1, ..., height,
    width)`` that they are made of: observation ``t`` is the frames ``t`` to ``t + STACK - 1``."""
    view = np.lib.stride_tricks.sliding_window_view(frames, STACK, axis=0)
    return np.moveaxis(view, -1, -3)


def following(observations: Sequence[Frames]) -> Frames:
    """Observations ``(steps, ..., STACK, height, width)`` that follow one another, as a view of their frames, each kept
    once; copied where one does not go on with the frames of the one before."""
    oldest = np.moveaxis(observations[0][0], -3, 0)[:-1]
    whole = stacked(np.concatenate([oldest, *(part[..., -1, :, :] for part in observations)]))
    starts = np.cumsum([0, *(len(part) for part in observations[:-1])])
    goes_on = all(np.array_equal(whole[start], part[0]) for start, part in zip(starts, observations, strict=True))
    return whole if goes_on else np.concatenate(observations)


def interleaved(observations: Frames) -> Frames:
    """Observations ``(..., STACK, height, width)`` with the frames of a pixel side by side: ``(..., height, width,
    STACK)``, copied. Four bytes are put together as one number, a quarter of the time of a transposition."""
    pixels = np.zeros((*observations.shape[:-3], *observations.shape[-2:]), "<u4")
    for newest_first in range(STACK - 1, -1, -1):
        pixels <<= 8
        pixels |= observations[..., newest_first, :, :]
    return pixels.view(np.uint8).reshape(*pixels.shape, STACK)


def unstacked(observations: Frames) -> Frames:
    """The frames ``(clips, steps + STACK - 1, height, width)`` of clips of observations ``(clips, steps, STACK, height,
    width)``, which follow one another, as an array of their own."""
    return np.concatenate([observations[:, 0, :-1], observations[:, :, -1]], axis=1)


def clips(frames: Frames) -> Frames:
    """The reverse of ``unstacked``, for clips with any axes before: a view ``(..., steps, STACK, height, width)`` of
    ``(..., steps + STACK - 1, height, width)``."""
    view = np.lib.stride_tricks.sliding_window_view(frames, STACK, axis=-3)
    return np.moveaxis(view, -1, -3)


def pictures(frames: Frames) -> NDArray[np.float32]:
    """Frames ``(..., height, width)`` as what people are shown, a row of numbers each: ``(..., height * width)``."""
    return frames.reshape(*frames.shape[:-2], -1).astype(np.float32)


class Stack(Protocol):
    """An array of frames, or what gives its parts one by one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __iter__(self) -> Iterator[Frames]: ...


def pack(frames: Stack) -> dict[str, NDArray[Any]]:
    """Frames of any shape, compressed: most of a screen is one colour. Exact."""
    stream = zlib.compressobj(1)
    packed = b"".join([*(stream.compress(np.ascontiguousarray(part).data) for part in frames), stream.flush()])
    return {"packed": np.frombuffer(packed, np.uint8).copy(), "shape": np.array(frames.shape, np.int64)}


def unpack(packed: dict[str, NDArray[Any]]) -> Frames:
    """The reverse of ``pack``."""
    raw = np.frombuffer(zlib.decompress(packed["packed"].data), np.uint8)
    return raw.reshape(packed["shape"].tolist()).copy()
