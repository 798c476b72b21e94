"""What a reward model offers to the loop."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.rollout import Turn


class RewardLearner(Protocol):
    """Predicts a reward for each step, and learns from comparisons which reward is wanted.

    The registered part is a frozen dataclass of settings with ``make(features, seed, segment)``, which gives one of
    these: ``features`` (see ``prefrl_core.features``) says what a step looks like, ``segment`` how many steps a
    compared segment has. A class that inherits from this one has the values below for what it leaves out.
    """

    context: int = 1  # steps that a prediction takes into account at once; 1 where each is predicted by itself
    bootstraps: int = 1  # independent draws of the labels that ``Comparisons`` keeps for it, see its ``bag``
    label_buffer: int = 0  # the newest labels alone are kept, so many; 0 keeps all
    told_returns: bool = False  # fitted to true returns of segments instead of preferences
    gradient_steps: int | None = None  # taken since the run began, each of all members; None where it does not say

    def predict(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> NDArray[np.floating[Any]]:
        """Predicted reward ``(...)`` of raw features ``(..., *shape)``; changes nothing. With a ``context`` above 1, of
        ``(steps, envs, *shape)`` that follow one another, where ``done`` ``(steps, envs)`` marks ends of episodes."""
        raise NotImplementedError

    def preferences(self, kept: NDArray[Any], pairs: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Each member's probability ``(members, pairs)`` that the left segment of a pair is preferred; changes nothing.
        ``pairs`` ``(pairs, 2)`` are indices, left and right, into the segments ``kept`` ``(segments, steps, *shape)``
        (of pixels, their frames)."""
        raise NotImplementedError

    def observe(self, turn: Turn) -> None:
        """A turn of the loop was acted: take in the scale of its features. Called once a turn, before ``fit``, the
        untrained phase included; never between two predictions of one turn, nor by a query."""
        raise NotImplementedError

    def fit(self, comparisons: Comparisons, pool: Pool) -> dict[str, float | None]:
        """Learn by a bounded amount of work, however many comparisons there are; returns what it measured. ``pool`` has
        the newest segments, labelled or not, and the newest turn.

        Raises:
            UserError: the reward model diverged.
        """
        raise NotImplementedError

    def begin(self, seed: int) -> None:
        """Begin a run with what was learned in another, after ``set_state``: draw and count anew."""

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on: arrays and plain values."""
        raise NotImplementedError

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        raise NotImplementedError


class LookAhead(Protocol):
    """How a critic's next update depends on rewards: ``LooksAhead.look_ahead`` of a policy, of which a reward model
    knows nothing else."""

    def __call__(self, pairs: NDArray[Any], mu: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], float]:
        """Features ``(..., width)`` of steps, the derivative ``(...)`` of a loss by their rewards, and the loss, for
        features ``(pairs, 2, width)`` of the first steps of segments and answers ``(pairs,)`` about them."""


@runtime_checkable
class AsksCritic(Protocol):
    """A reward model that learns from what the policy's critic would learn. Its settings say so by ``asks_critic =
    True``, a class variable; a run with a policy that has no such critic is refused."""

    def consult(self, look_ahead: LookAhead) -> None:
        """From now on ``fit`` may ask this. Called once, before the first turn or after a checkpoint was restored."""
