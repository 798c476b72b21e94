"""Markdown as the tests read it: links, headings and blocks of code.

The words behind a block's opening fence say what is done with it. ``sh`` and ``python`` are run, in order, in one
empty folder a page. ``sh title="long: ..."`` takes too long, and ``sh title="form: ..."`` has names that stand for
one's own: every line of ours in these has to be one that the command line accepts. ``text`` has lines that the block
before it prints. Any other block with a title is a file of that name.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r'^```(\w*)(?: title="([^"\n]*)")?[^\n]*\n(.*?)^```$', re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(<?([^)>\s]+)>?(?: \"[^\"]*\")?\)|<(?:img|video|a)[^>]* (?:src|href)=\"([^\"]+)\"")
NOT_RUN = ("long", "form", "installation")


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    kind: str
    title: str
    text: str

    @property
    def is_run(self) -> bool:
        return (self.kind == "sh" and not self.title.startswith(NOT_RUN)) or (self.kind == "python" and not self.title)


def pages() -> list[Path]:
    """Every Markdown file that belongs to the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / name for name in listed.stdout.split() if (ROOT / name).exists()]


def guides() -> list[Path]:
    """Those that people read to do something."""
    return [path for path in pages() if path.parent in (ROOT, ROOT / "docs") and path.name != "CHANGELOG.md"]


def blocks(path: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(path.read_text())]


def links(path: Path) -> list[str]:
    """Where a page's links and pictures lead, code apart."""
    text = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", path.read_text()))
    return [one or other for one, other in _LINK.findall(text)]


def anchors(path: Path) -> set[str]:
    """The fragments that a page has: of its headings as GitHub and MkDocs make them, and given ones."""
    text = _BLOCK.sub("", path.read_text())
    titles = re.findall(r"^#+ (.*?)\s*$", text, re.MULTILINE)
    plain = [re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    made = {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", title).strip().lower()) for title in plain}
    return made | set(re.findall(r'id="([^"]+)"', text))


def commands(path: Path) -> Iterator[list[str]]:
    """The words of every command of ours that a page shows, in a block or within a line, without ``prefrl``."""
    text = path.read_text()
    shown = [line for block in blocks(path) if block.kind in ("sh", "") for line in _joined(block.text)]
    shown += re.findall(r"`((?:prefrl|python -m bench) [^`]*)`", " ".join(_BLOCK.sub("", text).split()))
    for line in shown:
        for part in line.split("&&"):
            if found := re.match(r"(?:prefrl|python -m bench) (.*)", part.strip()):
                yield shlex.split(found[1], comments=True)


def _joined(text: str) -> list[str]:
    """Lines of a shell block, those that end in a backslash together with the next."""
    return text.replace("\\\n", " ").splitlines()


def bash(text: str, folder: Path) -> tuple[int, str]:
    """Exit code and output of some commands, where ``python`` is this one and the checkout is installed."""
    programs = folder / ".bin"
    programs.mkdir(exist_ok=True)
    for name, words in (("python", ""), ("prefrl", "-P -m prefrl")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')  # a link would lose the venv
        (programs / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-e", "-c", text],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout


def follow(path: Path, folder: Path) -> str:
    """Do what a page says, block by block; what its last command printed.

    Raises:
        AssertionError: a command ends otherwise than it says, or does not print what the page shows.
    """
    said = ""
    for block in blocks(path):
        if block.is_run:
            if block.kind == "python":
                (folder / "block.py").write_text(block.text)
            code, said = bash(block.text if block.kind == "sh" else "python block.py", folder)
            assert code == (1 if block.title == "exits with 1" else 0), f"{path.name}:\n{block.text}\n{said}"
        elif block.kind == "text" and block.title != "output of yours":
            missing = [line for line in block.text.strip().splitlines() if line not in said]
            assert not missing, f"{path.name}: {missing} is not in\n{said}"
        elif block.title and block.kind != "sh":
            (folder / block.title).write_text(block.text)
    return said
