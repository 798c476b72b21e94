"""The paper's protocol, saved states, and what the environments promise beside Gymnasium's numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from prefrl_core import tasks
from prefrl_core.errors import UserError

NAMES = [
    "hopper",
    "walker2d",
    "swimmer",
    "half_cheetah",
    "ant",
    "reacher",
    "inverted_double_pendulum",
    "inverted_pendulum",
]


def rollout(env: Any, steps: int, seed: int = 1) -> list[Any]:
    rng = np.random.default_rng(seed)
    low, high = env.action_space.low, env.action_space.high
    return [env.step(rng.uniform(low, high).astype(np.float32)) for _ in range(steps)]


def as_bytes(steps: list[Any]) -> bytes:
    return b"".join(array.tobytes() for step in steps for array in (*step[:4], *step[4].values()))


def expected_reward(name: str, env: Any, x_before: float) -> float:
    """The paper's reward by hand, from a Gymnasium environment after its step; written apart from protocol.py."""
    data, dt = env.data, env.dt
    qpos, qvel = data.qpos, data.qvel
    run = (qpos[0] - x_before) / dt
    if name == "ant":
        run = (data.body("torso").xpos[0] - x_before) / dt
    if name == "inverted_double_pendulum":
        x, _, y = data.site("tip").xpos
        upright = 10 - 0.01 * x * x - (y - 2) * (y - 2) - 0.001 * qvel[1] ** 2 - 0.005 * qvel[2] ** 2
        return float(upright + 10 * (y - 1))
    by_task = {
        "hopper": lambda: run + 1 + (qpos[1] - 1),
        "walker2d": lambda: run + 1 + (qpos[1] - 2),
        "swimmer": lambda: run,
        "half_cheetah": lambda: run,
        "ant": lambda: run + (qpos[2] - 1.2),
        "reacher": lambda: -np.sqrt(np.sum((data.body("fingertip").xpos - data.body("target").xpos) ** 2)),
        "inverted_pendulum": lambda: 1 - qpos[1] ** 2,
    }
    return float(by_task[name]())


@pytest.mark.parametrize("name", NAMES)
def test_the_papers_rewards_by_hand(name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same start and actions in Gymnasium, whose terminations are ignored."""
    monkeypatch.chdir(tmp_path)
    ids = {"walker2d": "Walker2d", "half_cheetah": "HalfCheetah"}
    id = ids.get(name, "".join(word.capitalize() for word in name.split("_"))) + "-v5"
    reference: Any = gym.make(id).unwrapped
    env: Any = tasks.make(f"mujoco/{name}", 1, 5)
    env.reset()
    reference.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(min(45, tasks.describe(f"mujoco/{name}").episode_steps - 1)):
        x = reference.data.body("torso").xpos[0] if name == "ant" else reference.data.qpos[0]
        before = float(x)
        actions = rng.uniform(env.action_space.low, env.action_space.high).astype(np.float32)
        observations, rewards, *_ = env.step(actions)
        expected, *_ = reference.step(actions[0])
        np.testing.assert_array_equal(observations[0], expected)
        assert rewards[0] == pytest.approx(expected_reward(name, reference, before), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_every_episode_of_the_paper_form_has_the_full_length(name: str) -> None:
    """Each environment is truncated at its limit, whatever the robot does, and only there."""
    limit = tasks.describe(f"mujoco/{name}").episode_steps
    env: Any = tasks.make(f"mujoco/{name}", 2, 0)
    env.reset()
    start = limit - 120 if limit > 200 else 0
    env.set_state({**env.get_state(), "elapsed": np.array([start, start + 5])})
    steps = rollout(env, 122 if limit > 200 else limit)
    assert not any(step[2].any() for step in steps)
    for i, own in enumerate((limit - start, limit - start - 5)):
        assert [t + 1 for t, step in enumerate(steps) if step[3][i]] == [own]
    last = steps[limit - start - 1]
    assert last[4]["_final_obs"].tolist() == [True, False]
    assert last[4]["final_obs"][0].any()
    assert not last[4]["final_obs"][1].any()
    assert (last[0][0] != last[4]["final_obs"][0]).any()


@pytest.mark.parametrize("form", ["mujoco", "mujoco-v5"])
@pytest.mark.parametrize("name", NAMES)
def test_a_restored_state_goes_on_with_the_same_bytes(form: str, name: str) -> None:
    env: Any = tasks.make(f"{form}/{name}", 3, 4)
    env.reset()
    rollout(env, 33)
    saved = env.get_state()
    plain = json.loads(json.dumps({k: v for k, v in saved.items() if not isinstance(v, np.ndarray)}))
    kept = {k: v.copy() for k, v in saved.items() if isinstance(v, np.ndarray)} | plain
    on = as_bytes(rollout(env, 300, seed=2))
    fresh: Any = tasks.make(f"{form}/{name}", 3, 99, threads=2)
    fresh.set_state(kept)
    assert as_bytes(rollout(fresh, 300, seed=2)) == on
    fresh.set_state(saved)  # a state is not consumed, and going on did not change it
    assert as_bytes(rollout(fresh, 300, seed=2)) == on


def test_a_state_of_another_task_or_size_is_refused() -> None:
    make: Any = tasks.make
    state = make("mujoco/hopper", 2, 0).get_state()
    with pytest.raises(UserError, match="task = 'mujoco/hopper@1'"):
        make("mujoco-v5/hopper", 2, 0).set_state(state)
    with pytest.raises(UserError, match="does not fit"):
        make("mujoco/hopper", 3, 0).set_state(state)
    with pytest.raises(UserError, match="'frame'"):
        make("mujoco/hopper", 2, 0).set_state({k: v for k, v in state.items() if k != "frame"})


@pytest.mark.parametrize("name", ["ant", "half_cheetah", "reacher"])
def test_the_number_of_threads_does_not_matter(name: str) -> None:
    runs = []
    for threads in (1, 2, 3, 9):
        env: Any = tasks.make(f"mujoco/{name}", 4, 0, threads=threads)
        env.reset()
        runs.append(as_bytes(rollout(env, 60)))
        env.close()
    assert len(set(runs)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_returned_arrays_are_the_callers(name: str) -> None:
    env: Any = tasks.make(f"mujoco/{name}", 2, 0)
    first, _ = env.reset()
    copy = first.copy()
    steps = rollout(env, 3)
    copies = as_bytes(steps)
    last = rollout(env, 60, seed=8)[-1][0]
    copy_of_last = last.copy()
    env.reset()
    assert (first == copy).all()
    assert (last == copy_of_last).all()
    assert as_bytes(steps) == copies
    steps[-1][0][:] = np.nan  # and the caller may write into them
    rollout(env, 2)


def test_seeds_are_one_for_each_environment() -> None:
    env: Any = tasks.make("mujoco/swimmer", 3, 10)
    first, _ = env.reset()
    second, _ = env.reset()
    assert len(np.unique(np.concatenate((first, second)), axis=0)) == 6
    assert (env.reset(seed=10)[0] == first).all()
    assert (env.reset(seed=[12, 11, 10])[0] == first[::-1]).all()
    with pytest.raises(ValueError):
        env.reset(seed=[1])


@pytest.mark.parametrize("form", ["mujoco", "mujoco-v5"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_is_refused(form: str, bad: float) -> None:
    env: Any = tasks.make(f"{form}/half_cheetah", 3, 0)
    env.reset()
    actions = np.zeros((3, 6), np.float32)
    env.step(actions)
    actions[1, 2] = bad
    before = env.get_state()
    with pytest.raises(UserError, match=rf"{form}/half_cheetah@1: action of environment 1 .* step 2 "):
        env.step(actions)
    with pytest.raises(ValueError, match="takes real numbers as actions, got complex128"):
        env.step(np.zeros((3, 6), complex))
    after = env.get_state()
    assert (before["physics"] == after["physics"]).all() and (before["elapsed"] == after["elapsed"]).all()


def test_a_state_that_is_not_finite_is_refused() -> None:
    env: Any = tasks.make("mujoco/hopper", 2, 0)
    env.reset()
    gather = env._simulation.gather

    def broken() -> Any:
        frame = gather()
        frame.qvel[1, 0] = np.inf
        return frame

    env._simulation.gather = broken
    with pytest.raises(UserError, match="state of environment 1 is not finite at step 1"):
        env.step(np.zeros((2, 3)))


@pytest.mark.parametrize("begun", [3, 40])
def test_staggered_episodes_end_evenly_spread_and_then_have_their_whole_length(begun: int) -> None:
    env: Any = tasks.make("mujoco/reacher", 5, 0)
    env.reset()
    for _ in range(begun):
        env.step(np.zeros((5, 2), np.float32))
    assert np.array_equal(env.stagger(), env._definition.observe(env._frame))
    ends: list[list[int]] = [[] for _ in range(5)]
    for step in range(1, 160):
        truncated = env.step(np.zeros((5, 2), np.float32))[3]
        for i in np.flatnonzero(truncated):
            ends[i].append(step)
    assert [one[0] for one in ends] == [50, 40, 30, 20, 10]
    assert all((np.diff(one) == 50).all() and len(one) >= 3 for one in ends)


@pytest.mark.parametrize("task", ["mujoco/reacher", "dmcontrol/walker_walk"])
def test_shortened_episodes_end_early_where_they_are_told_to_and_nowhere_else(task: str) -> None:
    if task.startswith("dmcontrol"):
        pytest.importorskip("dm_control")
    env: Any = tasks.make(task, 4, 0)
    whole, which = tasks.describe(task).episode_steps, np.array([False, True, True, False])
    env.shorten(20, which)
    env.reset(seed=0)
    ends: list[list[int]] = [[] for _ in range(4)]
    for step in range(1, 2 * whole + 1):
        _, _, terminated, truncated, infos = env.step(np.zeros(env.action_space.shape, np.float32))
        assert not terminated.any()
        assert truncated.any() == ("final_obs" in infos)
        for i in np.flatnonzero(truncated):
            ends[i].append(step)
    assert [np.unique(np.diff([0, *one])).tolist() for one in ends] == [[whole], [20], [20], [whole]]
    env.stagger()  # environment 1 is then a quarter of its short episode ahead
    ends_at_15 = [env.step(np.zeros(env.action_space.shape, np.float32))[3][1] for _ in range(15)]
    assert ends_at_15 == [False] * 14 + [True]


def test_huge_finite_actions_are_taken_as_they_are() -> None:
    env: Any = tasks.make("mujoco/reacher", 2, 0)
    env.reset()
    with np.errstate(over="ignore"):
        env.step(np.full((2, 2), 3e38, np.float32))


@pytest.mark.parametrize(("shape", "reset"), [((3, 3), True), ((2, 2), True), ((2, 3), False)])
def test_wrong_calls_are_refused(shape: tuple[int, int], reset: bool) -> None:
    env: Any = tasks.make("mujoco/hopper", 2, 0)
    if reset:
        env.reset()
    with pytest.raises(ValueError, match="mujoco/hopper@1"):
        env.step(np.zeros(shape))


def run_in(folder: Any, code: str) -> subprocess.CompletedProcess[str]:
    import prefrl_core

    path = str(next(iter(prefrl_core.__path__)))
    code = f"import sys; sys.path.insert(0, {path!r} + '/..')\n" + code
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)


def test_making_and_stepping_leaves_no_file_and_no_line(tmp_path: Any) -> None:
    code = (
        "import numpy as np\nfrom prefrl_core import tasks\n"
        "for id in tasks.names():\n"
        "    if id.startswith('mujoco'):\n"
        "        env = tasks.make(id, 2, 0, threads=2)\n        env.reset()\n"
        "        for _ in range(60): env.step(env.action_space.sample())\n"
        "        env.close()\n"
    )
    done = run_in(tmp_path, code)
    assert (done.stdout, done.stderr) == ("", "")
    assert list(tmp_path.iterdir()) == []


def test_a_warning_of_mujoco_goes_to_the_log_and_to_no_file(tmp_path: Any) -> None:
    code = (
        "import logging; logging.basicConfig()\nfrom prefrl_core import tasks\n"
        "env = tasks.make('mujoco/hopper', 2, 0, threads=2); env.reset()\n"
        "state = env.get_state(); state['physics'][:, 8] = 1e30; env.set_state(state)\n"
        "env.step(env.action_space.sample() * 0)\n"
    )
    done = run_in(tmp_path, code)
    assert "WARNING:prefrl_core.mujoco:" in done.stderr
    assert "unstable" in done.stderr
    assert list(tmp_path.iterdir()) == []
