"""Running moments of observations and of discounted returns. They change between rollouts only, never within one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class Moments:
    """Mean and variance of all rows seen, merged batch by batch (Chan, Golub and LeVeque 1983)."""

    def __init__(self, width: int) -> None:
        self.mean = np.zeros(width)
        self.variance = np.ones(width)
        self.count = 0

    def update(self, rows: NDArray[Any]) -> None:
        """Take in ``rows`` of shape ``(..., width)``."""
        rows = rows.reshape(-1, len(self.mean))
        count, mean, variance = len(rows), rows.mean(0, dtype=np.float64), rows.var(0, dtype=np.float64)
        total = self.count + count
        shift = mean - self.mean
        squares = self.variance * self.count + variance * count + shift**2 * (self.count * count / total)
        self.mean = self.mean + shift * (count / total)
        self.variance, self.count = squares / total, total

    def get_state(self) -> dict[str, Any]:
        """Copies of everything."""
        return {"mean": self.mean.copy(), "variance": self.variance.copy(), "count": self.count}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.mean, self.variance, self.count = state["mean"].copy(), state["variance"].copy(), state["count"]


class Standardizer(Moments):
    """Observations to mean 0 and variance 1, clipped at ten standard deviations."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self._refresh()

    def update(self, rows: NDArray[Any]) -> None:
        """Take in ``rows``; what ``__call__`` returns changes from here on."""
        super().update(rows)
        self._refresh()

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self._refresh()

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Standardized rows ``(..., width)``, float32."""
        result = rows - self._mean
        result *= self._inverse
        np.minimum(result, np.float32(10), out=result)  # two plain operations are faster than np.clip's wrapper
        return np.maximum(result, np.float32(-10), out=result)

    def _refresh(self) -> None:
        self._mean = self.mean.astype(np.float32)
        self._inverse = (1 / np.sqrt(self.variance + 1e-8)).astype(np.float32)


class AsTheyAre:
    """Observations that need no standardizing: pixels."""

    def update(self, rows: NDArray[Any]) -> None:
        """Nothing to learn from them."""

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The rows themselves."""
        return rows

    def get_state(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing."""


class RewardScale:
    """Divides rewards by the running standard deviation of the discounted return, so that one set of
    hyperparameters serves rewards of any size. One scale for a whole rollout.

    ``center`` first subtracts a moving mean of the reward (Naik et al. 2024). In episodes of fixed length that changes
    no preference between policies, and spares the critic a constant of mean / (1 - discount), which is all that
    it sees where rewards are of one sign. Where the policy can end an episode it would change what is wanted.
    """

    _TRACKING = 0.1  # weight of the newest rollout in the moving mean: a predicted reward drifts as it is refitted

    def __init__(
        self, num_envs: int, discount: float, center: bool, rollouts: int = 1, scale: bool = True, memory: int = 0
    ) -> None:
        """``rollouts``: they are so short that it takes this many to see what others see in one. ``memory``: the scale
        is that of about so many of the newest rollouts, weighted by 1 / memory; 0 takes all. Without ``scale``
        nothing is divided."""
        self.discount, self.center, self.scale, self.memory = discount, center, scale, memory
        self._weight = self._TRACKING / rollouts
        self.mean: float | None = None
        self.discounted = Moments(1)
        self.returns = np.zeros(num_envs)

    def __call__(self, rewards: NDArray[Any], done: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Scaled rewards ``(steps, envs)``; ``done`` marks the last step of an episode."""
        centered = rewards - self._moving_mean(float(rewards.mean())) if self.center else rewards
        if not self.scale:
            return centered
        discounted = np.empty(rewards.shape)
        for step in range(len(rewards)):
            self.returns = self.returns * self.discount + centered[step]
            discounted[step] = self.returns
            self.returns = np.where(done[step], 0.0, self.returns)
        if self.memory:
            self.discounted.count = min(self.discounted.count, (self.memory - 1) * discounted.size)
        self.discounted.update(discounted[..., None])
        return np.clip(centered / np.sqrt(self.discounted.variance[0] + 1e-8), -10.0, 10.0)

    def _moving_mean(self, newest: float) -> float:
        self.mean = newest if self.mean is None else self.mean + self._weight * (newest - self.mean)
        return self.mean

    def get_state(self) -> dict[str, Any]:
        """Copies of everything."""
        return {"mean": self.mean, "discounted": self.discounted.get_state(), "returns": self.returns.copy()}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.mean = state["mean"]
        self.discounted.set_state(state["discounted"])
        self.returns = state["returns"].copy()
