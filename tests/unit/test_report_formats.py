"""Words and numbers of a report, and its tables as Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bench.report import formats, names
from bench.stats import Estimate


def test_task_names() -> None:
    ids = ["mujoco/half_cheetah@1", "mujoco-v5/walker2d@1", "gymnasium/CartPole-v1@1", "mine@2"]
    assert list(names.task_names(ids).values()) == ["HalfCheetah", "Walker2d-v5", "CartPole-v1", "mine"]
    assert list(names.task_names(["a/x@1", "a/x@2"]).values()) == ["a/x@1", "a/x@2"]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [([4], "seed 4"), ([0, 1], "seeds 0, 1"), (range(3, 10), "seeds 3 to 9"), ([7, 1, 3, 4, 5], "seeds 1, 3 to 5, 7")],
)
def test_seeds_in_words(numbers: Sequence[int], said: str) -> None:
    assert names.seeds(numbers) == said


@pytest.mark.parametrize(
    ("value", "text"), [(1834.6, "1835"), (-50.2, "−50.2"), (-1.789, "−1.79"), (-0.001, "0.00"), (np.nan, "–")]
)
def test_numbers(value: float, text: str) -> None:
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [(-0.24, -0.00036, "[−0.24, −0.0004]"), (0.003, 0.2, "[0.003, 0.20]"), (-0.24, 0.0036, "[−0.24, 0.00]")],
)
def test_an_interval_that_leaves_0_out_does_not_seem_to_hold_it(low: float, high: float, text: str) -> None:
    assert formats.entry(Estimate((low + high) / 2, low, high)).interval == text


@pytest.mark.parametrize(("value", "text"), [(50_000, "50k"), (1_500_000, "1.5M"), (0, "0"), (700, "700")])
def test_counts(value: float, text: str) -> None:
    assert formats.count(value) == text


def test_labels_are_told_with_their_limits() -> None:
    told = formats.labels_entry(Estimate(143.2, 60.0, np.inf), [60, 200])
    assert told == formats.Entry("143", "[≤ 60, not reached]")
    assert formats.labels_entry(Estimate(60.0, 60.0, 60.0), [60, 200]) == formats.Entry("≤ 60")


def test_latex_escapes_and_uses_booktabs() -> None:
    entry = formats.Entry("−1", "[≤ 60, 5 %]", "a_b & c")
    text = formats.latex(formats.Table("t", "90 % of $x", ["Task", "10 % wrong"], [[formats.Entry("A"), entry]], []))
    assert r"\caption{90 \% of \$x}" in text
    assert r"A & $-$1 {\scriptsize [$\le$ 60, 5 \%] (a\_b \& c)} \\" in text
    assert r"\toprule" in text


def test_markdown_keeps_its_columns() -> None:
    text = formats.markdown(formats.Table("t", "", ["a|b", "c"], [[formats.Entry("x|y"), formats.Entry("1")]], []))
    assert all(line.replace("\\|", "").count("|") == 3 for line in text.splitlines())


@pytest.mark.parametrize(
    ("arms", "common"),
    [
        (["SURF, 25 labels", "SURF, 1,000 labels"], "SURF"),
        (["50 labels, fitted longer", "175 labels, fitted longer"], "fitted longer"),
        (["30 labels", "1 label"], ""),
        (["SURF, 25 labels", "RUNE, 25 labels"], ""),
    ],
)
def test_what_arms_of_one_kind_are_called(arms: Sequence[str], common: str) -> None:
    assert names.in_common(arms) == common
