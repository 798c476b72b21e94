"""What a command needs is imported when it is run: asking for help costs nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
_SECONDS = 0.3  # of processor time; 0.1 of them are Python's own
_LATER = {"numpy", "pandas", "pydantic", "torch", "mujoco", "gymnasium", "matplotlib", "rich", "fastapi", "ray"}


def processor_seconds(*words: str) -> float:
    """Of a process of its own, which others cannot lengthen; the least of three."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], cwd=REPOSITORY, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return min(taken)


@pytest.mark.skipif("COVERAGE_RUN" in os.environ, reason="what counts lines takes time of its own")
@pytest.mark.parametrize("command", ["", "run"])
def test_help_takes_less_than_three_tenths_of_a_second(command: str) -> None:
    assert processor_seconds("-m", "bench", *filter(None, [command]), "--help") < _SECONDS


def test_help_imports_no_large_library() -> None:
    code = "import sys; from bench import cli; cli.main(['run', '--help']); sys.stderr.write(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    assert not _LATER & {name.partition(".")[0] for name in done.stderr.split()}
