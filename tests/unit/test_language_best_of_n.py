"""Best of n against exact expectations, its KL, and Gao et al.'s fits."""

import itertools
import math

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.language import best_of_n


def test_weights_equal_enumeration_of_all_subsets() -> None:
    draw = np.random.default_rng(0)
    proxy = np.stack([draw.normal(size=7), draw.integers(0, 3, 7).astype(float)])  # the second has ties
    for n in (1, 2, 3, 7):
        made = best_of_n.weights(proxy, n)
        for row, scores in enumerate(proxy):
            wanted = np.zeros(7)
            subsets = list(itertools.combinations(range(7), n))
            for subset in subsets:
                best = [i for i in subset if scores[i] == max(scores[j] for j in subset)]
                wanted[best] += 1 / len(best) / len(subsets)
            np.testing.assert_allclose(made[row], wanted, atol=1e-12)


def test_the_estimate_is_the_expectation_of_a_four_point_distribution() -> None:
    """E[gold of the best of n] is a sum over p; the estimator from samples of 16 has that mean."""
    p, proxy, gold, n = np.array([0.4, 0.3, 0.2, 0.1]), np.arange(4.0), np.array([0.0, 1.0, 3.0, -2.0]), 4
    cdf = np.cumsum(p)
    exact = float((gold * (cdf**n - np.concatenate([[0], cdf[:-1]]) ** n)).sum())
    drawn = np.random.default_rng(1).choice(4, size=(20_000, 16), p=p)
    estimates = (best_of_n.weights(proxy[drawn], n) * gold[drawn]).sum(1)
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / math.sqrt(len(estimates))


def test_kl_of_best_of_n() -> None:
    """Without ties the best of n has density n F^(n-1): its KL by numerical integration."""
    for n in (1, 2, 16, 64):
        u = (np.arange(200_000) + 0.5) / 200_000
        density = n * u ** (n - 1)
        assert best_of_n.kl(n) == pytest.approx(float((density * np.log(np.maximum(density, 1e-300))).mean()), abs=1e-3)


def test_kl_with_ties_is_at_most_that() -> None:
    p = np.array([0.4, 0.3, 0.2, 0.1])
    cdf = np.cumsum(p)
    for n in (2, 4, 16):
        q = cdf**n - np.concatenate([[0], cdf[:-1]]) ** n
        assert 0 < float((q * np.log(q / p)).sum()) <= best_of_n.kl(n)


@pytest.mark.parametrize("kind", ["best_of_n", "rl"])
def test_fits_find_the_constants_they_were_made_with(kind: str) -> None:
    d = np.linspace(0, 3, 10)
    with np.errstate(divide="ignore", invalid="ignore"):
        gold = d * (1.3 - 0.4 * (d if kind == "best_of_n" else np.log(d)))
    assert best_of_n.fit(d, gold, kind) == pytest.approx((1.3, 0.4))


def test_too_many_or_too_few_are_refused() -> None:
    with pytest.raises(UserError, match="best of n = 9: 1 to 4"):
        best_of_n.weights(np.zeros((2, 4)), 9)
    with pytest.raises(UserError, match="at least 2 points, not 1"):
        best_of_n.fit(np.array([0.0, 1.0]), np.array([0.0, 1.0]), "rl")
