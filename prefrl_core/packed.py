"""Pairs of clips of frames, each clip compressed by itself: a sixteenth of the memory or less, the same bytes.

Most of a game's screen does not change within a clip: the seven games of Christiano et al. (2017) fit into 1/16 to 1/74
of their size. A clip of 28 frames of 84 x 84 pixels is taken out in 0.1 to 0.25 ms.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.frames import Frames

_LEVEL = 1  # zlib's fastest


class Packed:
    """What an array ``(pairs, 2, frames, height, width)`` of uint8 would hold. As there, a slice is a view, through
    which can be written, and an index array gives a copy. ``shape`` is that of one clip."""

    dtype = np.dtype(np.uint8)

    def __init__(self, pairs: int, shape: tuple[int, ...]) -> None:
        nothing = zlib.compress(bytes(int(np.prod(shape))), _LEVEL)
        self._clips = [nothing] * (2 * pairs)
        self._pairs, self._of_clip = np.arange(pairs), shape

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of the array."""
        return (len(self), 2, *self._of_clip)

    @property
    def nbytes(self) -> int:
        """Memory that the clips take."""
        return sum(len(clip) for clip in self._held())

    def __iter__(self) -> Iterator[Frames]:
        return (self.clips(np.array([2 * pair, 2 * pair + 1])) for pair in range(len(self)))

    def __getitem__(self, pairs: Any) -> Any:
        if isinstance(pairs, slice):
            return self.only(pairs)
        numbers = np.arange(len(self))[pairs]
        return self.clips(2 * numbers[..., None] + np.arange(2))

    def __setitem__(self, pairs: Any, clips: NDArray[np.uint8]) -> None:
        numbers = np.arange(len(self))[pairs]
        for number, pair in zip(numbers.reshape(-1), np.reshape(clips, (-1, 2, *self._of_clip)), strict=True):
            place = 2 * self._pairs[number]
            self._clips[place : place + 2] = (zlib.compress(np.ascontiguousarray(clip).data, _LEVEL) for clip in pair)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[np.arange(len(self))], dtype)

    def only(self, pairs: slice | NDArray[np.int64]) -> Packed:
        """A view of these pairs: nothing is taken out of its compressed form."""
        part = object.__new__(Packed)
        part._clips, part._pairs, part._of_clip = self._clips, self._pairs[pairs], self._of_clip
        return part

    def clips(self, numbers: NDArray[np.int64]) -> Frames:
        """The clips ``(..., frames, height, width)`` with these numbers, counted left, right, left, ..."""
        made = np.empty((numbers.size, *self._of_clip), np.uint8)
        for out, number in zip(made, numbers.reshape(-1).tolist(), strict=True):
            packed = self._clips[2 * self._pairs[number // 2] + number % 2]
            out.reshape(-1)[:] = np.frombuffer(zlib.decompress(packed, bufsize=out.size), np.uint8)
        return made.reshape(*numbers.shape, *self._of_clip)

    def save(self) -> dict[str, NDArray[Any]]:
        """The compressed clips, one behind the other, and their sizes in bytes."""
        held = self._held()
        sizes = np.array([len(clip) for clip in held], np.int64)
        return {"clips": np.frombuffer(b"".join(held), np.uint8).copy(), "clip_sizes": sizes}

    def load(self, state: dict[str, NDArray[Any]]) -> None:
        """The reverse of ``save``, for as many pairs."""
        packed, ends = state["clips"].tobytes(), np.cumsum(state["clip_sizes"]).tolist()
        clips = [packed[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
        for pair, place in zip(self._pairs, range(0, len(clips), 2), strict=True):
            self._clips[2 * pair : 2 * pair + 2] = clips[place : place + 2]

    def _held(self) -> list[bytes]:
        return [self._clips[2 * pair + side] for pair in self._pairs for side in (0, 1)]
