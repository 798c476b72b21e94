"""Labels to reach a share of what PPO gains on gold itself: the main track's definition (``bench.efficiency``), with
gold in the place of the true return and SFT, whose gain is 0 by definition, in that of the untrained policy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from bench import spread, stats
from bench.report.data import generator
from bench.report.language.data import Language, Result, shown_n
from bench.report.results import Efficiency

COLUMN = "gold_gain"


@dataclass(frozen=True)
class Line:
    """Results that differ in rankings alone, ascending: one line over the number of labels."""

    label: str
    results: tuple[Result, ...]  # with a finished run
    missing: tuple[int, ...]  # planned budgets without one


def control(language: Language, task: str) -> stats.Array | None:
    """What is 1: gains of the runs of PPO on gold ``(seeds,)``; None where none is finished, or they gain nothing."""
    gains = next((one.values(COLUMN) for one in language.of_task(task, "gold")), np.zeros(0))
    return gains if len(gains) and gains.mean() > 0 else None


def lines(language: Language, task: str) -> list[Line]:
    """One for each series of arms, and of best of n for each n that is shown."""
    made = []
    for series in language.study.series:
        of_arm = [one for arm in series.arms for one in language.results if (one.task, one.arm) == (task, arm)]
        of_arm.sort(key=lambda one: one.spec.labels)  # a suite may set those of a task
        for n in dict.fromkeys(one.n for one in of_arm):
            found = [one for one in of_arm if one.n == n]
            if n is not None and n not in shown_n(found[0]):
                continue
            whole = tuple(one for one in found if len(one.values(COLUMN)))
            label = _label(found) if len(series.arms) > 1 else found[0].name
            missing = tuple(one.spec.labels for one in found if one not in whole)
            made += [Line(label, whole, missing)] if whole else []
    return made


def scores(language: Language, task: str, line: Sequence[Result], known: stats.Array) -> stats.Scores:
    """Share of the gain of PPO on gold, one a result."""
    beside = line[0].pool(COLUMN)

    def drawn(values: stats.Array, name: str) -> stats.Draws:
        return spread.draws(values, beside, generator("language cell", name, task))

    cells = [[drawn(one.values(COLUMN), one.name) for one in line]]
    return stats.normalised_scores(cells, [drawn(known, "control")], [0.0], stats.mean_over_tasks)


def feedback_efficiency(language: Language, task: str) -> Iterator[tuple[Line, Efficiency]]:
    """Of each line with several planned budgets."""
    known = control(language, task)
    for line in lines(language, task):
        if known is not None and len(line.results) + len(line.missing) > 1:
            seeds = {one.spec.labels: len(one.values(COLUMN)) for one in line.results}
            yield line, Efficiency.of(scores(language, task, line.results, known), seeds, line.missing)


def _label(found: Sequence[Result]) -> str:
    """What the names of the arms have in common: "PPO-ptx, 64 rankings" and "PPO-ptx, 256 rankings" are "PPO-ptx"."""
    parts = [one.arm.split(", ") for one in found]
    kept = [part for part in parts[0] if all(part in other for other in parts)]
    name = ", ".join(kept) or " / ".join(one.arm for one in found)
    return name if found[0].n is None else f"{name}, n = {found[0].n}"
