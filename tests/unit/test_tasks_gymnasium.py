"""Other Gymnasium environments as tasks."""

from __future__ import annotations

import ast
import inspect
import textwrap
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.tasks import TaskInfo
from prefrl_core.tasks.gymnasium import TIMED


class Reusing(gym.Env[Any, Any]):
    """Writes every observation, which counts all steps so far, into one array; episodes of three steps."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gym.spaces.Discrete(2)

    def __init__(self) -> None:
        self.shown, self.taken = np.zeros(1), []

    def reset(self, **kwargs: Any) -> Any:
        self.shown[:] = -1.0
        return self.shown, {}

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        self.shown[:] = len(self.taken)
        return self.shown, 0.0, False, False, {}


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


@pytest.fixture
def reusing(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(gym.envs.registration, "registry", dict(gym.registry))
    entry: Any = Reusing
    gym.register("Reusing-v0", entry, max_episode_steps=3, disable_env_checker=True)
    env = tasks.make("gymnasium/Reusing-v0", 2, 0)
    env.reset()
    return env


def test_the_last_observation_is_kept_where_an_environment_reuses_its_array(reusing: Any) -> None:
    """Aliased, it would be the next episode's first, and a time limit would bootstrap from the wrong state."""
    *_, last = [reusing.step(np.zeros(2, int)) for _ in range(3)]
    assert last[0].tolist() == [[-1], [-1]] and last[4]["final_obs"].tolist() == [[3], [3]]


@pytest.mark.parametrize("bad", [np.array([0.0, np.nan]), np.array([0, 1j]), np.zeros(3, int), np.array([True, False])])
def test_refused_actions_have_stepped_nothing(reusing: Any, bad: Any) -> None:
    with pytest.raises((UserError, ValueError), match="gymnasium/Reusing-v0@1"):
        reusing.step(bad)
    assert [one.unwrapped.taken for one in reusing.env.envs] == [[], []]


def test_tasks_whose_only_end_is_their_time_limit_are_known() -> None:
    assert tasks.describe("gymnasium/Pendulum-v1") == TaskInfo("gymnasium/Pendulum-v1@2", 200, 25, True)
    assert tasks.describe("gymnasium/HalfCheetah-v5").fixed_length
    assert not tasks.describe("gymnasium/Hopper-v5").fixed_length


def never_terminates(step: Any) -> bool:
    """Each return of this ``step`` says terminated = False as a constant, or a name that is only ever False."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(step)))
    values: dict[str, set[Any]] = {}
    for one in ast.walk(tree):
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            values.setdefault(one.targets[0].id, set()).add(getattr(one.value, "value", None))
    said = [one.value.elts[2] for one in ast.walk(tree) if isinstance(one, ast.Return)]  # type: ignore[union-attr]
    return all(values.get(getattr(one, "id", ""), {getattr(one, "value", None)}) == {False} for one in said)


def test_they_are_those_whose_step_never_terminates() -> None:
    found = set()
    for spec in gym.registry.values():
        entry = spec.entry_point
        if (
            spec.max_episode_steps
            and isinstance(entry, str)
            and entry.startswith("gymnasium.envs.")
            and "robotics" not in entry
        ):
            try:
                step = gym.envs.registration.load_env_creator(entry).step  # type: ignore[attr-defined]
            except (ImportError, gym.error.Error):  # a simulator that is not installed
                continue
            found |= {entry} if never_terminates(step) else set()
    assert found == TIMED
