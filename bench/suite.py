"""A suite: which arms are compared on which tasks with which seeds, read from a TOML file.

    name = "mine"                       # names the report's folder
    title = "..."
    description = "..."
    baseline = "200 labels"             # optional: the arm that the report compares the others with
    plugins = ["my_package.labelers"]   # modules that register parts of your own

    [run]                               # settings of every run: the fields of prefrl_core.spec.RunSpec, or, where the
                                        # tasks are of the room language/, of prefrl_core.language.spec.LanguageSpec
    total_steps = 200_000
    [sweep]
    task = ["mujoco/hopper@1"]
    seed = 3                            # so many seeds (0, 1, 2), or a list of them
    [tasks."mujoco/hopper@1"]           # settings of one task's runs
    total_steps = 400_000
    [[arm]]                             # one line in the figures
    name = "200 labels"
    labels = 200
    seed = 5                            # optional: seeds of this arm's own; the control, by which the others are
                                        # divided, deserves more than they do
    [decide]                            # optional: what it is for, see bench/purpose.py
    [resources]                         # optional: what a run needs of a cluster's node, see bench/resources.py

A setting given twice: the arm's wins over the task's, and that over [run]'s; a table is replaced whole.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from bench import purpose, store, tracks
from bench.resources import Needs, Resources
from bench.tracks import Spec, Track
from prefrl_core import registry
from prefrl_core.errors import UserError, unknown

T = TypeVar("T")
_Key = Callable[[int], str]  # of the run with that seed
_PLACED = {
    "task": "[sweep]",
    "seed": "[sweep] or [[arm]]",
    "plugins": "the top of the file",
}  # not to be set for single runs


@dataclass(frozen=True)
class Arm:
    """One of the ways to learn that the suite compares; a line in its figures."""

    name: str
    settings: Mapping[str, Any]
    seeds: tuple[int, ...]


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
        return len(self.tasks) * sum(len(arm.seeds) for arm in self.arms)

    def runs(
        self,
        seeds: int | None = None,
        steps: int | None = None,
        only: Sequence[str] = (),
        labels: int | None = None,
    ) -> list[Planned]:
        """Every run, balanced: each cell (task and arm) has its first seed before any has its second.

        ``seeds`` is another number of seeds, ``steps`` replaces the steps of every run, ``only`` keeps the runs that
        match (``"task=hopper"``, ``"arm=60 labels"``, ``"seed=0"``; a part of the name will do), ``labels`` replaces
        the budget of every run that asks for labels.

        Raises:
            UserError: a setting that no run can have (the line names file, arm and task), or nothing matches.
        """
        with_file(self.source, registry.load_plugins, self.plugins)
        ids = {name: with_file(self.source, self.track.task, name) for name in self.tasks}
        wanted_of = {arm.name: self._seeds(arm, seeds) for arm in self.arms}
        every = dict.fromkeys(
            seed for arm in sorted(self.arms, key=lambda arm: -len(arm.seeds)) for seed in wanted_of[arm.name]
        )
        cells = [
            (seed, task, arm)
            for seed in every
            for task in self.tasks
            for arm in self.arms
            if seed in wanted_of[arm.name]
        ]
        wanted = select([{"task": ids[task], "arm": arm.name, "seed": str(seed)} for seed, task, arm in cells], only)
        cell = cache(lambda task, arm: self._cell(task, self.arms[arm], steps, labels))
        places = {arm.name: place for place, arm in enumerate(self.arms)}
        planned = [
            _of_seed(seed, arm.name, *cell(task, places[arm.name])) for seed, task, arm in (cells[i] for i in wanted)
        ]
        _refuse_twins(self.source, planned)
        return planned

    def _seeds(self, arm: Arm, number: int | None) -> tuple[int, ...]:
        if number is None:
            return arm.seeds
        if arm.seeds == tuple(range(len(arm.seeds))):
            return tuple(range(number))
        if number > len(arm.seeds):
            raise UserError(f"--seeds {number}: {self.source} lists {len(arm.seeds)} seeds, ask for at most those")
        return arm.seeds[:number]

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
        return (
            made,
            lambda seed: store.key_of({**canonical, "seed": seed}, versions),
            self.resources.needs(task, arm.name),
        )


def load(name: str) -> Suite:
    """The suite of that name among our own, or in the file ``name`` (which ends in ``.toml``).

    Raises:
        UserError: no such suite or file, or something in it is wrong.
    """
    source, text = _read(name)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r" \(at line (\d+), column \d+\)$", str(error))
        place = f"{source}:{line[1]}" if line else source
        reason = str(error)[: line.start()] if line else str(error)
        raise UserError(f"{place}: not valid TOML: {reason}") from error
    return with_file(source, lambda: _suite(source, values))


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
    allowed: dict[str, set[str]] = {}
    for text in only:
        name, equals, value = (part.strip() for part in text.partition("="))
        if not equals:
            raise UserError(f"--only {text!r}: write name=value, as in --only task=hopper")
        if name not in ("task", "arm", "seed"):
            raise unknown("filter in --only", name, ("task", "arm", "seed"))
        found = _matching(name, value, list(dict.fromkeys(cell[name] for cell in cells)))
        allowed.setdefault(name, set()).update(found)
    return [i for i, cell in enumerate(cells) if all(cell[name] in values for name, values in allowed.items())]


def _matching(name: str, value: str, present: list[str]) -> list[str]:
    exact = [one for one in present if one == value]
    parts = [one for one in present if name != "seed" and value and value.lower() in one.lower()]
    if not (exact or parts):
        raise UserError(f"--only {name}={value} matches nothing: there is {', '.join(map(repr, present))}")
    return exact or parts


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
        return name, Path(name).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{name}: not a text in UTF-8: save it as such") from error
    except OSError as error:
        raise UserError(f"{name}: cannot be read ({error.strerror}): give the path of a suite file") from error


def _suite(source: str, values: Mapping[str, Any]) -> Suite:
    top = ["name", "title", "description", "baseline", "plugins", "run", "sweep", "tasks", "arm", "resources", "decide"]
    _check_keys("the suite", values, top)
    name = _value("name", values, str, "a text")
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise UserError(f"name = {name!r}: use letters, digits, '-', '_' and '.', for it names a folder")
    sweep = _value("[sweep]", values, dict, "a table", key="sweep")
    seeds = _seed_list("[sweep]", sweep.get("seed", 1))
    tasks = _texts("[sweep] task", sweep.get("task"))
    known = tracks.common(tasks).settings
    arms = _arms(_value("[[arm]]", values, list, "a list of tables", default=[], key="arm"), seeds, known)
    baseline = _value("baseline", values, str, "a text", default="")
    if baseline and baseline not in [arm.name for arm in arms]:
        raise unknown("arm in baseline:", baseline, [arm.name for arm in arms])
    _check_keys("[sweep]", sweep, ["task", "seed"])
    return Suite(
        source=source,
        name=name,
        title=_value("title", values, str, "a text", default=name),
        description=_value("description", values, str, "a text", default=""),
        plugins=_texts("plugins", values.get("plugins", []), empty=True),
        run=_settings("[run]", _value("[run]", values, dict, "a table", default={}, key="run"), known),
        tasks=tasks,
        task_settings=_task_settings(_value("[tasks]", values, dict, "a table", default={}, key="tasks"), tasks, known),
        arms=arms,
        baseline=baseline,
        resources=Resources.of(values.get("resources", {}), tasks, [arm.name for arm in arms]),
        decide=_decide(_value("[decide]", values, dict, "a table", default={}, key="decide"), arms, tasks, baseline),
    )


def _decide(
    table: Mapping[str, Any], arms: Sequence[Arm], tasks: Sequence[str], baseline: str
) -> purpose.Decide | None:
    controls = [arm.name for arm in arms if arm.settings.get("reward") == "true"]
    return purpose.of(table, {arm.name: len(arm.seeds) for arm in arms}, controls, tasks, baseline) if table else None


def _arms(tables: list[Any], seeds: tuple[int, ...], known: Sequence[str]) -> tuple[Arm, ...]:
    arms: dict[str, Arm] = {}
    for number, table in enumerate(tables, start=1):
        if not isinstance(table, dict):
            raise UserError(f"arm {number}: write it as a table under [[arm]]")
        name = _value(f"name of [[arm]] {number}", table, str, "a text", key="name").strip()
        if not name or name in arms:
            raise UserError(f"[[arm]] {number}: its name {name!r} is {'taken' if name else 'empty'}: give it another")
        rest = {key: value for key, value in table.items() if key not in ("name", "seed")}
        own = _seed_list(f"[[arm]] {name!r}", table["seed"]) if "seed" in table else seeds
        arms[name] = Arm(name, _settings(f"[[arm]] {name!r}", rest, known), own)
    if not arms:
        raise UserError("no [[arm]]: a suite needs at least one, with a name")
    return tuple(arms.values())


def _task_settings(
    tables: Mapping[str, Any], tasks: Sequence[str], known: Sequence[str]
) -> dict[str, Mapping[str, Any]]:
    for task, table in tables.items():
        if task not in tasks:
            raise unknown("task in [tasks]", task, tasks)
        if not isinstance(table, dict):
            raise UserError(f"tasks.{task} = {table!r}: write it as a table, [tasks.{task!r}]")
    return {task: _settings(f"[tasks.{task!r}]", table, known) for task, table in tables.items()}


def _settings(where: str, table: Mapping[str, Any], known: Sequence[str]) -> Mapping[str, Any]:
    for key in table:
        if key in _PLACED:
            raise UserError(f"{key!r} in {where}: it belongs to {_PLACED[key]}")
    _check_keys(where, table, [name for name in known if name not in _PLACED])
    return table


def _seed_list(where: str, value: Any) -> tuple[int, ...]:
    if type(value) is int and value > 0:
        return tuple(range(value))
    listed = isinstance(value, list) and value and all(type(seed) is int and seed >= 0 for seed in value)
    if listed and len(set(value)) == len(value):
        return tuple(value)
    raise UserError(f"{where} seed = {value!r}: give the number of seeds, or a list of different ones from 0 on")


def _texts(what: str, value: Any, empty: bool = False) -> tuple[str, ...]:
    fits = isinstance(value, list) and all(isinstance(one, str) for one in value) and len(set(value)) == len(value)
    if not fits or not (value or empty):
        raise UserError(f"{what} = {value!r}: give a list of different texts" + ("" if empty else ", at least one"))
    return tuple(value)


def _value(what: str, values: Mapping[str, Any], kind: type, kind_name: str, default: Any = None, key: str = "") -> Any:
    value = values.get(key or what, default)
    if value is None:
        raise UserError(f"{what} is missing: give {kind_name}")
    if not isinstance(value, kind):
        raise UserError(f"{what} = {value!r}: expected {kind_name}")
    return value


def _check_keys(where: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            raise unknown(f"key in {where}:", key, known)


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
