"""The loop as a whole: what it may see, what it spends, and that it is a function of its spec."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefrl_core import checkpoint
from prefrl_core.errors import UserError
from prefrl_core.feedback.labelers import Questions
from prefrl_core.feedback.queries import Candidates
from prefrl_core.loop import COLUMNS, learn, start, turn
from prefrl_core.parts import Run
from prefrl_core.registry import register, resolve
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.spec import RunSpec
from prefrl_core.tasks import TaskInfo

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))

import my_lab

SMALL = {"name": "ppo", "environments": 4, "rollout_steps": 64, "minibatch": 64, "hidden": [16, 16]}
POINT = {"task": "my/point", "total_steps": 6000, "labels": 30, "policy": SMALL}


@register("task", "test/rescored")
class Rescored(my_lab.Point):
    """The point task with another true reward."""

    info = TaskInfo("test/rescored@1", 50, 10, True)

    def make(self, num_envs: int, seed: int, threads: int) -> Any:
        env = super().make(num_envs, seed, threads)
        step = env.step

        def rescored(actions: np.ndarray) -> Any:
            observations, rewards, *rest = step(actions)
            return observations, 100 - rewards**3, *rest

        env.step = rescored
        return env


@register("labeler", "test/blind")
@dataclass(frozen=True)
class Blind:
    """Answers without looking."""

    def answer(self, questions: Questions, random: np.random.Generator) -> np.ndarray:
        return random.integers(0, 2, len(questions.left)).astype(float)


class Memory:
    """Keeps everything; can stop a run after so many rows."""

    def __init__(self, stop: int | None = None) -> None:
        self.rows: list[dict[str, Any]] = []
        self.states: list[tuple[int, dict[str, Any]]] = []
        self.arrays: dict[str, Any] = {}
        self.stop = stop

    def row(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) == self.stop:
            raise KeyboardInterrupt

    def comparisons(self, arrays: dict[str, Any]) -> None:
        self.arrays = arrays

    def segments(self, arrays: dict[str, Any]) -> None:
        self.segment_arrays = arrays

    def save(self, state: dict[str, Any]) -> None:
        self.states.append((len(self.rows), state))


def ran(**settings: Any) -> Memory:
    memory = Memory()
    learn(RunSpec.of(settings), memory)
    return memory


def text(rows: list[dict[str, Any]]) -> str:
    return "\n".join(json.dumps(row) for row in rows)


def test_same_spec_same_bytes_other_seed_other_bytes() -> None:
    first, second, other = ran(**POINT), ran(**POINT), ran(**POINT, seed=1)
    assert text(first.rows) == text(second.rows) != text(other.rows)
    for name, array in first.arrays.items():
        assert array.tobytes() == second.arrays[name].tobytes()


OTHERS = {
    "a2c": {"name": "a2c", "environments": 4, "rollouts": 13, "hidden": [16, 16]},
    "trpo": {"name": "trpo", "environments": 4, "rollout_steps": 64, "hidden": [16, 16]},
    "sac": {"name": "sac", "environments": 4, "rollout_steps": 16, "batch": 32, "hidden": [16, 16], "n_step": 2},
}


@pytest.mark.parametrize(
    ("task", "policy"),
    [("my/point", SMALL), ("mujoco/reacher", SMALL), *(("my/point", one) for one in OTHERS.values())],
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


def parameters(learner: Run) -> bytes:
    while not learner.finished:
        turn(learner)
    return learner.policy.parameters.values.tobytes() + learner.reward.parameters.values.tobytes()


def test_the_true_reward_reaches_the_learner_through_labels_only() -> None:
    blind = {**POINT, "labeler": "test/blind"}
    learned = [parameters(start(RunSpec.of({**blind, "task": task}))) for task in ("my/point", "test/rescored")]
    assert learned[0] == learned[1]
    seen = [parameters(start(RunSpec.of({**POINT, "task": task}))) for task in ("my/point", "test/rescored")]
    assert seen[0] != seen[1]  # what the oracle says does reach it
    control = {**POINT, "labels": 0, "reward": "true"}
    controls = [parameters(start(RunSpec.of({**control, "task": task}))) for task in ("my/point", "test/rescored")]
    assert controls[0] != controls[1]


def test_parts_are_told_what_went_before() -> None:
    """A labeler: how many questions it has answered, the step, and what the segments show.
    A query strategy: the answers to the pairs asked so far."""
    heard: list[Questions] = []
    seen: list[Candidates] = []
    learner = start(RunSpec.of(POINT))
    interview: Any = learner.interview
    answer, choose = interview.answers.labeler.answer, interview.strategy.choose

    class Listening:
        def answer(self, questions: Questions, random: np.random.Generator) -> np.ndarray:
            heard.append(questions)
            shown = questions.left_features.copy(), questions.right_features.copy()
            for features, rewards in zip(shown, (questions.left, questions.right), strict=True):
                position = features[..., 0] + features[..., 1]  # the point moves by the action, before it is paid
                np.testing.assert_allclose(-np.abs(position), rewards, atol=1e-5)
            with pytest.raises(ValueError, match="read-only"):
                questions.segments[0] = 0
            return answer(questions, random)

    class Looking:
        factor = interview.strategy.factor

        def choose(self, candidates: Candidates, count: int, random: np.random.Generator) -> np.ndarray:
            seen.append(candidates)
            assert len(candidates.answers) == len(candidates.asked) == learner.comparisons.count
            np.testing.assert_array_equal(candidates.answers, learner.comparisons.mu)
            return choose(candidates, count, random)

    interview.answers.labeler, interview.strategy = Listening(), Looking()
    while not learner.finished:
        turn(learner)
    assert [one.asked for one in heard] == np.cumsum([0, *(len(one.left) for one in heard[:-1])]).tolist()
    assert [one.step for one in heard] == sorted({one.step for one in heard}) and heard[-1].step <= 6000
    assert len(seen) == len(heard) - 1 and all(one.spread > 0 for one in heard)


def test_of_dropped_comparisons_the_answers_are_those_of_the_kept_ones() -> None:
    spec = RunSpec.of({**POINT, "reward_model": {"label_buffer": 7}})
    learner = start(spec)
    while not learner.finished:
        turn(learner)
    made = learner.comparisons
    assert made.count == 30 and len(made.kept_mu) == len(made.features) == 7
    paid = -np.abs(made.features[..., 0] + made.features[..., 1]).sum(2)
    np.testing.assert_array_equal(made.kept_mu, (paid[:, 0] > paid[:, 1]).astype(float))


def test_the_labeler_sees_the_true_reward_only() -> None:
    memory = ran(**POINT)
    position = memory.arrays["features"][..., 0]  # before the step; the action follows
    action = memory.arrays["features"][..., 1]
    true = -np.abs(position + action).sum(-1)
    np.testing.assert_allclose(memory.arrays["true_returns"], true, atol=1e-4)
    expected = np.where(true[:, 0] > true[:, 1], 1.0, 0.0)
    clear = np.abs(true[:, 0] - true[:, 1]) > 1e-3
    np.testing.assert_array_equal(memory.arrays["mu"][clear], expected[clear])


def test_the_sample_of_segments_covers_the_run_and_tells_what_the_log_tells() -> None:
    memory = ran(**POINT)
    arrays, rows = memory.segment_arrays, {row["step"]: row for row in memory.rows}
    assert set(arrays["step"]) == rows.keys()  # of so short a run with so few segments all are kept
    for step, row in rows.items():
        predicted, true = (arrays[name][arrays["step"] == step] for name in ("predicted", "true"))
        assert row["reward_correlation"] == pytest.approx(np.corrcoef(predicted, true)[0, 1], abs=1e-4)
    assert not len(ran(**{**POINT, "labels": 0, "reward": "true"}).segment_arrays["step"])


def test_one_reward_model_labels_a_whole_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    for name in ("predict", "observe", "normalise", "fit"):
        plain = getattr(Ensemble, name)

        def spied(self: Any, *arguments: Any, plain: Any = plain, name: str = name) -> Any:
            events.append(name)
            return plain(self, *arguments)

        monkeypatch.setattr(Ensemble, name, spied)
    rows = ran(**POINT).rows
    rounds = " ".join(events).split("predict")[1:]
    assert len(rounds) == len(rows)  # one prediction a rollout, and all that changes the model lies between two
    assert all(changes.split() in (["observe"], ["observe", "fit", "normalise"]) for changes in rounds)


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


def test_skipped_questions_count_and_teach_nothing() -> None:
    memory = ran(**POINT, labeler={"name": "test/skipping"})
    last = memory.rows[-1]
    assert (last["labels"], last["skipped"], last["answered"]) == (30, 30, 0)
    assert all(row["reward_loss"] is None for row in memory.rows)


@register("labeler", "test/skipping")
@dataclass(frozen=True)
class Skipping:
    """Cannot tell."""

    def answer(self, questions: Questions, random: np.random.Generator) -> np.ndarray:
        return np.full(len(questions.left), np.nan)


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
