"""What a reward model minimises over compared segments (Christiano et al. 2017, sections 2.2.3 and 3.3)."""

from __future__ import annotations

import numpy as np

from prefrl_core.preference import Floats, preference


def cross_entropy(left: Floats, right: Floats, mu: Floats, uniform_answer: float) -> tuple[Floats, Floats]:
    """Loss of each comparison and its derivative with respect to the left sum (that of the right sum is its negative).

    The labeler is taken to answer uniformly at random with probability ``uniform_answer``, so that the modelled
    probability is ``(1 - e) P + e / 2``, which bounds the loss of a wrong label.

    Args:
        left: sums of predicted reward, one a comparison.
        right: the same of the other segment.
        mu: share of preference that lies on the left: 1, 0, or 0.5 for a tie.
        uniform_answer: e, in [0, 1).
    """
    p = preference(left, right)
    if uniform_answer < 1e-6:  # 0 to float32; the general form, cancelled by hand: exact where p has saturated
        difference = left - right
        return mu * np.logaddexp(0, -difference) + (1 - mu) * np.logaddexp(0, difference), p - mu
    answered = (1 - uniform_answer) * p + uniform_answer / 2
    other = 1 - answered  # at least uniform_answer / 2, as ``answered`` is
    loss = -(mu * np.log(answered) + (1 - mu) * np.log(other))
    return loss, -(mu / answered - (1 - mu) / other) * (1 - uniform_answer) * p * (1 - p)


def squared_error(sums: Floats, returns: Floats) -> tuple[Floats, Floats]:
    """Loss of each pair and its derivative with respect to both sums, where the true returns of the two segments are
    given instead of which is better ("target" in Christiano et al. 2017, section 3.3).

    Args:
        sums: ``(pairs, 2)`` of predicted reward.
        returns: ``(pairs, 2)``.
    """
    error = sums - returns
    return (error**2).mean(1), error
