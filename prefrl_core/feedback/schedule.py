"""How many labels are due when: a share at the start, then a falling rate (Christiano et al. 2017, section A.1)."""

from __future__ import annotations

import math


def initial(labels: int, share: float) -> int:
    """Labels asked about the untrained policy: ``share`` of the budget, rounded, at least one if there are any."""
    return min(labels, max(1, round(labels * share))) if labels else 0


def due(labels: int, share: float, steps: float, horizon: float, constant: float) -> int:
    """Labels that should have been asked after ``steps`` of ``horizon`` learning steps.

    The paper's rate is proportional to C / (T + C) with C a tenth of the horizon; its integral from the initial
    labels n0 to the budget N is ``n0 + (N - n0) ln(1 + T / C) / ln(1 + H / C)``, which reaches N exactly at T = H.

    Args:
        labels: the budget N.
        share: of the budget asked at the start, see ``initial``.
        steps: T, clipped to the horizon.
        horizon: H.
        constant: C / H.
    """
    first = initial(labels, share)
    if steps >= horizon:
        return labels
    passed = math.log1p(max(steps, 0.0) / (constant * horizon)) / math.log1p(1 / constant)
    return first + math.floor((labels - first) * passed + 1e-9)
