"""A suite: which arms are compared on which tasks with which seeds, read from a TOML file.

    name = "mine"                       # names the report's folder
    title = "..."
    description = "..."
    baseline = "200 labels"             # optional: the arm that the report compares the others with
    plugins = ["my_package.labelers"]   # modules that register parts of your own

    [run]                               # settings of every run: the fields of RunSpec, of LanguageSpec for language/...
    total_steps = 200_000
    [sweep]
    task = ["mujoco/hopper@1"]
    seed = 3                            # so many seeds (0, 1, 2), or a list of them
    [tasks."mujoco/hopper@1"]           # settings of one task's runs
    total_steps = 400_000
    seed = 8                            # optional: seeds on this task of the arms that have none of their own
    [[arm]]                             # one line in the figures
    name = "200 labels"
    labels = 200
    seed = 5                            # optional: seeds of this arm; the control, by which all others are
                                        # divided, should have more than they
    [decide]                            # optional: what the suite decides, see bench/purpose.py
    [resources]                         # optional: what a run needs of a cluster's node, see bench/resources.py

If a setting is given twice, the arm's overrides the task's, and that overrides [run]'s. A table is replaced whole.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from bench import files, purpose, store, tracks
from bench.parse import parse
from bench.resources import Needs, Resources
from bench.suite_file import LARGEST, MOST_RUNS, PLACED, SuiteFile, refuse_same_task, toml_place
from bench.tracks import Spec, Track
from prefrl_core import registry
from prefrl_core.errors import UserError, require, unknown

T = TypeVar("T")
_Key = Callable[[int], str]  # of the run with that seed


@dataclass(frozen=True)
class Arm:
    """One of the ways to learn that the suite compares; a line in its figures."""

    name: str
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]
    seeds_on: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # tasks that have others


@dataclass(frozen=True)
class Planned:
    """One run of a suite. ``key`` names its folder; two suites that need the same run share it."""

    arm: str
    task: str  # with its version
    seed: int
    spec: Spec
    key: str
    needs: Needs = field(default_factory=Needs)
    shares: str = ""  # what it shares its first stages with, where a run's track has such


@dataclass(frozen=True)
class Suite:
    """A validated suite file; ``source`` is what errors call it."""

    source: str
    name: str
    title: str
    description: str
    plugins: tuple[str, ...]
    run: Mapping[str, Any]
    tasks: tuple[str, ...]
    task_settings: Mapping[str, Mapping[str, Any]]
    arms: tuple[Arm, ...]
    baseline: str = ""  # the arm that the others are compared with
    resources: Resources = field(default_factory=Resources)
    decide: purpose.Decide | None = None  # what it is for

    @property
    def track(self) -> Track:
        """The kind of its runs."""
        return tracks.common(self.tasks)

    def __len__(self) -> int:
        return sum(len(arm.seeds_on.get(task, arm.seeds)) for arm in self.arms for task in self.tasks)

    def runs(
        self,
        seeds: int | None = None,
        steps: int | None = None,
        only: Sequence[str] = (),
        labels: int | None = None,
    ) -> list[Planned]:
        """Every run, balanced: each cell (task and arm) has its first seed before any has its second.

        ``seeds`` is another number of seeds, ``steps`` replaces the steps of every run, ``only`` keeps the runs that
        match (``"task=hopper"``, ``"arm=30 labels"``, ``"seed=0"``; a part of the name will do), ``labels`` replaces
        the budget of every run that asks for labels.

        Raises:
            UserError: a setting that no run can have (the line names file, arm and task), or nothing matches.
        """
        with_file(self.source, registry.load_plugins, self.plugins)
        ids = {name: with_file(self.source, self.track.task, name) for name in self.tasks}
        refuse_same_task(self.source, ids)
        own = {(task, arm.name): arm.seeds_on.get(task, arm.seeds) for task in self.tasks for arm in self.arms}
        wanted_of = {cell: dict.fromkeys(self._seeds(listed, seeds)) for cell, listed in own.items()}
        if (number := sum(map(len, wanted_of.values()))) > MOST_RUNS:
            raise UserError(f"{self.source}: {number:,} runs are more than {MOST_RUNS:,}: ask for fewer --seeds")
        longest = sorted(own, key=lambda cell: -len(own[cell]))
        every = dict.fromkeys(seed for cell in longest for seed in wanted_of[cell])
        cells = [(seed, task, arm) for seed in every for task, arm in own if seed in wanted_of[task, arm]]
        wanted = select([{"task": ids[task], "arm": arm, "seed": str(seed)} for seed, task, arm in cells], only)
        arms = {arm.name: arm for arm in self.arms}
        cell = cache(lambda task, arm: self._cell(task, arms[arm], steps, labels))
        planned = [_of_seed(seed, arm, *cell(task, arm)) for seed, task, arm in (cells[i] for i in wanted)]
        _refuse_twins(self.source, planned)
        return planned

    def _seeds(self, listed: tuple[int, ...], number: int | None) -> tuple[int, ...]:
        if number is None:
            return listed
        if listed == tuple(range(len(listed))):
            return tuple(range(number))
        if number > len(listed):
            raise UserError(f"--seeds {number}: {self.source} lists no more than {len(listed)}")
        return listed[:number]

    def _cell(self, task: str, arm: Arm, steps: int | None, labels: int | None) -> tuple[Spec, _Key, Needs]:
        """What the runs of one arm on one task have in common but for the seed."""
        values = {**self.run, **self.task_settings.get(task, {}), **arm.settings}
        if steps is not None:
            values = self.track.shortened(values, steps)
        values |= {"task": task, "seed": arm.seeds[0]} | ({"plugins": self.plugins} if self.plugins else {})
        if labels is not None:
            values = self.track.asking(values, labels)
        where = f"{self.source}: arm {arm.name!r} on {task}"
        made = with_file(where, self.track.spec, values)
        canonical, versions = made.canonical(), versions_of(made)
        with_file(where, store.key_of, canonical, versions)
        needs = self.resources.needs(task, arm.name)
        return made, lambda seed: store.key_of({**canonical, "seed": seed}, versions), needs


def load(name: str) -> Suite:
    """The suite of that name among those of the project, or in the file ``name`` (which ends in ``.toml``).

    Raises:
        UserError: no such suite or file, or something in it is wrong.
    """
    source, text = _read(name)
    try:
        values = tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"{source}: tables or lists go too deep: a suite needs a few levels") from error
    except ValueError as error:  # TOMLDecodeError, or a number of too many digits
        line = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        place = f"{source}:{line[1]}" if line else source
        reason = str(error)[: line.start()] if line else str(error)
        raise UserError(f"{place}: not valid TOML: {reason}") from error
    file: SuiteFile = parse(SuiteFile, values, source, place=toml_place)
    tasks = tuple(file.sweep.task)
    return with_file(source, _built, source, file, tasks, with_file(source, tracks.common, tasks).settings)


def names() -> list[str]:
    """The suites that come with the project."""
    files = resources.files("bench").joinpath("suites").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def versions_of(spec: Spec) -> dict[str, Any]:
    """The versions that stand in the key of a run: numbers of two of them are never averaged."""
    return tracks.of(spec.task).versions(spec)


def select(cells: Sequence[Mapping[str, str]], only: Iterable[str]) -> list[int]:
    """Indices of the cells that match: any of the values given for one name, and all of the names.

    Raises:
        UserError: a filter that is no ``name=value``, has an unknown name, or matches nothing.
    """
    only, allowed = list(only), dict[str, set[str]]()
    for text in only:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise UserError(f"--only {text!r}: write name=value, as in --only task=hopper")
        if name not in ("task", "arm", "seed"):
            raise unknown("filter in --only", name, ("task", "arm", "seed"))
        found = _matching(name, value, list(dict.fromkeys(cell[name] for cell in cells)))
        allowed.setdefault(name, set()).update(found)
    chosen = [i for i, cell in enumerate(cells) if all(cell[name] in values for name, values in allowed.items())]
    require(bool(chosen), f"--only {' --only '.join(map(repr, only))} match no run together: each of them does alone")
    return chosen


def _matching(name: str, value: str, present: list[str]) -> list[str]:
    wanted, *spelled = (text.lower().replace("_", "") for text in (value, *present))  # tasks as reports name them, too
    parts = [one for one, other in zip(present, spelled, strict=True) if name != "seed" and wanted and wanted in other]
    found = [value] if value in present else parts
    require(bool(found), f"--only {name}={value} matches nothing: there is {', '.join(map(repr, present))}")
    return found


def with_file(where: str, make: Callable[..., T], *arguments: Any) -> T:
    """``make(*arguments)``; a UserError from it is raised again with ``where`` before its line."""
    try:
        return make(*arguments)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _read(name: str) -> tuple[str, str]:
    if not name.endswith(".toml"):
        if name not in names():
            raise UserError(f"{unknown('suite', name, names())} (a file of your own ends in .toml)")
        return f"{name}.toml", resources.files("bench").joinpath("suites", f"{name}.toml").read_text("utf-8")
    try:
        path = Path(os.path.realpath(name))  # the user's own link is followed
        if files.kind(path) == "nothing":
            raise UserError(f"{name}: cannot be read (No such file or directory): give the path of a suite file")
        return name, files.read(path, LARGEST, "give the path of a suite file").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not a text in UTF-8: save it as such") from error
    except ValueError as error:  # a path with a NUL in it
        raise UserError(f"{name!r}: cannot be read ({error}): give the path of a suite file") from error


def _built(source: str, file: SuiteFile, tasks: tuple[str, ...], known: Sequence[str]) -> Suite:
    arms = tuple(
        Arm(
            name=arm.name,
            settings=_settings(f"[[arm]] {arm.name!r}", arm.settings, known),
            seeds=arm.seed or file.sweep.seed,
            seeds_on={task: table.seed for task, table in file.tasks.items() if table.seed and not arm.seed},
        )
        for arm in file.arm
    )
    return Suite(
        source=source,
        name=file.name,
        title=file.title or file.name,
        description=file.description,
        plugins=tuple(file.plugins),
        run=_settings("[run]", file.run, known),
        tasks=tasks,
        task_settings={task: _settings(f"[tasks.{task!r}]", one.settings, known) for task, one in file.tasks.items()},
        arms=arms,
        baseline=file.baseline,
        resources=Resources.of(file.resources),
        decide=_decide(file.decide, arms, tasks, file.baseline),
    )


def _decide(
    table: purpose.DecideTable | None, arms: Sequence[Arm], tasks: Sequence[str], baseline: str
) -> purpose.Decide | None:
    controls = [arm.name for arm in arms if arm.settings.get("reward") == "true"]
    return purpose.of(table, {arm.name: len(arm.seeds) for arm in arms}, controls, tasks, baseline) if table else None


def _settings(where: str, table: Mapping[str, Any], known: Sequence[str]) -> Mapping[str, Any]:
    for key in table:
        if key in PLACED:
            raise UserError(f"{key!r} in {where}: it belongs to {PLACED[key]}")
        if key not in known:
            others = [name for name in known if name not in PLACED] + ["seed"] * (where != "[run]")
            raise unknown(f"key in {where}:", key, others)
    return table


def _of_seed(seed: int, arm: str, first: Spec, key: _Key, needs: Needs) -> Planned:
    made = dataclasses.replace(first, seed=seed)  # the one setting of a cell that differs, and is checked already
    return Planned(arm, made.task, seed, made, key(seed), needs, tracks.of(made.task).shares(made))


def _refuse_twins(source: str, planned: Sequence[Planned]) -> None:
    """Two names for one run would count its numbers twice."""
    seen: dict[str, Planned] = {}
    for run in planned:
        twin = seen.setdefault(run.key, run)
        if twin is not run:
            raise UserError(
                f"{source}: arm {twin.arm!r} and arm {run.arm!r} on {run.task} with seed {run.seed} are the same run: "
                "remove one of them, or keep one by --only"
            )
