"""The strip of what a reward model attends to: maps of known reward models, chosen frames, what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from bench import cli, saliency
from bench.saliency import Moment, choose, occlusion, strip
from prefrl_core.errors import UserError

SIZE = 84


def noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (4, SIZE, SIZE), dtype=np.uint8)


@pytest.mark.parametrize(("y", "x"), [(0, 0), (40, 20), (72, 72), (30, 70)])
def test_the_map_is_highest_where_the_answer_depends_on(y: int, x: int) -> None:
    """A reward model that looks at 12 x 12 pixels of the newest frame alone."""
    found = occlusion(lambda rows: rows[:, -1, y : y + 12, x : x + 12].mean((1, 2)) / 255, noise())
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert y <= row < y + 12 and x <= column < x + 12
    near = np.zeros((SIZE, SIZE), bool)
    near[max(0, y - 7) : y + 19, max(0, x - 7) : x + 19] = True
    assert (found[~near] == 0).all() and found[near].mean() > 0


def test_the_map_equals_a_slow_loop_over_pixels_and_squares() -> None:
    weights, seen = np.random.default_rng(1).normal(size=(4, SIZE, SIZE)), noise(2)
    grey = [float(int(np.median(frame))) for frame in seen]
    found = occlusion(lambda rows: (rows * weights).sum((1, 2, 3)), seen)
    corners = [*range(0, 76, 4), 76]
    for y, x in ((0, 0), (5, 83), (41, 17), (83, 83)):
        changes = []
        for top in (c for c in corners if c <= y < c + 8):
            for left in (c for c in corners if c <= x < c + 8):
                part = np.s_[top : top + 8, left : left + 8]
                changes.append(abs(sum(((grey[f] - seen[f][part]) * weights[f][part]).sum() for f in range(4))))
        assert found[y, x] == pytest.approx(np.mean(changes))


def test_a_reward_model_that_never_changes_its_mind_has_an_empty_map() -> None:
    found = occlusion(lambda rows: np.ones(len(rows)), noise())
    assert found.shape == (SIZE, SIZE) and not found.any()


def test_highest_lowest_and_most_changing_steps_are_chosen_apart() -> None:
    rewards = np.zeros(200)
    rewards[50], rewards[52], rewards[100], rewards[150:] = 9.0, 8.0, -9.0, 3.0
    assert choose(rewards, 1) == [("highest", 50), ("lowest", 100), ("changes most", 150)]
    steps = sorted(step for _, step in choose(np.random.default_rng(0).normal(size=300), 3))
    assert len(steps) == 9 and np.diff(steps).min() >= 20
    assert len(choose(np.zeros(5), 2)) == 1  # no more are that far apart


def test_the_strip_is_a_picture_of_all_moments(tmp_path: Path) -> None:
    lit = np.zeros((SIZE, SIZE))
    lit[20:40, 20:40] = 0.5
    moments = [Moment(why, 3, 0.1, noise()[0], lit) for why in ("highest", "lowest")]
    made = strip([*moments, Moment("changes most", 9, 0.0, noise()[1], np.zeros((SIZE, SIZE)))], "atari/pong@1")
    (tmp_path / "a.png").write_bytes(made.png)
    picture = imread(tmp_path / "a.png")
    assert picture.shape[1] > picture.shape[0] > 100 and picture.std() > 0.1
    assert made.svg.startswith(b"<?xml") and "highest" in made.alt
    assert strip(moments, "atari/pong@1").png == strip(moments, "atari/pong@1").png


def refused(spec: dict[str, str]) -> str:
    run: Any = SimpleNamespace(spec=spec, key="0123", folder=Path("nowhere"))
    with pytest.raises(UserError) as error:
        saliency.of_run(run)
    return str(error.value)


def test_what_has_no_pixels_or_no_reward_model_is_refused_in_a_line() -> None:
    assert "mujoco/reacher@1 has no pixels" in refused({"task": "mujoco/reacher@1"})
    assert "learned from the true reward" in refused({"task": "atari/pong@1", "reward": "true"})
    assert "no checkpoint" in refused({"task": "atari/pong@1"})
    assert cli.main(["show", "0123", "--saliency", "a.gif"]) == 2
