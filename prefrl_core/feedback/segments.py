"""Segments: short clips of behaviour, cut from rollouts so that none crosses the end of an episode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segments:
    """Clips of one length, in arrays of their own: no view keeps a rollout alive."""

    features: NDArray[np.float32]  # (segments, steps, width): raw observation and action
    true_rewards: NDArray[np.float64]  # (segments, steps); the labelers' side only
    scenes: NDArray[np.float32]  # (segments, steps, scene): what people have to be shown; no width where nobody looks

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


class Pool:
    """The newest segments, from which questions are drawn."""

    def __init__(self, capacity: int, length: int, width: int, scene: int = 0) -> None:
        self.capacity = capacity
        nothing = np.empty((0, length, width), np.float32)
        self.segments = Segments(nothing, np.empty((0, length)), np.empty((0, length, scene), np.float32))

    def add(self, new: Segments) -> None:
        """Take in new segments; the oldest beyond the capacity are forgotten."""
        old, keep = self.segments, self.capacity
        self.segments = Segments(
            np.concatenate([old.features, new.features])[-keep:].copy(),
            np.concatenate([old.true_rewards, new.true_rewards])[-keep:].copy(),
            np.concatenate([old.scenes, new.scenes])[-keep:].copy(),
        )

    def get_state(self) -> dict[str, Any]:
        """The segments held."""
        return {name: getattr(self.segments, name) for name in ("features", "true_rewards", "scenes")}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        nothing = np.empty(
            (*state["true_rewards"].shape, 0), np.float32
        )  # of checkpoints from before there were scenes
        self.segments = Segments(state["features"], state["true_rewards"], state.get("scenes", nothing))
