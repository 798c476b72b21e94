"""Pages that MkDocs makes from the code while it builds the site: the command line, the suites, the laws."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import itertools
import json
import os
import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any

from mkdocs.structure.files import File, Files

from bench import conformance, suite
from bench.cli import parser
from bench.conformance import short_run


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for name, make in (("cli.md", command_line), ("suites.md", suites), ("settings.md", settings)):
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the tables of laws where a page asks for them."""
    for kind in conformance.LAWS:
        markdown = markdown.replace(f"<!-- laws: {kind} -->", laws(kind))
    return markdown


def laws(kind: str) -> str:
    """The laws of one kind of part, from the functions that check them."""
    general = () if kind == "task" else (short_run.settings,)
    rows = [(law.__name__.replace("_", " "), _sentence(law.__doc__)) for law in (*general, *conformance.LAWS[kind])]
    return "\n".join(["| Law | What it asks |", "| --- | --- |", *(f"| {name} | {asks} |" for name, asks in rows)])


def _sentence(text: str | None) -> str:
    return " ".join(inspect.cleandoc(text or "").split()).replace("``", "`").replace("|", "\\|")


def command_line() -> str:
    """Every command with its options, from argparse."""
    os.environ["COLUMNS"] = "84"
    made = parser()
    codes = "A mistake of the user's is one line on stderr and exit code 2, a fault of ours one line and 70."
    parts = ["# Command line", f"{made.description} {codes}"]
    for name, command, summary in _commands(made):
        usage = inspect.cleandoc(command.format_usage().replace("usage: ", "       ", 1))
        said = summary[0].upper() + summary[1:]
        parts += [f"## bench {name}", said if said.endswith("?") else f"{said}.", f"```text\n{usage}\n```"]
        actions = sorted(command._actions, key=lambda action: bool(action.option_strings))  # what is positional first
        rows = [_option(action) for action in actions if action.dest != "help"]
        if rows:
            parts.append("\n".join(["| Option | Meaning |", "| --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


def _commands(made: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser, str]]:
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            help = {choice.dest: choice.help or choice.dest for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield name, command, help.get(name, name)


def _option(action: argparse.Action) -> str:
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    value = value if action.nargs != 0 else ""
    spelled = " ".join([", ".join(action.option_strings), str(value)]).strip()
    meaning = action.help or ""
    return f"| `{spelled}` | {meaning}{' (required)' if action.required and action.option_strings else ''} |"


def settings() -> str:
    """Every setting of a run and of our parts, from the fields of their dataclasses and the comments beside them."""
    from prefrl_core import registry
    from prefrl_core.spec import KINDS, RunSpec

    parts = [
        "# Settings",
        "What can stand in a suite file: under `[run]`, in a task's table or in an arm. An unknown name is refused.",
        *("## A run", _fields(RunSpec)),
    ]
    titles: dict[registry.Kind, str] = {
        "reward": "Reward models",
        "policy": "Policies",
        "labeler": "Labelers",
        "query": "Query strategies",
    }
    settings_of = {kind: setting for setting, kind in KINDS.items()}
    for kind, title in titles.items():
        setting = settings_of[kind]
        parts += [f"## {title}", f'`{setting} = "name"`, or `{setting} = {{ name = "name", setting = value }}`.']
        for name in registry.names(kind):
            part = registry.find(kind, name)
            parts += [f"### {name}", _sentence(part.__doc__), _fields(part)]
    return "\n\n".join([*parts, *_language_settings()]) + "\n"


def _language_settings() -> list[str]:
    """Those of a run whose task is of the room ``language/``."""
    from prefrl_core.language import labelers, spec

    parts = [
        "## A language run",
        "Of a task whose name begins with `language/`. A table here adds to the preset's, key by key; the defaults are "
        "those of the preset `cpu`.",
        _fields(spec.LanguageSpec),
    ]
    for name, table in spec.TABLES.items():
        parts += [f"### language: {name}", _sentence(table.__doc__), _fields(table)]
    for name, labeler in labelers.NAMES.items():
        parts += [f"### language labeler: {name}", _sentence(labeler.__doc__), _fields(labeler)]
    return parts


def _fields(part: Any) -> str:
    rows = [
        f"| `{one.name}` | `{_default(one)}` | {_comment(part, one.name)} |"
        for one in dataclasses.fields(part)
        if one.name not in ("task", "seed", "plugins")
    ]
    return (
        "\n".join(["| Setting | Default | Meaning |", "| --- | --- | --- |", *rows]) if rows else "It has no settings."
    )


def _default(one: dataclasses.Field[Any]) -> str:
    value = one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
    if isinstance(value, dict):
        value = value.get("name", "ensemble")
    return "see below" if dataclasses.is_dataclass(value) else json.dumps(value)


def _comment(part: type, name: str) -> str:
    """The comment beside a field, or the lines of comment above it, in the nearest class that has one."""
    for base in part.__mro__[:-1]:
        lines = inspect.getsource(base).splitlines()
        for place in (number for number, line in enumerate(lines) if re.match(rf"    {name}: ", line)):
            if beside := lines[place].partition("  # ")[2]:
                return _sentence(beside)
            above = list(itertools.takewhile(lambda line: line.startswith("    # "), reversed(lines[:place])))
            if above:
                return _sentence(" ".join(line.strip().removeprefix("# ") for line in reversed(above)))
    return ""


def _seeds(loaded: suite.Suite) -> str:
    """``5``, or ``5, true reward 10`` where an arm has a number of its own."""
    counts = [len(arm.seeds) for arm in loaded.arms]
    usual = max(sorted(set(counts)), key=counts.count)
    return ", ".join([str(usual), *(f"{arm.name} {len(arm.seeds)}" for arm in loaded.arms if len(arm.seeds) != usual)])


def suites() -> str:
    """Every suite that comes with the project: what its file says of itself, its tasks and arms, and the file."""
    parts = [
        "# Suites",
        "What is swept is a TOML file; these come along. Each is run by `python -m bench run NAME` and shown "
        "by `python -m bench report NAME`; a file of your own is named by its path. [The tutorial](tutorial.md) makes "
        "one, [`bench.suite`](api-bench.md#bench.suite) has the format, [settings](settings.md) what can stand in it.",
    ]
    for name in suite.names():
        loaded = suite.load(name)
        text = resources.files("bench").joinpath("suites", f"{name}.toml").read_text("utf-8")
        comment = " ".join(line.lstrip("# ") for line in text.split("\n\n")[0].splitlines() if line.startswith("#"))
        steps = tomllib.loads(text).get("run", {}).get("total_steps")
        parts += [f"## {name}", f"**{loaded.title}.** {comment}"]
        facts = [("Tasks", ", ".join(f"`{task}`" for task in loaded.tasks)), ("Seeds", _seeds(loaded))]
        facts += [("Steps", f"{steps:,}")] if steps else []
        facts += [("Arms", ", ".join(arm.name for arm in loaded.arms))]
        facts += [("Compared with", loaded.baseline)] if loaded.baseline else []
        parts.append("\n".join(f"- {one}: {other}" for one, other in facts))
        body = "\n".join(f"    {line}" for line in text.strip().splitlines())
        parts.append(f'??? note "{name}.toml"\n\n    ```toml\n{body}\n    ```')
    return "\n\n".join(parts) + "\n"
