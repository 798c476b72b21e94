"""The replay against a slow memory that keeps every transition in a list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Scripted, frozen

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.policy.replay import Replay
from prefrl_core.rollout import Rollout, collect

ENVS, DISCOUNT = 3, 0.9


class Varied:
    """A policy whose actions tell one step from another."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(7)

    def act(self, observations: np.ndarray) -> np.ndarray:
        return self.random.uniform(-1, 1, (len(observations), 2)).astype(np.float32)

    def executed(self, actions: np.ndarray) -> np.ndarray:
        return actions


def lived(steps: int = 60, rollout: int = 5, seed: int = 0) -> list[tuple[Rollout, np.ndarray]]:
    """Rollouts with many terminations and time limits in them, and their rewards."""
    ends = np.random.default_rng(seed).random((steps, ENVS))
    rewards = np.random.default_rng(seed + 1).standard_normal((steps, ENVS))
    env, policy = Scripted(ends < 0.15, ends > 0.85, rewards), Varied()
    made, observations = [], env.observe()
    for _ in range(steps // rollout):
        seen, truth = collect(env, policy, observations, rollout)  # type: ignore[arg-type]
        observations = seen.last_observations
        made.append((seen, truth.rewards.copy()))
    return made


def slow_memory(rollouts: list[tuple[Rollout, np.ndarray]]) -> list[dict[tuple[int, int], Any]]:
    """For each environment its steps in order: observation, action, reward, what came after, terminated, ended."""
    steps: list[list[Any]] = [[] for _ in range(ENVS)]
    for number, (rollout, rewards) in enumerate(rollouts):
        after = {tuple(end): final for end, final in zip(rollout.ends, rollout.final_observations, strict=True)}
        for t, env in np.ndindex(rewards.shape):
            last = t + 1 == len(rewards)
            follows = rollout.last_observations[env] if last else rollout.observations[t + 1, env]
            cut = (
                last and number + 1 < len(rollouts) and (follows != rollouts[number + 1][0].observations[0, env]).any()
            )
            steps[env].append(
                (
                    rollout.observations[t, env],
                    rollout.actions[t, env],
                    np.float32(rewards[t, env]),
                    after.get((t, env), follows),
                    bool(rollout.terminated[t, env]),
                    bool(rollout.done[t, env]) or cut,
                )
            )
    return steps  # type: ignore[return-value]


def slow_transition(steps: list[Any], at: int, n: int) -> tuple[float, np.ndarray, float]:
    """Return over up to n steps from ``at``, the observation after them, and the weight of its value."""
    total = 0.0
    for k in range(n):
        _, _, reward, after, terminated, ended = steps[at + k]
        total += DISCOUNT**k * reward
        if terminated or ended or at + k + 1 == len(steps):
            return total, after, 0.0 if terminated else DISCOUNT ** (k + 1)
    return total, after, DISCOUNT**n


def filled(capacity: int, rollouts: list[tuple[Rollout, np.ndarray]]) -> Replay:
    replay = Replay(capacity, ENVS, 3, 2)
    for rollout, rewards in rollouts:
        replay.add(rollout, rewards)
    return replay


@pytest.mark.parametrize("n", [1, 2, 5])
@pytest.mark.parametrize("capacity", [ENVS * 100, ENVS * 17, ENVS * 5])
def test_every_transition_is_that_of_a_slow_memory(capacity: int, n: int) -> None:
    rollouts = lived()
    replay, slow = filled(capacity, rollouts), slow_memory(rollouts)
    held = min(60, capacity // ENVS)
    drawn = replay.draw(2000, n, DISCOUNT, np.random.default_rng(0))
    states = np.empty((4, 2, 500, 3), np.float32)
    replay.take(drawn, states)
    before, after = states[:, 0].reshape(-1, 3), states[:, 1].reshape(-1, 3)
    returns = np.vecdot(replay.rewards[drawn.places], drawn.weights, axis=0)
    known = {
        (env, *steps[t][0].tolist(), *steps[t][1].tolist()): (env, t)
        for env, steps in enumerate(slow)
        for t in range(60 - held, 60)
    }
    met = set()
    for row in range(2000):
        place = drawn.places[0, row]
        found = known[(place % ENVS, *before[row].tolist(), *replay.actions[place].tolist())]
        total, follows, weight = slow_transition(slow[found[0]], found[1], n)
        met.add(found)
        assert returns[row] == pytest.approx(total, abs=1e-5)
        assert after[row].tolist() == follows.tolist() and drawn.bootstrap[row] == pytest.approx(weight)
    assert len(met) == held * ENVS  # uniform over all that is held: each of them occurs


def test_environments_set_anew_between_two_rollouts_are_a_time_limit() -> None:
    first, second = lived()[:1], lived(seed=3)[:1]
    rollouts = first + second
    replay, slow = filled(ENVS * 40, rollouts), slow_memory(rollouts)
    drawn = replay.draw(400, 3, DISCOUNT, np.random.default_rng(0))
    states = np.empty((1, 2, 400, 3), np.float32)
    replay.take(drawn, states)
    for row, place in enumerate(drawn.places[0]):
        t, env = divmod(int(place), ENVS)
        _, follows, weight = slow_transition(slow[env], t, 3)
        assert states[0, 1, row].tolist() == follows.tolist() and drawn.bootstrap[row] == pytest.approx(weight)


def test_only_what_has_a_reward_is_drawn_for_the_control() -> None:
    rollouts = lived()
    replay = Replay(ENVS * 40, ENVS, 3, 2)
    replay.add(rollouts[0][0], None)
    with pytest.raises(UserError, match="no step to learn from"):
        replay.draw(8, 1, DISCOUNT, np.random.default_rng(0), rewarded=True)
    replay.add(*rollouts[1])
    drawn = replay.draw(500, 1, DISCOUNT, np.random.default_rng(0), rewarded=True)
    assert sorted(set((drawn.places[0] // ENVS).tolist())) == [5, 6, 7, 8, 9]


def test_predicted_rewards_are_not_saved() -> None:
    """A row that was written must not change, and these change with the reward model, who says them again."""
    ((rollout, rewards), *_) = lived(5)
    replay = Replay(100, ENVS, rollout.observations.shape[2], 2)
    replay.add(rollout, rewards)
    known = replay.get_state()["steps"].rows(0, 5)
    assert known["rewards"].all()
    replay.predicted = True
    later = replay.get_state()["steps"].rows(0, 5)
    assert not later["rewards"].any() and replay.rewards[: 5 * ENVS].all()
    assert all((known[name] == later[name]).all() for name in known.dtype.names if name != "rewards")


@pytest.mark.parametrize(("capacity", "recent", "rewarded"), [(100, 24, False), (17, 24, False), (100, 900, True)])
def test_every_second_one_is_drawn_from_the_newest(capacity: int, recent: int, rewarded: bool) -> None:
    rollouts = lived()
    replay = filled(ENVS * capacity, rollouts)
    replay.rewarded = 30
    held = min(60, capacity) if not rewarded else 30
    drawn = replay.draw(40_000, 2, DISCOUNT, np.random.default_rng(0), rewarded, recent)
    times = np.empty(replay.rows, np.int64)
    times[np.arange(60 - held, 60) % replay.rows] = np.arange(held)  # from the oldest
    places = times[drawn.places[0] // ENVS]
    for half, first in ((places[::2], held - min(recent // ENVS, held)), (places[1::2], 0)):
        counts = np.bincount(half, minlength=held)
        expected = len(half) / (held - first)
        assert (counts[:first] == 0).all() and np.abs(counts[first:] - expected).max() < 6 * np.sqrt(expected)


class Adds:
    """Sums the features, and remembers what it was asked about."""

    def __init__(self, context: int) -> None:
        self.context = context
        self.seen: list[np.ndarray] = []
        self.done: list[np.ndarray] = []

    def predict(self, features: np.ndarray, done: Any = None) -> np.ndarray:
        self.seen.append(features)
        self.done.append(done)
        return features.sum(-1)


@pytest.mark.parametrize("context", [4, 7])
def test_relabelling_meets_every_step_in_order_of_time(context: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefrl_core.policy.replay._RELABELLED", 9)
    rollouts = lived()
    replay, reward = filled(ENVS * 17, rollouts), Adds(context)
    replay.relabel(reward)
    rows = (60 - 17 + np.arange(17)) % replay.rows
    shaped = replay.rewards.reshape(replay.rows, ENVS)
    wanted = np.concatenate([Vectors(5).of(rollout) for rollout, _ in rollouts])[-17:]
    np.testing.assert_allclose(shaped[rows], wanted.sum(-1), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate(reward.seen), wanted)
    assert [len(block) % context for block in reward.seen[:-1]] == [0] * (len(reward.seen) - 1)
    ended = np.concatenate([rollout.done for rollout, _ in rollouts])[-17:]
    np.testing.assert_array_equal(np.concatenate(reward.done), ended)


@pytest.mark.parametrize("capacity", [ENVS * 100, ENVS * 17])
def test_on_disk_it_is_a_log_to_which_each_checkpoint_appends(tmp_path: Path, capacity: int) -> None:
    rollouts, path = lived(), tmp_path / "checkpoint.safetensors"
    replay, sizes, inodes = Replay(capacity, ENVS, 3, 2), [], set()
    for rollout, rewards in rollouts:
        replay.add(rollout, rewards)
        checkpoint.save(path, {"replay": replay.get_state()})
        (side,) = [one for one in checkpoint.sides(path) if "steps" in one.name]
        sizes.append(side.stat().st_size)
        inodes.add(side.stat().st_ino)
        again = Replay(capacity, ENVS, 3, 2)
        again.set_state(checkpoint.load(path)["replay"])
        one, other = (made.draw(300, 3, DISCOUNT, np.random.default_rng(1)) for made in (replay, again))
        states = np.empty((2, 1, 2, 300, 3), np.float32)
        replay.take(one, states[0])
        again.take(other, states[1])
        assert states[0].tobytes() == states[1].tobytes()
        assert all(np.array_equal(vars(one)[name], vars(other)[name]) for name in ("places", "bootstrap", "weights"))
    row = replay.get_state()["steps"].dtype.itemsize
    assert sizes == [5 * row * (n + 1) for n in range(12)] and len(inodes) == 1


def test_a_restored_replay_goes_on_alike(tmp_path: Path) -> None:
    rollouts, path = lived(), tmp_path / "c"
    replay = filled(ENVS * 17, rollouts[:6])
    checkpoint.save(path, {"replay": replay.get_state()})
    again = Replay(ENVS * 17, ENVS, 3, 2)
    again.set_state(checkpoint.load(path)["replay"])
    for rollout, rewards in rollouts[6:]:
        replay.add(rollout, rewards)
        again.add(rollout, rewards)
    one, other = replay.get_state(), again.get_state()
    assert frozen(one["steps"]) == frozen(other["steps"]) and frozen(one["observations"]) == frozen(
        other["observations"]
    )


def test_bad_input() -> None:
    with pytest.raises(
        UserError, match=r"capacity = 1000000000000: the replay needs .* GiB and this machine has .* lower"
    ):
        Replay(10**12, 4, 17, 6)
    rollouts = lived(rollout=10)
    with pytest.raises(UserError, match=r"capacity = 15: a rollout has 30 steps; raise it"):
        Replay(15, ENVS, 3, 2).add(*rollouts[0])
    state = filled(ENVS * 17, lived()).get_state()
    with pytest.raises(UserError, match=r"holds 51 transitions, policy setting capacity = 120: set it to that"):
        Replay(120, ENVS, 3, 2).set_state(state)


def test_a_rollout_is_not_held_on_to() -> None:
    (rollout, rewards), *_ = lived()
    replay = filled(ENVS * 40, [(rollout, rewards)])
    kept = replay.observations.copy()
    replace(rollout).observations[:] = 0
    assert (replay.observations == kept).all()
