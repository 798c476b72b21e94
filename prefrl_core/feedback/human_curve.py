"""How often two people's answers would be right, measured on 120,000 pairs of rated sentences.

``human_noise_curve.csv`` beside this file: the individual ratings (-4 to 4) that Hutto and Gilbert (2014) collected for
movie reviews, opinion columns, tweets and product reviews, as the source distribution of vaderSentiment 3.3.2 ships
them. Two sentences are drawn and one rater's score of each; a row is a range of the gap between their mean ratings,
the share of scores in the right order where they differ, and the share where they do not.
"""

from __future__ import annotations

import functools
from importlib import resources

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
RATING_SD = 0.82  # standard deviation of the ratings of one sentence


@functools.cache
def table() -> tuple[Floats, Floats, Floats]:
    """Lower ends of the gaps, the chance to be right without a tie and that of a tie, each ``(8,)``."""
    text = resources.files("prefrl_core.feedback").joinpath("human_noise_curve.csv").read_text("utf-8")
    cells = [line.split(",") for line in text.split()[1:]]
    low, _, right, tie = zip(*cells, strict=True)
    return np.array(low, float), np.array(right, float), np.array(tie, float)


def answers(differences: Floats, random: np.random.Generator) -> Floats:
    """A person's answers ``(pairs,)`` to pairs whose first is better by ``differences`` rating points: 1, 0 or 0.5."""
    tied, decided = random.random((2, len(differences)))
    first = decided < first_preferred(differences)
    return np.where(tied < _row(differences, table()[2]), 0.5, first.astype(np.float64))


def first_preferred(differences: Floats) -> Floats:
    """The chance ``(pairs,)`` that the first is preferred, given that one is; of equal items either is as likely."""
    right = _row(differences, table()[1])
    return np.where(differences == 0, 0.5, np.where(differences > 0, right, 1 - right))


def _row(differences: Floats, column: Floats) -> Floats:
    return column[np.searchsorted(table()[0], np.abs(differences), side="right") - 1]
