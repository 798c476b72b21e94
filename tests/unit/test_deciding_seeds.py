"""A sweep of arms that list seeds of their own, in any order, and of a shorter suite."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from test_deciding import driven  # noqa: F401  (a fixture)
from test_report import write_run

from bench import cli, suite
from bench.decide import drive
from bench.suite import Planned
from prefrl_core.errors import UserError

Driven = Callable[[Path], drive.Driver]


def listed(folder: Path, seeds: str) -> None:
    """Give arm "base" of the fixture's suite these seeds; the others have 0, 1 and 2."""
    file = folder / "mine.toml"
    file.write_text(file.read_text().replace('name = "base"\n', f'name = "base"\nseed = {seeds}\n'))


@pytest.mark.parametrize("seeds", ["[5, 1, 2]", "[2, 1, 0]", "[1000, 1, 999]", "[9, 0, 2, 1]"])
def test_the_first_look_takes_the_seeds_that_the_suite_plans(
    driven: Driven,  # noqa: F811
    tmp_path: Path,
    seeds: str,
) -> None:
    listed(tmp_path, seeds)

    def execute(planned: Sequence[Planned], _: float) -> int:
        for one in planned:
            write_run(tmp_path, one)
        return 0

    state, _ = driven(tmp_path).run(execute, -math.inf)  # no time for more than the planned seeds
    assert state is not None and {one.seeds for one in state.comparisons} == {3}


def test_seeds_of_which_there_are_no_more_are_one_line(driven: Driven, tmp_path: Path) -> None:  # noqa: F811
    listed(tmp_path, f"[{2**53}, 1, 2]")
    with pytest.raises(UserError, match=f"no 12 seeds from {2**53} on: list smaller ones"):
        driven(tmp_path)


SUITE = """
name = "mine"
sweep = { task = ["mujoco/hopper"], seed = 3 }
decide = { against = "base", difference = 0.1, seeds = 5 }
run = { total_steps = 200_000 }
arm = [
  { name = "true reward", reward = "true" },
  { name = "base", labels = 700 },
  { name = "uniform", labels = 700, query = { name = "uniform" } },
]
"""


def test_runs_have_the_steps_and_labels_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[Planned] = []
    monkeypatch.setattr("bench.runner.execute", lambda planned, *_: begun.extend(planned) or 1)
    (file := tmp_path / "mine.toml").write_text(SUITE)
    short = ["--steps", "100000", "--labels", "40"]
    assert cli.main(["run", str(file), "--until-decided", *short, "--out", str(tmp_path)]) == 1
    every = drive.Driver(suite.load(str(file)), tmp_path, 100_000, 40).every
    for planned, count in ((begun, 9), (every, 3 + 2 * 5)):
        assert len(planned) == count
        assert {(one.spec.total_steps, one.spec.labels) for one in planned} == {(100_000, 0), (100_000, 40)}
