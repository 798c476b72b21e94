"""What a clone carries of results: tables, the figures that documents show, and the runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]
MOST_BYTES = 15_000_000  # of all; the runs are 11.3 MB of it
_FOLDERS = re.compile(rb"(?<![\w.])/(?:tmp|home|root|work)/\w")


def listed() -> list[Path]:
    found = subprocess.run(["git", "ls-files", "results"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in found.stdout.split()]


def test_results_stay_small() -> None:
    files = listed()
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert {path.suffix for path in files} <= {".csv", ".md", ".png", ".parquet", ".json", ".jsonl"}


def test_no_folder_of_a_machine_is_named_in_them() -> None:
    texts = [path for path in listed() if path.suffix not in (".png", ".parquet")]
    assert texts and not [path for path in texts if _FOLDERS.search(path.read_bytes())]


def test_the_runs_of_each_suite_lie_beside_its_tables() -> None:
    tables, files = ({path.parent for path in listed() if path.name == name} for name in ("runs.md", "runs.parquet"))
    assert tables == files
    for folder in sorted(files):
        read = pq.ParquetFile(folder / "runs.parquet")
        assert read.metadata.num_rows and {"key", "layout", "spec.json"} <= set(read.schema_arrow.names)


def test_each_figure_is_shown_in_a_document() -> None:
    pages = "".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    figures = [str(path.relative_to(ROOT)) for path in listed() if path.suffix == ".png"]
    assert figures and not [figure for figure in figures if figure not in pages]
