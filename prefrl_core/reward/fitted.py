"""Reward models that are ensembles fitted by gradient steps: the fit, and the hooks in which methods differ.

Each member sees its own bootstrap of the labels (``Comparisons.multiplicity``), in its own order; the labels
that its bootstrap left out measure its validation loss. The weight of the L2 penalty is adapted to keep that between
1.1 and 1.5 times the training loss (Christiano et al. 2017, section 2.2.3). The predicted reward is the mean of the
members, each brought to mean 0 and one standard deviation by itself.

A subclass gives the networks: ``members``, ``parameters``, ``optimiser``, ``outputs``, ``segment_sums``, ``pair_sums``
and ``backward``. A method overrides a hook: ``observe`` (a turn arrived), ``updates`` (how many gradient steps),
``prepare`` (once before them: which labels it trusts, pre-training on ``pool.turn``), ``batch`` (augmentation,
relabelled or weighed answers, pseudo-labels of unlabelled segments) and ``losses`` (the loss of a batch).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError
from prefrl_core.features import Features
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.preference import preference
from prefrl_core.reward.likelihood import cross_entropy, squared_error
from prefrl_core.reward.protocol import RewardLearner
from prefrl_core.reward.settings import HIGHEST_L2, FitSettings
from prefrl_core.rollout import Turn

Array = NDArray[np.float32]

_LOWEST_RATIO, _HIGHEST_RATIO = 1.1, 1.5
_L2_BOUNDS = (1e-7, HIGHEST_L2)
_MEMORY = 0.9  # of the running losses that steer the L2 weight; one fit's are too noisy


@dataclass
class Batch:
    """Compared pairs of one gradient step."""

    kept: NDArray[Any]  # (pairs, 2, steps, *shape), of pixels their frames; the left segment first
    mu: NDArray[np.float64]  # (pairs,): share of preference on the left
    returns: NDArray[np.float64]  # (pairs, 2): true returns in units of their spread; for models that may see them
    weight: NDArray[np.floating[Any]] | None = None  # (pairs,), of each pair's loss; None weighs all alike
    # (pairs, 2, steps): 1 for the steps that count; None counts all. Where it, and all but ``kept``, has several
    # entries for each pair kept, one after the other, these are parts of that pair.
    mask: NDArray[np.floating[Any]] | None = None


class FittedReward(RewardLearner):
    """An ensemble, and what fitting it needs between calls: the L2 weight, the running losses, the minibatches."""

    needs_run = ""  # what it learns from beside comparisons, if that is something that only a run has
    normalising_rows = 2048  # single steps over which the members' outputs are measured after a fit
    validation_pairs = 64  # comparisons a member and fit that measure its validation loss

    members: Sequence[Any]  # the predictors
    parameters: Any  # of all of them: ``finite()``
    optimiser: Any  # of these: ``step()``, ``get_state()``, ``set_state(state)``

    def __init__(self, settings: FitSettings, features: Features, seed: int) -> None:
        self.settings, self.features = settings, features
        self.bootstraps, self.label_buffer = settings.members, settings.label_buffer
        self.told_returns = settings.target == "return"
        self.means = np.zeros(settings.members, np.float32)
        self.stds = np.ones(settings.members, np.float32)
        self.l2 = settings.l2
        self.training = self.validation = float("nan")
        self.random = seeding.generator(seed, "reward minibatches")
        self.answered_before = False  # a question was answered before the newest turn
        self.fitted = False
        self.steps_before = 0  # gradient steps that were taken before the run
        self.as_known = False  # nothing was fitted since the run began with it: what it sees is scaled as it was

    @property
    def gradient_steps(self) -> int:  # type: ignore[override]  # counted, not set
        """Taken since the run began, each of all members; the optimiser's own count, which checkpoints have."""
        return int(self.optimiser.steps) - self.steps_before

    def begin(self, seed: int) -> None:
        """Begin a run as it is now: draws and counts are the run's own."""
        self.random = seeding.generator(seed, "reward minibatches")
        self.steps_before = int(self.optimiser.steps)
        self.answered_before, self.as_known = False, True

    # ------------------------------------------------------------------ what the networks give

    def outputs(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> Array:
        """Each member's plain output, ``(members, ...)`` for raw features ``(..., *shape)``."""
        raise NotImplementedError

    def segment_sums(self, kept: NDArray[Any]) -> Array:
        """Undiscounted sums of the plain outputs, ``(members, segments)``, of kept segments."""
        raise NotImplementedError

    def pair_sums(
        self, member: Any, kept: NDArray[Any], fitting: bool = False, mask: NDArray[Any] | None = None
    ) -> Array:
        """A member's sums ``(pairs, 2)`` for kept pairs ``(pairs, 2, ...)``, over the steps of ``mask``; when
        ``fitting``, ``backward`` can follow."""
        raise NotImplementedError

    def backward(self, member: Any, slopes: Array, l2: float) -> None:
        """Set the member's gradient to that of a loss, given its derivative ``(pairs, 2)`` with respect to the latest
        ``pair_sums`` while fitting, and of the penalty on the weights."""
        raise NotImplementedError

    # ------------------------------------------------------------------ hooks of methods

    def updates(self, comparisons: Comparisons, first: bool) -> int:
        """Gradient steps of this fit; ``first``: no question was answered before this turn."""
        return self.settings.initial_updates if first else self.settings.updates

    def prepare(self, comparisons: Comparisons, pool: Pool | None) -> list[NDArray[np.int64]]:
        """Called once before the gradient steps; returns, for each member, the questions that it draws its batches
        from. ``pool`` is None where recorded comparisons are fitted without a run."""
        return [comparisons.bag(member) for member in range(len(self.members))]

    def batch(self, member: int, comparisons: Comparisons, chosen: NDArray[np.int64], pool: Pool | None) -> Batch:
        """The pairs of one gradient step of one member, from the ``chosen`` questions."""
        # in units of the spread so far, so that one learning rate and one penalty serve rewards of any size
        spread = (float(comparisons.true_returns.std()) or 1.0) if self.told_returns else 1.0
        return Batch(comparisons.take(chosen), comparisons.mu[chosen], comparisons.true_returns[chosen] / spread)

    def losses(self, sums: Array, batch: Batch) -> tuple[NDArray[Any], NDArray[Any]]:
        """Loss ``(pairs,)`` of predicted sums ``(pairs, 2)`` and its derivative with respect to them."""
        if self.told_returns:
            return squared_error(sums, batch.returns)
        loss, slope = cross_entropy(sums[:, 0], sums[:, 1], batch.mu, self.settings.uniform_answer)
        return loss, np.stack([slope, -slope], axis=1)

    # ------------------------------------------------------------------ predicting

    def predict(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> Array:
        """Predicted reward ``(...)``: members brought to mean 0 and the set standard deviation (unless the settings ask
        for plain outputs), then averaged."""
        return self.normalised(features, done).mean(0)

    def normalised(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> Array:
        """Each member's output ``(members, ...)``, brought to mean 0 and the set standard deviation, unless the
        settings ask for plain outputs."""
        outputs = self.outputs(features, done)
        if self.settings.normalise:
            column = (-1,) + (1,) * (outputs.ndim - 1)
            outputs -= self.means.reshape(column)
            outputs *= (np.float32(self.settings.output_std) / self.stds).reshape(column)
        return outputs

    def preferences(self, kept: NDArray[Any], pairs: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Each member's probability ``(members, pairs)`` that the left segment of a pair is preferred."""
        shown, places = np.unique(pairs, return_inverse=True)  # each segment is evaluated once
        sums = self.segment_sums(kept[shown])[:, places.reshape(pairs.shape)]
        return preference(sums[..., 0], sums[..., 1])

    def normalise(self, outputs: Array) -> None:
        """Measure each member's mean and standard deviation over ``outputs`` ``(members, ...)``, for ``predict`` to
        remove; nothing where the settings ask for plain outputs."""
        if self.settings.normalise:
            flat = outputs.reshape(len(self.members), -1)
            self.means, self.stds = flat.mean(1), flat.std(1) + np.float32(1e-6)

    def typical_outputs(self, comparisons: Comparisons) -> Array:
        """Outputs ``(members, ...)`` over the compared segments, for ``normalise``."""
        return self.outputs(comparisons.rows(self.normalising_rows))

    def newest_outputs(self, turn: Turn) -> Array:
        """Outputs ``(members, ...)`` over the newest turn, for ``normalise`` where nothing was compared."""
        return self.outputs(self.features.rows(turn.features, self.normalising_rows))

    # ------------------------------------------------------------------ fitting

    def observe(self, turn: Turn) -> None:
        """Nothing to take in."""

    def fit(self, comparisons: Comparisons, pool: Pool) -> dict[str, float | None]:
        """Fit to all answers, longer the first time; without an answer only normalise.

        Raises:
            UserError: the parameters are no longer finite.
        """
        first = not self.answered_before
        self.answered_before = comparisons.known > 0 or comparisons.answered
        if not comparisons.informative:
            if not self.fitted and pool.turn is not None and self.settings.normalise:
                self.normalise(self.newest_outputs(pool.turn))
            return {}
        measured = self.take_steps(comparisons, self.updates(comparisons, first), pool)
        return {name: value if np.isfinite(value) else None for name, value in measured.items()}

    def take_steps(self, comparisons: Comparisons, updates: int, pool: Pool | None = None) -> dict[str, float]:
        """Take ``updates`` gradient steps; returns ``reward_loss``, ``reward_validation_loss`` and ``reward_l2``.

        Raises:
            UserError: the parameters are no longer finite.
        """
        self.as_known = False
        bags = self.prepare(comparisons, pool)
        losses = [self._update(comparisons, bags, pool) for _ in range(updates)]
        if not self.parameters.finite():
            raise UserError("the reward model diverged (parameters are not finite): lower reward_model.learning_rate")
        training = float(np.mean(losses)) if losses else float("nan")
        validation = self._validate(comparisons)
        self.training = _blend(self.training, training)
        self.validation = _blend(self.validation, validation)
        self._adapt(updates)
        if self.settings.normalise:
            self.normalise(self.typical_outputs(comparisons))
        self.fitted = True
        return {"reward_loss": training, "reward_validation_loss": validation, "reward_l2": self.l2}

    def _update(self, comparisons: Comparisons, bags: list[NDArray[np.int64]], pool: Pool | None) -> float:
        """One gradient step of every member that has labels, on a minibatch of its own; returns their mean loss."""
        learning = [(index, bag) for index, bag in enumerate(bags) if len(bag)]
        total = 0.0
        for index, bag in learning:
            chosen = self.random.choice(bag, self.settings.batch_pairs)
            total += self._accumulate(self.members[index], self.batch(index, comparisons, chosen, pool))
        if not learning:
            return float("nan")  # nobody has a label yet
        self.optimiser.step()
        return total / len(learning)

    def _accumulate(self, member: Any, batch: Batch) -> float:
        """Add the gradient of one member's loss on a batch; returns that loss."""
        loss, slopes = self.losses(self.pair_sums(member, batch.kept, True, batch.mask), batch)
        if batch.weight is not None:
            loss, slopes = loss * batch.weight, slopes * batch.weight[:, None]
        self.backward(member, (slopes / len(loss)).astype(np.float32), self.l2)
        return float(loss.mean())

    def _validate(self, comparisons: Comparisons) -> float:
        """Mean loss of the members on labels that their bootstraps left out; NaN while there are none."""
        losses = []
        for index, member in enumerate(self.members):
            left_out = comparisons.left_out(index)
            if len(left_out) > self.validation_pairs:
                left_out = self.random.choice(left_out, self.validation_pairs, replace=False)
            if len(left_out):
                plain = FittedReward.batch(self, index, comparisons, left_out, None)  # without what a method adds
                losses.append(float(self.losses(self.pair_sums(member, plain.kept), plain)[0].mean()))
        return float(np.mean(losses)) if losses else float("nan")

    def _adapt(self, updates: int) -> None:
        """Raise the L2 weight when the members overfit, lower it when they hardly do."""
        if self.l2 == 0 or self.settings.l2_rate == 0 or not np.isfinite(self.validation):
            return
        try:
            factor = (1 + self.settings.l2_rate) ** updates
        except OverflowError:  # the bounds are reached long before
            factor = float("inf")
        if self.validation > _HIGHEST_RATIO * self.training:
            self.l2 *= factor
        elif self.validation < _LOWEST_RATIO * self.training:
            self.l2 /= factor
        self.l2 = float(np.clip(self.l2, *_L2_BOUNDS))

    # ------------------------------------------------------------------ saving

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on."""
        return {
            "optimiser": self.optimiser.get_state(),
            "means": self.means.copy(),
            "stds": self.stds.copy(),
            "running": np.array([self.l2, self.training, self.validation]),
            "random": seeding.state_of(self.random),
            "progress": {
                "answered_before": self.answered_before,
                "fitted": self.fitted,
                "steps_before": self.steps_before,
                "as_known": self.as_known,
            },
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.optimiser.set_state(state["optimiser"])
        self.means, self.stds = state["means"].copy(), state["stds"].copy()
        self.l2, self.training, self.validation = map(float, state["running"])
        seeding.restore(self.random, state["random"])
        progress = state["progress"]
        self.answered_before, self.fitted = progress["answered_before"], progress["fitted"]
        self.steps_before, self.as_known = progress.get("steps_before", 0), progress.get("as_known", False)


def _blend(running: float, new: float) -> float:
    """The running mean of a loss; the first finite value starts it."""
    if not np.isfinite(new):
        return running
    return new if not np.isfinite(running) else _MEMORY * running + (1 - _MEMORY) * new
