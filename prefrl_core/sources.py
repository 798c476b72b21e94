"""The code of parts that do not come with the package: which module, of which version, with which source.

It stands in the key of a run that uses such a part, so that runs made before and after an edit have two names. The
hash covers the part's module and what it imports, directly or through others, of its own package or, where it is not
installed, from the folder that has it. What else it uses, an installed library for example, is not covered.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import TYPE_CHECKING

from prefrl_core import imports, registry, tasks
from prefrl_core.spec import KINDS

if TYPE_CHECKING:
    from prefrl_core.spec import RunSpec

_OURS = ("prefrl_core", "bench", "gymnasium")  # whose versions stand in a run's key already
_DIGITS = 12


@dataclass(frozen=True)
class Source:
    """Where a part's code is, and what identifies it."""

    module: str
    file: Path | None  # None where there is no file to read
    distribution: str  # that has the module, and its version, as in "my-lab 0.1"; empty where none is installed
    digest: str  # first digits of the SHA-256 of the source

    def __str__(self) -> str:
        return " ".join(filter(None, (self.distribution, self.digest)))


def of(spec: RunSpec) -> dict[str, Source]:
    """The foreign parts of a run by kind and name, as in ``{"labeler tired": ...}``; empty where all are ours.

    Raises:
        UserError: a network that a setting names cannot be imported.
    """
    found = {f"task {spec.task.partition('@')[0]}": tasks.module(spec.task)}
    for setting, kind in KINDS.items():
        values = getattr(spec, setting)
        part = registry.find(kind, values["name"])
        found[f"{kind} {values['name']}"] = part.__module__
        if learner := getattr(part, "learner", ""):  # the class that a reward model's settings name
            found[f"learner {learner}"] = learner.partition(":")[0]
        if ":" in str(values.get("module", "")):  # a network that a setting names
            imports.bring(values["module"], f"{setting}.module = {values['module']!r}")
            found[f"module {values['module']}"] = values["module"].partition(":")[0]
    return {name: of_module(module) for name, module in found.items() if module.partition(".")[0] not in _OURS}


def of_module(module: str) -> Source:
    """The source of an imported module, and of those that it imports from its own package or folder."""
    digest = hashlib.sha256()
    files = _files(module)
    for name in sorted(files):
        digest.update(f"{name}\0".encode() + files[name].read_bytes() + b"\0")
    return Source(module, files.get(module), _distribution(module), digest.hexdigest()[:_DIGITS])


def _files(module: str) -> dict[str, Path]:
    """By module, the files that the hash is of."""
    found: dict[str, Path] = {}
    waiting = [module]
    first = module.partition(".")[0]
    home = None if _distribution(module) or (file := _file(first)) is None else _folder(file)
    while waiting:
        name = waiting.pop()
        if name in found or not _counts(name.partition(".")[0], first, home):
            continue
        if (file := _file(name)) is not None:
            found[name] = file
            waiting += [parent] if (parent := name.rpartition(".")[0]) else []  # imported before it
            if file.suffix == ".py":
                package = name if file.name == "__init__.py" else name.rpartition(".")[0]
                waiting += _imported(file, package)
    return found


def _folder(file: Path) -> Path:
    """The folder that has a top-level module or package."""
    return file.parent.parent if file.name == "__init__.py" else file.parent


def _counts(top: str, first: str, home: Path | None) -> bool:
    """Whether a top-level module is the part's own, or lies beside it and is nobody else's; it is not imported."""
    if top == first or home is None:
        return top == first
    others = top in _OURS or top in sys.stdlib_module_names or bool(_distribution(top))
    return not others and (file := _file(top)) is not None and file.is_relative_to(home)


def _file(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # no module: a name that ``from ... import`` takes out of one
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


def _imported(file: Path, package: str) -> Iterator[str]:
    """Names of all that the import statements of a file could mean."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


@functools.cache
def _distribution(module: str) -> str:
    names = _distributions().get(module.partition(".")[0], [])
    return f"{names[0]} {version(names[0])}" if names else ""


@functools.cache
def _distributions() -> dict[str, list[str]]:
    """Top-level modules of installed distributions; reading them all takes a tenth of a second."""
    return {top: sorted(names) for top, names in packages_distributions().items()}
