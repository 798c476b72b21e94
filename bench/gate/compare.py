"""The verdicts of the gate: learning, the reward model, exactness, throughput, memory; each cell and all together.

A baseline is compared cell by cell (task and arm), by the names of the arms: a changed default is judged as the arm
that it changed. ``bench.gate.learned`` judges what was learned, this module what it cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.gate.baseline import Entry, Sample, comparable, renamed, same_machine
from bench.gate.findings import ALL, USUAL, Finding, Limits, Verdict
from bench.gate.learned import learning, reward_model
from prefrl_core.errors import UserError


def compare(baseline: Sample, candidate: Sample, limits: Limits = USUAL, narrowed: bool = False) -> list[Finding]:
    """All findings, learning first. ``narrowed``: the baseline may have more cells than the candidate.

    Raises:
        UserError: nothing can be told: other suites or methods, cells that one has alone, too few seeds, no control.
    """
    scales = _scales(baseline.runs)  # the control may be left out of a narrowed candidate
    baseline = comparable(baseline, candidate, narrowed)
    theirs, ours = baseline.cells(), candidate.cells()
    few = [cell for cell in theirs if min(len(theirs[cell]), len(ours[cell])) < limits.seeds]
    if few:
        raise UserError(
            f"{few[0][1]!r} on {few[0][0]} has {len(theirs[few[0]])} seeds in the baseline and {len(ours[few[0]])} in "
            f"the candidate: at least {limits.seeds} on both sides tell something"
        )
    pairs = [(cell, theirs[cell], ours[cell]) for cell in theirs]
    return [
        *learning(pairs, scales, limits),
        *reward_model(pairs, limits),
        _exactness(baseline, candidate, limits),
        *(finding for pair in pairs for finding in _cost(*pair, limits)),
    ]


def untold(findings: Sequence[Finding], limits: Limits) -> bool:
    """Whether what was learned could not be judged; or bytes were to be compared and could not be, of all runs or of
    those with another key."""
    needed = {"learning", "exactness"} if limits.exact else {"learning"}
    return any(one.aspect in needed and one.verdict == "not comparable" for one in findings)


def worse(findings: Sequence[Finding]) -> bool:
    """Whether the gate is closed."""
    return any(one.verdict == "WORSE" for one in findings)


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


def _exactness(baseline: Sample, candidate: Sample, limits: Limits) -> Finding:
    """Whether runs of the same spec on the same machine and software have the same bytes."""
    known = {run.key: run for run in baseline.runs}
    both = [(known[run.key], run) for run in candidate.runs if run.key in known]
    comparable = [(old, new) for old, new in both if same_machine([old, new])]
    same = sum(old.metrics_sha256 == new.metrics_sha256 for old, new in comparable)
    moved = renamed(baseline, candidate)
    keys = f"{moved} have another key (a setting, default or version changed), judged by their arms' names"
    if not comparable:
        what = "no run of the baseline has this machine, software, seed and key"
        return Finding(ALL, "", "exactness", 1.0, np.nan, "not comparable", f"{what}: {keys}" if moved else what)
    what = f"{same} of {len(comparable)} runs have the bytes of the baseline"
    if same < len(comparable):
        what += "; if that is meant, METHOD_VERSION, a task's version or a part's revision has to be raised"
    if moved:
        what += f"; {keys}"
    verdict: Verdict = "WORSE" if limits.exact else "changed"
    if same == len(comparable):
        verdict = "not comparable" if limits.exact and moved else "fine"
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
