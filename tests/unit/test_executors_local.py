"""Worker processes on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from bench import resources
from bench.executors.local import LocalExecutor
from bench.progress import Job
from bench.suite import Planned
from prefrl_core.hardware import THREADS


@pytest.mark.parametrize(("workers", "said", "told"), [(16, None, "1"), (5, None, "3"), (64, None, "1"), (2, "4", "4")])
def test_workers_share_the_cores_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, workers: int, said: str | None, told: str
) -> None:
    environments: list[dict[str, str]] = []
    run = subprocess.Popen

    def popen(words: list[str], env: dict[str, str], **named: Any) -> Any:
        environments.append(env)
        return run(["true"], env=env, **named)

    monkeypatch.setattr(subprocess, "Popen", popen)
    monkeypatch.setattr(resources, "cores", lambda: 16)
    monkeypatch.delenv(THREADS, raising=False)
    if said:
        monkeypatch.setenv(THREADS, said)
    executor = LocalExecutor(workers)
    executor.start(Job(cast(Planned, None), tmp_path))
    executor.stop()
    assert [each[THREADS] for each in environments] == [told]
    assert environments[0]["OMP_NUM_THREADS"] == "1"
