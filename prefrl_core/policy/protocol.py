"""What a policy offers to the loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from prefrl_core.rollout import Rollout


class Predictor(Protocol):
    """What a policy may ask a reward model: nothing but predictions."""

    context: int  # steps that a prediction takes into account at once; 1 where each step is predicted by itself

    def predict(self, features: NDArray[Any], done: NDArray[Any] | None = None) -> NDArray[Any]:
        """Predicted reward ``(...)`` of raw features ``(..., width)``; where ``context`` is above 1, of
        ``(steps, envs, width)``, with the ends of episodes ``done`` ``(steps, envs)``."""


class Policy(Protocol):
    """How to act, and how to act better. A policy optimiser is one file that offers this.

    An optimiser that learns from a replay also offers ``reward_changed`` (see ``LearnsFromReplay``), and
    ``untrained_steps`` where it wants to act for longer than an episode before the first question. One that takes other
    than one update at each improvement says in ``updates`` how many it has taken.
    """

    rollout_steps: int  # steps an environment takes between two improvements
    rollouts: int  # improvements between two looks at the reward model; 1 where it is left out

    def act(self, observations: NDArray[Any]) -> NDArray[Any]:
        """Draw an action for each raw observation ``(envs, obs)``."""

    def executed(self, actions: NDArray[Any]) -> NDArray[Any]:
        """What the task is given for drawn actions (continuous ones clipped to their bounds)."""

    def observe(self, rollout: Rollout) -> None:
        """Take in a rollout of the untrained phase, without a reward."""

    def improve(self, rollout: Rollout, rewards: NDArray[Any], progress: float) -> Mapping[str, float]:
        """Learn from a rollout under ``rewards`` ``(steps, envs)``; ``progress`` in [0, 1] is the share of the run."""

    def get_state(self) -> dict[str, Any]:
        """Everything that a later ``act`` or ``improve`` depends on."""

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""


@runtime_checkable
class LearnsFromReplay(Protocol):
    """A policy that stores transitions. Its rewards must never be those of an older reward model."""

    def observe(self, rollout: Rollout, rewards: NDArray[Any] | None = None) -> None:
        """Store a rollout of the untrained phase; ``rewards`` ``(steps, envs)`` are the true ones, given where the
        policy learns from those."""

    def reward_changed(self, reward: Predictor) -> None:
        """The reward model is another one from here on. Called before the first improvement of a run that learns its
        reward, after each fit, and after a checkpoint was restored; never where the true reward is used. The policy
        predicts when it samples, or, where ``reward.context`` is above 1, predicts all it has stored anew."""


@runtime_checkable
class LooksAhead(Protocol):
    """A policy with a critic that can tell how the critic's next update depends on the rewards it is given. Its
    settings say so by ``looks_ahead = True``, a class variable."""

    def look_ahead(self, pairs: NDArray[Any], mu: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], float]:
        """The critic's preferences after its next update, held against answers; the update itself is not taken.

        Args:
            pairs: raw features ``(pairs, 2, width)`` of the first steps of compared segments, left and right.
            mu: ``(pairs,)``, share of preference on the left.

        Returns:
            Raw features ``(..., width)`` of the steps whose rewards that update would use, the derivative ``(...)`` of
            the loss with respect to each of these rewards, and the loss: the cross-entropy, summed over the critics.
        """
