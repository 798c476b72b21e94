"""What a suite will cost: wall time, memory and disk, from a probe of this machine for some seconds.

Runs that differ in seed, number of labels and length alone are one kind of work, and each kind is probed once
(``bench.measure``, for a moment, in a process of its own and beside as many others as runs will be beside one another).
Kinds that there is no time for take the figures of the most similar one that was probed. The figures of a kind make
those of its runs, and a schedule of the runs in their order makes the suite's.
"""

from __future__ import annotations

import heapq
import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench import tracks, worker
from bench.costs import Costs
from bench.suite import Planned
from prefrl_core.errors import UserError

_EACH, _ALL = 2.0, 20.0  # seconds: of one kind of work, and of all together
_LEAST = 0.5  # seconds of a probe that says something
_START = 1.0  # seconds that a process needs before its first turn, until one has been timed


@dataclass(frozen=True)
class Kind:
    """One kind of work, named by what its runs have in common."""

    task: str
    reward: str
    policy: str
    rest: str  # every other setting that matters, as JSON

    @classmethod
    def of(cls, planned: Planned) -> Kind:
        return cls(planned.task, *tracks.of(planned.task).kind(planned.spec))

    def __str__(self) -> str:
        return f"{self.policy} on {self.task}, {self.reward} reward"

    def likeness(self, other: Kind) -> int:
        return 4 * (self.task == other.task) + 2 * (self.reward == other.reward) + (self.policy == other.policy)


@dataclass(frozen=True)
class Probed:
    """What the probe found: costs and seconds to start of each kind, and which of them were measured."""

    costs: dict[Kind, tuple[Costs, float]]
    measured: frozenset[Kind]
    seconds: float  # that it took


@dataclass(frozen=True)
class Estimate:
    """Of runs that are still to be done; seconds and bytes."""

    wall: float
    work: float  # of all runs, one after the other
    memory: int  # of as many of the largest as run at a time
    largest: int  # memory of one run
    disk: int


def probe(planned: Sequence[Planned], workers: int) -> Probed:
    """Costs of each kind of work among the runs, the most frequent probed first.

    Raises:
        UserError: no kind of work could be probed.
    """
    steps: Counter[Kind] = Counter()
    first: dict[Kind, Planned] = {}
    cells: dict[tuple[str, str], Kind] = {}
    for one in planned:
        kind = cells.get((one.arm, one.task)) or cells.setdefault((one.arm, one.task), Kind.of(one))
        steps[kind] += one.spec.total_steps
        first.setdefault(kind, one)
    began = time.monotonic()
    each = min(_EACH, max(_LEAST, _ALL * workers / len(steps) - _START))
    with ThreadPoolExecutor(workers) as pool:
        kinds = [kind for kind, _ in steps.most_common()]
        found = list(pool.map(lambda kind: _measure(first[kind], each, began + _ALL), kinds))
    measured = {kind: one for kind, one in zip(kinds, found, strict=True) if isinstance(one, tuple)}
    if not measured:
        reasons = [one for one in found if isinstance(one, str)]
        raise UserError(f"no run could be probed ({reasons[0]}): see the plan with --no-probe")
    costs = {kind: measured[max(measured, key=kind.likeness)] for kind in kinds} | measured
    return Probed(costs, frozenset(measured), time.monotonic() - began)


def _measure(planned: Planned, seconds: float, until: float) -> tuple[Costs, float] | str:
    """Costs of one run and the seconds that its process needs to start, or why they are not known."""
    began = time.monotonic()
    if until - began < seconds:
        return "no time left"
    try:
        done = subprocess.run(
            worker.words_for("bench.measure", str(seconds)),
            input=json.dumps(planned.spec.canonical()),
            capture_output=True,
            text=True,
            env={**os.environ, **worker.ONE_THREAD},
            timeout=until - began,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return f"three turns of {planned.arm!r} on {planned.task} took too long"
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return said.removeprefix("prefrl_core.errors.UserError: ")
    values = json.loads(done.stdout.splitlines()[-1])
    return Costs(**values["costs"]), time.monotonic() - began - values["seconds"]


def estimate(planned: Sequence[Planned], probed: Probed, workers: int) -> Estimate:
    """Of these runs in this order, on so many workers."""
    kinds = {cell: Kind.of(one) for cell, one in {(one.arm, one.task): one for one in planned}.items()}
    free = [0.0] * workers
    work = disk = 0.0
    made: set[tuple[str, str]] = set()  # stages that runs share are made once
    sizes = []
    for one in planned:
        costs, start = probed.costs[kinds[one.arm, one.task]]
        seconds, stages = tracks.of(one.task).seconds(one.spec, costs)
        seconds += start + sum(took for name, took in stages.items() if (one.shares, name) not in made)
        made.update((one.shares, name) for name in stages)
        heapq.heapreplace(free, free[0] + seconds)
        work += seconds
        compared = one.spec.labels * costs.comparison_bytes
        disk += _turns(costs, one) * costs.row_bytes + costs.checkpoint_bytes + 2 * compared
        sizes.append(costs.memory_bytes + 2 * compared)
    largest = heapq.nlargest(workers, sizes)
    return Estimate(max(free), work, sum(largest), max(largest, default=0), round(disk))


def run_seconds(costs: Costs, planned: Planned) -> float:
    """Wall time of one run after its start, on a core of its own."""
    own, stages = tracks.of(planned.task).seconds(planned.spec, costs)
    return own + sum(stages.values())


def _turns(costs: Costs, planned: Planned) -> float:
    return planned.spec.total_steps / costs.round_steps
