"""Parts made in several processes are those made in one, and a thousand runs are made from a few."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from finished import finish

from bench import store, suite
from bench.report import parallel
from prefrl_core.errors import UserError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))


def test_results_keep_their_order_and_closures_need_no_pickle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    calls = [lambda number=number: (number, os.getpid()) for number in range(8)]
    found = parallel.side_by_side(calls)
    assert [number for number, _ in found] == list(range(8))
    assert os.getpid() not in {process for _, process in found}
    monkeypatch.setattr(parallel, "cores", lambda: 1)
    assert {process for _, process in parallel.side_by_side(calls)} == {os.getpid()}


def test_an_error_for_people_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)

    def fail() -> None:
        raise UserError("run x is damaged: delete it")

    with pytest.raises(UserError, match="run x is damaged: delete it"):
        parallel.side_by_side([fail] * 5)


def test_replayed_runs_are_whole_and_have_their_own_keys(tmp_path: Path) -> None:
    from replay import replay

    planned = suite.load("quick").runs(seeds=3, only=["arm=true"])
    source = store.create(tmp_path / "a", *_identity(planned[0], tmp_path / "a"))
    (source.folder / "metrics.jsonl").write_text('{"step": 1000}\n')
    finish(source.folder, 1000)
    (tmp_path / "b").mkdir()
    assert replay(tmp_path / "a", planned, tmp_path / "b") == 3
    runs = store.load(tmp_path / "b")
    assert sorted(run.key for run in runs) == sorted(one.key for one in planned)
    for run in runs:
        assert run.rows == [{"step": 1000}] and run.status == "done"
        assert run.done["sha256"]["spec.json"] == store.checksum(run.folder / "spec.json")


def _identity(planned: suite.Planned, out: Path) -> tuple[str, dict[str, object], dict[str, object]]:
    out.mkdir()
    return planned.key, planned.spec.canonical(), suite.versions_of(planned.spec)
