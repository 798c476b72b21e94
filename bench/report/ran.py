"""What ran: arms, settings, software, machines; and what a reader must be warned of."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bench import spread
from bench.report import names
from bench.report.data import Cell, Study
from bench.report.formats import NONE, Entry, Table, number, wide
from bench.report.runs import Run

T = TypeVar("T")

FEW_SEEDS = 5


@dataclass(frozen=True)
class Remark:
    """A line for the reader; a warning if it bears on whether the numbers can be trusted."""

    text: str
    warning: bool = True


def progress(study: Study) -> Table:
    """Seeds finished of planned: rows are arms, columns tasks."""
    facts = [
        {"task": study.task_names[run.task], "arm": run.arm, "seed": run.seed, "key": run.key}
        | {"state": run.status, "steps": run.steps, "error": run.error}
        for run in study.runs
    ]
    rows = [[arm, *(_finished(study.cell(arm, task)) for task in study.tasks)] for arm in study.arms]
    header = ["Arm", *study.task_names.values()]
    return wide("runs", "Seeds finished of those planned.", header, rows, facts, labels=len(header))


def _finished(cell: Cell | None) -> Entry:
    if cell is None:
        return Entry("not planned")
    others = _seeds_by(_state, (run for run in cell.runs if run.status != "done"))
    note = "; ".join(f"{names.seeds(seeds)} {state}" for state, seeds in others.items())
    return Entry(f"{len(cell.finished)} of {len(cell.runs)}", note=note)


def settings(study: Study) -> Table:
    """Settings in which the runs differ: a row for each arm, or for each of its tasks where those differ too."""
    flats = {where: names.flat(cell.spec.canonical()) for where, cell in study.cells.items()}
    keys = dict.fromkeys(key for told in flats.values() for key in told if key not in ("task", "seed"))
    own = [key for key in keys if len({told.get(key) for told in flats.values()}) > 1]
    rows: list[list[str]] = []
    for arm in study.arms:
        told = {task: [found.get(key, NONE) for key in own] for (name, task), found in flats.items() if name == arm}
        first, *others = told.values()
        alike = all(other == first for other in others)
        rows += [[arm, "all", *first]] if alike else [[arm, study.task_names[t], *told[t]] for t in told]
    header = ["Arm", "Task", *own]
    facts = [{"arm": arm, **told} for (arm, _), told in flats.items()]
    return wide("settings", "Settings in which the arms differ.", header, rows, facts, labels=len(header))


def shared_settings(study: Study) -> list[tuple[str, str]]:
    """Settings that all runs have in common, by name."""
    flats = [names.flat(cell.spec.canonical()) for cell in study.cells.values()]
    first = flats[0]
    return [(key, first[key]) for key in first if key != "seed" and all(rows.get(key) == first[key] for rows in flats)]


def software(study: Study) -> list[tuple[str, str]]:
    """Software, machine and time, each with every value that occurs."""
    made = _provenances(study)
    revisions = sorted({_revision(one) for one in made})
    rows = [(name, ", ".join(found)) for name, found in _versions(made).items()]
    rows.append(("git revision", ", ".join(revisions) or "unknown"))
    rows += [(name, ", ".join(_values(made, name)) or "unknown") for name in ("cpu", "cores", "platform")]
    if cards := sorted({card for one in made for card in json.loads(one.get("cards", "[]"))}):
        rows.append(("graphics cards", ", ".join(cards)))
    started = sorted(one["started"] for one in made if one.get("started"))
    if started:
        rows.append(("started (UTC)", " to ".join(dict.fromkeys((started[0], started[-1])))))
    wall = sum(float(run.done["wall_seconds"]) for run in study.runs if run.done)
    rows.append(("wall time of all finished runs", f"{wall / 3600:.2f} h" if wall >= 3600 else f"{wall / 60:.1f} min"))
    return rows


def _provenances(study: Study) -> list[dict[str, str]]:
    """Where each run came from, by dotted names."""
    return [names.flat(run.provenance) for run in study.runs if run.provenance]


def _values(made: Sequence[Mapping[str, str]], name: str) -> list[str]:
    """Every value of something that occurs."""
    found = {one.get(name, "null") for one in made}
    return sorted("unknown" if value == "null" else value for value in found)


def _versions(made: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """Every version of each package."""
    places = sorted({name for one in made for name in one if name.startswith("versions.")})
    return {place.partition(".")[2]: _values(made, place) for place in places}


def _revision(provenance: Mapping[str, str]) -> str:
    """Unknown where the code was not run from its tree."""
    (revision,) = _values([provenance], "git.revision")
    return revision + (" with uncommitted changes" if provenance.get("git.dirty") == "true" else "")


def remarks(study: Study, normalised: bool = True) -> list[Remark]:
    """What bears on the numbers, the gravest first; of returns that are ``normalised`` also where they are not."""
    scale = _scale(study) if normalised else ()
    return [*_unfinished(study), *_unlabelled(study), *_beyond(study), *_provenance(study), *scale, *_spread(study)]


def _unfinished(study: Study) -> Iterable[Remark]:
    for status in ("damaged", "failed", "unfinished", "not started"):
        runs = [run for run in study.runs if run.status == status]
        if runs:
            out = " and left out" if status == "damaged" else ""
            yield Remark(f"{len(runs)} of {len(study.runs)} runs {status}{out}: {_listed(study, runs)}.")


def _unlabelled(study: Study) -> Iterable[Remark]:
    """Arms with neither labels nor the true reward: most likely one of the two was forgotten."""
    for arm in study.arms:
        spec = study.of_arm(arm)[0].spec.canonical()
        known = spec.get("known_comparisons") or spec.get("known_reward")
        if spec.get("reward") == "learned" and spec.get("labels") == 0 and not known:
            yield Remark(
                f"{arm} has no labels, and not the true reward: its agents learned from a reward model that was fitted "
                'to nothing. For a control write reward = "true".'
            )


def _beyond(study: Study) -> Iterable[Remark]:
    """Seeds that lie there and are not in the plan."""
    if study.beyond:
        yield Remark(
            f"{len(study.beyond)} finished runs beyond the plan lie here and are left out, --all-seeds uses them: "
            f"{_listed(study, study.beyond)}."
        )


def _provenance(study: Study) -> Iterable[Remark]:
    made = _provenances(study)
    dirty = [one for one in made if one.get("git.dirty") == "true"]
    if dirty:
        yield Remark(
            f"{len(dirty)} of {len(made)} runs were made from a working tree with uncommitted changes: the revision "
            "named below is not all of their code."
        )
    if len(_values(made, "git.revision")) > 1:
        yield Remark("The runs were made from different git revisions; all of them are named below.")
    for package, found in _versions(made).items():
        if len(found) > 1:
            yield Remark(f"The runs were made with different versions of {package}: {', '.join(found)}.")


def _scale(study: Study) -> Iterable[Remark]:
    for task in study.tasks:
        name = study.task_names[task]
        if task not in study.controls:
            planned = [arm for arm, cell in study.of_task(task) if cell.spec.reward == "true"]
            control = f"of its control, {planned[0]}" if planned else "on the true reward"
            yield Remark(f"{name} has no finished run {control}: its returns are not normalised.")
        elif not np.isfinite(study.untrained[task]):
            yield Remark(f"No episode of the untrained policy on {name} was recorded: its returns are not normalised.")
        elif task not in study.normalisable:
            yield Remark(f"{_no_scale(study, task)} Its returns are not normalised. More steps or seeds may help.")
        late = [run for arm, cell in study.of_task(task) for run in cell.finished]
        none = [run for run in late if not np.isfinite(run.final("true_return"))]
        if none:
            yield Remark(
                f"In {len(none)} of {len(late)} finished runs of {name} no episode ended in the last 10 % of the "
                "steps: they have no final return. More steps help."
            )
        if len({cell.spec.total_steps for _, cell in study.of_task(task)}) > 1:
            yield Remark(f"The arms of {name} differ in their number of environment steps.")


def _no_scale(study: Study, task: str) -> str:
    """Why a task's control is no scale."""
    name, gain = study.task_names[task], study.gain(task)
    if gain.value <= 0:
        return f"On {name} the runs on the true reward end no higher than the untrained policy."
    told = f"{number(gain.value)} ± {number(gain.value - gain.low, gain.value)}"
    return f"On {name} the gain of the runs on the true reward, {told}, is not clearly above its noise."


def _freedom(study: Study, task: str) -> int:
    """Seeds less one, summed over the arms of a task."""
    return sum(len(cell.finished) - 1 for _, cell in study.of_task(task) if cell.finished)


def _spread(study: Study) -> Iterable[Remark]:
    seeds = [len(cell.finished) for cell in study.cells.values() if cell.finished]
    few = [count for count in seeds if 1 < count < FEW_SEEDS]
    if few:
        yield Remark(
            f"With {min(few)} seeds an arm's own spread says little: intervals take it to be no less than what is "
            "usual among the arms of the task.",
            warning=False,
        )
    bare = [study.task_names[task] for task in study.tasks if _freedom(study, task) < spread.EVIDENCE]
    if bare and seeds:
        yield Remark(
            f"On {', '.join(bare)} too few seeds are finished for an honest interval (seeds less one, summed over the "
            f"arms of a task, is below {spread.EVIDENCE}): none is drawn.",
            warning=False,
        )
    if 1 in seeds:
        yield Remark("Where one seed is finished there is no interval: nothing tells its spread.", warning=False)


def _state(run: Run) -> str:
    at = f" at {run.steps} of {run.spec.total_steps} steps" if run.steps and run.status != "done" else ""
    return run.status + at + (f": {run.error}" if run.error else "")


def _listed(study: Study, runs: Iterable[Run], most: int = 6) -> str:
    """By task, arm and error; of more than ``most`` of these the first, and how many runs the others are."""
    alike = _seeds_by(lambda run: (run.task, run.arm, run.error), runs)
    told = [
        f"{study.task_names[task]}, {arm}, {names.seeds(seeds)}" + (f" ({error})" if error else "")
        for (task, arm, error), seeds in alike.items()
    ]
    left = sum(map(len, list(alike.values())[most:]))
    return "; ".join(told[:most]) + (f"; and {left} more" if left else "")


def _seeds_by(key: Callable[[Run], T], runs: Iterable[Run]) -> dict[T, list[int]]:
    """Seeds of the runs that are alike in ``key``, in the order in which they come."""
    found: dict[T, list[int]] = {}
    for run in runs:
        found.setdefault(key(run), []).append(run.seed)
    return found
