"""What a report is made of: the planned runs of a suite as they are found on disk, sorted into cells of arm x task.

Nothing here judges or draws. A run that is missing, failed or unfinished stays in the study with its status, so
that every later table can say "2 of 3 seeds".
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from bench import spread, stats
from bench.report import names
from bench.report.beside import Figure
from bench.report.formats import part
from bench.report.runs import Run as Run
from bench.report.runs import check_versions as check_versions
from bench.report.runs import found as found
from bench.report.runs import untrained_level
from bench.suite import Planned
from bench.tracks import Spec
from prefrl_core.errors import UserError

_NOT_OF_A_SERIES = ("task", "seed", "labels", "rankings")
SEED = 20170612  # of every draw in a report: the same runs always give the same bytes


class DescribedSuite(Protocol):
    """What a report reads of a suite."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def baseline(self) -> str: ...


@dataclass(frozen=True)
class Cell:
    """The runs of one arm on one task, by seed."""

    runs: tuple[Run, ...]

    @property
    def spec(self) -> Spec:
        """The spec of its first run: the others differ in the seed alone."""
        return self.runs[0].spec

    @cached_property
    def finished(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.status == "done")

    @cached_property
    def started(self) -> tuple[Run, ...]:
        return tuple(run for run in self.runs if run.steps)

    @property
    def drawn(self) -> tuple[Run, ...]:
        """Those that started, the finished ones first."""
        return (*self.finished, *(run for run in self.started if run.status != "done"))

    @property
    def count(self) -> str:
        """ "" when whole, otherwise "2 of 3 seeds"."""
        return part(self.finished, self.runs, "seeds")

    @cached_property
    def returns(self) -> stats.Array:
        """Final true returns of the finished runs ``(seeds,)``; runs in which no episode ended late are left out."""
        return self.finals("true_return")

    def finals(self, column: str) -> stats.Array:
        """A column's final values of the finished runs ``(seeds,)``, without those that recorded none."""
        values = [run.final(column) for run in self.finished]
        return np.array([value for value in values if np.isfinite(value)], float)


@dataclass(frozen=True)
class Series:
    """Arms that differ in their number of labels alone, ascending: one line of feedback efficiency."""

    label: str
    arms: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """A suite's runs as cells; ``arms`` and ``tasks`` in the order of the plan."""

    suite: str
    title: str
    description: str
    command: str  # that makes the report
    arms: tuple[str, ...]
    tasks: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]  # by (arm, task)
    task_names: Mapping[str, str]
    series: tuple[Series, ...]
    baseline: str = ""  # the arm that the others are compared with
    beyond: tuple[Run, ...] = ()  # finished runs that lie there and are not in the plan
    beside: tuple[Figure, ...] = ()  # a user's published figures
    _pools: dict[tuple[str, str], spread.Pool] = field(default_factory=dict, init=False, repr=False, compare=False)
    _draws: dict[tuple[str, str], stats.Draws] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def sweeps_labels(self) -> bool:
        """Whether a figure over the number of labels tells anything: not where all compared arms have the same."""
        return not self.baseline or any(len(one.arms) > 1 for one in self.series)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        return tuple(run for cell in self.cells.values() for run in cell.runs)

    def cell(self, arm: str, task: str) -> Cell | None:
        """The runs of an arm on a task, or None where the suite plans none."""
        return self.cells.get((arm, task))

    def each(self) -> Iterator[tuple[str, str, Cell]]:
        """(task, arm, cell), task by task in the order of the plan."""
        return ((task, arm, cell) for task in self.tasks for arm, cell in self.of_task(task))

    def of_arm(self, arm: str) -> list[Cell]:
        """The cells of one arm in the order of the tasks."""
        return [self.cells[arm, task] for task in self.tasks if (arm, task) in self.cells]

    def labels(self, arm: str, task: str) -> int:
        """The budget of an arm on a task."""
        return self.cells[arm, task].spec.labels

    def budgets(self, series: Series, tasks: Sequence[str]) -> dict[int, str]:
        """The arms of a series by their budget, ascending; without those whose budget is not the same on all of the
        ``tasks``, or 0 (a suite may set the labels of a task)."""
        given = {arm: {self.labels(arm, task) for task in tasks if self.cell(arm, task)} for arm in series.arms}
        return dict(sorted((min(one), arm) for arm, one in given.items() if len(one) == 1 and 0 not in one))

    def total_steps(self, task: str) -> int:
        """The most steps that a run of the task is to take."""
        return max(cell.spec.total_steps for _, cell in self.of_task(task))

    def has(self, arm: str, *tasks: str) -> bool:
        """Whether an arm has a finished run with a return on each of the tasks."""
        return all((arm, task) in self.cells and len(self.cells[arm, task].returns) for task in tasks)

    def shared(self, *arms: str) -> list[str]:
        """Tasks that can be normalised and that every one of the arms has finished runs of."""
        return [task for task in self.normalisable if all(self.has(arm, task) for arm in arms)]

    def of_task(self, task: str) -> list[tuple[str, Cell]]:
        """(arm, cell) of one task in the order of the arms."""
        return [(arm, self.cells[arm, task]) for arm in self.arms if (arm, task) in self.cells]

    @cached_property
    def controls(self) -> dict[str, str]:
        """Per task the first arm on the true reward, whether the others have finished runs or not: a second arm on the
        true reward would be another scale. Tasks where it has no finished run are left out."""
        first = dict(reversed([(task, arm) for task, arm, cell in self.each() if cell.spec.reward == "true"]))
        return {
            task: first[task] for task in self.tasks if task in first and len(self.cells[first[task], task].returns)
        }

    @cached_property
    def untrained(self) -> dict[str, float]:
        """Per task the mean return of the untrained policy (``runs.untrained_level``)."""
        controls = {task: self.cells[arm, task].spec for task, arm in self.controls.items()}
        return {
            task: untrained_level((run for run in self.runs if run.task == task), controls.get(task))
            for task in self.tasks
        }

    @cached_property
    def normalisable(self) -> tuple[str, ...]:
        """Tasks that have both ends of the scale, the control clearly above the untrained policy."""
        return tuple(task for task in self.controls if self.gain(task).low > 0)

    def gain(self, task: str) -> stats.Estimate:
        """What the task's control has gained over the untrained policy (``bench.spread.gain``)."""
        return spread.gain(self.control_returns(task), self.untrained[task], self.pool(task))

    def pool(self, task: str, column: str = "true_return") -> spread.Pool:
        """What the arms of a task tell of the spread of a column's final values."""
        if (task, column) not in self._pools:
            self._pools[task, column] = spread.pool(cell.finals(column) for _, cell in self.of_task(task))
        return self._pools[task, column]

    def draws(self, arm: str, task: str) -> stats.Draws:
        """The final returns of a cell with draws of where their mean may lie: the same in every table and figure."""
        if (arm, task) not in self._draws:
            random = generator("cell", arm, task)
            self._draws[arm, task] = spread.draws(self.cells[arm, task].returns, self.pool(task), random)
        return self._draws[arm, task]

    def control_returns(self, task: str) -> stats.Array:
        """Final returns of the task's true-reward runs ``(seeds,)``."""
        return self.cells[self.controls[task], task].returns


def load(
    suite: DescribedSuite, planned: Sequence[Planned], out: Path, command: str, keep_damaged: bool = False
) -> Study:
    """The study of ``planned`` runs whose folders lie under ``out``; ``keep_damaged`` as in ``runs.found``.

    Raises:
        UserError: nothing was run yet, a folder is damaged, or a task's runs come from different MuJoCo versions.
    """
    runs = found(planned, out, keep_damaged)
    if not any(run.steps for run in runs):
        raise UserError(
            f"no run of suite {suite.name!r} in {out}, with the steps and labels that are asked for: start the suite "
            "by prefrl run, or name its folder with --out"
        )
    check_versions(runs)
    grouped: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        grouped.setdefault((run.arm, run.task), []).append(run)
    cells = {where: Cell(tuple(sorted(cell, key=lambda run: run.seed))) for where, cell in grouped.items()}
    tasks = tuple(dict.fromkeys(run.task for run in runs))
    arms = tuple(dict.fromkeys(run.arm for run in runs))
    about = suite.name, suite.title, suite.description, command
    return Study(*about, arms, tasks, cells, names.task_names(tasks), _series(arms, cells), suite.baseline)


def generator(*parts: object) -> np.random.Generator:
    """A statistic's own generator, so that a new arm or task moves no other interval."""
    return np.random.default_rng([SEED, zlib.crc32("/".join(map(str, parts)).encode())])


def _series(arms: Sequence[str], cells: Mapping[tuple[str, str], Cell]) -> tuple[Series, ...]:
    """Arms on the learned reward, grouped by all of their settings but the task, the seed and the number of labels. A
    group of one has its arm's name. A larger one has what its arms' names have in common beside the number of labels,
    where every group has such a name of its own; else its labeler's name and whatever tells it from the others."""
    groups: dict[str, list[tuple[int, str]]] = {}
    specs: dict[str, dict[str, Any]] = {}
    for arm in arms:
        spec = next(cell.spec for (name, _), cell in cells.items() if name == arm)
        if spec.reward == "learned" and spec.labels > 0:
            own = {key: value for key, value in spec.canonical().items() if key not in _NOT_OF_A_SERIES}
            specs[kind := json.dumps(own)] = own
            groups.setdefault(kind, []).append((spec.labels, arm))
    swept = [kind for kind, arms_of in groups.items() if len(arms_of) > 1]
    common = [names.in_common([arm for _, arm in groups[kind]]) for kind in swept]
    told = common if all(common) and len(set(common)) == len(common) else None
    labels = dict(zip(swept, told or names.tell_apart([specs[kind] for kind in swept]), strict=True))
    return tuple(
        Series(labels.get(kind, found[0][1]), tuple(arm for _, arm in sorted(found))) for kind, found in groups.items()
    )
