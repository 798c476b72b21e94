"""Writes what the documents take from the code: the command line, the suites, the settings, the laws and the API.

``python docs/generate.py`` writes the pages ``cli.md``, ``suites.md`` and ``settings.md``, and on every other page what
lies between ``<!-- laws: KIND -->`` or ``<!-- api: MODULE [MEMBER ...] -->`` and the comment ``<!-- end -->``. The
result is committed, so that the documents can be read as files; a test fails while they are behind the code.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS), str(DOCS.parent)]

import api  # noqa: E402
from api import sentence  # noqa: E402

from bench import conformance, suite  # noqa: E402
from bench.cli import parser  # noqa: E402
from bench.conformance import short_run  # noqa: E402

_BLOCK = re.compile(r"^<!-- (laws|api): (.*?) -->\n.*?^<!-- end -->$", re.DOTALL | re.MULTILINE)
_NOTICE = "<!-- Written by docs/generate.py: change the code, then run `python docs/generate.py`. -->"


def main() -> None:
    """Write every page that is behind the code; say which."""
    for path, text in pages().items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            print(path.relative_to(DOCS.parent))


def pages() -> dict[Path, str]:
    """Every page that is written in whole or in part from the code, as it should be."""
    whole = {"cli.md": command_line(), "suites.md": suites(), "settings.md": settings()}
    made = {DOCS / name: f"{_NOTICE}\n\n{text}" for name, text in whole.items()}
    for path in sorted(DOCS.glob("*.md")):
        if path.name not in whole and _BLOCK.search(text := path.read_text("utf-8")):
            made[path] = _BLOCK.sub(_filled, text)
    return made


def _filled(found: re.Match[str]) -> str:
    kind, names = found[1], found[2].split()
    text = laws(names[0]) if kind == "laws" else api.module(names[0], names[1:])
    return f"<!-- {kind}: {found[2]} -->\n\n{text}\n\n<!-- end -->"


def laws(kind: str) -> str:
    """The laws of one kind of part, from the functions that check them."""
    general = () if kind == "task" else (short_run.settings,)
    rows = [(law.__name__.replace("_", " "), sentence(law.__doc__)) for law in (*general, *conformance.LAWS[kind])]
    return "\n".join(["| Law | What it asks |", "| --- | --- |", *(f"| {name} | {asks} |" for name, asks in rows)])


def command_line() -> str:
    """Every command with its options, from argparse."""
    os.environ["COLUMNS"] = "84"
    made = parser()
    codes = "A mistake of the user gives one line on stderr and exit code 2, a fault of ours one line and exit code 70."
    parts = ["# Command line", f"{made.description} `python -m bench` is the same command. {codes}"]
    for name, command, summary in _commands(made):
        usage = inspect.cleandoc(command.format_usage().replace("usage: ", "       ", 1))
        said = summary[0].upper() + summary[1:]
        parts += [f"## prefrl {name}", said if said.endswith("?") else f"{said}.", f"```text\n{usage}\n```"]
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
                if any(isinstance(one, argparse._SubParsersAction) for one in command._actions):
                    yield from ((f"{name} {one}", made, summary) for one, made, summary in _commands(command))
                else:
                    yield name, command, help.get(name, name)


def _option(action: argparse.Action) -> str:
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    value = value if action.nargs != 0 else ""
    spelled = " ".join([", ".join(action.option_strings), str(value)]).strip().replace("|", "\\|")
    meaning = api.cell(action.help or "")
    return f"| `{spelled}` | {meaning}{' (required)' if action.required and action.option_strings else ''} |"


def settings() -> str:
    """Every setting of a run and of our parts, from the fields of their dataclasses and the comments beside them."""
    from prefrl_core import registry
    from prefrl_core.spec import RunSpec

    parts = [
        "# Settings",
        "These can stand in a suite file: under `[run]`, in a task's table or in an arm. An unknown name is refused.",
        *("## A run", _fields(RunSpec)),
    ]
    titles: dict[registry.Kind, str] = {
        "policy": "Policies",
        "reward": "Reward models",
        "labeler": "Labelers",
        "query": "Query strategies",
    }
    for kind, title in titles.items():
        key = "reward_model" if kind == "reward" else kind
        parts += [f"## {title}", f'`{key} = "name"`, or `{key} = {{ name = "name", setting = value }}`.']
        for name in registry.names(kind):
            part = registry.find(kind, name)
            if part.__module__.startswith("prefrl_core."):  # what else is installed here is not ours to document
                parts += [f"### {name}", sentence(part.__doc__), _fields(part)]
    return "\n\n".join([*parts, *_language_settings()]) + "\n"


def _language_settings() -> list[str]:
    """Those of a run whose task's name begins with ``language/``."""
    from prefrl_core.language import labelers, spec

    parts = [
        "## A language run",
        "A run is a language run if its task's name begins with `language/`. A table in a suite file changes the "
        "preset's table key by key. The defaults here are those of the preset `cpu`.",
        _fields(spec.LanguageSpec),
    ]
    for name, table in spec.TABLES.items():
        parts += [f"### language: {name}", sentence(table.__doc__), _fields(table)]
    for name, labeler in labelers.NAMES.items():
        parts += [f"### language labeler: {name}", sentence(labeler.__doc__), _fields(labeler)]
    return parts


def _fields(part: Any) -> str:
    without_effect = () if getattr(part, "sees_pixels", True) else getattr(part, "of_pixels_alone", ())
    rows = [
        f"| `{one.name}` | `{_default(one)}` | {_comment(part, one.name)} |"
        for one in dataclasses.fields(part)
        if one.name not in ("task", "seed", "plugins", *without_effect)
    ]
    return (
        "\n".join(["| Setting | Default | Meaning |", "| --- | --- | --- |", *rows]) if rows else "It has no settings."
    )


def _default(one: dataclasses.Field[Any]) -> str:
    value = one.default_factory() if one.default_factory is not dataclasses.MISSING else one.default
    if isinstance(value, dict):
        value = value.get("name", "see below")
    return "see below" if dataclasses.is_dataclass(value) or value == "see below" else json.dumps(value)


def _comment(part: type, name: str) -> str:
    """The comment at a field, in the nearest class that has one."""
    for base in part.__mro__[:-1]:
        lines = inspect.getsource(base).splitlines()
        for place in (number for number, line in enumerate(lines, 1) if re.match(rf"    {name}: ", line)):
            if found := api.comment_at(lines, place):
                return found
    return ""


def _seeds(loaded: suite.Suite) -> str:
    """``5``, or ``5, true reward 10`` where an arm has a number of its own."""
    counts = [len(arm.seeds) for arm in loaded.arms]
    usual = max(sorted(set(counts)), key=counts.count)
    return ", ".join([str(usual), *(f"{arm.name} {len(arm.seeds)}" for arm in loaded.arms if len(arm.seeds) != usual)])


def suites() -> str:
    """Every suite that comes with the project: what its file says of itself, its tasks and arms, and its file."""
    parts = [
        "# Suites",
        "A suite is a TOML file that says which runs to make. These come with the project. `prefrl run NAME` runs one, "
        "and `prefrl report NAME` shows it. A file of your own is named by its path: see [the tutorial](tutorial.md). "
        "[`bench.suite`](api-bench.md#benchsuite) describes the format, and [settings](settings.md) the settings.",
        "`--only` selects some of the runs: `prefrl run mujoco --only task=hopper --only seed=0`. `--seeds`, `--steps` "
        "and `--labels` make a smaller trial.",
    ]
    for name in suite.names():
        loaded = suite.load(name)
        file = resources.files("bench").joinpath("suites", f"{name}.toml")
        text = file.read_text("utf-8")
        comment = " ".join(line.lstrip("# ") for line in text.split("\n\n")[0].splitlines() if line.startswith("#"))
        steps = tomllib.loads(text).get("run", {}).get("total_steps")
        parts += [
            f"## {name}",
            f"**{loaded.title.removesuffix('.')}{'' if loaded.title.endswith('?') else '.'}** {comment}",
            f'```sh title="long"\nprefrl run {name}\n```',
        ]
        facts = [("Tasks", ", ".join(f"`{task}`" for task in loaded.tasks)), ("Seeds", _seeds(loaded))]
        facts += [("Steps", f"{steps:,}")] if steps else []
        facts += [("Arms", ", ".join(arm.name for arm in loaded.arms))]
        facts += [("Compared with", loaded.baseline)] if loaded.baseline else []
        facts += [("File", f"`bench/suites/{name}.toml`")]
        parts.append("\n".join(f"- {one}: {other}" for one, other in facts))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    main()
