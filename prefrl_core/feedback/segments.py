"""Segments: short clips of behaviour, cut from rollouts so that none crosses the end of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.features import Features
from prefrl_core.rollout import Turn


@dataclass(frozen=True)
class Segments:
    """Clips of one length, in arrays of their own: no view keeps a rollout alive."""

    features: NDArray[Any]  # (segments, steps, width): raw observation and action; of pixels, their frames
    true_rewards: NDArray[np.float64]  # (segments, steps); the labelers' side only
    scenes: NDArray[np.float32]  # (segments, steps, scene): what people have to be shown; width 0 without people

    def __len__(self) -> int:
        return len(self.features)


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


def cut(
    turn: Turn, true_rewards: NDArray[np.float64], starts: NDArray[np.int64], length: int, form: Features
) -> Segments:
    """The segments of a turn that begin at ``starts`` ``(segments, 2)``, copied."""
    kept = form.kept(windows(turn.features, starts, length))
    return Segments(kept, windows(true_rewards, starts, length), windows(turn.scenes, starts, length))


class Pool:
    """The newest segments, from which questions are drawn, and the newest turn, from which they were cut."""

    def __init__(self, capacity: int, length: int, features: Features, scene: int = 0) -> None:
        self.capacity, self._form = capacity, features
        self.turn: Turn | None = None
        size = capacity + max(1, capacity // 4)  # so that segments are moved to the front only now and then
        self._memory = Segments(
            features.empty(size, length), np.empty((size, length)), np.empty((size, length, scene), np.float32)
        )
        self._first = self._next = 0

    @property
    def segments(self) -> Segments:
        """Those held, from the oldest to the newest: views, until the next ``add``."""
        return self._part(slice(self._first, self._next))

    def _part(self, span: slice) -> Segments:
        memory = self._memory
        return Segments(memory.features[span], memory.true_rewards[span], memory.scenes[span])

    def add(self, new: Segments) -> None:
        """Take in new segments, copied; the oldest beyond the capacity are forgotten."""
        count = min(len(new), self.capacity)
        kept = min(self._next - self._first, self.capacity - count)
        if self._next + count > len(self._memory.features):
            self._to_front(kept)
        span = slice(self._next, self._next + count)
        for memory, part in zip(_parts(self._memory), _parts(new), strict=True):
            memory[span] = part[len(new) - count :]
        self._next, self._first = span.stop, span.stop - kept - count

    def _to_front(self, kept: int) -> None:
        """Move the newest ``kept`` segments; a few at a time, as NumPy copies what overlaps with its target."""
        first = self._next - kept
        for memory in _parts(self._memory):
            for start in range(0, kept, 64):
                stop = min(start + 64, kept)
                memory[start:stop] = memory[first + start : first + stop]
        self._next = kept

    def get_state(self) -> dict[str, Any]:
        """The segments held."""
        held = self.segments
        packed = self._form.pack(held.features)
        return {"features": packed, "true_rewards": held.true_rewards.copy(), "scenes": held.scenes.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self._first = self._next = 0
        self.add(Segments(self._form.unpack(state["features"]), state["true_rewards"], state["scenes"]))


def _parts(segments: Segments) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    return segments.features, segments.true_rewards, segments.scenes
