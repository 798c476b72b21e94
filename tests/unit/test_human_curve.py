"""The labeler that errs as people do, against the measured table."""

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.feedback import human_curve
from prefrl_core.feedback.labelers import HumanCurve, Questions

# Gap, share right without a tie, share of ties: as in the table of the package, at gaps inside and on the edges.
MEASURED = [(0.25, 0.618, 0.353), (0.5, 0.810, 0.267), (1.2, 0.915, 0.169), (3.4, 0.991, 0.015), (9.0, 0.997, 0.007)]
N = 40_000


@pytest.mark.parametrize(("gap", "right", "tie"), MEASURED)
@pytest.mark.parametrize("side", [1, -1])
def test_frequencies_are_those_measured(gap: float, right: float, tie: float, side: int) -> None:
    answers = human_curve.answers(np.full(N, side * gap), np.random.default_rng(0))
    tied = answers == 0.5
    assert abs(tied.mean() - tie) < 4 * np.sqrt(tie * (1 - tie) / N)
    correct = (answers[~tied] == (side > 0)).mean()
    assert abs(correct - right) < 4 * np.sqrt(right * (1 - right) / (~tied).sum())


def test_equal_items_have_no_right_answer() -> None:
    answers = human_curve.answers(np.zeros(N), np.random.default_rng(1))
    assert abs(answers.mean() - 0.5) < 0.01


def shown(left: np.ndarray, right: np.ndarray) -> Questions:
    spread = float(np.concatenate([left, right]).std())
    return Questions(left[:, None], right[:, None], level=0.0, first_session=True, spread=spread)


def test_clips_are_measured_in_standard_deviations_of_what_could_be_shown() -> None:
    left, right = np.random.default_rng(2).normal(size=(2, N))
    plain = HumanCurve().answer(shown(left, right), np.random.default_rng(3))
    scaled = HumanCurve().answer(shown(100 * left + 7, 100 * right + 7), np.random.default_rng(3))
    np.testing.assert_array_equal(plain, scaled)
    easy = HumanCurve(scale=10).answer(shown(left, right), np.random.default_rng(3))

    def agreement(answers: np.ndarray) -> float:
        return float((answers == (left > right))[answers != 0.5].mean())

    assert agreement(easy) > agreement(plain) + 0.05


def test_a_session_of_equal_clips_is_answered() -> None:
    answers = HumanCurve().answer(shown(np.zeros(100), np.zeros(100)), np.random.default_rng(0))
    assert np.isin(answers, [0, 0.5, 1]).all()


def test_scale_above_zero() -> None:
    with pytest.raises(UserError, match=r"scale = 0: must be above 0"):
        HumanCurve(scale=0)
