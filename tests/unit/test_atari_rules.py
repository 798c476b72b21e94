"""What is ours to choose in a game: what a lost life costs, who serves, and whom ``enduro_level`` rewards."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py")

from bench.physics import bare_speed
from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.tasks import atari


@pytest.mark.parametrize(
    ("task", "penalty"), [("breakout@1", 5.0), ("breakout@2", 5.0), ("qbert@1", 100.0), ("qbert@2", 20.0)]
)
def test_a_lost_life_is_a_penalty_and_no_end(task: str, penalty: float) -> None:
    env: Any = tasks.make(f"atari/{task}", 4, 0)
    env.reset(seed=0)
    random, lost, gained, score = np.random.default_rng(0), 0, 0.0, 0.0
    for _ in range(400):
        _, rewards, terminated, _, infos = env.step(random.integers(0, 4, 4))
        lost += int((rewards < 0).sum())
        gained += float(rewards.sum())
        assert not terminated.any()
        score += infos["games"][:, 1].sum() if "games" in infos else 0.0
    score += env._scores.sum()
    assert lost >= 8
    assert gained == pytest.approx(score - lost * penalty)


def test_an_agent_that_never_serves_loses_all_the_same() -> None:
    """In the second version of Breakout. In the first a ball that is not served is never lost."""

    def lost(task: str) -> int:
        env = tasks.make(task, 4, 0)
        env.reset(seed=0)
        return sum(int((env.step(np.zeros(4, np.int64))[1] < 0).sum()) for _ in range(400))

    first, second = lost("atari/breakout@1"), lost("atari/breakout@2")
    assert first <= 4 and second > 4 * 5  # the first ball is served; more than a game of five lives


def test_every_version_of_a_game_has_an_id_and_no_other_has() -> None:
    assert [tasks.describe(f"atari/{task}").id for task in ("breakout", "breakout@1", "pong")] == [
        *("atari/breakout@2", "atari/breakout@1", "atari/pong@1")
    ]
    for wrong in ("breakout@3", "breakout@0", "breakout@01", "pong@2", "qbert@"):
        with pytest.raises(UserError, match="has no version"):
            tasks.describe(f"atari/{wrong}")


def test_level_with_the_traffic_is_worth_most() -> None:
    ahead, gained = np.array([0.0, 1.0, 0.0, 5.0, 5.0, 0.0]), np.array([1.0, -1.0, 0.0, 1.0, -1.0, 2.0])
    assert atari.level(ahead, gained).tolist() == [-1.0, 3.0, 0.0, -1.0, 3.0, -2.0]


def test_enduro_level_is_enduro_by_another_oracle() -> None:
    """The same frames; the oracle's reward is worth something to who passes and is passed, a score is in the log."""
    level, plain = (tasks.make(f"atari/{name}", 2, 0) for name in ("enduro_level", "enduro"))
    level.reset(seed=3)
    plain.reset(seed=3)
    ahead, seen = np.zeros(2), set()
    for step in range(400):
        actions = np.array([1, 1 if step % 40 < 25 else 0])  # one at full speed, one that lets others pass
        frames_of_level, rewards, *_ = level.step(actions)
        frames_of_plain, gained, *_ = plain.step(actions)
        assert np.array_equal(frames_of_level, frames_of_plain)
        assert rewards.tolist() == (np.abs(gained) - 2 * (np.abs(ahead + gained) - np.abs(ahead))).tolist()
        ahead += gained
        seen |= set(rewards.tolist())
    assert {-1.0, 3.0} <= seen and tasks.describe("atari/enduro_level").score_shown is False
    level.close()
    plain.close()
    assert bare_speed("atari/enduro_level@2", seconds=0.01)  # a run measures that of its game
