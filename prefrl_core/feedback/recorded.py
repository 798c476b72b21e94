"""Comparisons as they were recorded: what one run asked, or several on one task, apart from the run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.features import Vectors
from prefrl_core.feedback.comparisons import Comparisons

ARRAYS = ("observations", "actions", "true_returns", "mu", "step_asked", "multiplicity")


@dataclass(frozen=True, eq=False)
class Recorded:
    """The comparisons of one run, or of several on one task. Of two segments the first is the left."""

    observations: NDArray[np.float32]  # (asked, 2, steps, obs), raw
    actions: NDArray[np.float32]  # (asked, 2, steps, act), as executed; a discrete one as a unit vector
    true_returns: NDArray[np.float64]  # (asked, 2), undiscounted sums of the true reward
    mu: NDArray[np.float64]  # (asked,): 1 left, 0 right, 0.5 tie, NaN skipped
    step_asked: NDArray[np.int64]  # (asked,) in environment steps
    multiplicity: NDArray[np.int64]  # (asked, members): how often each member of the run's ensemble was shown it
    about: dict[str, Any]  # run, task, seed, labeler, versions, ...: plain values

    def __post_init__(self) -> None:
        """Raise ValueError where the shapes do not agree."""
        rows, shape = len(self.mu), self.observations.shape[:3]
        given = [self.observations.ndim, self.actions.ndim, self.multiplicity.ndim]
        fits = given == [4, 4, 2] and shape[:2] == (rows, 2) and self.actions.shape[:3] == shape
        fits = fits and self.true_returns.shape == (rows, 2) and self.mu.shape == self.step_asked.shape == (rows,)
        if not fits or len(self.multiplicity) != rows:
            shapes = {name: getattr(self, name).shape for name in ARRAYS}
            raise ValueError(f"comparisons of shapes that do not agree: {shapes}")

    def __len__(self) -> int:
        return len(self.mu)

    def take(self, chosen: Any) -> Recorded:
        """The comparisons that an index array or a slice names."""
        return dataclasses.replace(self, **{name: getattr(self, name)[chosen] for name in ARRAYS})

    def comparisons(self, members: int | None = None, seed: int = 0) -> Comparisons:
        """As the reward model is fitted to: with the run's own bootstrap, or with one drawn anew from ``seed`` where
        another number of ``members`` is wanted."""
        recorded = self.multiplicity.shape[1]
        members = recorded if members is None else members
        features = np.concatenate([self.observations, self.actions], axis=-1)
        made = Comparisons(len(self), features.shape[2], Vectors(features.shape[3]), members)
        drawn = seeding.generator(seed, "bootstrap").poisson(1.0, (len(self), members))
        bootstrap = self.multiplicity if members == recorded else drawn
        arrays = {name: getattr(self, name) for name in ("true_returns", "mu", "step_asked")}
        made.set_state({"features": features, **arrays, "multiplicity": bootstrap})
        return made
