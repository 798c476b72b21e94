"""B-Pref's teachers against a plain loop over the pairs, in the order of its code, and against what they promise."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefrl_core import registry
from prefrl_core.errors import UserError
from prefrl_core.feedback.labelers import Equal, Mistake, Myopic, Oracle, Questions, Skip, Stochastic, Teacher
from prefrl_core.spec import RunSpec

NAN = float("nan")


def questions(left: Any, right: Any, level: float = 0.0, first: bool = True) -> Questions:
    return Questions(np.array(left, float), np.array(right, float), level, first)


def answers(teacher: Teacher, asked: Questions, seed: int = 0) -> list[float]:
    return teacher.answer(asked, np.random.default_rng(seed)).tolist()


def returns(*pairs: tuple[float, float], level: float = 0.0, first: bool = True) -> Questions:
    """Questions about segments of two steps with these returns."""
    left, right = np.array(pairs, float).T
    return questions(np.stack([left, 0 * left], 1), np.stack([0 * right, right], 1), level, first)


def random_pairs(count: int, level: float = 0.0) -> Questions:
    left, right = np.random.default_rng(5).standard_normal((2, count, 3))
    return questions(left, right, level)


def slow(teacher: Teacher, asked: Questions, seed: int) -> list[float]:
    """One pair after another, as section 3.1 of the notes on B-Pref's code has it."""
    random = np.random.default_rng(seed)
    chances, flips = random.random(len(asked.left)), random.random(len(asked.left))
    steps, found = asked.left.shape[1], []
    squared = 2 if teacher.bpref_code and not asked.first_session else 1
    d_skip, d_equal = (asked.level * steps * epsilon**squared for epsilon in (teacher.skip, teacher.equal))
    for r1, r2, chance, flip in zip(asked.left.tolist(), asked.right.tolist(), chances, flips, strict=True):
        if d_skip > 0 and not max(sum(r1), sum(r2)) > d_skip:
            found.append(NAN)
            continue
        one = sum(teacher.discount ** (steps - 1 - t) * r for t, r in enumerate(r1))
        two = sum(teacher.discount ** (steps - 1 - t) * r for t, r in enumerate(r2))
        if teacher.rationality > 0:
            answer = float(chance < 1 / (1 + math.exp(teacher.rationality * (two - one))))
        elif one == two:
            answer = 1.0 if teacher.bpref_code else 0.5
        else:
            answer = float(one > two)
        if flip < teacher.mistake:
            answer = 1 - answer
        if abs(sum(r1) - sum(r2)) < d_equal:
            answer = 0.5
        found.append(answer)
    return found


# Everything here is a small multiple of a power of two, so that sums in another order are the same to the bit.
TEACHERS = st.builds(
    Teacher,
    rationality=st.sampled_from([-1.0, 0.25, 1.0]),
    discount=st.sampled_from([1.0, 0.5]),
    mistake=st.sampled_from([0.0, 0.25, 1.0]),
    skip=st.sampled_from([0.0, 0.25, 0.5]),
    equal=st.sampled_from([0.0, 0.25, 0.5]),
    bpref_code=st.booleans(),
)
REWARDS = arrays(np.float64, st.tuples(st.just(2), st.integers(0, 12), st.integers(1, 4)), elements=st.integers(-4, 4))


@settings(max_examples=300, deadline=None)
@given(TEACHERS, REWARDS, st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.booleans(), st.integers(0, 99))
def test_any_combination_equals_the_slow_loop(
    teacher: Teacher, rewards: np.ndarray, level: float, first: bool, seed: int
) -> None:
    if level == 0:  # thresholds of 0 have a test of their own
        rewards = np.abs(rewards) + 1
    asked = questions(rewards[0], rewards[1], level, first)
    np.testing.assert_array_equal(answers(teacher, asked, seed), slow(teacher, asked, seed))


@pytest.mark.parametrize("name", ["oracle", "stochastic", "mistake", "skip", "equal", "myopic"])
def test_named_teachers_have_the_papers_settings(name: str) -> None:
    made = registry.find("labeler", name)()
    table = {
        "stochastic": {"rationality": 1.0},
        "mistake": {"mistake": 0.1},
        "skip": {"skip": 0.1},
        "equal": {"equal": 0.1},
        "myopic": {"discount": 0.9},
    }
    expected = Teacher(**table.get(name, {}))  # type: ignore[arg-type]
    assert vars(made) == vars(expected)
    asked = random_pairs(500, level=0.3)
    np.testing.assert_array_equal(answers(made, asked, 3), slow(expected, asked, 3))


def test_the_oracle_calls_a_tie_a_tie() -> None:
    assert answers(Oracle(), returns((1, 0), (0, 1), (2, 2), (-1, -3))) == [1, 0, 0.5, 1]
    assert answers(Teacher(mistake=1.0), returns((1, 0), (0, 1), (2, 2))) == [0, 1, 0.5]


def test_the_published_code_calls_a_tie_a_preference_of_the_left() -> None:
    assert answers(Teacher(bpref_code=True), returns((2, 2), (0, 1))) == [1, 0]  # its label 0: segment 1 wins


def test_poor_pairs_are_skipped_below_a_threshold_that_follows_the_policy() -> None:
    asked = [(0.3, 0.5), (0.3, 0.6), (2.0, 0.1), (-5.0, -6.0)]
    # d = 0.1 * level * 2 steps
    np.testing.assert_array_equal(answers(Skip(), returns(*asked, level=2.5)), [NAN, 0, 1, NAN])
    np.testing.assert_array_equal(answers(Skip(), returns(*asked, level=12.0)), [NAN, NAN, NAN, NAN])
    assert answers(Oracle(), returns(*asked, level=12.0)) == [0, 0, 1, 1]


def test_near_returns_are_equal_within_a_threshold_that_follows_the_policy() -> None:
    asked = [(1.0, 1.4), (1.0, 1.5), (3.0, 1.0)]
    assert answers(Equal(), returns(*asked, level=2.5)) == [0.5, 0, 1]  # strictly nearer than 0.5
    assert answers(Equal(), returns(*asked, level=20.0)) == [0.5, 0.5, 0.5]
    assert answers(Equal(), returns((1, 1.4), (1, 1), level=0.0)) == [0, 0.5]


def test_skip_comes_before_equal_and_equal_overrides_a_mistake() -> None:
    teacher = Teacher(skip=0.1, equal=0.1, mistake=1.0)
    asked = returns((0.1, 0.2), (0.1, 0.6), (3.0, 3.1), (3.0, 1.0), level=2.5)
    np.testing.assert_array_equal(answers(teacher, asked), [NAN, 1, 0.5, 0])


@pytest.mark.parametrize("level", [-2.5, 0.0])
@pytest.mark.parametrize("bpref_code", [False, True])
def test_no_threshold_takes_effect_where_returns_are_negative(level: float, bpref_code: bool) -> None:
    asked = returns((-5.0, -4.9), (-6.0, -8.0), level=level)
    assert answers(Teacher(skip=0.1, equal=0.1, bpref_code=bpref_code), asked) == [0, 1]


@pytest.mark.parametrize(("code", "first", "factor"), [(False, False, 1), (True, True, 1), (True, False, 0.1)])
def test_the_published_code_squares_epsilon_after_the_first_session(code: bool, first: bool, factor: float) -> None:
    threshold = factor * 0.1 * 50 * 2
    near = [(100, 100 + 0.99 * threshold), (100, 100 + 1.01 * threshold)]
    poor = [(0, 0.99 * threshold), (0, 1.01 * threshold)]
    assert answers(Equal(bpref_code=code), returns(*near, level=50.0, first=first)) == [0.5, 0]
    np.testing.assert_array_equal(answers(Skip(bpref_code=code), returns(*poor, level=50.0, first=first)), [NAN, 0])


@pytest.mark.parametrize(("rationality", "gap"), [(1.0, 1.0), (1.0, -2.0), (0.1, 5.0), (3.0, 0.0)])
def test_stochastic_answers_follow_bradley_terry(rationality: float, gap: float) -> None:
    count, p = 20_000, 1 / (1 + math.exp(-rationality * gap))
    found = np.array(answers(Stochastic(rationality=rationality), returns(*[(4 + gap, 4)] * count)))
    assert set(found) == {0, 1} and abs(found.mean() - p) < 4 * math.sqrt(p * (1 - p) / count)


def test_an_extremely_rational_teacher_is_the_oracle() -> None:
    asked = random_pairs(200)
    assert answers(Stochastic(rationality=1e9), asked) == answers(Oracle(), asked)


def test_one_answer_in_ten_is_a_mistake() -> None:
    asked = random_pairs(20_000)
    wrong = np.not_equal(answers(Mistake(), asked), answers(Oracle(), asked))
    assert abs(wrong.mean() - 0.1) < 4 * math.sqrt(0.09 / 20_000)
    assert abs(wrong[:-1][wrong[1:]].mean() - 0.1) < 0.05  # mistakes are independent


def test_the_myopic_teacher_weighs_late_steps_more() -> None:
    # 0.81 + 0.9 + 1 = 2.71 for a 1 at each step; the last step has weight 1
    asked = questions([[1, 0, 0], [0, 0, 0.8], [1.3, 0, 0]], [[0, 0, 0.82], [1, 0, 0], [0, 0, 1.05]])
    assert answers(Myopic(), asked) == [0, 0, 1]
    assert answers(Oracle(), asked) == [1, 0, 1]
    assert answers(Myopic(), questions([[0.9, 0, 0.1]], [[0, 0.9, 0]])) == [1]  # 0.829 against 0.81


def test_myopic_and_stochastic_together_draw_on_the_discounted_return() -> None:
    count, p = 20_000, 1 / (1 + math.exp(-(0.25 * 4 - 2)))
    asked = questions([[4, 0, 0]] * count, [[0, 0, 2]] * count)
    found = np.mean(answers(Teacher(rationality=1.0, discount=0.5), asked))
    assert abs(found - p) < 4 * math.sqrt(p * (1 - p) / count)


def test_settings_share_their_random_numbers() -> None:
    asked, random = random_pairs(7), [np.random.default_rng(1) for _ in range(3)]
    for teacher, generator in zip((Oracle(), Stochastic(), Teacher(mistake=0.5, skip=0.1)), random, strict=True):
        teacher.answer(asked, generator)
    assert len({generator.random() for generator in random}) == 1


@pytest.mark.parametrize(
    "bad",
    [
        *({"mistake": -0.1}, {"mistake": 1.1}, {"discount": 0.0}, {"discount": 1.1}, {"rationality": 0.0}),
        *({"rationality": -2.0}, {"skip": -0.1}, {"equal": -0.1}, {"mistake": NAN}, {"discount": NAN}),
        *({"rationality": NAN},),
    ],
    ids=str,
)
def test_bad_settings_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(bad))):
        Teacher(**bad)  # type: ignore[arg-type]


def test_a_pair_exactly_at_the_threshold_is_no_tie_as_in_the_code_of_bpref() -> None:
    """0.375 * 10 * 0.2 is 0.75; 0.2 * 0.375 * 10, in the other order, is one bit above it."""
    left, right = np.zeros((2, 1, 10))
    left[0, 0] = 0.75
    assert answers(Teacher(equal=0.2), questions(left, right, level=0.375)) == [1.0]
    assert answers(Teacher(equal=0.2), questions(left - 0.001, right, level=0.375)) == [0.5]


@pytest.mark.parametrize("scale", [0.01, 1.0, 300.0])
def test_rationality_per_spread_is_as_often_right_on_every_scale(scale: float) -> None:
    """With normal returns 1.18 is right three times in four: the mean of sigmoid(1.18 |d|) for d of variance 2."""
    drawn = scale * np.random.default_rng(0).standard_normal((2, 20_000, 1))
    asked = dataclasses.replace(questions(*drawn), spread=float(drawn.std()))
    teacher = Teacher(rationality=1.18, per_spread=True)
    better = (drawn[0] > drawn[1])[:, 0]
    right = np.mean(np.array(answers(teacher, asked)) == better)
    assert right == pytest.approx(0.75, abs=0.01)
    assert np.where(better, teacher.probabilities(asked), 1 - teacher.probabilities(asked)).mean() == pytest.approx(
        0.75, abs=0.005
    )


def test_published_teachers_keep_their_keys() -> None:
    """A setting that came later stands in the canonical form only where it is used."""
    spec = RunSpec.of({"task": "mujoco/hopper", "labeler": "stochastic"})
    assert "per_spread" not in spec.canonical()["labeler"]
