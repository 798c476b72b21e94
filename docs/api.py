"""A module's public names as Markdown, from its source: signatures, docstrings, and the fields of its classes with the
comments beside them, which give shapes and units. ``generate.py`` puts it into the API pages."""

from __future__ import annotations

import ast
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields):$")
_TITLES = {"Args": "Arguments", "Returns": "Returns", "Raises": "Raises", "Yields": "Yields"}


def module(name: str, members: Sequence[str] = ()) -> str:
    """The module's docstring and its public classes, functions and type names, or those of them that are named."""
    imported = importlib.import_module(name)
    source = inspect.getsource(imported).splitlines()
    tree = ast.parse("\n".join(source))
    parts = [] if members else [f'<a id="{name}"></a>', prose(ast.get_docstring(tree) or "")]
    found = {
        one: f'<a id="{name}.{one}"></a>\n\n{text}' for one, text in _members(tree, source) if not one.startswith("_")
    }
    for one in members:
        if one not in found:
            found[one] = _elsewhere(imported, one)
    wanted = members or list(found)
    return "\n\n".join([*parts, *(found[one] for one in wanted)])


def _elsewhere(imported: Any, name: str) -> str:
    """A member that the module only hands on."""
    part = getattr(imported, name)
    return module(part.__module__, [part.__name__])


def _members(tree: ast.Module, source: list[str]) -> Iterator[tuple[str, str]]:
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, "\n\n".join(_class(node, source))
        elif isinstance(node, ast.FunctionDef):
            yield node.name, f"#### {node.name}\n\n{_signature(node)}\n\n{prose(ast.get_docstring(node) or '')}".strip()
        elif isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name) and target.id.isupper():
            comment = comment_at(source, node.lineno)
            yield from [(target.id, f"#### {target.id}\n\n{comment}")] if comment else []


def _class(node: ast.ClassDef, source: list[str]) -> Iterator[str]:
    """Heading, docstring, what it extends, fields, properties and methods."""
    yield f"#### {node.name}"
    bases = [ast.unparse(base) for base in node.bases]
    kind = "A protocol: anything that offers this will do. " if "Protocol" in bases else ""
    own = [f"`{base}`" for base in bases if not re.match(r"Protocol|Exception|Generic|Any|NamedTuple", base)]
    text = kind + prose(ast.get_docstring(node) or "") + (f"\n\nExtends {', '.join(own)}." if own else "")
    if text.strip():
        yield text.strip()
    rows = [_field(entry, source) for entry in node.body if isinstance(entry, ast.AnnAssign)]
    rows += [_property(entry) for entry in node.body if isinstance(entry, ast.FunctionDef) and _is_property(entry)]
    rows = [row for row in rows if not row[0].startswith("_")]
    if rows:
        titles = ("Field", "Type", "Default", "Meaning")
        kept = [column for column in range(4) if column != 2 or any(row[2] for row in rows)]
        lines = [titles, ("---",) * 4, *[(f"`{name}`", f"`{kind}`", *rest) for name, kind, *rest in rows]]
        yield "\n".join("| " + " | ".join(line[column] for column in kept) + " |" for line in lines)
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef) and _is_shown(entry):
            said = prose(ast.get_docstring(entry) or "")
            yield f"{_signature(entry)}\n\n{said}".strip()


def _is_property(node: ast.FunctionDef) -> bool:
    names = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(names & {"property", "cached_property"})


def _is_shown(node: ast.FunctionDef) -> bool:
    documented = ast.get_docstring(node) is not None
    return not _is_property(node) and (not node.name.startswith("_") or (node.name.startswith("__") and documented))


def _field(entry: ast.AnnAssign, source: list[str]) -> tuple[str, str, str, str]:
    value = "" if entry.value is None else re.sub(r"^of_pixels\((.*)\)$", r"\1", ast.unparse(entry.value))
    default = f"`{cell(value)}`" if value and not value.startswith("field(") else ""
    comment = comment_at(source, entry.end_lineno or entry.lineno) or comment_at(source, entry.lineno)
    return ast.unparse(entry.target), cell(ast.unparse(entry.annotation)), default, comment


def _property(node: ast.FunctionDef) -> tuple[str, str, str, str]:
    text = prose((ast.get_docstring(node) or "").partition("\n\n")[0])
    returns = ast.unparse(node.returns) if node.returns else ""
    return node.name, cell(returns), "", cell(" ".join(text.split()))


def _signature(node: ast.FunctionDef) -> str:
    arguments = ast.unparse(node.args)
    arguments = re.sub(r"^(self|cls)(, |$)", "", arguments)
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    whole = f"{node.name}({arguments}){returns}"
    if len(whole) > 100:
        inner = ",\n    ".join(_arguments(node))
        whole = f"{node.name}(\n    {inner},\n){returns}"
    return f"```py\n{whole}\n```"


def _arguments(node: ast.FunctionDef) -> list[str]:
    """One argument a line, without ``self``."""
    tree = ast.parse(f"def f({ast.unparse(node.args)}): ...").body[0]
    assert isinstance(tree, ast.FunctionDef)
    given = tree.args
    every = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(every) - len(given.defaults)) + list(given.defaults)
    said = [_argument(one, default) for one, default in zip(every, defaults, strict=True)]
    if given.vararg:
        said.append(f"*{ast.unparse(given.vararg)}")
    elif given.kwonlyargs:
        said.append("*")
    said += [_argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    said += [f"**{ast.unparse(given.kwarg)}"] if given.kwarg else []
    return [one for one in said if one not in ("self", "cls")]


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    return ast.unparse(one) + (f" = {ast.unparse(default)}" if default is not None else "")


def comment_at(source: Sequence[str], line: int) -> str:
    """The comment beside a line (numbered from 1), or the lines of comment above it."""
    if beside := source[line - 1].partition("  # ")[2]:
        return sentence(beside)
    above = list(itertools.takewhile(lambda text: text.strip().startswith("# "), reversed(source[: line - 1])))
    return sentence(" ".join(text.strip().removeprefix("# ") for text in reversed(above)))


def prose(docstring: str) -> str:
    """A docstring as Markdown: its sections as lists."""
    lines: list[str] = []
    section, block = "", []
    for line in [*inspect.cleandoc(docstring).replace("``", "`").splitlines(), "Yields:"]:
        if found := _SECTION.match(line):
            lines += _section(section, block)
            section, block = found[1], []
        elif section and (not line.strip() or line.startswith(" ")):
            block.append(line)
        else:
            lines += [*_section(section, block), line]
            section, block = "", []
    return "\n".join(lines).strip()


def _section(name: str, block: list[str]) -> list[str]:
    if not name:
        return []
    text = inspect.cleandoc("\n".join(["", *block]))
    if name in ("Returns", "Yields"):
        return [f"*{_TITLES[name]}*: {' '.join(text.split())}", ""]
    items: list[str] = []
    for line in text.splitlines():
        if line.startswith(" ") and items:
            items[-1] += " " + line.strip()
        elif line.strip():
            name_, colon, rest = line.partition(": ")
            items.append(f"- `{name_}`: {rest}" if colon else f"- {line}")
    return [f"*{_TITLES[name]}*:", "", *items, ""]


def sentence(text: str | None) -> str:
    """Text for a cell of a table: one line."""
    return cell(" ".join(inspect.cleandoc(text or "").split()).replace("``", "`"))


def cell(text: str) -> str:
    """Text whose bars end no cell."""
    return text.replace("|", "\\|")
