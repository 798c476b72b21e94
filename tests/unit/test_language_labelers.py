"""Labelers over K completions against their closed forms."""

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.feedback import human_curve
from prefrl_core.language.labelers import HumanCurve, Ranked, differences, pairs_asked

N = 40_000
GOLD = np.tile([0.0, 1.0, -0.5, 0.3], (N, 1))
LENGTHS = np.tile([1.0, 1.0, 9.0, 1.0], (N, 1))
GAPS = np.array([-1.0, 0.5, -0.3, 1.5, 0.7, -0.8])  # by hand, pairs 01 02 03 12 13 23


def close(shares: np.ndarray, wanted: np.ndarray) -> None:
    assert (np.abs(shares - wanted) < 4 * np.sqrt(np.maximum(wanted * (1 - wanted), 1e-9) / N)).all()


def test_oracle_and_the_order_of_pairs() -> None:
    np.testing.assert_allclose(differences(GOLD[:1])[0], GAPS)
    np.testing.assert_array_equal(Ranked().rank(GOLD, LENGTHS, np.random.default_rng(0))[5], GAPS > 0)
    assert pairs_asked(N, 4) == differences(GOLD).size


def test_plackett_luce_pairs_are_sigmoid_of_the_gap() -> None:
    answers = Ranked(tau=0.7).rank(GOLD, LENGTHS, np.random.default_rng(1))
    close(answers.mean(0), 1 / (1 + np.exp(-GAPS / 0.7)))


def test_plackett_luce_is_transitive_and_flips_are_not() -> None:
    def cycles(answers: np.ndarray) -> int:
        a, c, b = answers[:, 0], answers[:, 1], answers[:, 3]  # 0 over 1, 0 over 2, 1 over 2
        return int(((a == b) & (a != c)).sum())

    assert cycles(Ranked(tau=3.0).rank(GOLD, LENGTHS, np.random.default_rng(2))) == 0
    assert cycles(Ranked(flip=0.3).rank(GOLD, LENGTHS, np.random.default_rng(2))) > 0


def test_flips_ties_and_length() -> None:
    answers = Ranked(flip=0.2).rank(GOLD, LENGTHS, np.random.default_rng(3))
    close((answers == (GAPS > 0)).mean(0), np.full(6, 0.8))
    tied = Ranked(tie=0.6).rank(GOLD[:1], LENGTHS[:1], np.random.default_rng(0))[0]
    np.testing.assert_array_equal(tied, [0, 0.5, 0.5, 1, 1, 0])
    longer = Ranked(length=0.25).rank(GOLD[:1], LENGTHS[:1], np.random.default_rng(0))[0]
    np.testing.assert_array_equal(longer, [0, 0, 0, 0, 1, 1])  # the third's eight tokens more are worth 2


def test_human_curve_follows_the_table() -> None:
    answers = HumanCurve(scale=2).rank(GOLD, LENGTHS, np.random.default_rng(4))
    low, right, tie = human_curve.table()
    for pair, gap in enumerate(np.abs(GAPS) * 0.82 * 2):
        place = int(np.flatnonzero(low <= gap)[-1])
        close((answers[:, pair] == 0.5).mean(), tie[place])
        close((answers[:, pair] == (GAPS[pair] > 0)).mean(), right[place] * (1 - tie[place]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"flip": 0.6}, "flip = 0.6"), ({"tau": -1.0}, "tau = -1.0"), ({"tie": -0.1}, "tie = -0.1")],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Ranked(**settings)


def test_one_completion_and_no_number_are_refused() -> None:
    with pytest.raises(UserError, match="K = 1"):
        differences(np.zeros((2, 1)))
    with pytest.raises(UserError, match="no finite number"):
        differences(np.array([[0.0, np.nan]]))
