"""The tables in ``results/`` are what today's statistics make of the archives beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import suite
from bench.archive import runs as archive
from bench.report import data, page
from bench.report.language import page as language

RESULTS = Path(__file__).parents[2] / "results"
SUITES = {"atari": "atari-quick"}  # by the folder, where it is not named after its suite
SHARED = {"optimisers": "mujoco", "beyond": "mujoco", "methods": "mujoco"}  # whose archive holds some of its runs
ARCHIVES = sorted(RESULTS.glob("*/runs.parquet"))


@pytest.mark.parametrize("path", ARCHIVES, ids=[path.parent.name for path in ARCHIVES])
def test_published_tables_are_those_of_their_archive(path: Path, tmp_path: Path) -> None:
    archive.unpack(path, tmp_path)
    if shared := "language" if path.parent.name.startswith("language-") else SHARED.get(path.parent.name):
        archive.unpack(RESULTS / shared / "runs.parquet", tmp_path)
    planned = suite.load(SUITES.get(path.parent.name, path.parent.name))
    study = data.load(planned, planned.runs(), tmp_path, "")
    of = language if path.parent.name.startswith("language") else page
    made = page.table_files(of.tables_of(study))
    published = {one.name: one for one in path.parent.glob("*.md")}
    assert published
    differ = [name for name, one in published.items() if one.read_bytes() != made.get(name)]
    assert not differ, f"prefrl report {path.parent.name} makes these anew: {', '.join(sorted(differ))}"
