"""Other Gymnasium environments as tasks."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.tasks import TaskInfo


class Scripted(gym.Env[Any, Any]):
    """Ends after two steps; rewards and spaces are given."""

    def __init__(self, observations: Any = None, actions: Any = None, reward: float = 1.0) -> None:
        self.observation_space = observations or gym.spaces.Box(-9, 9, (2,), np.float64)
        self.action_space = actions or gym.spaces.Discrete(2)
        self.reward, self.steps = reward, 0

    def reset(self, **kwargs: Any) -> Any:
        self.steps = 0
        return np.zeros(2), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        return np.full(2, float(self.steps)), self.reward, self.steps == 2, False, {}


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))

    def register(limit: int | None = 7, **settings: Any) -> str:
        entry: Any = Scripted
        gym.register("Scripted-v0", entry, max_episode_steps=limit, disable_env_checker=True, kwargs=settings)
        return "gymnasium/Scripted-v0"

    return register


def test_it_is_described_from_gymnasiums_own_entry(scripted: Any) -> None:
    assert tasks.describe("gymnasium/CartPole-v1") == TaskInfo("gymnasium/CartPole-v1@1", 500, 25, False)
    assert tasks.describe(scripted(limit=7)).segment_steps == 7


def test_a_cartpole_equals_gymnasium_step_by_step() -> None:
    env = tasks.make("gymnasium/CartPole-v1", 2, seed=3)
    references = [gym.make("CartPole-v1") for _ in range(2)]
    observations, _ = env.reset()
    for i, reference in enumerate(references):
        np.testing.assert_array_equal(observations[i], reference.reset(seed=3 + i)[0])
    rng, ends = np.random.default_rng(0), 0
    for _ in range(120):
        actions = rng.integers(0, 2, 2)
        observations, rewards, terminated, truncated, infos = env.step(actions)
        for i, reference in enumerate(references):
            expected, reward, *ended, _ = reference.step(actions[i])
            assert (reward, *ended) == (rewards[i], terminated[i], truncated[i])
            if any(ended):
                ends += 1
                np.testing.assert_array_equal(infos["final_obs"][i], expected)
                expected, _ = reference.reset()
            np.testing.assert_array_equal(observations[i], expected)
    assert ends > 2


def test_the_episode_resets_in_the_step_that_ends_it(scripted: Any) -> None:
    env = tasks.make(scripted(), 2, 0)
    assert env.metadata["autoreset_mode"] == gym.vector.AutoresetMode.SAME_STEP
    first, _ = env.reset()
    seen = [env.step(np.zeros(2, int)) for _ in range(2)]
    assert seen[1][0].tolist() == [[0, 0], [0, 0]]
    assert seen[1][4]["final_obs"].tolist() == [[2, 2], [2, 2]]
    assert seen[1][4]["_final_obs"].tolist() == [True, True]
    env.step(np.zeros(2, int))
    assert first.tolist() == [[0, 0], [0, 0]]
    assert seen[0][0].tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"limit": None}, "no time limit"),
        ({"observations": gym.spaces.Box(0, 1, (2, 2))}, "observations"),
        ({"observations": gym.spaces.Discrete(3)}, "observations"),
        ({"actions": gym.spaces.MultiBinary(3)}, "actions"),
        ({"actions": gym.spaces.Discrete(3, start=1)}, "actions"),
        ({"actions": gym.spaces.Box(0, 1, (2, 2))}, "actions"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(scripted: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        tasks.make(scripted(**settings), 1, 0)
    assert "\n" not in str(caught.value)


def test_a_reward_that_is_not_finite_is_refused(scripted: Any) -> None:
    env = tasks.make(scripted(reward=float("nan")), 2, 0)
    env.reset()
    with pytest.raises(UserError, match="reward of environment 0 is not finite at step 1"):
        env.step(np.zeros(2, int))
