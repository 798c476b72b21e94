"""Intervals from few seeds: their parts by hand and against SciPy, and that they hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench import spread, stats
from bench.simulations import shapes

CELLS = arrays(np.float64, st.tuples(st.integers(4, 6), st.integers(3, 12)), elements=st.floats(-1e3, 1e3, width=32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_pool_is_the_mean_variance_of_the_cells_that_have_one() -> None:
    made = spread.pool([[1.0, 3.0], [5.0], [0.0, 0.0, 3.0], []])
    assert (float(made.variance), made.cells, made.freedom) == (2.5, 2, 3)
    assert spread.pool([[1.0], []]).cells == 0
    assert spread.pool([[1.0, 3.0], [5.0], [0.0, 0.0, 3.0]], unlike=True).variance == pytest.approx(
        np.median([2 * 1 / 0.4549, 3 * 2 / 1.3863]),
        rel=1e-3,  # medians of chi squared of 1 and 2 degrees of freedom
    )
    curves = spread.pool([np.array([[1.0, 0.0], [3.0, 4.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])])
    assert curves.variance.tolist() == [1.0, 4.0]


def test_what_is_believed_of_a_variance_by_hand() -> None:
    beside = spread.Pool(np.array(4.0), cells=5, freedom=20)
    assert spread.believed(1.0, 3, beside) == (4.0, 6.0)  # the usual one, in full; at most six degrees of freedom
    assert spread.believed(9.0, 3, beside) == (9.0, 6.0)  # its own where that is larger
    variance, freedom = spread.believed(1.0, 9, beside)
    assert (variance, freedom) == (2.5, 6.0)  # half the way with eight degrees of freedom of its own
    assert spread.believed(1.0, 3, beside, least=7.0)[0] == 7.0
    assert spread.believed(1.0, 100, spread.Pool(np.array(1.0), 1, 99))[1] == 20.0  # alone: 2 a ten seeds


@pytest.mark.parametrize("seeds", [0, 1])
def test_too_few_seeds_have_no_interval(seeds: int) -> None:
    beside = spread.Pool(np.array(1.0), 5, 20)
    made = spread.mean_estimate(np.ones(seeds), beside)
    assert (made.low, made.high) == (-math.inf, math.inf) and math.isnan(made.value) == (seeds == 0)
    assert np.isnan(spread.draws(np.ones(seeds), beside, rng()).shifts).all()
    assert not seeds or np.isnan(spread.band(np.ones((seeds, 2)), beside)).all()


def test_too_little_evidence_gives_no_interval() -> None:
    """Three arms of three seeds, or one of eight, are too few; four of three, or one of nine, are enough."""
    for cells, enough in ((np.eye(3), False), (np.eye(4)[:, :3], True), (np.arange(8)[None], False)):
        assert np.isfinite(spread.mean_estimate(cells[0], spread.pool(cells)).low) == enough
    assert np.isfinite(spread.mean_estimate(np.arange(9.0)).low)


def test_the_interval_is_students_with_what_is_believed() -> None:
    cells = rng(1).normal(size=(5, 8)) * np.arange(1, 6)[:, None]
    beside = spread.pool(cells)
    for cell in cells:
        variance, freedom = spread.believed(cell.var(ddof=1), 8, beside)
        theirs = scipy.stats.t.interval(0.95, freedom, cell.mean(), np.sqrt(variance / 8))
        made = spread.mean_estimate(cell, beside)
        assert [made.low, made.high] == pytest.approx(theirs)
        drawn = spread.draws(cell, beside, rng(2), 200_000)
        assert stats.interval(drawn.means) == pytest.approx(theirs, abs=0.05 * np.sqrt(variance))


def test_a_band_is_the_interval_at_each_point_and_nan_where_a_seed_is_missing() -> None:
    curves = rng(3).normal(size=(4, 6, 3)) * [1, 2, 3]
    curves[0, 0, 2] = np.nan
    beside = spread.pool(curves[1:])
    low, high = spread.band(curves[0], beside)
    for point in range(2):
        alone = spread.mean_estimate(curves[0, :, point], spread.pool(curves[1:, :, point]))
        assert [low[point], high[point]] == pytest.approx([alone.low, alone.high])
    assert np.isnan([low[2], high[2]]).all()


def test_a_cell_with_a_gap_hides_no_other() -> None:
    cells = rng(4).normal(size=(3, 5, 2))
    cells[0, :, 1] = np.nan
    for unlike in (False, True):
        some = spread.pool(cells, unlike).variance
        assert some[0] == pytest.approx(float(spread.pool(cells[..., 0], unlike).variance))
        assert some[1] == pytest.approx(float(spread.pool(cells[1:, :, 1], unlike).variance))


def test_prompts_are_the_least_that_seeds_differ_by() -> None:
    assert spread.of_mean([[0.0, 2.0], [1.0, 1.0]]) == pytest.approx((2.0 / 2 + 0.0) / 2)
    assert spread.of_mean([]) == 0.0
    same = np.full((4, 5), 0.5)
    wide = spread.mean_estimate(same[0], spread.pool(same), least=0.01)
    assert wide.high - wide.low == pytest.approx(2 * scipy.stats.t.ppf(0.975, 6) * np.sqrt(0.01 / 5))


@settings(max_examples=50, deadline=None)
@given(CELLS, st.floats(-100, 100), st.floats(0.1, 10))
def test_intervals_move_and_stretch_with_the_values(cells: np.ndarray, shift: float, scale: float) -> None:
    before, after = (spread.mean_estimate(one[0], spread.pool(one)) for one in (cells, cells * scale + shift))
    assert before.low <= before.value <= before.high
    assert [after.low, after.high] == pytest.approx([before.low * scale + shift, before.high * scale + shift], abs=1e-2)


def test_draws_are_those_of_their_generator_and_the_global_one_is_left_alone() -> None:
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    made = [spread.draws(np.arange(9.0), spread.pool([np.arange(9.0)]), rng(8), 10).shifts for _ in range(2)]
    assert (made[0] == made[1]).all()
    assert (np.random.get_state()[1] == before).all()  # type: ignore[index]  # noqa: NPY002


@pytest.mark.parametrize("shape", shapes.SHAPES)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_a_mean_is_where_its_interval_says(shape: str, seeds: int) -> None:
    """Four cells, the fewest that three seeds are told of: at least 0.92, whatever shape; the percentile bootstrap has
    0.65 to 0.75 with three seeds."""
    trials, covered = 1500, 0.0
    for unlike in shapes.UNLIKE.values():
        cells = shapes.cells(rng(seeds), shape, trials, 4, seeds, unlike)
        variance = cells.var(axis=2, ddof=1)
        beside = spread.Pool(variance.mean(axis=1, keepdims=True), 4, 4 * (seeds - 1))
        believed, freedom = spread.believed(variance, seeds, beside)
        reach = spread.quantile(freedom) * np.sqrt(believed / seeds)
        covered += float((np.abs(cells.mean(axis=2)) <= reach).mean()) / 2
    assert covered >= 0.92


def test_where_spreads_are_unlike_one_wild_cell_does_not_make_all_intervals_wide() -> None:
    """Five seeds of twelve arms, whose spreads differ up to 50 times: each interval holds about what it promises."""
    rng, scales, kept, reach = np.random.default_rng(0), np.exp(np.linspace(-2, 2, 12)), [], []
    for _ in range(300):
        cells = scales[:, None] * rng.standard_normal((12, 5))
        usual, mean = (spread.pool(cells, unlike=unlike) for unlike in (True, False))
        made = [spread.mean_estimate(cell, usual) for cell in cells]
        kept.append([one.low <= 0 <= one.high for one in made])
        reach.append([one.high - one.value for one in (made[0], spread.mean_estimate(cells[0], mean))])
    assert np.mean(kept) > 0.94 and np.mean(kept, axis=0).min() > 0.88
    of_usual, of_mean = np.mean(reach, axis=0)
    assert of_usual < of_mean / 2
