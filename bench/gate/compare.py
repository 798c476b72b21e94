"""The verdicts of the gate: learning, exactness, throughput, memory; each cell (task and arm), and all together.

Returns are normalised by the *baseline's* untrained policy and true-reward runs on both sides, so that a build whose
control got worse as well is not excused by it. "Worse" in learning means that the candidate's mean is lower by more
than a margin, with a probability that is the share of draws of the two means (``bench.spread``) in which it is. A cell
alone must be worse beyond doubt, because there are many; all together need less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bench import spread, stats
from bench.gate.baseline import Entry, Sample, comparable, same_machine
from prefrl_core.errors import UserError

Verdict = Literal["fine", "WORSE", "changed", "not comparable"]
ALL = "all tasks"
SEED = 20170612  # of the draws: the same samples always give the same verdict


@dataclass(frozen=True)
class Limits:
    """When a difference counts."""

    margin: float = 0.1  # of normalised return: a loss of less is not called worse
    doubt_of_all: float = 0.05  # that the loss over all cells is more than the margin must be at least 1 - this likely
    doubt_of_one: float = 0.005  # the same of a single cell
    slower: float = 0.15  # share of the speed ratio, where both sides ran on one class of processor
    slower_elsewhere: float = 0.3  # the same on another: arrays and interpreter do not speed up as the physics does
    memory: float = 0.25  # share of the peak memory
    seeds: int = 3  # that a cell must have on both sides
    exact: bool = False  # changed numbers fail the gate


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    task: str
    arm: str
    aspect: Literal["learning", "exactness", "throughput", "memory"]
    baseline: float
    candidate: float
    verdict: Verdict
    what: str = ""


def compare(baseline: Sample, candidate: Sample, limits: Limits = Limits()) -> list[Finding]:
    """All findings, learning first.

    Raises:
        UserError: nothing can be told: other suites, methods or specs, too few seeds, no control.
    """
    comparable(baseline, candidate)
    theirs, ours = baseline.cells(), candidate.cells()
    few = [cell for cell in theirs if min(len(theirs[cell]), len(ours[cell])) < limits.seeds]
    if few:
        raise UserError(
            f"{few[0][1]!r} on {few[0][0]} has {len(theirs[few[0]])} seeds in the baseline and {len(ours[few[0]])} in "
            f"the candidate: at least {limits.seeds} on both sides tell something"
        )
    pairs = [(cell, theirs[cell], ours[cell]) for cell in theirs]
    return [
        *_learning(pairs, limits),
        _exactness(baseline, candidate, limits),
        *(finding for pair in pairs for finding in _cost(*pair, limits)),
    ]


def worse(findings: Sequence[Finding]) -> bool:
    """Whether the gate is closed."""
    return any(one.verdict == "WORSE" for one in findings)


def _learning(pairs: Sequence[tuple[tuple[str, str], list[Entry], list[Entry]]], limits: Limits) -> list[Finding]:
    scales = _scales([entry for _, theirs, _ in pairs for entry in theirs])
    random = np.random.default_rng(SEED)
    cells = {cell: [_normalised(side, scales[cell[0]]) for side in both] for cell, *both in pairs}
    found, levels, draws = [], [], []
    for (task, arm), sides in cells.items():
        beside = spread.pool(side for other, both in cells.items() if other[0] == task for side in both)
        drawn = [spread.draws(side, beside, random).means for side in sides]
        levels.append([float(side.mean()) for side in sides])
        draws.append(drawn[1] - drawn[0])
        found.append(_learned(task, arm, levels[-1], draws[-1], limits.doubt_of_one, limits))
    mean = np.mean(levels, axis=0)
    return [_learned(ALL, "", mean, np.mean(draws, axis=0), limits.doubt_of_all, limits), *found]


def _learned(task: str, arm: str, levels: Sequence[float], gaps: stats.Array, doubt: float, limits: Limits) -> Finding:
    likely = float(np.mean(gaps < -limits.margin))
    verdict: Verdict = "WORSE" if likely >= 1 - doubt else "fine"
    what = f"worse by more than {limits.margin:g} with probability {likely:.3f}"
    return Finding(task, arm, "learning", float(levels[0]), float(levels[1]), verdict, what)


def _scales(baseline: Sequence[Entry]) -> dict[str, tuple[float, float]]:
    """Per task the baseline's untrained and true-reward levels."""
    scales = {}
    for task in dict.fromkeys(entry.task for entry in baseline):
        of_task = [entry for entry in baseline if entry.task == task]
        controls = [entry.true_return for entry in of_task if entry.reward == "true"]
        untrained = float(np.mean([entry.untrained for entry in of_task]))
        if not controls or np.mean(controls) <= untrained:
            raise UserError(
                f"the baseline has no true-reward runs on {task} that learned: the gate needs them as scale"
            )
        scales[task] = untrained, float(np.mean(controls))
    return scales


def _normalised(entries: Sequence[Entry], scale: tuple[float, float]) -> stats.Array:
    return stats.normalise([entry.true_return for entry in entries], *scale)


def _exactness(baseline: Sample, candidate: Sample, limits: Limits) -> Finding:
    """Whether runs of the same spec on the same machine and software have the same bytes."""
    known = {run.key: run for run in baseline.runs}
    both = [(known[run.key], run) for run in candidate.runs if run.key in known]
    comparable = [(old, new) for old, new in both if same_machine([old, new])]
    same = sum(old.metrics_sha256 == new.metrics_sha256 for old, new in comparable)
    if not comparable:
        what = "no run of the baseline has this machine, software and seed"
        return Finding(ALL, "", "exactness", 1.0, np.nan, "not comparable", what)
    what = f"{same} of {len(comparable)} runs have the bytes of the baseline"
    if same < len(comparable):
        what += "; if that is meant, METHOD_VERSION or a task's version has to be raised"
    verdict: Verdict = "fine" if same == len(comparable) else "WORSE" if limits.exact else "changed"
    return Finding(ALL, "", "exactness", 1.0, same / len(comparable), verdict, what)


def _cost(cell: tuple[str, str], theirs: Sequence[Entry], ours: Sequence[Entry], limits: Limits) -> list[Finding]:
    memory = [float(np.median([entry.peak_memory_bytes for entry in side])) / 2**20 for side in (theirs, ours)]
    grown = memory[1] / memory[0] - 1
    bigger: Verdict = "WORSE" if grown > limits.memory else "fine"
    of_memory = Finding(*cell, "memory", memory[0], memory[1], bigger, f"{grown:+.0%} of the peak, in MiB")
    speeds = [[entry.speed for entry in side if entry.speed is not None] for side in (theirs, ours)]
    if not all(speeds):
        what = "no bare physics to measure by"
        return [Finding(*cell, "throughput", np.nan, np.nan, "not comparable", what), of_memory]
    speed = [float(np.median(side)) for side in speeds]
    gained = speed[1] / speed[0] - 1
    elsewhere = len({entry.machine.get("cpu") for side in (theirs, ours) for entry in side}) > 1
    allowed = limits.slower_elsewhere if elsewhere else limits.slower
    slower: Verdict = "WORSE" if gained < -allowed else "fine"
    what = f"{gained:+.0%} of the ratio to bare physics"
    if elsewhere:
        what += f", on another processor (down to {-allowed:.0%} is fine)"
    return [Finding(*cell, "throughput", speed[0], speed[1], slower, what), of_memory]
