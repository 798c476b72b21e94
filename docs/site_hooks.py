"""Pages that MkDocs makes from the code while it builds the site: the command line, the suites, the laws."""

from __future__ import annotations

import argparse
import inspect
import os
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
    for name, make in (("cli.md", command_line), ("suites.md", suites)):
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
    os.environ["COLUMNS"] = "100"
    made = parser()
    parts = ["# Command line", f"{made.description} A mistake of the user's is one line on stderr and exit code 2."]
    for name, command, summary in _commands(made):
        usage = " ".join(command.format_usage().removeprefix("usage: ").split())
        parts += [f"## bench {name}", f"{summary[0].upper()}{summary[1:]}.", f"```text\n{usage}\n```"]
        rows = [_option(action) for action in command._actions if action.dest != "help"]
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


def suites() -> str:
    """Every suite that comes with the project: what its file says of itself, its tasks and arms, and the file."""
    parts = [
        "# Suites",
        "What is swept is a TOML file; these come with the project. Each is run by `python -m bench run NAME` and shown by "
        "`python -m bench report NAME`; a file of your own is named by its path. [The tutorial](tutorial.md) makes one, and "
        "[`bench.suite`](api-bench.md#bench.suite) has its format.",
    ]
    for name in suite.names():
        loaded = suite.load(name)
        text = resources.files("bench").joinpath("suites", f"{name}.toml").read_text("utf-8")
        comment = " ".join(line.lstrip("# ") for line in text.split("\n\n")[0].splitlines() if line.startswith("#"))
        steps = tomllib.loads(text).get("run", {}).get("total_steps")
        parts += [f"## {name}", f"**{loaded.title}.** {comment}"]
        rows = [("Tasks", ", ".join(f"`{task}`" for task in loaded.tasks)), ("Seeds", str(len(loaded.seeds)))]
        rows += [("Steps", f"{steps:,}")] if steps else []
        rows += [("Arms", ", ".join(arm.name for arm in loaded.arms))]
        rows += [("Compared with", loaded.baseline)] if loaded.baseline else []
        parts.append("\n".join(["| | |", "| --- | --- |", *(f"| {one} | {other} |" for one, other in rows)]))
        body = "\n".join(f"    {line}" for line in text.strip().splitlines())
        parts.append(f'??? note "{name}.toml"\n\n    ```toml\n{body}\n    ```')
    return "\n\n".join(parts) + "\n"
