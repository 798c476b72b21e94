"""Two policies at one distance from SFT: what PPO takes or gives, compared where both have moved equally far.

Of each seed, the distance is the greatest KL that both runs came to; each run is read where it first came there, on the
straight line between the two points of its curve around it. So a policy that has merely moved less does not look the
better one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import spread, stats
from bench.report.formats import Fact
from bench.report.language.data import Language, Result


def at_kl(curve: stats.Array, kl: float) -> float:
    """Where a curve ``(points, 2)`` of KL and a value first comes to ``kl``; NaN if it never does.

    It begins at its first point; a curve that begins beyond ``kl`` is read there.
    """
    beyond = np.flatnonzero(curve[:, 0] >= kl)
    if not len(beyond):
        return float("nan")
    after = int(beyond[0])
    if after == 0 or curve[after, 0] == curve[after - 1, 0]:
        return float(curve[after, 1])
    low, high = curve[after - 1], curve[after]
    return float(low[1] + (high[1] - low[1]) * (kl - low[0]) / (high[0] - low[0]))


def reference(language: Language, result: Result) -> Result | None:
    """What a PPO arm is compared with: the arm that differs from it in having no pretraining mix, else the baseline;
    None where there is neither."""
    ppo = language.of_task(result.task, "ppo")
    plain = {**result.flat, "ppo.gamma": "0.0"}
    for one in ppo:
        if one is not result and one.flat == plain:
            return one
    base = language.baseline(result.task)
    return base if base is not result and base in ppo else None


def matched(language: Language, result: Result, columns: Sequence[str]) -> Fact:
    """A PPO result beside its reference at equal KL: the mean KL, and of each column the difference (its own - the
    reference's). Empty where it has no reference or no seed in common with it."""
    other = reference(language, result)
    theirs = {one.run.seed: one for one in other.runs} if other else {}
    gaps: dict[str, list[float]] = {column: [] for column in columns}
    levels = []
    for pair in ((one, theirs[one.run.seed]) for one in result.runs if one.run.seed in theirs):
        reach = [curve[:, 0].max() for one in pair if len(curve := one.curve("kl_exact", columns[0]))]
        if len(reach) == 2:
            levels.append(min(reach))
            for column in columns:
                one, two = (at_kl(told.curve("kl_exact", column), levels[-1]) for told in pair)
                gaps[column].append(one - two)
    if other is None or not levels:
        return {}
    told = {
        f"matched_{name}": spread.mean_estimate([g for g in found if np.isfinite(g)]) for name, found in gaps.items()
    }
    return {"reference": other.name, "matched_kl": float(np.mean(levels)), **told}
