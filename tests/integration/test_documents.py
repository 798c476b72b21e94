"""What the documents say is so: links lead to files, commands run and print what is shown, generated text is new."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import sys
import tomllib
from pathlib import Path

import documents
import pytest
from documents import ROOT

from bench import cli
from prefrl_core.loop import COLUMNS

DOCS = ROOT / "docs"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", documents.pages(), ids=name)
def test_every_link_leads_to_a_file_and_its_heading(path: Path) -> None:
    wrong = []
    for link in documents.links(path):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        place, _, anchor = link.partition("#")
        target = (path.parent / place).resolve() if place else path
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in documents.anchors(target)):
            wrong.append(link)
    assert not wrong


@pytest.mark.parametrize("path", documents.guides(), ids=name)
def test_every_command_that_is_shown_is_one_that_is_accepted(path: Path) -> None:
    for words in documents.commands(path):
        if len(words) > 1:  # alone it stands for the command in general
            said = io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
                cli.parser().parse_args(words)
            assert not said.getvalue(), f"prefrl {' '.join(words)}: {said.getvalue()}"


RUN = [
    path
    for path in documents.guides()
    if any(block.is_run or block.kind == "python" for block in documents.blocks(path))
]


@pytest.mark.parametrize("path", [path for path in RUN if not path.name.startswith("api-")], ids=name)
def test_every_block_of_a_page_does_what_it_says(path: Path, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "docs").symlink_to(DOCS)
    said = documents.follow(path, tmp_path)
    if path.name == "tutorial.md":
        assert re.fullmatch(r"200 answers, \d+% of the pairs in the right order\n", said)
        assert (tmp_path / "runs" / "report-hurry" / "index.html").exists()
        assert len(list(tmp_path.rglob("events.out.tfevents.*"))) == 6


def test_the_shell_lines_that_are_not_run_are_marked_as_such() -> None:
    """No block without a language hides a command."""
    for path in documents.guides():
        for block in documents.blocks(path):
            if not block.kind:
                assert not re.search(r"^(prefrl|python|pip|tox) ", block.text, re.MULTILINE), (
                    f"{name(path)}:\n{block.text}"
                )


@pytest.fixture(scope="module")
def generate() -> object:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    kept = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = kept
    return module


def test_what_is_taken_from_the_code_is_current(generate: object) -> None:
    pages = generate.pages()  # type: ignore[attr-defined]
    assert {"cli.md", "suites.md", "settings.md", "api-core.md", "api-bench.md", "extend.md"} <= {p.name for p in pages}
    behind = [path.name for path, text in pages.items() if not path.exists() or path.read_text() != text]
    assert not behind, "run `python docs/generate.py`"


def test_no_page_has_an_empty_place_for_generated_text() -> None:
    for path in documents.pages():
        assert not re.search(r"^::: |-->\n<!-- end -->", path.read_text(), re.MULTILINE), name(path)


def test_the_api_has_fields_with_shapes_attributes_and_arguments() -> None:
    text = (DOCS / "api-core.md").read_text()
    for row in (
        "| `pairs` | `Indices` | (candidates, 2): indices into `segments`, never equal |",
        "| `terminated` | `NDArray[np.bool_]` | (steps, envs) |",
        "| `rollout_steps` | `int` | steps an environment takes between two improvements |",
        "| `episode_steps` | `int` |  | time limit in environment steps |",
    ):
        assert row in text


def test_the_installation_names_extras_that_there_are() -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = [
        extra
        for path in documents.guides()
        for extra in re.findall(r"(?:bench|\.)\[([a-z,]+)\]['\"]", path.read_text())
    ]
    assert named and {one for extra in named for one in extra.split(",")} <= known.keys()


def test_the_readme_and_the_contributors_page_are_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
    assert len((ROOT / "CONTRIBUTING.md").read_text().splitlines()) <= 70


@pytest.mark.parametrize("column", COLUMNS)
def test_every_metric_is_defined(column: str) -> None:
    assert f"| `{column}` |" in (DOCS / "metrics.md").read_text()
