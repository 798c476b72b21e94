"""``[decide]`` of a suite file: what the suite is for.

[decide]
arms = ["entropy", "recent"]   # compared with `against`; default: every arm that learns from labels
against = "uniform"            # default: the suite's baseline
tasks = ["mujoco/hopper@1"]    # default: all
difference = 0.05              # of mean normalised return: one that is smaller does not matter
error = 0.05                   # how often one of all that is said may be wrong
seeds = 20                     # of an arm, at most
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prefrl_core.errors import UserError, unknown

LEAST = 3  # seeds of every arm before the first look


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
    values: Mapping[str, Any], seeds: Mapping[str, int], controls: Sequence[str], tasks: Sequence[str], baseline: str
) -> Decide:
    """The settings in a suite whose arms have so many ``seeds``, some of which are ``controls``.

    Raises:
        UserError: an unknown key, arm or task, or a number that decides nothing.
    """
    for key in values:
        if key not in Decide.__dataclass_fields__:
            raise unknown("key in [decide]:", key, Decide.__dataclass_fields__)
    against = values.get("against", baseline)
    if not against:
        raise UserError("[decide] against is missing: name the arm that the others are compared with")
    rest = [arm for arm in seeds if arm != against and arm not in controls]
    arms = _names("arms", values.get("arms", rest), "arm", list(seeds))
    _names("against", [against], "arm", list(seeds))
    if against in arms:
        raise UserError(f"[decide] arms: {against!r} is what the others are compared with: leave it out")
    made = Decide(
        arms=arms,
        against=against,
        tasks=_names("tasks", values.get("tasks", list(tasks)), "task", tasks),
        difference=_number("difference", values.get("difference"), 0.0, float("inf")),
        error=_number("error", values.get("error", 0.05), 0.0, 0.5),
        seeds=int(_number("seeds", values.get("seeds", 20), LEAST, float("inf"))),
    )
    first = min(seeds[arm] for arm in (against, *arms))
    if first < LEAST:
        raise UserError(
            f"[decide] an arm has {first} seeds: {LEAST} of each are the least that a first look tells from"
        )
    if made.seeds <= first:
        raise UserError(f"[decide] seeds = {made.seeds}: the arms begin with {first}, give more than that")
    return made


def _names(key: str, value: Any, what: str, known: Sequence[str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise UserError(f"[decide] {key} = {value!r}: give a list of {what}s of the suite, at least one")
    for one in value:
        if one not in known:
            raise unknown(f"{what} in [decide] {key}:", one, known)
    return tuple(dict.fromkeys(value))


def _number(key: str, value: Any, above: float, below: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not above < value < below:
        ends = f"above {above:g}" + (f" and below {below:g}" if below < float("inf") else "")
        raise UserError(f"[decide] {key} = {value!r}: give a number {ends}")
    return float(value)
