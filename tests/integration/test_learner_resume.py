"""A run is a function of its spec, and one that is resumed is that of its spec too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_runs import OTHERS, POINT, SMALL, Memory, ran, text

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.loop import learn, start, turn
from prefrl_core.spec import RunSpec


def test_same_spec_same_bytes_other_seed_other_bytes() -> None:
    first, second, other = ran(**POINT), ran(**POINT), ran(**POINT, seed=1)
    assert text(first.rows) == text(second.rows) != text(other.rows)
    for name, array in first.arrays.items():
        assert array.tobytes() == second.arrays[name].tobytes()


@pytest.mark.parametrize(
    ("task", "policy"),
    [
        ("my/point", SMALL),
        ("mujoco/reacher", SMALL),
        ("mujoco/reacher", {**OTHERS["sac"], "short_episodes": 20}),
        *(("my/point", one) for one in OTHERS.values()),
    ],
)
def test_resumed_equals_uninterrupted_from_every_checkpoint(task: str, policy: dict[str, Any], tmp_path: Path) -> None:
    spec = RunSpec.of({**POINT, "task": task, "total_steps": 12000, "policy": policy})
    whole = Memory()
    effort = learn(spec, whole)
    assert len(whole.states) >= 3
    for count, state in whole.states[:-1]:
        checkpoint.save(tmp_path / "state", state)
        rest = Memory()
        assert learn(spec, rest, checkpoint.load(tmp_path / "state")) == effort
        assert text(rest.rows) == text(whole.rows[count:])
        assert rest.arrays["features"].tobytes() == whole.arrays["features"].tobytes()
        assert all(
            (rest.segment_arrays[name] == whole.segment_arrays[name]).all() for name in ("step", "predicted", "true")
        )


def test_a_saved_state_is_a_snapshot() -> None:
    """What was handed out must not change when the run goes on."""
    learner = start(RunSpec.of(POINT))
    for _ in range(6):
        turn(learner)
    state = learner.get_state()
    before = [np.array(part, copy=True) for part in (state["policy"]["optimiser"]["values"], state["pool"]["features"])]
    labels = len(state["comparisons"]["mu"])
    for _ in range(6):
        turn(learner)
    np.testing.assert_array_equal(state["policy"]["optimiser"]["values"], before[0])
    np.testing.assert_array_equal(state["pool"]["features"], before[1])
    assert len(state["comparisons"]["mu"]) == labels


def test_state_of_another_run_is_refused() -> None:
    state = start(RunSpec.of(POINT)).get_state()
    with pytest.raises(UserError, match="checkpoint is not one of this run"):
        start(RunSpec.of({**POINT, "policy": {**SMALL, "hidden": [8]}})).restore(state)
    del state["policy"]
    with pytest.raises(UserError, match="checkpoint is not one of this run"):
        start(RunSpec.of(POINT)).restore(state)
