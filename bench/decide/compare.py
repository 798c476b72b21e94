"""Two arms beside each other: on each task, and in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import spread, stats, suite
from bench.decide import power
from bench.report import data, results
from bench.report.data import Study
from bench.report.formats import NONE, entry, number
from prefrl_core.errors import UserError, require, unknown


@dataclass(frozen=True)
class Merged:
    """What a report reads of a suite, of the one or two that are compared."""

    name: str
    title: str = ""
    description: str = ""
    baseline: str = ""


def study(
    arms: Sequence[str],
    default: str | None,
    out: Path,
    narrowed: tuple[int | None, int | None, Sequence[str], int | None] = (None, None, (), None),
) -> tuple[Study, str, str]:
    """The runs of the suites in which the two arms are, and the names of the arms in it.

    ``narrowed``: the arguments of ``Suite.runs``.

    Raises:
        UserError: an arm or suite that is not there, arms that share runs, no finished runs, or runs of versions whose
            numbers are never compared.
    """
    (first, one), (second, other) = (_split(arm, default) for arm in arms)
    base = suite.load(first)
    _arm(base, one)
    planned = list(base.runs(*narrowed))
    if second != first:
        beside = suite.load(second)
        _arm(beside, other)
        renamed = f"{second}:{other}"
        planned += [replace(run, arm=renamed) for run in beside.runs(*narrowed) if run.arm == other]
        other = renamed
    else:
        _arm(base, other)
    ours, theirs = ({run.key for run in planned if run.arm == arm} for arm in (one, other))
    told = f"{arms[0]!r} and {arms[1]!r} share runs"
    require(ours.isdisjoint(theirs), f"{told}: compare with another arm than itself, or leave them out by --only")
    found = data.load(Merged(base.name), planned, out, "")
    for arm in (one, other):
        if not any(len(cell.returns) for cell in found.of_arm(arm)):
            raise UserError(f"{arm!r} has no finished run in an environment, with a return, in {out}: run it first")
    if not _tasks(found, one, other):
        raise UserError(f"{one!r} and {other!r} have no task in common with finished runs: run both on one")
    return found, one, other


def rows(found: Study, one: str, other: str) -> list[list[str]]:
    """A header, a line a task, and one for all tasks that can be normalised."""
    told = [["task", "seeds", "difference", "interval", "P(better)", "interval", "p", "could be seen"]]
    told += [_row(found, one, other, [task], found.task_names[task]) for task in _tasks(found, one, other)]
    shared = found.shared(one, other)
    if len(shared) > 1:
        told.append(_row(found, one, other, shared, "all"))
    return told


def notes(found: Study, one: str, other: str) -> list[str]:
    """How to read it."""
    raw = [found.task_names[task] for task in _tasks(found, one, other) if task not in found.normalisable]
    told = [
        "Differences are of normalised return, 95 % intervals over seeds; p by exchanging seeds within tasks; what "
        "could be seen is the difference that four studies of five with so many seeds tell from 0."
    ]
    unlike = [
        found.task_names[task]
        for task in _tasks(found, one, other)
        if len({found.cells[arm, task].spec.total_steps for arm in (one, other)}) > 1
    ]
    if unlike:
        told.append(f"{', '.join(unlike)}: the two took different numbers of environment steps, which counts as well.")
    if raw:
        told.append(f"{', '.join(raw)}: no control that clearly learned, so returns are compared as they are.")
    return told


def _row(found: Study, one: str, other: str, tasks: Sequence[str], name: str) -> list[str]:
    known = all(task in found.normalisable for task in tasks)
    gap = results.differences(found, other, {one: tasks})[one] if known else _raw(found, one, other, tasks[0])
    better = results.improvement(found, one, other, tasks)
    seeds = [min(len(found.cells[arm, task].returns) for task in tasks) for arm in (one, other)]
    p = results.permutation(found, one, other, tasks)
    chance = f"{p:.4f}" if p >= 0.0001 else "< 0.0001"
    shown, likely = entry(gap, 1.0 if known else None), entry(better, 1.0)
    seen = NONE
    if known and min(seeds) > 1 and all(found.pool(task).freedom >= spread.EVIDENCE for task in tasks):
        seen = number(power.detectable(power.variances(found, tasks), *seeds), 1.0)
    sign = "+" if gap.value > 0 else ""
    counts = f"{seeds[0]} and {seeds[1]}"
    return [name, counts, sign + shown.text, shown.interval, likely.text, likely.interval, chance, seen]


def _raw(found: Study, one: str, other: str, task: str) -> stats.Estimate:
    """The difference of returns of a task that is not normalised."""
    ours, theirs = (found.draws(arm, task) for arm in (one, other))
    return stats.estimate(ours.values.mean() - theirs.values.mean(), ours.means - theirs.means)


def _tasks(found: Study, one: str, other: str) -> list[str]:
    """Tasks on which both have finished runs."""
    return [task for task in found.tasks if found.has(one, task) and found.has(other, task)]


def _split(arm: str, default: str | None) -> tuple[str, str]:
    name, colon, rest = arm.partition(":")
    if colon and (name in suite.names() or name.endswith(".toml")):
        return name, rest
    if default is None:
        named = f"{name!r} is no suite" if colon else f"{arm!r} names no suite"
        raise UserError(f"{named}: write suite:arm with a name of prefrl list or a .toml file, or add --suite SUITE")
    return default, arm


def _arm(of: suite.Suite, name: str) -> None:
    arms = [arm.name for arm in of.arms]
    if name not in arms:
        raise unknown(f"arm of {of.source}:", name, arms)
