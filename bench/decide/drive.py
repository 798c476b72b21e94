"""``bench run SUITE --until-decided``: the runs that the open comparisons need, until there are none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import tracks
from bench.decide import sweep
from bench.purpose import Decide
from bench.report import data, runs
from bench.suite import Planned, Suite
from bench.suite_file import LARGEST_SEED
from prefrl_core.errors import UserError, require

Execute = Callable[[Sequence[Planned], float], int]  # runs, and when to stop (of time.monotonic); an exit code


class Driver:
    """A suite that is run until it is decided."""

    def __init__(self, suite: Suite, out: Path, steps: int | None = None, labels: int | None = None) -> None:
        """
        Raises:
            UserError: the suite does not say what it is to decide, is of language runs, or lists seeds of which there
                are no more.
        """
        require(suite.decide is not None, f"{suite.source} has no [decide]: say what it compares, docs/deciding.md")
        for task in suite.tasks:
            tracks.require_environment(task, "--until-decided")
        assert suite.decide is not None
        self.decide: Decide = suite.decide
        self.suite, self.out = suite, out
        self.first = min(len(arm.seeds) for arm in suite.arms if arm.name in self._arms)
        self.begin = suite.runs(steps=steps, labels=labels)
        extended = _extended(suite, self._arms, self.decide.seeds)
        self.order = {arm.name: arm.seeds for arm in extended.arms}  # an arm's own: the suite has one for all arms
        self.every = extended.runs(steps=steps, labels=labels)

    @property
    def _arms(self) -> tuple[str, ...]:
        return (self.decide.against, *self.decide.arms)

    def run(self, execute: Execute, until: float) -> tuple[sweep.Sweep | None, int]:
        """Execute what is open, look, and go on: where it came to (None before the first look), and the exit code."""
        wanted: Sequence[Planned] = self.begin
        while True:
            code = execute(wanted, until)
            if code or time.monotonic() >= until:
                return self.state(), code
            state = self.state()
            assert state is not None
            if state.next is None:
                return state, 0
            wanted = self.needed(state)

    def state(self) -> sweep.Sweep | None:
        """What the runs that are there decide; None before every cell has its first seeds."""
        if any(one.status != "done" for one in self._found(self.begin)):
            return None
        study = data.load(self.suite, self.begin, self.out, "")
        return sweep.replay(self.decide, self.first, self._scale(study), self._returns())

    def needed(self, state: sweep.Sweep) -> list[Planned]:
        """The runs without which there is no next look."""
        arms = {self.decide.against, *state.open}
        assert state.next is not None
        places = self._places()
        chosen = [one for one in self.every if one.arm in arms and one.task in self._tasks()]
        return [one for one in chosen if places[one.arm][one.seed] < state.next]

    def _found(self, planned: Sequence[Planned]) -> list[runs.Run]:
        return runs.found(planned, self.out)

    def _tasks(self) -> tuple[str, ...]:
        """With their versions, in the order of the suite."""
        ids = tuple(dict.fromkeys(one.task for one in self.begin))
        return tuple(full for full, name in zip(ids, self.suite.tasks, strict=True) if name in self.decide.tasks)

    def _places(self) -> dict[str, dict[int, int]]:
        """For each arm the place of each seed in its order."""
        return {arm: {seed: place for place, seed in enumerate(seeds)} for arm, seeds in self.order.items()}

    def _scale(self, study: data.Study) -> sweep.Scale:
        tasks = self._tasks()
        bad = [task for task in tasks if task not in study.normalisable or len(study.control_returns(task)) < 2]
        if bad:
            raise UserError(
                f"[decide] {bad[0]}: its runs on the true reward do not clearly learn, so nothing says what matters: "
                "leave it out of tasks, or give the control more steps or seeds"
            )
        returns = [study.control_returns(task) for task in tasks]
        least = min(map(len, returns))
        untrained = np.array([study.untrained[task] for task in tasks])
        return sweep.Scale.of(np.array([one[:least] for one in returns]), untrained)

    def _returns(self) -> dict[str, np.ndarray]:
        places, tasks = self._places(), self._tasks()
        wanted = [one for one in self.every if one.arm in self._arms and one.task in tasks]
        values = {arm: np.full((len(tasks), len(places[arm])), np.nan) for arm in self._arms}
        for run in self._found(wanted):
            if run.status == "done":
                value = run.final("true_return")
                require(np.isfinite(value), f"run {run.key}: no episode ended late; more steps help")
                values[run.arm][tasks.index(run.task), places[run.arm][run.seed]] = value
        return values


def _extended(suite: Suite, arms: Sequence[str], seeds: int) -> Suite:
    """The suite with so many seeds of these arms: its own first, then the next numbers."""

    def longer(own: tuple[int, ...]) -> tuple[int, ...]:
        end = max(own) + 1 + max(0, seeds - len(own))
        require(end <= LARGEST_SEED + 1, f"{suite.source}: no {seeds} seeds from {max(own)} on: list smaller ones")
        return (*own, *range(max(own) + 1, end))

    more = tuple(replace(arm, seeds=longer(arm.seeds)) if arm.name in arms else arm for arm in suite.arms)
    return replace(suite, arms=more)


def rows(decide: Decide, state: sweep.Sweep) -> list[list[str]]:
    """What was decided, a header and a line a comparison."""
    said = {
        "better": "better",
        "worse": "worse",
        "alike": f"less than {decide.difference:g} apart",
        "open": "open",
        "undecided": f"not decided with {decide.seeds} seeds",
    }
    told = [["arm", f"less {decide.against}", "interval", "seeds", "verdict"]]
    for one in state.comparisons:
        ends = f"[{one.low:+.3f}, {one.high:+.3f}]" if one.seeds else "-"
        value = f"{one.value:+.3f}" if one.seeds else "-"
        told.append([one.arm, value, ends, str(one.seeds), said[one.verdict]])
    return told


def spared(driver: Driver, state: sweep.Sweep) -> str:
    """How many runs the sweep has taken, beside what a fixed number of seeds would have."""
    tasks, arms = len(driver.decide.tasks), len(state.comparisons) + 1
    seeds = [one.seeds for one in state.comparisons]
    taken, fixed = tasks * (sum(seeds) + max(seeds)), tasks * arms * driver.decide.seeds
    return f"{taken} runs of the compared arms, where {driver.decide.seeds} seeds of each would be {fixed}"
