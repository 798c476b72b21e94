"""The example of a method of one's own: what its one hook does."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import STEPS, WIDTH, acted, asked, behaviour

from bench import conformance
from prefrl_core.errors import UserError
from prefrl_core.features import Vectors
from prefrl_core.reward.ensemble import Ensemble

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from my_method import NewerSettings, weights


def model(half_life: float) -> Ensemble:
    made = NewerSettings(half_life=half_life).make(Vectors(WIDTH), 0, STEPS)
    assert isinstance(made, Ensemble)
    made.observe(acted(behaviour(50, 99).features))
    return made


def test_an_answer_counts_half_as_much_for_each_half_life() -> None:
    weight = weights(np.array([100, 90, 80, 60]), 10.0)
    assert (weight / weight[0]).tolist() == [1, 0.5, 0.25, 0.0625]
    assert weight.mean() == pytest.approx(1)


def test_a_batch_of_old_answers_still_counts() -> None:
    assert weights(np.array([0, 0, 5000]), 0.1).tolist() == [0, 0, 3]
    assert weights(np.array([7, 7]), 0.1).tolist() == [1, 1]


def test_a_batch_has_these_weights() -> None:
    chosen = np.array([0, 100, 199])
    weight = model(50.0).batch(0, asked(200), chosen, None).weight
    assert weight is not None
    assert weight.tolist() == weights(chosen, 50.0).tolist()


def test_where_answers_changed_it_follows_the_newer_ones() -> None:
    """The first 200 answers say the opposite of the next 100. Agreement with the newer: 0.88 to 0.93 over six seeds
    with a half-life of 20, 0.22 to 0.36 with one of 1e9."""
    comparisons = asked(300)
    for question in range(200):
        comparisons.answer(question, 1 - comparisons.mu[question])
    fresh = behaviour(1000, 55)
    pairs = np.arange(1000).reshape(500, 2)
    returns = fresh.true_rewards.sum(1)[pairs]
    agreement = []
    for half_life in (20.0, 1e9):
        reward = model(half_life)
        reward.take_steps(comparisons, 300)
        preferred = reward.preferences(fresh.features, pairs).mean(0) > 0.5
        agreement.append(np.mean(preferred == (returns[:, 0] > returns[:, 1])))
    assert agreement[0] > 0.8
    assert agreement[1] < 0.45


def test_it_keeps_the_laws_of_reward_models() -> None:
    verdicts = conformance.check(conformance.Subject("reward", "newer", {"hidden": [16]}))
    assert [one for one in verdicts if one.state == "broken"] == []


def test_no_half_life() -> None:
    with pytest.raises(UserError, match="half_life = 0: above 0"):
        NewerSettings(half_life=0)
