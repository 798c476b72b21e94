"""Every block of the tutorial, in its order, in one empty folder; and pages that must not fall behind the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from prefrl_core.loop import COLUMNS

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]*)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def bash(text: str, folder: Path) -> tuple[int, str]:
    """Exit code and output of some commands, where ``python`` is this one and the checkout is installed."""
    python = folder / ".bin" / "python"
    python.parent.mkdir(exist_ok=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')  # a link would lose the virtual environment
    python.chmod(0o755)
    environment = {**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
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


def test_every_block_of_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    said, kinds = "", []
    for kind, title, text in BLOCK.findall(TUTORIAL):
        kinds.append(kind)
        if title == "installation":  # what tox did for this test
            continue
        if kind == "sh":
            code, said = bash(text, tmp_path)
            assert code == (1 if title == "exits with 1" else 0), f"{text}\n{said}"
        elif kind == "text":
            missing = [line for line in text.strip().splitlines() if line not in said]
            assert not missing, said
        elif title:
            (tmp_path / title).write_text(text)
        else:
            assert kind == "python"
            (tmp_path / "block.py").write_text(text)
            code, said = bash("python block.py", tmp_path)
            assert code == 0, said
            assert re.fullmatch(r"200 answers, \d+% of the pairs in the right order\n", said)
    assert len(kinds) == TUTORIAL.count("```") / 2 and kinds.count("sh") >= 10
    assert (tmp_path / "runs" / "report-hurry" / "index.html").exists()
    assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 6


def test_the_installation_names_an_extra_and_a_file_that_there_are() -> None:
    [command] = [text for _, title, text in BLOCK.findall(TUTORIAL) if title == "installation"]
    assert "-c constraints.txt" in command and (ROOT / "constraints.txt").exists()
    extras = (ROOT / "pyproject.toml").read_text().partition("[project.optional-dependencies]")[2]
    for extra in re.search(r"\.\[(.*?)\]", command)[1].split(","):  # type: ignore[index]
        assert f"\n{extra} = " in extras


@pytest.mark.parametrize("column", COLUMNS)
def test_every_metric_is_defined(column: str) -> None:
    assert f"| `{column}` |" in (ROOT / "docs" / "metrics.md").read_text()
