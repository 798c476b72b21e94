"""The laboratory of ``lab.py`` and the finished suite of ``finished_suite.py`` as fixtures."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from finished_suite import finish
from lab import Lab, metrics


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    for process in made.workers():  # a failed test leaves nobody behind
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.fixture
def undisturbed(lab: Lab) -> dict[str, bytes]:
    """The metrics of the suite's runs when nothing happens to them."""
    out = lab.folder / "undisturbed"
    code, stdout, stderr = lab.run(out=out, FAKE_PAUSE="0")
    assert code == 0, stdout + stderr
    expected = metrics(out)
    assert len(expected) == 6 and len(set(expected.values())) == 6
    return expected


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite and its four finished runs; tests change copies of it."""
    return finish(tmp_path_factory.mktemp("made"))
