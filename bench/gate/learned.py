"""Was as much learned as by the baseline: returns, and what runs record of the reward model.

Returns are normalised by the *baseline's* untrained policy and true-reward runs on both sides, so that a build whose
control got worse as well is not excused by it. "Worse" means that the candidate's mean has lost more than a margin (of
normalised return, of the reward model's accuracy on fresh pairs, or of its validation loss, which rises), with a
probability that is the share of draws of the two means (``bench.spread``) in which it has. A cell alone must be worse
beyond doubt, because there are many; all together need less. What could have been seen is the loss that would be called
worse in four samples of five.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench import spread, stats
from bench.gate.baseline import Entry
from bench.gate.findings import ALL, Finding, Limits, Verdict

SEED = 20170612  # of the draws: the same samples always give the same verdict
Pairs = Sequence[tuple[tuple[str, str], list[Entry], list[Entry]]]  # cell, its runs in baseline and candidate
Sides = list[stats.Array]  # of one cell: the baseline's values (seeds,) and the candidate's
_REWARD: tuple[tuple[Any, str, float], ...] = (  # aspect, attribute of an entry, and 1 where more is better
    ("reward accuracy", "reward_accuracy", 1.0),
    ("reward loss", "reward_validation_loss", -1.0),
)


def learning(pairs: Pairs, scales: Mapping[str, tuple[float, float]], limits: Limits) -> list[Finding]:
    """By returns; ``scales`` has per task the baseline's untrained and true-reward levels."""
    cells = {
        cell: [stats.normalise([entry.true_return for entry in side], *scales[cell[0]]) for side in both]
        for cell, *both in pairs
    }
    return _judged("learning", cells, limits.margin, 1.0, limits)


def reward_model(pairs: Pairs, limits: Limits) -> list[Finding]:
    """By the accuracy and the validation loss at the end, in the cells where both sides recorded them."""
    found = []
    for aspect, attribute, sign in _REWARD:
        cells: dict[tuple[str, str], Sides] = {}
        for cell, *both in pairs:
            values = [[value for entry in side if (value := getattr(entry, attribute)) is not None] for side in both]
            if min(map(len, values)) >= 2:
                cells[cell] = [np.array(side, float) for side in values]
            elif values[0]:
                there = f"{len(values[0])} runs of the baseline and {len(values[1])} of the candidate recorded it"
                what = f"{there}: 2 on both sides are needed"
                found.append(Finding(*cell, aspect, float(np.mean(values[0])), np.nan, "not comparable", what))
        margin = limits.accuracy if sign > 0 else limits.loss
        learned = any(entry.reward != "true" for _, theirs, _ in pairs for entry in theirs)
        if cells:
            found += _judged(aspect, cells, margin, sign, limits)
        elif learned and not any(one.aspect == aspect for one in found):
            what = "the baseline or the candidate has not recorded it: make the baseline anew with --write-baseline"
            found.append(Finding(ALL, "", aspect, np.nan, np.nan, "not comparable", what))
    return found


def _judged(
    aspect: Any, cells: Mapping[tuple[str, str], Sides], margin: float, sign: float, limits: Limits
) -> list[Finding]:
    """All cells together, then each; nothing is judged where too few seeds tell the spread on a task."""
    if few := _too_few(cells):
        return [Finding(ALL, "", aspect, np.nan, np.nan, "not comparable", few)]
    random = np.random.default_rng([SEED, *aspect.encode()])
    drawn = {cell: _gap(cell, cells, random) for cell in cells}
    levels = {cell: [float(side.mean()) for side in sides] for cell, sides in cells.items()}
    mean, gaps = np.mean(list(levels.values()), axis=0), np.mean(list(drawn.values()), axis=0)
    found = [_finding((ALL, ""), aspect, mean, sign * gaps, margin, limits.doubt_of_all)]
    return found + [
        _finding(cell, aspect, levels[cell], sign * drawn[cell], margin, limits.doubt_of_one) for cell in cells
    ]


def _beside(task: str, cells: Mapping[tuple[str, str], Sides]) -> spread.Pool:
    """All cells of a task, of both sides."""
    return spread.pool(side for (of, _), sides in cells.items() if of == task for side in sides)


def _too_few(cells: Mapping[tuple[str, str], Sides]) -> str:
    """A sentence on the first task of which nothing can be told; empty where there is none."""
    for task, _ in cells:
        if (freedom := _beside(task, cells).freedom) < spread.EVIDENCE:
            return (
                f"{task}: seeds less one, summed over arms and both sides, is {freedom}, and {spread.EVIDENCE} are "
                "needed: run more seeds"
            )
    return ""


def _gap(cell: tuple[str, str], cells: Mapping[tuple[str, str], Sides], random: np.random.Generator) -> stats.Array:
    """Draws of the candidate's mean less the baseline's."""
    beside = _beside(cell[0], cells)
    theirs, ours = (spread.draws(side, beside, random).means for side in cells[cell])
    return np.asarray(ours - theirs, float)


def _finding(
    cell: tuple[str, str], aspect: Any, levels: Sequence[float], gaps: stats.Array, margin: float, doubt: float
) -> Finding:
    likely = float(np.mean(gaps < -margin))
    away = gaps - np.median(gaps)
    seen = margin + float(np.quantile(away, 1 - doubt)) + float(np.quantile(away, 0.8))
    what = f"worse by more than {margin:g} with probability {likely:.3f}"
    verdict: Verdict = "WORSE" if likely >= 1 - doubt else "fine"
    return Finding(*cell, aspect, float(levels[0]), float(levels[1]), verdict, what, seen)
