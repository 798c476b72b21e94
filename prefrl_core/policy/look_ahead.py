"""What critics would prefer after their next update, and how the rewards of that update change it: the outer loss and
the hypergradient of Meta-Reward-Net (Liu et al. 2022, section 4).

The update looked at is one plain gradient step on the sum over critics of the mean squared error. A critic's preference
between two segments is that between its values of their first steps. Only the targets ``y`` of that update depend on
the rewards, and linearly, so that no second derivative is needed:

    theta' = theta - rate * sum_b 2/B (Q(b) - y_b) grad Q(b),    d loss(theta') / d y_b = rate * 2/B * grad Q(b) . g,

where ``g`` is the gradient of the outer loss at ``theta'``: a directional derivative of the critic along ``g``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.networks import Array
from prefrl_core.policy.soft import Twins
from prefrl_core.preference import preference


def outer(
    critics: Twins, rows: Array, targets: Array, pairs: Array, mu: NDArray[Any], rate: float
) -> tuple[Array, float]:
    """Outer loss of the critics after one step of size ``rate``, which is not kept, and its derivative by the targets.

    Args:
        rows: ``(batch, obs + act)`` of the update, standardized.
        targets: ``(batch,)``, what the update moves the critics' values towards.
        pairs: ``(pairs, 2, obs + act)``, first steps of compared segments, left and right.
        mu: ``(pairs,)``, share of preference on the left.

    Returns:
        The derivative ``(batch,)``, and the cross-entropy between answers and preferences, summed over the critics.
    """
    parameters, before = critics.parameters, critics.parameters.get()
    step = np.float32(2 / len(rows))
    for network in critics.networks:
        network.backward((step * (network.forward(rows)[:, 0] - targets))[:, None])
    parameters.values -= np.float32(rate) * parameters.gradient
    loss, first = 0.0, pairs.reshape(-1, pairs.shape[-1])
    for network in critics.networks:
        left, right = network.forward(first)[:, 0].reshape(-1, 2).T
        difference = (left - right).astype(np.float64)
        loss += float(np.mean(np.logaddexp(0, difference) - mu * difference))
        slope = (preference(left, right) - mu) / len(mu)
        network.backward(np.stack([slope, -slope], axis=1).reshape(-1, 1).astype(np.float32))
    parameters.set(before)
    along = np.zeros(len(rows), np.float32)
    for network in critics.networks:
        network.forward(rows)
        along += network.tangent()[:, 0]
    parameters.gradient[:] = 0
    return np.float32(rate) * step * along, loss
