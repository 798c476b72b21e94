"""What is tried, and the words that name it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, get_args

from bench.conformance import arena
from prefrl_core import registry, tasks
from prefrl_core.errors import UserError, located, require, unknown
from prefrl_core.registry import Kind
from prefrl_core.spec import KINDS, RunSpec, make_part

# gradient steps of a fit, where nothing has to be learned
BRIEF = {"initial_updates": 20, "updates": 2, "initial_dynamics_updates": 10, "dynamics_updates": 2}
CHOICES = 3  # actions of the task of choices
_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, eq=False)
class Subject:
    """A registered component under test, with settings other than its defaults if wanted."""

    kind: Kind
    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        """A new part: a labeler, a query strategy, or the settings of a policy for the task on a line."""
        return make_part(self.kind, self.plain())

    def briefly(self) -> Any:
        """A new part; of a fitted reward model one whose first fit is short, which all but learning is shown by."""
        made = self.make()
        first = [name for name in BRIEF if name.startswith("initial") and hasattr(made, name)]
        return replace(made, **{name: BRIEF[name] for name in first if name not in self.settings})

    def plain(self, task: str = "") -> dict[str, Any]:
        """Name and all settings, as a run on ``task`` completes them, by default on one of the arena that it fits."""
        if self.kind == "task":
            raise ValueError("a task has no settings")
        policy = {"policy": "sac"} if self.asks_critic else {}
        pixels = self.kind == "reward" and getattr(registry.find("reward", self.name), "pixels_only", False)
        task = task or (arena.Screen if pixels else arena.Line).info.id
        spec = RunSpec.of({"task": task, **policy, self.setting: {"name": self.name, **self.settings}})
        return dict(getattr(spec, self.setting))

    @property
    def asks_critic(self) -> bool:
        """It is a reward model that needs a policy with a critic that it may ask."""
        return self.kind == "reward" and bool(getattr(registry.find("reward", self.name), "asks_critic", False))

    @cached_property
    def choices(self) -> int:
        """Actions there are to choose between where it is tried: none, so that actions are numbers, unless it is a
        policy that refuses these."""
        if self.kind != "policy":
            return 0
        settings = self.make()
        try:
            settings.make(arena.Points(settings.environments, 0), 0)
        except UserError:
            return CHOICES
        return 0

    @property
    def setting(self) -> str:
        """The setting of a run that names parts of this kind."""
        return next((setting for setting, kind in KINDS.items() if kind == self.kind), self.kind)


def resolve(word: str, settings: Mapping[str, Any]) -> list[Subject]:
    """The parts that ``word`` names: ``labeler:bpref``, a registered name alone, ``package.module:MyLabeler``, or a
    module whose decorators register parts.

    Raises:
        UserError: it names nothing.
    """
    head, colon, rest = word.partition(":")
    if colon and head in _KINDS:
        found = [_registered(head, rest)]
    elif colon:
        found = [_attribute(head, rest)]
    else:
        found = _known(word) or _of_module(word)
    return [Subject(kind, name, {} if kind == "task" else dict(settings)) for kind, name in found]


def _registered(kind: Kind, name: str) -> tuple[Kind, str]:
    if kind == "task":
        return kind, tasks.describe(name).id
    registry.find(kind, name)
    return kind, name


def _known(word: str) -> list[tuple[Kind, str]]:
    parts = [(kind, word) for kind in _KINDS if word.partition("@")[0] in registry.names(kind)]
    if not parts and word.startswith("gymnasium/"):
        parts = [("task", word)]
    return [_registered(*part) for part in parts]


def _of_module(module: str) -> list[tuple[Kind, str]]:
    """Every part that a module, or one inside it, has registered."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise UserError(
            f"{unknown('part', module, [name for kind in _KINDS for name in registry.names(kind)])}; a part of your "
            "own is named as package.module:Name, from a folder on PYTHONPATH"
        )
    registry.load_plugins([module])
    found = [
        _registered(kind, name)
        for kind in _KINDS
        for name, part in registry.loaded(kind)[0].items()
        if f"{part.__module__}.".startswith(f"{module}.")
    ]
    if not found:
        raise UserError(f"module {module!r} registers no part: name one as {module}:Name")
    return found


def _attribute(module: str, name: str) -> tuple[Kind, str]:
    registry.load_plugins([module])
    part = getattr(importlib.import_module(module), name, None)
    if part is None:
        raise unknown(f"name in {module}:", name, dir(importlib.import_module(module)))
    for kind in _KINDS:
        for known, other in registry.loaded(kind)[0].items():
            if other is part:
                return kind, known
    kind = _guess(module, name, part)
    known = _own_name(module, name, part) if kind == "task" else f"{module}.{name}"
    registry.register(kind, known)(part)
    return _registered(kind, known)


def _own_name(module: str, name: str, part: Any) -> str:
    """A task is known by its id: a run finds it again by that.

    Raises:
        UserError: it cannot be made, or has no id.
    """
    try:
        id = part().info.id
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's code may fail in any way
        raise UserError(f"task {module}:{name} gives no info.id: {located(error)}") from error
    require(isinstance(id, str) and "@" in id, f"task {module}:{name}: info.id = {id!r} has no version, end it in @1")
    return str(id).partition("@")[0]


def _guess(module: str, name: str, part: Any) -> Kind:
    """The kind of a part that has no name yet, by what it offers."""
    if hasattr(part, "answer"):
        return "labeler"
    if hasattr(part, "choose"):
        return "query"
    if hasattr(part, "make") and hasattr(part, "rollout_steps"):
        return "policy"
    if hasattr(part, "make") and not hasattr(part, "info"):
        return "reward"
    if hasattr(part, "info"):
        return "task"
    raise UserError(
        f"{module}:{name} is no part: a labeler has answer(), a query strategy choose(), a policy's settings make() "
        "and rollout_steps, a reward model's settings make(), a task info and make()"
    )
