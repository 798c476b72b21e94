"""Seeds that lie in a results folder and are not in the plan, as ``run --until-decided`` or ``--seeds`` leaves them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench import store, tracks
from bench.report.runs import Run
from bench.suite import Planned
from prefrl_core.errors import UserError


def seeds(planned: Sequence[Planned], out: Path, known: Iterable[str]) -> list[Run]:
    """The finished runs in ``out`` that differ from a planned one in their seed alone, by arm and seed; those with a
    ``known`` key are not among them. Of a run that several arms plan there is one for each."""
    cells: dict[str, dict[tuple[str, str], Planned]] = {}
    for plan in planned:
        cells.setdefault(_alike(plan.spec.canonical()), {}).setdefault((plan.arm, plan.task), plan)
    order = {arm: place for place, arm in enumerate(dict.fromkeys(plan.arm for plan in planned))}
    taken = {plan.key for plan in planned} | set(known)
    runs = [one for one in store.load(out) if one.key not in taken and one.status == "done"] if out.is_dir() else []
    found = [run for one in runs for run in _of_cells(one, cells)]
    return sorted(found, key=lambda run: (run.seed, run.task, order[run.arm]))


def _of_cells(run: store.Run, cells: dict[str, dict[tuple[str, str], Planned]]) -> list[Run]:
    try:
        alike = cells.get(_alike(run.spec), {})
        return [
            Run(arm, task, run.spec["seed"], run.key, tracks.of(task).spec(run.spec))
            for (arm, task), plan in alike.items()
            if store.key_of(plan.spec.canonical(), run.versions) == plan.key
        ]
    except UserError:  # damaged, or of a part that is not installed: no seed of these
        return []


def _alike(spec: dict[str, object]) -> str:
    return json.dumps({**spec, "seed": None}, sort_keys=True)
