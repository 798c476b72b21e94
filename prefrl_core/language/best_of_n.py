"""Best of n by a reward model: exact expectations from one sample, and Gao et al.'s fits (2022, arXiv 2210.10760)."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammaln

from prefrl_core.errors import require
from prefrl_core.language.tasks import Floats


def weights(proxy: Floats, n: int) -> Floats:
    """How likely each of S responses ``(prompts, S)`` is to be the best by ``proxy`` of n drawn without replacement.

    The unbiased estimator of Nakano et al. (2021, appendix I): the response of rank i (1 the worst) is best in
    C(i-1, n-1) of the C(S, n) subsets. Equal scores share their ranks' chances.

    Raises:
        UserError: n is more than there are.
    """
    samples = proxy.shape[1]
    require(1 <= n <= samples, f"best of n = {n}: 1 to {samples} responses were sampled")
    rank = np.arange(1, samples + 1)
    log = gammaln(rank) - gammaln(n) - gammaln(np.maximum(rank - n + 1, 1)) - _log_choose(samples, n)
    chance = np.where(rank >= n, np.exp(log), 0.0)
    made = np.empty_like(proxy)
    for row, scores in zip(made, proxy, strict=True):
        order = np.argsort(scores, kind="stable")
        _, group = np.unique(scores[order], return_inverse=True)
        shared = np.bincount(group, chance) / np.bincount(group)
        row[order] = shared[group]
    return made


def kl(n: int) -> float:
    """KL of best of n to the policy it draws from, in nats: ``log n - (n - 1) / n`` (at most that where scores tie)."""
    return math.log(n) - (n - 1) / n


def _log_choose(total: int, chosen: int) -> float:
    return float(gammaln(total + 1) - gammaln(chosen + 1) - gammaln(total - chosen + 1))


def fit(distance: Floats, gold: Floats, kind: str) -> tuple[float, float]:
    """``(alpha, beta)`` of ``d (alpha - beta d)`` for "best_of_n" or ``d (alpha - beta log d)`` for "rl".

    Least squares, exact because both are linear in alpha and beta. ``distance`` is the square root of KL, above 0;
    ``gold`` starts at 0.

    Raises:
        UserError: fewer than two points beyond distance 0.
    """
    used = distance > 0
    require(int(used.sum()) >= 2, f"a fit of gold against KL needs at least 2 points, not {int(used.sum())}")
    d = distance[used]
    columns = np.stack([d, -d * (d if kind == "best_of_n" else np.log(d))], 1)
    alpha, beta = np.linalg.lstsq(columns, gold[used], rcond=None)[0]
    return float(alpha), float(beta)
