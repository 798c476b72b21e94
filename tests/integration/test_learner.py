"""The loop as a whole: what it spends, what it counts, and that it learns."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from small_runs import OTHERS, POINT, SMALL, Memory, my_lab, ran

from prefrl_core.errors import UserError
from prefrl_core.loop import COLUMNS, learn, start, turn
from prefrl_core.registry import register, resolve
from prefrl_core.spec import RunSpec
from prefrl_core.tasks import TaskInfo

UPDATES = {  # what is called once for each update of the policy
    "ppo": "prefrl_core.policy.ppo.PPO._step",
    "a2c": "prefrl_core.policy.a2c.A2C.improve",
    "trpo": "prefrl_core.policy.trpo.TRPO.improve",
    "sac": "prefrl_core.policy.soft.SoftActorCritic.update",
}


@pytest.mark.parametrize("policy", [SMALL, *OTHERS.values()], ids=lambda policy: policy["name"])
def test_effort_is_what_was_done(policy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"reward_gradient_steps": 0, "policy_updates": 0}

    def count(name: str, place: str) -> None:
        path, _, method = place.rpartition(".")
        cls = resolve(path[::-1].replace(".", ":", 1)[::-1])
        original = getattr(cls, method)

        def counted(*arguments: Any, **named: Any) -> Any:
            counts[name] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(cls, method, counted)

    count("reward_gradient_steps", "prefrl_core.reward.fitted.FittedReward._update")
    count("policy_updates", UPDATES[policy["name"]])
    explores = {"explore_steps": 500} if policy["name"] == "sac" else {}
    memory = Memory()
    effort = learn(RunSpec.of({**POINT, "total_steps": 3000, "policy": {**policy, **explores}}), memory)
    assert effort == counts and min(counts.values()) > 0
    fits = sum(row["reward_loss"] is not None for row in memory.rows)
    assert effort["reward_gradient_steps"] == 200 + 6 * (fits - 1)  # as the settings say
    control = learn(
        RunSpec.of({**POINT, "total_steps": 1000, "labels": 0, "reward": "true", "policy": policy}), Memory()
    )
    assert control["reward_gradient_steps"] == 0 and control["policy_updates"]


@pytest.mark.parametrize(("steps", "labels"), [(6000, 30), (6001, 1), (5999, 0), (4100, 37)])
def test_budgets_are_exact(steps: int, labels: int) -> None:
    memory = ran(**{**POINT, "total_steps": steps, "labels": labels})
    last = memory.rows[-1]
    assert steps - 4 < last["step"] <= steps
    assert last["labels"] == labels == len(memory.arrays["mu"])
    asked = [row["labels"] for row in memory.rows]
    assert asked == sorted(asked)
    if labels > 1:  # nothing is left to be asked when the last rollout begins
        assert asked[-2] == labels


@pytest.mark.parametrize("name", OTHERS)
def test_budgets_are_exact_for_every_optimiser(name: str) -> None:
    memory = ran(**{**POINT, "total_steps": 6001, "labels": 37, "policy": OTHERS[name]})
    assert memory.rows[-1]["step"] == 6000 and memory.rows[-1]["labels"] == 37


def test_short_rollouts_are_joined_for_segments_and_the_reward_is_fitted_between_turns() -> None:
    """A segment has 10 steps, a rollout of A2C 5: segments reach across rollouts, all labelled by one reward model."""
    learner = start(RunSpec.of({**POINT, "policy": OTHERS["a2c"]}))
    fitted: list[int] = []
    fit, learner.reward.fit = learner.reward.fit, lambda *a: (fitted.append(learner.step), fit(*a))[1]
    while not learner.finished:
        turn(learner)
    assert len(fitted) > 10 and set(np.diff(fitted)[:-1]) == {13 * 5 * 4}  # the last turn may be shorter
    assert learner.pool.segments.features.shape[1] == 10 > learner.policy.rollout_steps


def test_episodes_of_fixed_length_are_staggered_and_those_cut_short_are_not_told() -> None:
    """Reacher's episodes have 50 steps. In lockstep all four environments end one in the same rollouts; staggered,
    episodes end at four different times, and every return told is one of 50 steps."""
    learner = start(RunSpec.of({"task": "mujoco/reacher", "total_steps": 8000, "reward": "true", "policy": SMALL}))
    at_once, told, ended = [], 0, 0
    step = learner.env.step

    def watched(actions: np.ndarray) -> Any:
        result = step(actions)
        at_once.append(int(result[3].sum()))
        return result

    learner.env.step = watched
    while not learner.finished:
        row = turn(learner)
        told += row["episodes"]
        if row["phase"] == "untrained":
            assert set(at_once) <= {0, 4}
            ended = len(at_once)
    assert set(at_once[ended:]) == {0, 1}
    assert sum(at_once) - told == 3  # of environments 1, 2 and 3, once
    assert set(learner.returns.recent_lengths) == {50}


@pytest.mark.parametrize("task", ["mujoco/reacher", "mujoco-v5/hopper"])
def test_returns_are_those_of_whole_episodes_where_most_are_short(task: str) -> None:
    """Three of four environments begin anew after 25 steps, whether or not the task itself ends episodes early. What is
    told is what the first one did."""
    policy = {**OTHERS["sac"], "short_episodes": 25}
    settings = {"total_steps": 3000, "reward": "true", "policy": policy, "segment": 10, "variable_length": True}
    learner = start(RunSpec.of({"task": task, **settings}))
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    step = learner.env.step

    def watched(actions: np.ndarray) -> Any:
        result = step(actions)
        seen.append((result[1], result[2] | result[3]))
        return result

    learner.env.step = watched
    told = 0
    while not learner.finished:
        told += turn(learner)["episodes"]
    rewards, done = (np.array(part) for part in zip(*seen, strict=True))
    assert np.diff(np.flatnonzero(done[:, 3])).max() == 25
    ends = np.flatnonzero(done[:, 0])
    whole = [rewards[a + 1 : b + 1, 0].sum() for a, b in itertools.pairwise(ends)]
    assert told >= len(learner.returns.recent) == 10
    assert np.isclose(learner.returns.recent, whole[-10:]).all()


def test_a_task_that_cannot_end_early_refuses_short_episodes() -> None:
    with pytest.raises(UserError, match="policy.short_episodes = 25: task my/point@1 cannot end episodes early"):
        ran(**{**POINT, "policy": {**OTHERS["sac"], "short_episodes": 25}})


@register("task", "test/early")
class Early(my_lab.Point):
    """Says that its episodes have one length, and ends those of environment 1 after 20 steps."""

    info = TaskInfo("test/early@1", 50, 10, True)

    def make(self, num_envs: int, seed: int, threads: int) -> Any:
        env = super().make(num_envs, seed, threads)
        step, taken = env.step, [0]

        def ending(actions: np.ndarray) -> Any:
            taken[0] += 1
            observations, rewards, terminated, truncated, infos = step(actions)
            if taken[0] % 50 == 20:
                terminated = np.arange(num_envs) == 1
                infos = {"final_obs": observations.copy(), "_final_obs": terminated}
            return observations, rewards, terminated, truncated, infos

        env.step = ending
        return env


def test_a_task_that_ends_early_against_its_word_is_refused_at_the_first_such_episode() -> None:
    """Only whole episodes would be counted, and a return of 40 reported where it is -130."""
    with pytest.raises(
        UserError, match="test/early@1: an episode ended after 20 of 50 steps, though its info says fixed"
    ):
        ran(**{**POINT, "task": "test/early"})


def test_a_task_that_ends_episodes_is_not_staggered() -> None:
    settings = {"total_steps": 9000, "reward": "true", "policy": SMALL, "variable_length": True}
    learner = start(RunSpec.of({"task": "mujoco-v5/hopper", **settings}))
    learner.env.stagger = lambda: pytest.fail("staggered")
    while not learner.finished:
        turn(learner)


def test_rows_always_have_the_same_keys() -> None:
    for memory in (ran(**POINT), ran(**{**POINT, "labels": 0, "reward": "true"})):
        assert all(tuple(row) == COLUMNS for row in memory.rows)
        assert memory.rows[0]["phase"] == "untrained" and memory.rows[-1]["phase"] == "learning"


@pytest.mark.parametrize("task", ["gymnasium/CartPole-v1", "gymnasium/Pendulum-v1"])
def test_any_gymnasium_task_runs(task: str) -> None:
    memory = ran(task=task, total_steps=6000, labels=20, policy=SMALL, variable_length=True)
    assert memory.rows[-1]["labels"] == 20 and not memory.states  # such a task gives no state, so nothing is saved
    assert sum(row["episodes"] for row in memory.rows) > 0


@pytest.mark.parametrize("seed", [0, 1])
def test_half_cheetah_learns_to_run_from_labels(seed: int) -> None:
    """Six seeds reached 219 to 618 in their last episodes, from -80 to -1 untrained."""
    rows = ran(task="mujoco/half_cheetah", total_steps=120_000, labels=200, seed=seed).rows
    returns = [row["true_return"] for row in rows if row["true_return"] is not None]
    assert returns[-1] > 100 and returns[0] < 0
    assert rows[-1]["reward_correlation"] > 0.8
