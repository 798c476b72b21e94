"""Fitting the ensemble to the comparisons, by a bounded number of gradient steps however many labels there are.

Each member sees its own bootstrap of the labels (``Comparisons.multiplicity``), in its own order; the labels
that its bootstrap left out measure its validation loss. The weight of the L2 penalty is adapted to keep that between
1.1 and 1.5 times the training loss (Christiano et al. 2017, section 2.2.3).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.networks import MLP, Array
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.likelihood import cross_entropy, squared_error

_LOWEST_RATIO, _HIGHEST_RATIO = 1.1, 1.5
_L2_BOUNDS = (1e-7, 3e-3)  # above, the penalty outweighs what a few hundred comparisons say
_MEMORY = 0.9  # of the running losses that steer the L2 weight; one fit's are too noisy


class Fitter:
    """Holds what fitting needs between calls: the L2 weight, the running losses, the generator of minibatches."""

    def __init__(self, ensemble: Ensemble, seed: int) -> None:
        self.ensemble, self.settings = ensemble, ensemble.settings
        self.l2 = ensemble.settings.l2
        self.training = self.validation = float("nan")
        self.random = seeding.generator(seed, "reward minibatches")

    def fit(self, comparisons: Comparisons, updates: int) -> dict[str, float]:
        """Take ``updates`` gradient steps; returns ``reward_loss``, ``reward_validation_loss`` and ``reward_l2``.

        Raises:
            UserError: the parameters are no longer finite.
        """
        bags = [comparisons.bag(member) for member in range(len(self.ensemble.members))]
        losses = [self._update(comparisons, bags) for _ in range(updates)]
        if not self.ensemble.parameters.finite():
            raise UserError("the reward model diverged (parameters are not finite): lower reward_model.learning_rate")
        training, validation = float(np.mean(losses)), self._validate(comparisons)
        self.training = _blend(self.training, training)
        self.validation = _blend(self.validation, validation)
        self._adapt(updates)
        self.ensemble.normalise(comparisons.rows(self.ensemble.normalising_rows))
        return {"reward_loss": training, "reward_validation_loss": validation, "reward_l2": self.l2}

    def _update(self, comparisons: Comparisons, bags: list[NDArray[np.int64]]) -> float:
        """One gradient step of every member on a minibatch of its own; returns the mean loss."""
        total = 0.0
        for member, bag in zip(self.ensemble.members, bags, strict=True):
            if len(bag):
                total += self._accumulate(member, comparisons, self.random.choice(bag, self.settings.batch_pairs))
        self.ensemble.optimiser.step()
        return total / len(bags)

    def _accumulate(self, member: MLP, comparisons: Comparisons, chosen: NDArray[np.int64]) -> float:
        """Add the gradient of one member's loss on the chosen comparisons; returns that loss."""
        sums = self.ensemble.pair_sums(member, comparisons.take(chosen), fitting=True)
        loss, slopes = self._losses(sums, comparisons, chosen)
        self.ensemble.backward(member, (slopes / len(chosen)).astype(np.float32), self.l2)
        return float(loss.mean())

    def _losses(
        self, sums: Array, comparisons: Comparisons, chosen: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Loss ``(chosen,)`` of predicted sums ``(chosen, 2)`` and its derivative with respect to them."""
        if self.settings.target == "return":
            # in units of their spread so far, so that one learning rate and one penalty serve rewards of any size
            spread = float(comparisons.true_returns.std()) or 1.0
            return squared_error(sums, comparisons.true_returns[chosen] / spread)
        loss, slope = cross_entropy(sums[:, 0], sums[:, 1], comparisons.mu[chosen], self.settings.uniform_answer)
        return loss, np.stack([slope, -slope], axis=1)

    def _validate(self, comparisons: Comparisons) -> float:
        """Mean loss of the members on labels that their bootstraps left out; NaN while there are none."""
        losses = []
        for index, member in enumerate(self.ensemble.members):
            left_out = comparisons.left_out(index)
            if len(left_out) > self.ensemble.validation_pairs:
                left_out = self.random.choice(left_out, self.ensemble.validation_pairs, replace=False)
            if len(left_out):
                losses.append(self._loss(member, comparisons, left_out))
        return float(np.mean(losses)) if losses else float("nan")

    def _loss(self, member: MLP, comparisons: Comparisons, chosen: NDArray[np.int64]) -> float:
        sums = self.ensemble.pair_sums(member, comparisons.take(chosen))
        return float(self._losses(sums, comparisons, chosen)[0].mean())

    def _adapt(self, updates: int) -> None:
        """Raise the L2 weight when the members overfit, lower it when they hardly do."""
        if self.l2 == 0 or not np.isfinite(self.validation):
            return
        factor = (1 + self.settings.l2_rate) ** updates
        if self.validation > _HIGHEST_RATIO * self.training:
            self.l2 *= factor
        elif self.validation < _LOWEST_RATIO * self.training:
            self.l2 /= factor
        self.l2 = float(np.clip(self.l2, *_L2_BOUNDS))

    def get_state(self) -> dict[str, Any]:
        """Everything that a later fit depends on, the ensemble's own state apart."""
        running = np.array([self.l2, self.training, self.validation])
        return {"running": running, "random": seeding.state_of(self.random)}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self.l2, self.training, self.validation = map(float, state["running"])
        seeding.restore(self.random, state["random"])


def _blend(running: float, new: float) -> float:
    """The running mean of a loss; the first finite value starts it."""
    if not np.isfinite(new):
        return running
    return new if not np.isfinite(running) else _MEMORY * running + (1 - _MEMORY) * new
