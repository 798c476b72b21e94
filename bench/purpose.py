"""``[decide]`` of a suite file: what the suite is for.

[decide]
arms = ["entropy", "near on policy"]   # compared with `against`; default: every arm that learns from labels
against = "uniform"            # default: the suite's baseline
tasks = ["mujoco/hopper@1"]    # default: all
difference = 0.05              # of mean normalised return: one that is smaller does not matter
error = 0.05                   # how often one of all that is said may be wrong
seeds = 20                     # of an arm, at most
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bench.parse import Model, Name
from bench.text import counted
from prefrl_core.errors import require

LEAST = 3  # seeds of every arm before the first look
MOST_SEEDS = 10_000  # of an arm

_Names = Annotated[list[Name], Field(min_length=1, max_length=1000)]


class DecideTable(Model):
    """``[decide]`` as the suite file has it."""

    arms: _Names | None = None
    against: str = ""
    tasks: _Names | None = None
    difference: Annotated[float, Field(gt=0, le=1e9)]
    error: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    seeds: Annotated[int, Field(gt=LEAST, le=MOST_SEEDS)] = 20


@dataclass(frozen=True)
class Decide:
    """What is compared, and how surely."""

    arms: tuple[str, ...]
    against: str
    tasks: tuple[str, ...]
    difference: float
    error: float = 0.05
    seeds: int = 20


def of(
    table: DecideTable, seeds: Mapping[str, int], controls: Sequence[str], tasks: Sequence[str], baseline: str
) -> Decide:
    """The settings in a suite whose arms have so many ``seeds``, some of which are ``controls``.

    Raises:
        UserError: it decides nothing.
    """
    against = table.against or baseline
    require(bool(against), "[decide] against is missing: name the arm that the others are compared with")
    arms = table.arms or [arm for arm in seeds if arm != against and arm not in controls]
    require(against not in arms, f"[decide] arms: {against!r} is what the others are compared with: leave it out")
    require(bool(arms), "[decide] arms: no arm learns from labels: name those to be compared")
    first = min(seeds[arm] for arm in (against, *arms))
    require(first >= LEAST, f"[decide] an arm has {counted(first, 'seed')}: a first look takes {LEAST} of each")
    require(table.seeds > first, f"[decide] seeds = {table.seeds}: the arms begin with {first}, give more than that")
    return Decide(_once(arms), against, _once(table.tasks or tasks), table.difference, table.error, table.seeds)


def _once(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
