"""A suite with its four finished runs, made once; tests change copies of it."""

from __future__ import annotations

from pathlib import Path

from bench import cli, suite
from bench.suite import Planned

SUITE = """
name = "small"
[run]
total_steps = 6_000
policy = {name = "ppo", environments = 4, rollout_steps = 64, minibatch = 64, hidden = [8]}
[sweep]
task = ["mujoco/reacher@1"]
seed = 2
[[arm]]
name = "true reward"
reward = "true"
[[arm]]
name = "20 labels"
labels = 20
"""


def finish(folder: Path) -> Path:
    """Write the suite's file and do its runs, in ``folder/runs``."""
    (folder / "small.toml").write_text(SUITE)
    assert cli.main(["run", str(folder / "small.toml"), "--out", str(folder / "runs"), "--workers", "2"]) == 0
    return folder


def planned(lab: Path) -> list[Planned]:
    return suite.load(str(lab / "small.toml")).runs()


def folder_of(lab: Path, index: int = 1) -> Path:
    """The folder of a run; index 1 is one with labels."""
    return lab / "runs" / planned(lab)[index].key
