"""The replay over pixels: each frame is kept once, as uint8, and observations are stacked when they are drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from prefrl_core.frames import STACK, Frames
from prefrl_core.policy.replay import NOWHERE, Replay

_BEGINS = -2  # the run's first row: a new beginning with nothing before it


class FrameReplay(Replay):
    """The newest ``capacity`` transitions of ``envs`` environments whose observations are stacks of frames ``(height,
    width)``. A row of the ring is the newest frame of a step; its stack is that and the rows before it.

    Where environments begin anew, at the run's first step or between two rollouts, frames older than the beginning are
    read as copies of its first frame, as a reset gives them. (An Atari game that is started anew by its period just
    between two rollouts really shows frames of the old game for three more steps.)
    """

    kind, stack, history = np.uint8, (STACK,), STACK - 1

    def __init__(self, capacity: int, envs: int, frame: tuple[int, ...], action: int) -> None:
        super().__init__(capacity, envs, frame, action)
        self._shaped(self.before)[0] = _BEGINS

    def observed(self, places: NDArray[np.int64], out: Frames | None = None) -> Frames:
        """The stacks ``(len(places), STACK, height, width)`` at these places."""
        if out is None:
            out = np.empty((len(places), *self.apart.shape[1:]), np.uint8)
        for age in range(STACK):
            out[:, STACK - 1 - age] = self.observations[places]
            goes_on = self.before[places] == NOWHERE
            places = (places - self.envs * goes_on) % len(self.before)
        return out

    def features(self, places: NDArray[np.int64]) -> Frames:
        """What a reward model sees of the steps at ``places`` ``(...)``: their stacks ``(..., STACK, height, width)``,
        without the actions."""
        return self.observed(places.reshape(-1)).reshape(*places.shape, *self.apart.shape[1:])

    def _stored(self, observations: Frames) -> Frames:
        return observations[..., -1, :, :]
