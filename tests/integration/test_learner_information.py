"""What the loop lets its parts see: the labeler the true reward, the learner the answers, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from small_runs import POINT, my_lab, ran

from prefrl_core.feedback.labelers import Questions
from prefrl_core.feedback.queries import Candidates
from prefrl_core.loop import start, turn
from prefrl_core.parts import Run
from prefrl_core.registry import register
from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.spec import RunSpec
from prefrl_core.tasks import TaskInfo


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
