"""True returns of episodes: counted here, for the log and for labelers whose thresholds follow the policy."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.tasks import TaskInfo

_RECENT = 10  # episodes whose average return is the present level


class Returns:
    """Adds up the true reward of each environment's episode."""

    def __init__(self, info: TaskInfo, num_envs: int, short: NDArray[np.bool_] | None = None) -> None:
        """``short`` ``(envs,)``: environments whose episodes the run truncates; their returns are left out."""
        self._task = info.id
        self._whole = info.episode_steps if info.fixed_length else 0
        self._short = np.zeros(num_envs, np.bool_) if short is None else short
        self._shortened = np.zeros(num_envs, np.bool_)  # staggering cuts the episode under way short
        self.running = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, np.int64)
        self.recent: deque[float] = deque(maxlen=_RECENT)
        self.recent_lengths: deque[int] = deque(maxlen=_RECENT)

    @property
    def level(self) -> float:
        """True reward a step, averaged over the last ten episodes."""
        return sum(self.recent) / max(1, sum(self.recent_lengths))

    def count(
        self, rewards: NDArray[np.float64], games: NDArray[np.float64], done: NDArray[np.bool_]
    ) -> dict[str, int | float | None]:
        """Take in true rewards and ends of episodes, both ``(steps, envs)``; returns how many episodes ended, and their
        mean return. Where the task hides the ends, ``games`` ``(ended, 4)`` has environment, score, length and sum of
        rewards of each: what is returned is the score, and the level is of the rewards, which labelers judge by. An
        episode of fixed length that staggering cut short is left out.

        Raises:
            UserError: another episode of a task whose episodes have one length was shorter.
        """
        ended: list[float] = games[:, 1].tolist()
        self.recent.extend(games[:, 3].tolist())
        self.recent_lengths.extend(games[:, 2].astype(int).tolist())
        for paid, over in zip(rewards, done, strict=True):
            self.running += paid
            self.lengths += 1
            cut = over & ((self.lengths < self._whole) | self._short)
            wrong = cut & ~self._shortened & ~self._short
            if wrong.any():
                self._refuse(int(self.lengths[wrong][0]))
            self._shortened &= ~over
            self._forget(cut)
            over = over & ~cut
            if over.any():
                ended += self.running[over].tolist()
                self.recent.extend(self.running[over].tolist())
                self.recent_lengths.extend(self.lengths[over].tolist())
                self._forget(over)
        return {"episodes": len(ended), "true_return": float(np.mean(ended)) if ended else None}

    def begin_anew(self) -> None:
        """All episodes begin again, each once with another length; those under way are left out."""
        self.running[:], self.lengths[:] = 0, 0
        self._shortened[:] = True

    def _refuse(self, steps: int) -> None:
        raise UserError(
            f"task {self._task}: an episode ended after {steps} of {self._whole} steps, though its info says "
            "fixed_length: returns of such episodes would not be counted; say fixed_length=False there, and set "
            "variable_length = true in the run"
        )

    def _forget(self, which: NDArray[np.bool_]) -> None:
        self.running[which], self.lengths[which] = 0, 0

    def get_state(self) -> dict[str, Any]:
        """Copies of everything."""
        return {
            "running": self.running.copy(),
            "lengths": self.lengths.copy(),
            "recent": np.array(self.recent),
            "recent_lengths": np.array(self.recent_lengths, np.int64),
            "shortened": self._shortened.copy(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.running, self.lengths, self._shortened = state["running"], state["lengths"], state["shortened"]
        self.recent.extend(state["recent"].tolist())
        self.recent_lengths.extend(state["recent_lengths"].tolist())
