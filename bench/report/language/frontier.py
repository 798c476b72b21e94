"""Gold and proxy against the distance from SFT, with the curves that Gao et al. (2022) fit to them.

The distance is d = sqrt(KL). Their forms, equal to 0 where the policy is SFT:

    best of n:  R(d) = d (a - b d),      highest at d = a / (2 b)
    RL:         R(d) = d (a - b log d),  highest at d = exp(a / b - 1)

Gold and proxy are counted from SFT's. Both forms are linear in a and b, so a fit is least squares over the points of
all seeds. Its interval is that of the jackknife over seeds (Tukey 1958), and needs as many as ``bench.spread`` does of
a cell that stands alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench import spread, stats
from bench.report.data import generator
from bench.report.language.data import Language, Result

MEASURES = {"gold_gain": "gold", "proxy_mean": "proxy"}
_REPLICATES = 4_000


@dataclass(frozen=True)
class Fit:
    """One curve: its coefficients, where it is highest and how high it is there (infinite where it has no peak: b is
    not above 0), how well it fits, and how far the points go."""

    best_of_n: bool
    a: stats.Estimate
    b: stats.Estimate
    peak: stats.Estimate  # d of the highest point
    height: stats.Estimate  # R there
    r_squared: float
    points: int
    reach: float  # the largest d

    def at(self, d: stats.Array) -> stats.Array:
        """R at these distances, above 0."""
        return self.a.value * d - self.b.value * _second(d, self.best_of_n)


def points(language: Language, result: Result, measure: str) -> list[stats.Array]:
    """Per seed ``(points, 2)``: d and the measure less SFT's. Of best of n over all its n, of PPO over training."""
    if result.method == "best_of_n":
        same = [one for one in language.results if (one.task, one.arm) == (result.task, result.arm)]
        by_seed: dict[int, list[list[float]]] = {}
        for one in same:
            for told in one.runs:
                pair = [told.value("kl_exact"), told.value(measure)]
                by_seed.setdefault(told.run.seed, []).append(pair)
        found = [np.array(pairs, float) for pairs in by_seed.values()]
        found = [pairs[np.isfinite(pairs).all(axis=1)] for pairs in found]
    else:
        found = [told.curve("kl_exact", measure) for told in result.runs]
    made = []
    for pairs in found:
        if len(pairs) and (zero := _at_sft(result, measure, pairs)) is not None:
            made.append(np.column_stack([np.sqrt(np.maximum(pairs[:, 0], 0)), pairs[:, 1] - zero]))
    return made


def _at_sft(result: Result, measure: str, pairs: stats.Array) -> float | None:
    """What SFT has of a measure, for points ``(points, 2)`` of KL and measure; None where nothing tells it."""
    if measure == "gold_gain":
        return 0.0  # it is counted from SFT's
    if result.method != "best_of_n" or 0 in pairs[:, 0]:  # PPO begins there; one of one is SFT's own
        return float(pairs[pairs[:, 0].argmin(), 1])
    reward = result.settings["reward_model"]
    centered = reward["normalisation"] == "mean_sd" and (reward["combine"] == "mean" or reward["members"] == 1)
    return 0.0 if centered else None


def of(language: Language, result: Result, measure: str) -> Fit | None:
    """The curve of a result's points."""
    name = f"{measure}/{result.arm}/{result.task}"
    return fit(points(language, result, measure), result.method == "best_of_n", name)


def fit(seeds: Sequence[stats.Array], best_of_n: bool, name: str) -> Fit | None:
    """The curve through points ``(points, 2)`` a seed; None where they are too few to tell two coefficients."""
    moved = [pairs[pairs[:, 0] > 1e-6] for pairs in seeds]
    every = np.concatenate([*moved, np.zeros((0, 2))])
    if len(np.unique(every[:, 0].round(6))) < 3:
        return None
    normal = np.array([_normal(pairs, best_of_n) for pairs in moved])  # (seeds, 2, 3): least squares is additive
    a, b = _solve(normal.sum(axis=0))
    draws_a, draws_b = _draws(normal, np.array([a, b]), generator("fit", name))
    predicted = a * every[:, 0] - b * _second(every[:, 0], best_of_n)
    spread = ((every[:, 1] - every[:, 1].mean()) ** 2).sum()
    return Fit(
        best_of_n,
        stats.estimate(a, draws_a),
        stats.estimate(b, draws_b),
        stats.estimate(_peak(a, b, best_of_n), _peak(draws_a, draws_b, best_of_n)),
        stats.estimate(_height(a, b, best_of_n), _height(draws_a, draws_b, best_of_n)),
        float(1 - ((every[:, 1] - predicted) ** 2).sum() / spread) if spread > 0 else float("nan"),
        len(every),
        float(every[:, 0].max()),
    )


def _draws(normal: stats.Array, fitted: stats.Array, random: np.random.Generator) -> stats.Array:
    """Draws ``(2, replicates)`` of both coefficients, from the pseudo-values that leaving out each seed gives."""
    left_out = np.stack(_solve(normal.sum(axis=0) - normal), axis=1)  # (seeds, 2)
    pseudo = len(normal) * fitted - (len(normal) - 1) * left_out
    wrong, freedom = spread.error(pseudo, spread.pool([pseudo]))
    if not freedom or not np.isfinite(pseudo).all():
        return np.full((2, _REPLICATES), np.nan)
    factor = np.linalg.cholesky(np.corrcoef(pseudo.T) + 1e-9 * np.eye(2)) * wrong[:, None]
    scale = np.sqrt(freedom / random.chisquare(freedom, size=_REPLICATES))  # one for both: a bivariate t
    return np.asarray(fitted[:, None] + factor @ random.standard_normal((2, _REPLICATES)) * scale, float)


def _second(d: stats.Array, best_of_n: bool) -> stats.Array:
    """What b is multiplied with, the sign apart."""
    return np.asarray(d**2 if best_of_n else d * np.log(d), float)


def _normal(pairs: stats.Array, best_of_n: bool) -> stats.Array:
    """A seed's part of the normal equations ``(2, 3)``: the matrix, and its right side."""
    basis = np.column_stack([pairs[:, 0], -_second(pairs[:, 0], best_of_n)])
    return np.column_stack([basis.T @ basis, basis.T @ pairs[:, 1]])


def _solve(normal: stats.Array) -> tuple[stats.Array, stats.Array]:
    """a and b of normal equations ``(..., 2, 3)``; NaN where these do not tell them."""
    (p, q, u), (_, s, v) = np.moveaxis(normal, (-2, -1), (0, 1))
    determinant = p * s - q * q
    determinant = np.where(determinant > 1e-12 * np.maximum(p * s, 1e-300), determinant, np.nan)
    return np.asarray((u * s - q * v) / determinant, float), np.asarray((p * v - q * u) / determinant, float)


def _peak(a: stats.Array, b: stats.Array, best_of_n: bool) -> stats.Array:
    with np.errstate(all="ignore"):
        where = a / (2 * b) if best_of_n else np.exp(np.minimum(a / b - 1, 50))
        return np.asarray(np.where(b > 0, np.maximum(where, 0), np.where(np.isnan(b), np.nan, np.inf)), float)


def _height(a: stats.Array, b: stats.Array, best_of_n: bool) -> stats.Array:
    d = _peak(a, b, best_of_n)
    with np.errstate(all="ignore"):
        height = d * (a / 2 if best_of_n else b)  # at the peak, a - b log d = b
        return np.asarray(np.where(np.isinf(d), np.inf, height), float)
