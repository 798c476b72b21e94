"""How many seeds a difference takes to be seen, from the spreads of finished runs.

A difference is seen if the 95 % interval of the mean difference over tasks leaves 0 out. It is in four studies of five
where it is (t_0.975 + t_0.8) standard errors, with 2 T (n - 1) degrees of freedom for n seeds on T tasks; the variance
of a seed on a task is the mean of all its arms', in units of the control's gain.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import special

from bench import spread
from bench.report.data import Study
from bench.report.runs import Run
from prefrl_core.errors import UserError

DIFFERENCES = (0.05, 0.1, 0.2)
POWER = 0.8
MOST = 100_000  # seeds


def variances(study: Study, tasks: Sequence[str]) -> np.ndarray:
    """Variance of a seed's normalised return on each task ``(tasks,)``.

    Raises:
        UserError: too few finished runs tell it.
    """
    if not tasks:
        raise UserError("no task has finished runs on the true reward that clearly learn: nothing is normalised yet")
    found = []
    for task in tasks:
        beside = study.pool(task)
        if beside.freedom < spread.EVIDENCE:
            raise UserError(
                f"{task}: seeds less one, summed over its arms, is {beside.freedom}, and {spread.EVIDENCE} are needed "
                "to tell the spread: run more seeds"
            )
        found.append(float(beside.variance) / study.gain(task).value ** 2)
    return np.array(found)


def detectable(variance: np.ndarray, seeds: int, other: int | None = None) -> float:
    """The difference that is seen with ``seeds`` of one arm and as many of the other, or so many."""
    other = seeds if other is None else other
    tasks, freedom = len(variance), len(variance) * (seeds + other - 2)
    error = math.sqrt(float(variance.sum()) * (1 / seeds + 1 / other)) / tasks
    return error * float(special.stdtrit(freedom, 0.975) + special.stdtrit(freedom, POWER))


def seeds_for(variance: np.ndarray, difference: float) -> int:
    """The fewest seeds, two at least, with which the difference is seen; MOST if it takes more."""
    low, high = 2, MOST
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if detectable(variance, middle) <= difference else (middle + 1, high)
    return low


def rows(study: Study) -> list[list[str]]:
    """A header and a line a difference."""
    variance = variances(study, study.normalisable)
    told = [["difference", "seeds", "core hours of two arms", "core hours of the suite"]]
    for difference in DIFFERENCES:
        seeds = seeds_for(variance, difference)
        two, every = (seeds * hours for hours in hours_a_seed(study))
        told.append([f"{difference:g}", str(seeds), f"{two:.1f}", f"{every:.1f}"])
    return told


def hours_a_seed(study: Study) -> tuple[float, float]:
    """Core hours of one seed of two arms on the tasks that count, and of all arms on all tasks."""
    cells = {where: _hours(cell.finished) for where, cell in study.cells.items() if cell.finished}
    usual = float(np.mean(list(cells.values())))
    of_task = [[cells[w] for w in cells if w[1] == task] or [usual] for task in study.normalisable]
    return 2 * sum(float(np.mean(one)) for one in of_task), sum(cells.get(where, usual) for where in study.cells)


def _hours(runs: Sequence[Run]) -> float:
    seconds = [float(run.done.get("cpu_seconds", run.done["wall_seconds"])) for run in runs]
    return float(np.mean(seconds)) / 3600


def note(study: Study) -> str:
    """What the numbers rest on."""
    tasks, variance = study.normalisable, variances(study, study.normalisable)
    spreads = ", ".join(f"{study.task_names[t]} {math.sqrt(v):.2f}" for t, v in zip(tasks, variance, strict=True))
    return (
        f"{len(tasks)} of {len(study.tasks)} tasks; spread of a seed (normalised): {spreads}. Seen in four studies of "
        "five, one comparison alone; of m comparisons at once each takes more, and bench run --until-decided fewer on "
        "the average."
    )
