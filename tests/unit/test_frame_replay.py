"""The replay over pixels against a slow memory that keeps every stack as it was seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import Tiny

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.frames import STACK
from prefrl_core.policy.frame_replay import FrameReplay
from prefrl_core.rollout import Rollout, collect, join

ENVS, SIZE, DISCOUNT = 3, (5, 4), 0.9


class Screens(Tiny):
    """Random frames that never end; some environments are set anew between rollouts."""

    def __init__(self, seed: int) -> None:
        super().__init__(ENVS, 1, gym.spaces.Discrete(4))
        self.single_observation_space = gym.spaces.Box(0, 255, (STACK, *SIZE), np.uint8)
        self.random = np.random.default_rng(seed)
        self.shown = np.zeros((ENVS, STACK, *SIZE), np.uint8)
        self.anew(range(ENVS))

    def anew(self, envs: Any) -> None:
        self.shown = self.shown.copy()
        for env in envs:
            self.shown[env] = self.frames()[0]  # copies of one frame

    def frames(self) -> np.ndarray:
        return self.random.integers(0, 256, (ENVS, *SIZE), np.uint8)

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        self.shown = np.concatenate([self.shown[:, 1:], self.frames()[:, None]], axis=1)
        never = np.zeros(ENVS, np.bool_)
        return self.shown, self.random.standard_normal(ENVS), never, never, {}


class Varied:
    def __init__(self) -> None:
        self.random = np.random.default_rng(7)

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.random.integers(0, 4, len(observations))

    def executed(self, actions: np.ndarray) -> np.ndarray:
        return actions


class Slow:
    """For each environment its steps in order: stack, action, reward, the stack after, whether set anew after it."""

    def __init__(self) -> None:
        self.steps: list[list[list[Any]]] = [[] for _ in range(ENVS)]

    def add(self, rollout: Rollout, rewards: np.ndarray) -> None:
        for env, steps in enumerate(self.steps):
            if steps:
                steps[-1][4] = bool((steps[-1][3] != rollout.observations[0, env]).any())
            stacks = [*rollout.observations[:, env].copy(), rollout.last_observations[env].copy()]
            for t in range(len(rewards)):
                steps.append([stacks[t], rollout.actions[t, env], np.float32(rewards[t, env]), stacks[t + 1], False])

    def transition(self, env: int, at: int, n: int) -> tuple[float, np.ndarray, float]:
        total, steps = 0.0, self.steps[env]
        for k in range(n):
            _, _, reward, after, ended = steps[at + k]
            total += DISCOUNT**k * reward
            if ended or at + k + 1 == len(steps):
                return total, after, DISCOUNT ** (k + 1)
        return total, after, DISCOUNT**n


def lived(rollouts: int = 12, steps: int = 5, resets: bool = True) -> list[tuple[Rollout, np.ndarray]]:
    env, policy, made = Screens(1), Varied(), []
    observations = env.shown
    for number in range(rollouts):
        seen, truth = collect(env, policy, observations, steps)  # type: ignore[arg-type]
        made.append((seen, truth.rewards))
        if resets and number % 3 == 1:
            env.anew([number % ENVS, (number + 1) % ENVS])
        observations = env.shown
    return made


def filled(capacity: int, rollouts: list[tuple[Rollout, np.ndarray]]) -> FrameReplay:
    replay = FrameReplay(capacity, ENVS, SIZE, 4)
    for rollout, rewards in rollouts:
        replay.add(one_hot(rollout), rewards)
    return replay


def one_hot(rollout: Rollout) -> Rollout:
    return Rollout(**{**vars(rollout), "actions": np.eye(4, dtype=np.float32)[rollout.actions]})


@pytest.mark.parametrize("n", [1, 3, 7])
@pytest.mark.parametrize("capacity", [ENVS * 100, ENVS * 17, ENVS * 5])
def test_every_stack_and_return_is_that_of_a_slow_memory(capacity: int, n: int) -> None:
    rollouts, slow = lived(), Slow()
    for rollout, rewards in rollouts:
        slow.add(rollout, rewards)
    replay, held = filled(capacity, rollouts), min(60, capacity // ENVS)
    drawn = replay.draw(2000, n, DISCOUNT, np.random.default_rng(0))
    states = np.empty((4, 2, 500, STACK, *SIZE), np.uint8)
    replay.take(drawn, states)
    before, after = (states[:, side].reshape(-1, STACK, *SIZE) for side in (0, 1))
    returns = np.vecdot(replay.rewards[drawn.places], drawn.weights, axis=0)
    seen = replay.features(drawn.places)
    known = {(env, steps[t][0].tobytes()): t for env, steps in enumerate(slow.steps) for t in range(60 - held, 60)}
    met = set()
    for row, place in enumerate(drawn.places[0]):
        env = place % ENVS
        at = known[env, before[row].tobytes()]
        met.add((env, at))
        total, follows, weight = slow.transition(env, at, n)
        assert replay.actions[place].argmax() == slow.steps[env][at][1]
        assert returns[row] == pytest.approx(total, abs=1e-5) and drawn.bootstrap[row] == pytest.approx(weight)
        assert after[row].tobytes() == follows.tobytes()
        counted = np.flatnonzero(drawn.weights[:, row])
        assert all(seen[k, row].tobytes() == slow.steps[env][at + k][0].tobytes() for k in counted)
    assert len(met) == held * ENVS


def test_parts_of_what_was_drawn_are_taken_alike() -> None:
    replay = filled(ENVS * 17, lived())
    drawn = replay.draw(60, 3, DISCOUNT, np.random.default_rng(0))
    whole, parts = np.empty((3, 2, 20, STACK, *SIZE), np.uint8), np.empty((3, 2, 20, STACK, *SIZE), np.uint8)
    replay.take(drawn, whole)
    for number in range(3):
        replay.take(drawn.part(slice(20 * number, 20 * number + 20)), parts[number : number + 1])
    assert whole.tobytes() == parts.tobytes()


def test_a_frame_is_kept_once() -> None:
    replay = FrameReplay(1_000, 10, (84, 84), 6)
    assert replay.observations.nbytes == (100 + 1 + STACK - 1) * 10 * 84 * 84
    with pytest.raises(UserError, match=r"capacity = 100000000: the replay needs 66\d\.\d GiB and this machine has"):
        FrameReplay(100_000_000, 16, (84, 84), 6)


@pytest.mark.parametrize("capacity", [ENVS * 100, ENVS * 17])
def test_from_disk_it_goes_on_alike(tmp_path: Path, capacity: int) -> None:
    rollouts, path = lived(), tmp_path / "checkpoint.safetensors"
    replay, again = FrameReplay(capacity, ENVS, SIZE, 4), None
    for rollout, rewards in rollouts:
        replay.add(one_hot(rollout), rewards)
        if again is not None:  # restored one rollout ago
            again.add(one_hot(rollout), rewards)
            one, other = (made.draw(200, 3, DISCOUNT, np.random.default_rng(1)) for made in (replay, again))
            states = np.empty((2, 1, 2, 200, STACK, *SIZE), np.uint8)
            replay.take(one, states[0])
            again.take(other, states[1])
            assert states[0].tobytes() == states[1].tobytes()
            assert all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))
        checkpoint.save(path, {"replay": replay.get_state()})
        again = FrameReplay(capacity, ENVS, SIZE, 4)
        again.set_state(checkpoint.load(path)["replay"])
    (side,) = [one for one in checkpoint.sides(path) if "steps" in one.name]
    assert side.stat().st_size == 60 * replay.get_state()["steps"].dtype.itemsize  # each step was written once


def test_a_beginning_of_different_frames_is_read_as_copies_of_the_newest() -> None:
    (rollout, rewards), *_ = lived(2)[1:]
    replay = filled(ENVS * 17, [(rollout, rewards)])
    stacks = replay.observed(np.arange(5 * ENVS)).reshape(5, ENVS, STACK, *SIZE)
    newest = rollout.observations[:, :, -1]
    for t, age in np.ndindex(5, STACK):
        assert (stacks[t, :, STACK - 1 - age] == newest[max(0, t - age)]).all()


def test_rollouts_of_stacks_are_joined_with_each_frame_once() -> None:
    torn = [rollout.observations for rollout, _ in lived(4)]  # set anew in between
    assert join(torn).tobytes() == np.concatenate(torn).tobytes()
    parts = [rollout.observations for rollout, _ in lived(4, resets=False)]
    joined = join(parts)
    assert joined.tobytes() == np.concatenate(parts).tobytes() and join(parts[:1]) is parts[0]
    first, behind = np.lib.array_utils.byte_bounds(joined)
    assert behind - first == (4 * 5 + STACK - 1) * ENVS * SIZE[0] * SIZE[1]
