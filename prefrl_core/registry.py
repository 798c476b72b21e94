"""Names for the parts that a user may add: tasks, policies, labelers and query strategies.

A part is a dataclass (its fields are its settings) or, for a task, a function. It gets its name from a
decorator, in a module that a suite file lists under ``plugins``, or from an entry point of an installed
package in the group ``prefrl.labeler``, ``prefrl.query``, ``prefrl.policy`` or ``prefrl.task``:

    @register("labeler", "contrarian")
    @dataclass(frozen=True)
    class Contrarian: ...
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar

from prefrl_core.errors import UserError, unknown

Kind = Literal["task", "policy", "labeler", "query"]
T = TypeVar("T")

_parts: dict[str, dict[str, Any]] = {"task": {}, "policy": {}, "labeler": {}, "query": {}}
_aliases: dict[tuple[str, str], Any] = {}
_builtin = {
    "task": "prefrl_core.tasks",
    "policy": "prefrl_core.policy",
    "labeler": "prefrl_core.feedback.labelers",
    "query": "prefrl_core.feedback.queries",
}


def register(kind: Kind, name: str) -> Callable[[T], T]:
    """Decorator that makes a part known as ``name``.

    Raises:
        UserError: another part already has that name.
    """

    def add(part: T) -> T:
        taken = _parts[kind].get(name)
        if taken is not None and (taken.__module__, taken.__qualname__) != (
            part.__module__,
            getattr(part, "__qualname__", None),
        ):
            raise UserError(f"{kind} {name!r} is already registered by {taken.__module__}: choose another name")
        _parts[kind][name] = part
        return part

    return add


def alias(kind: Kind, name: str) -> Callable[[T], T]:
    """Decorator of a function from a ``TaskInfo`` to the name of the part that ``name`` stands for on that task."""

    def add(choose: T) -> T:
        _aliases[kind, name] = choose
        return choose

    return add


def stands_for(kind: Kind, name: str, task: Any) -> str:
    """The name of the part that ``name`` means on a task: mostly itself."""
    importlib.import_module(_builtin[kind])
    choose = _aliases.get((kind, name))
    return str(choose(task)) if choose else name


def load_plugins(modules: Iterable[str]) -> None:
    """Import the modules that a suite lists, so that their decorators run.

    Raises:
        UserError: a module cannot be imported.
    """
    for module in modules:
        _import(module, f"plug-in {module!r}")


def names(kind: Kind) -> list[str]:
    """All names of one kind: our own, registered ones and those of entry points."""
    importlib.import_module(_builtin[kind])
    return sorted({*_parts[kind], *_entry_points(kind)})


def find(kind: Kind, name: str) -> Any:
    """The part that is called ``name``.

    Raises:
        UserError: nothing has that name, or its entry point cannot be loaded.
    """
    importlib.import_module(_builtin[kind])
    if name not in _parts[kind]:
        point = _entry_points(kind).get(name)
        if point is None:
            raise unknown(kind, name, names(kind))
        try:
            _parts[kind][name] = point.load()
        except Exception as error:  # a plug-in may fail in any way while it is imported
            raise UserError(f"{kind} {name!r} ({point.value}) does not load: {_line(error)}") from error
    return _parts[kind][name]


@functools.cache
def _entry_points(kind: Kind) -> dict[str, EntryPoint]:
    """Installed packages' parts of one kind; looking for them takes milliseconds, so once a process."""
    return {point.name: point for point in entry_points(group=f"prefrl.{kind}")}


def _import(module: str, what: str) -> None:
    try:
        importlib.import_module(module)
    except UserError:
        raise
    except Exception as error:  # a plug-in may fail in any way while it is imported
        raise UserError(f"{what} does not import: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
