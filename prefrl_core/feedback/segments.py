"""Segments: short clips of behaviour, cut from rollouts so that none crosses the end of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import frames
from prefrl_core.frames import STACK

Width = int | tuple[int, int]  # of a step's features: numbers, or height and width of a frame


@dataclass(frozen=True)
class Segments:
    """Clips of one length, in arrays of their own: no view keeps a rollout alive."""

    features: NDArray[Any]  # (segments, steps, width): raw observation and action; or the frames of the observations
    true_rewards: NDArray[np.float64]  # (segments, steps); the labelers' side only
    scenes: NDArray[np.float32]  # (segments, steps, scene): what people have to be shown; no width where nobody looks

    def __len__(self) -> int:
        return len(self.features)


def empty(count: int, length: int, width: Width) -> NDArray[Any]:
    """Room for the features of ``count`` clips of ``length`` steps: ``(count, length, width)`` float32, or, where a
    frame's height and width are given, ``(count, length + STACK - 1, height, width)`` uint8."""
    if isinstance(width, tuple):
        return np.empty((count, length + STACK - 1, *width), np.uint8)
    return np.empty((count, length, width), np.float32)


def valid_starts(done: NDArray[np.bool_], length: int) -> NDArray[np.int64]:
    """Every (step, environment), ``(starts, 2)``, at which ``length`` steps of one episode begin.

    Args:
        done: ``(steps, envs)``: the episode ended at this step; a clip may end there but not go on.
        length: steps of a clip, at least 1.
    """
    steps = len(done) - length + 1
    if steps <= 0:
        return np.empty((0, 2), np.int64)
    ended = np.concatenate([np.zeros((1, done.shape[1]), np.int64), np.cumsum(done, axis=0)])
    crossed = ended[length - 1 : length - 1 + steps] - ended[:steps]
    return np.argwhere(crossed == 0)


def windows(values: NDArray[Any], starts: NDArray[np.int64], length: int) -> NDArray[Any]:
    """The clips ``(starts, length, ...)`` of ``values`` ``(steps, envs, ...)``, copied."""
    steps = starts[:, :1] + np.arange(length)
    clips: NDArray[Any] = values[steps, starts[:, 1:]]
    return clips


def draw_starts(done: NDArray[np.bool_], length: int, random: np.random.Generator) -> NDArray[np.int64]:
    """As many starts as clips would tile the rollout, drawn without repeats and uniformly from all valid ones."""
    valid = valid_starts(done, length)
    count = min(len(valid), done.size // length)
    return valid[np.sort(random.choice(len(valid), count, replace=False))] if count else valid[:0]


class Pool:
    """The newest segments, from which questions are drawn."""

    def __init__(self, capacity: int, length: int, width: Width, scene: int = 0) -> None:
        self.capacity = capacity
        room = capacity + max(1, capacity // 4)  # so that segments are moved to the front only now and then
        self._room = Segments(
            empty(room, length, width), np.empty((room, length)), np.empty((room, length, scene), np.float32)
        )
        self._first = self._next = 0

    @property
    def segments(self) -> Segments:
        """Those held, from the oldest to the newest: views, until the next ``add``."""
        return self._part(slice(self._first, self._next))

    def _part(self, span: slice) -> Segments:
        room = self._room
        return Segments(room.features[span], room.true_rewards[span], room.scenes[span])

    def add(self, new: Segments) -> None:
        """Take in new segments, copied; the oldest beyond the capacity are forgotten."""
        count = min(len(new), self.capacity)
        kept = min(self._next - self._first, self.capacity - count)
        if self._next + count > len(self._room.features):
            self._to_front(kept)
        span = slice(self._next, self._next + count)
        for room, part in zip(_parts(self._room), _parts(new), strict=True):
            room[span] = part[len(new) - count :]
        self._next, self._first = span.stop, span.stop - kept - count

    def _to_front(self, kept: int) -> None:
        """Move the newest ``kept`` segments; a few at a time, as NumPy copies what overlaps with its target."""
        first = self._next - kept
        for room in _parts(self._room):
            for start in range(0, kept, 64):
                stop = min(start + 64, kept)
                room[start:stop] = room[first + start : first + stop]
        self._next = kept

    def get_state(self) -> dict[str, Any]:
        """The segments held."""
        held = self.segments
        features = held.features
        packed = frames.pack(features) if features.dtype == np.uint8 else features.copy()
        return {"features": packed, "true_rewards": held.true_rewards.copy(), "scenes": held.scenes.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        nothing = np.empty(
            (*state["true_rewards"].shape, 0), np.float32
        )  # of checkpoints from before there were scenes
        features = state["features"]
        if isinstance(features, dict):
            features = frames.unpack(features)
        self._first = self._next = 0
        self.add(Segments(features, state["true_rewards"], state.get("scenes", nothing)))


def _parts(segments: Segments) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return segments.features, segments.true_rewards, segments.scenes
