"""Segments, comparisons, query strategies and the label schedule against slow loops and published numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prefrl_core import tasks
from prefrl_core.features import Vectors
from prefrl_core.feedback import schedule
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.queries import draw_pairs
from prefrl_core.feedback.segments import Pool, Segments, draw_starts, valid_starts, windows
from prefrl_core.returns import Returns

DONE = arrays(np.bool_, st.tuples(st.integers(1, 14), st.integers(1, 3)))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Segments


def slow_starts(done: np.ndarray, length: int) -> list[list[int]]:
    steps, envs = done.shape
    places = itertools.product(range(steps - length + 1), range(envs))
    return [[start, env] for start, env in places if not any(done[start + k, env] for k in range(length - 1))]


@settings(max_examples=200, deadline=None)
@given(DONE, st.integers(1, 16))
def test_valid_starts_equal_a_slow_loop(done: np.ndarray, length: int) -> None:
    found = valid_starts(done, length)
    assert found.tolist() == slow_starts(done, length) and found.shape == (len(found), 2)


@settings(max_examples=200, deadline=None)
@given(DONE, st.integers(1, 6), st.integers(0, 99))
def test_no_clip_crosses_the_end_of_an_episode(done: np.ndarray, length: int, seed: int) -> None:
    episodes = np.cumsum(done, axis=0) - done  # the number of the episode that each step belongs to
    places = np.stack(np.broadcast_arrays(np.arange(len(done))[:, None], np.arange(done.shape[1]), episodes), axis=-1)
    starts = draw_starts(done, length, rng(seed))
    clips = windows(places, starts, length)
    assert (clips[..., 1:] == clips[:, :1, 1:]).all()  # one environment, one episode
    assert (clips[..., 0] == starts[:, :1] + np.arange(length)).all()
    assert len(starts) == min(len(slow_starts(done, length)), done.size // length)
    assert len(np.unique(starts, axis=0)) == len(starts)


def test_every_valid_start_is_drawn_alike_the_very_last_too() -> None:
    done = np.zeros((10, 2), bool)
    done[5, 0] = done[9] = True
    starts = np.concatenate([draw_starts(done, 4, rng(seed)) for seed in range(600)])
    valid = slow_starts(done, 4)
    assert [6, 1] in valid and [2, 0] in valid and [6, 0] in valid and [3, 0] not in valid
    counts = [int((starts == place).all(1).sum()) for place in valid]
    assert sum(counts) == len(starts) == 5 * 600
    # draws without repeats spread less than independent ones, so the statistic is if anything too small
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_windows_are_copies() -> None:
    values = np.arange(12.0).reshape(6, 2)
    clips = windows(values, np.array([[0, 1], [3, 0]]), 3)
    assert clips.tolist() == [[1, 3, 5], [6, 8, 10]] and not np.shares_memory(clips, values)


def segments(first: int, count: int, steps: int = 2) -> Segments:
    """Segment number n has n in all its features and a return of n."""
    numbers = np.arange(first, first + count)
    features = np.broadcast_to(numbers[:, None, None], (count, steps, 3)).astype(np.float32)
    return Segments(
        features,
        np.broadcast_to(numbers[:, None] / steps, (count, steps)).copy(),
        np.empty((count, steps, 0), np.float32),
    )


def test_pool_keeps_copies_of_the_newest() -> None:
    pool, new = Pool(5, 2, Vectors(3)), segments(3, 4)
    pool.add(segments(0, 3))
    pool.add(new)
    assert pool.segments.features[:, 0, 0].tolist() == [2, 3, 4, 5, 6]
    assert pool.segments.true_rewards.sum(1).tolist() == [2, 3, 4, 5, 6] and len(pool.segments) == 5
    new.features[:] = new.true_rewards[:] = -1
    assert pool.segments.features.min() == 2 and pool.segments.true_rewards.min() == 1
    assert not np.shares_memory(pool.segments.features, new.features)  # nothing keeps a rollout alive
    for first in range(9, 40, 3):
        pool.add(segments(first, 3))
        assert pool.segments.features[-3:, 0, 0].tolist() == [first, first + 1, first + 2]
        assert np.diff(pool.segments.features[2:, 0, 0]).tolist() == [1, 1]
    pool.add(segments(7, 9))
    assert pool.segments.features[:, 1, 2].tolist() == [11, 12, 13, 14, 15]
    again = Pool(5, 2, Vectors(3))
    again.set_state(pool.get_state())
    assert (again.segments.features == pool.segments.features).all()


# Pairs


def test_pairs_are_all_alike_and_never_of_a_segment_with_itself() -> None:
    drawn = np.concatenate([draw_pairs(7, 5, rng(seed)) for seed in range(2000)])
    counts = np.zeros((7, 7))
    np.add.at(counts, tuple(drawn.T), 1)
    assert (counts.diagonal() == 0).all()
    assert scipy.stats.chisquare(counts[~np.eye(7, dtype=bool)]).pvalue > 1e-3  # orientation included


def test_pairs_do_not_repeat_and_come_in_random_order() -> None:
    for segments_, count in ((7, 5), (30, 200), (2000, 500)):
        pairs = draw_pairs(segments_, count, rng(segments_))
        assert pairs.shape == (count, 2) and len({frozenset(pair) for pair in pairs.tolist()}) == count
        assert pairs.min() >= 0 and pairs.max() < segments_
    ranks = pairs.max(1)
    assert abs(np.corrcoef(np.arange(500), ranks)[0, 1]) < 0.2  # the first of them are no special ones


@pytest.mark.parametrize("asked", [21, 22, 1000])
def test_all_pairs_when_more_are_wanted(asked: int) -> None:
    pairs = draw_pairs(7, asked, rng())
    assert {frozenset(pair) for pair in pairs.tolist()} == {frozenset(x) for x in itertools.combinations(range(7), 2)}
    assert len(pairs) == 21


@pytest.mark.parametrize("held", [0, 1])
def test_no_pair_of_fewer_than_two_segments(held: int) -> None:
    assert draw_pairs(held, 10, rng()).shape == (0, 2)


# Comparisons


def comparisons(budget: int = 10, members: int = 3) -> Comparisons:
    return Comparisons(budget, 2, Vectors(3), members)


def ask(kept: Comparisons, mu: list[float], step: int = 0, seed: int = 0, pool: Segments | None = None) -> None:
    pairs = np.stack([np.arange(len(mu)), np.arange(len(mu)) + 1], axis=1)
    kept.add(pool or segments(0, len(mu) + 1), pairs, np.array(mu, float), step, rng(seed))


def test_comparisons_keep_their_segments_when_the_pool_forgets_them() -> None:
    pool, kept = Pool(4, 2, Vectors(3)), comparisons()
    pool.add(segments(0, 4))
    kept.add(pool.segments, np.array([[3, 1], [0, 2]]), np.array([1.0, 0]), 77, rng())
    pool.segments.features[:] = -9
    pool.segments.true_rewards[:] = -9
    pool.add(segments(50, 4))
    assert kept.features[:, :, 0, 0].tolist() == [[3, 1], [0, 2]] and kept.features.shape == (2, 2, 2, 3)
    assert kept.true_returns.tolist() == [[3, 1], [0, 2]]
    assert kept.step_asked.tolist() == [77, 77] and kept.mu.tolist() == [1, 0]


def test_the_budget_is_exact() -> None:
    kept = comparisons(5)
    ask(kept, [1, np.nan, 0.5])
    before = kept.arrays()
    with pytest.raises(ValueError, match="6 labels exceed the budget of 5"):
        ask(kept, [1, 1, 1])
    assert kept.count == 3 and all(
        (before[name] == kept.arrays()[name])[~np.isnan(before[name])].all() for name in before
    )
    ask(kept, [0, 0])
    assert kept.account() == {"labels": 5, "answered": 4, "ties": 1, "skipped": 1}
    ask(comparisons(0), [])
    with pytest.raises(ValueError, match="budget"):
        ask(kept, [1])


@pytest.mark.parametrize("mu", [-0.1, 1.1, np.inf])
def test_an_impossible_answer_is_refused(mu: float) -> None:
    with pytest.raises(ValueError, match="answer"):
        ask(comparisons(), [1, mu])


def test_bags_follow_the_multiplicity() -> None:
    kept = comparisons(40)
    ask(kept, [1, 0, np.nan, 0.5] * 10)
    for member in range(3):
        bag, left_out, drawn = kept.bag(member).tolist(), kept.left_out(member).tolist(), kept.multiplicity[:, member]
        for index in range(40):
            answered = index % 4 != 2
            assert bag.count(index) == drawn[index] * answered
            assert (index in left_out) == (drawn[index] == 0 and answered)


def test_an_empty_bootstrap_is_empty() -> None:
    kept = comparisons()
    assert kept.bag(0).tolist() == kept.left_out(0).tolist() == []
    ask(kept, [1, np.nan, 0])
    kept.multiplicity[:] = 0
    assert kept.bag(1).tolist() == [] and kept.left_out(1).tolist() == [0, 2]


def test_multiplicities_are_poisson_differ_by_member_and_never_change() -> None:
    kept = comparisons(6000)
    ask(kept, [1.0] * 3000)
    before = kept.multiplicity.copy()
    ask(kept, [1.0] * 3000, seed=1)
    assert (kept.multiplicity[:3000] == before).all()
    for member in range(3):
        expected = 6000 * scipy.stats.poisson(1).pmf(range(5))
        counts = np.bincount(kept.multiplicity[:, member], minlength=5)[:5]
        assert scipy.stats.chisquare([*counts, 6000 - counts.sum()], [*expected, 6000 - expected.sum()]).pvalue > 1e-3
        share = len(kept.left_out(member)) / 6000
        assert share == pytest.approx(np.exp(-1), abs=4 * np.sqrt(0.37 * 0.63 / 6000))
    assert (np.abs(np.corrcoef(kept.multiplicity.T)[np.triu_indices(3, 1)]) < 0.06).all()


def test_rows_are_spread_over_all_segments() -> None:
    kept = comparisons(100)
    ask(kept, [1.0] * 100)
    assert kept.rows(10**6).tolist() == kept.features.reshape(400, 3).tolist()
    few = kept.rows(40)
    assert 40 <= len(few) < 80 and few.max() > 90 and few.min() < 10 and few.shape[1] == 3


def test_arrays_round_trip() -> None:
    kept, again = comparisons(), comparisons()
    ask(kept, [1, np.nan, 0.5], step=12)
    arrays_ = kept.arrays()
    again.set_state(arrays_)
    assert {name: x.tobytes() for name, x in again.arrays().items()} == {n: x.tobytes() for n, x in arrays_.items()}
    assert again.account() == kept.account() and again.bag(2).tolist() == kept.bag(2).tolist()
    arrays_["mu"][:] = 0
    assert kept.mu[0] == again.mu[0] == 1  # copies both ways


def test_where_older_segments_are_dropped_the_arrays_are_of_the_newest() -> None:
    kept = Comparisons(10, 2, Vectors(3), 3, newest=4)
    for turn in range(3):
        pool = segments(10 * turn, 6)
        kept.add(pool, np.array([[0, 1], [2, 3]]), np.array([1.0, 0.0]), turn, rng(turn))
    saved = kept.arrays()
    assert saved["step_asked"].tolist() == [1, 1, 2, 2] and {len(one) for one in saved.values()} == {4}
    for number, features in zip(range(2, 6), saved["features"], strict=True):
        assert (features == kept.take(np.array([number]))[0]).all()


# Schedule

PUBLISHED = {
    350: [88, 132, 163, 225, 284, 322, 350],
    700: [175, 264, 327, 449, 567, 644, 700],
    1400: [350, 528, 654, 899, 1135, 1287, 1400],
}


@pytest.mark.parametrize("labels", PUBLISHED)
def test_schedule_is_the_published_table(labels: int) -> None:
    shares = (0, 0.05, 0.1, 0.25, 0.5, 0.75, 1)
    found = [schedule.due(labels, 0.25, share * 2e7, 2e7, 0.1) for share in shares]
    assert np.abs(np.subtract(found, PUBLISHED[labels])).max() <= 1
    assert found[0] == PUBLISHED[labels][0] and found[-1] == labels


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 5000),
    st.floats(1e-3, 1),
    st.floats(1, 1e8),
    st.floats(1e-3, 10),
    st.lists(st.floats(-0.5, 2), min_size=2, max_size=9),
)
def test_schedule_rises_from_the_first_share_to_exactly_all(
    labels: int, share: float, horizon: float, constant: float, times: list[float]
) -> None:
    found = [schedule.due(labels, share, time * horizon, horizon, constant) for time in sorted(times)]
    assert found == sorted(found) and schedule.initial(labels, share) <= found[0] and found[-1] <= labels
    assert schedule.due(labels, share, 0, horizon, constant) == schedule.initial(labels, share)
    assert schedule.due(labels, share, horizon, horizon, constant) == labels
    assert schedule.initial(labels, share) >= min(1, labels)


@pytest.mark.parametrize("steps", [0, 5, 10, 20])
def test_no_labels_are_never_due(steps: int) -> None:
    assert schedule.due(0, 0.25, steps, 10, 0.1) == schedule.initial(0, 0.25) == 0


def test_what_is_logged_is_the_score_and_the_level_is_of_what_labelers_see() -> None:
    returns = Returns(tasks.describe("atari/breakout"), 2)
    nothing = np.zeros((5, 2))
    told = returns.count(nothing, np.array([[0, 5.0, 10, -20.0], [1, 3.0, 10, -10.0]]), nothing.astype(bool))
    assert told == {"episodes": 2, "true_return": 4.0} and returns.level == -1.5
