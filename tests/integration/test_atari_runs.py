"""Pong from pixels, end to end: the same bytes again, and from a checkpoint as if it had never stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("ale_py")

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.loop import start, turn
from prefrl_core.parts import Run
from prefrl_core.spec import RunSpec
from prefrl_core.tasks import atari

TINY: dict[str, Any] = {
    "task": "atari/pong",
    "seed": 3,
    "total_steps": 1200,
    "precision": "float32",  # many processors imitate bfloat16, and take ten times as long
    "labels": 12,
    "segment": 10,
    "policy": {
        "name": "ppo",
        "environments": 4,
        "rollout_steps": 25,
        "epochs": 1,
        "minibatch": 50,
        "hidden": (16,),
    },
    "reward_model": {"members": 2, "batch_pairs": 2, "initial_updates": 3, "updates": 1, "hidden": (8,)},
}
A2C = {"name": "a2c", "environments": 4, "rollout_steps": 5, "rollouts": 5, "hidden": (16,)}
DQN = {
    "name": "dqn",
    "environments": 4,
    "rollout_steps": 10,
    "rollouts": 2,
    "hidden": (16,),
    "batch": 4,
    "steps_per_update": 20,
    "capacity": 400,  # fewer than are seen
}


def rows(learner: Run, turns: int | None = None) -> list[str]:
    made = []
    while not learner.finished and (turns is None or len(made) < turns):
        made.append(json.dumps(turn(learner)))
    return made


@pytest.mark.parametrize(
    "settings",
    [
        {"policy": {**TINY["policy"], "convolutions": "mnih2013"}, "interleaved": True},
        {"policy": A2C},
        {"policy": DQN, "interleaved": True, "total_steps": 900, "query": "uniform"},
    ],
    ids=["ppo", "a2c", "dqn"],
)
def test_a_run_gives_the_same_bytes_again_and_from_a_checkpoint(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(atari, "_PERIOD", 90)  # games are started anew within the run, on both sides of the checkpoint
    spec = RunSpec.of({**TINY, **settings})
    whole = start(spec)
    first = rows(whole, 5)
    checkpoint.save(tmp_path / "checkpoint", whole.get_state())
    rest = rows(whole)
    assert whole.comparisons.count == 12 and len(rest) > 5
    again = start(spec)
    assert rows(again) == first + rest
    resumed = start(spec, state=checkpoint.load(tmp_path / "checkpoint"))
    assert rows(resumed) == rest
    for name, array in whole.comparisons.arrays().items():
        assert np.array_equal(array, resumed.comparisons.arrays()[name], equal_nan=array.dtype.kind == "f"), name
    for learner in (whole, again, resumed):
        learner.env.close()


def test_without_a_graphics_card_the_error_says_how_to_do_without() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(UserError, match=r"no graphics card here: .* \(or set device = 'cpu'\)"):
        start(RunSpec.of({**TINY, "device": "cuda"}))
