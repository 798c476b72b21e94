"""The gold of ``reviews``: what people would rate a sentence, guessed from the hidden half of the rated text.

Three parts beside the end: the rating by ridge regression on words and pairs of words, which saturates; the mean
valence of the rated words, from the same ratings, as a second opinion; fluency by a trigram model.
All are exact and quick, and none is a network, so gold has nothing in common with the reward model.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import lsqr

from prefrl_core.language.ratings import Rated

PARTS = ("rating", "lexicon", "fluency", "end")
WEIGHTS = (2.0, 0.5, 1.5, 1.0)
_RIDGE = 3.0  # lsqr's damping, which gave the best correlation on held-out sentences among 1, 2, 3 and 5
_OFTEN = 2  # sentences that a word or pair has to occur in
_STEEP = 1.0  # rating at which the part reaches tanh(1)


class Judge:
    """Fitted once to rated sentences."""

    def __init__(self, sentences: Sequence[Rated]) -> None:
        counts = Counter(feature for s in sentences for feature in features(s.words))
        self._index = {f: i for i, f in enumerate(sorted(f for f, count in counts.items() if count >= _OFTEN))}
        ratings = np.array([s.rating for s in sentences])
        self._mean = float(ratings.mean())
        self._weights = self._fit(sentences, ratings - self._mean)
        self._valence = self._mean_ratings(sentences)
        self._grams = [Counter[tuple[str, ...]]() for _ in range(3)]
        last = len(sentences) // 5 + 1  # what is usual is measured on sentences that the model was not made from
        for sentence in sentences[:-last]:
            words = ("<s>", "<s>", *sentence.words, "</s>")
            for n, grams in enumerate(self._grams, 1):
                grams.update(zip(*(words[start:] for start in range(n)), strict=False))
        self._total = sum(self._grams[0].values())
        typical = np.array([self._surprise(s.words) for s in sentences[-last:]])
        self._typical, self._spread = float(typical.mean()), float(typical.std()) or 1.0

    def rating(self, words: Sequence[str]) -> float:
        """The predicted mean rating, -4 to 4 where the text is like people's."""
        found = [self._index[f] for f in features(words) if f in self._index]
        return self._mean + float(self._weights[found].sum()) / math.sqrt(max(len(words), 1))

    def parts(self, words: Sequence[str], ended: bool) -> list[float]:
        """The weighted parts of gold of a sentence; an empty one is scored like any other."""
        values = (
            math.tanh(self.rating(words) / _STEEP) if words else 0.0,
            math.tanh(self.lexicon(words)) if words else 0.0,
            self.fluency(words) if words else -1.0,
            0.0 if ended else -1.0,
        )
        return [weight * value for weight, value in zip(WEIGHTS, values, strict=True)]

    def lexicon(self, words: Sequence[str]) -> float:
        """Mean valence of the words that often stand in rated sentences."""
        known = [self._valence[word] for word in words if word in self._valence]
        return sum(known) / len(known) if known else 0.0

    def fluency(self, words: Sequence[str]) -> float:
        """How usual the words' order is among people's sentences: 0 for their mean, at most 0.5, down to -1.

        Pairs that occur twice cost more than they can gain.
        """
        repeated = 1 - len(set(itertools.pairwise(words))) / max(len(words) - 1, 1)
        usual = (self._typical - self._surprise(words)) / (2 * self._spread)
        return max(-1.0, min(0.5, usual) - 2 * repeated)

    def _surprise(self, words: Sequence[str]) -> float:
        """Nats a word under an interpolated trigram model; words never seen are as likely as one seen half a time."""
        text = ("<s>", "<s>", *words, "</s>")
        total = 0.0
        for at in range(2, len(text)):
            one, two, three = (text[at - n : at + 1] for n in range(3))
            p = 0.2 * max(self._grams[0][one], 0.5) / self._total
            p += 0.4 * self._share(two) + 0.4 * self._share(three)
            total -= math.log(p)
        return total / (len(text) - 2)

    def _share(self, gram: tuple[str, ...]) -> float:
        """How often the last word follows those before it."""
        before = self._grams[len(gram) - 2][gram[:-1]]
        return self._grams[len(gram) - 1][gram] / before if before else 0.0

    def _fit(self, sentences: Sequence[Rated], target: np.ndarray) -> np.ndarray:
        rows, columns, values = [], [], []
        for row, sentence in enumerate(sentences):
            for feature in features(sentence.words):
                if feature in self._index:
                    rows.append(row)
                    columns.append(self._index[feature])
                    values.append(1 / math.sqrt(len(sentence.words)))
        matrix = csr_matrix((values, (rows, columns)), (len(sentences), max(len(self._index), 1)))
        return np.asarray(lsqr(matrix, target, damp=_RIDGE**0.5, iter_lim=100)[0])

    def _mean_ratings(self, sentences: Sequence[Rated]) -> dict[str, float]:
        """Mean rating, less that of all, of the sentences that hold a word, shrunk where they are few."""
        total, count = Counter[str](), Counter[str]()
        for sentence in sentences:
            for word in sorted(set(sentence.words)):
                total[word] += sentence.rating - self._mean  # type: ignore[assignment]
                count[word] += 1
        return {word: total[word] / (count[word] + 5) for word in sorted(count) if count[word] >= 3}


def features(words: Iterable[str]) -> set[tuple[str, ...]]:
    """Distinct words and pairs of adjacent words: a word said twice counts once."""
    words = tuple(words)
    return {(word,) for word in words} | set(itertools.pairwise(words))
