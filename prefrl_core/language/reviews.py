"""The task ``reviews``: go on with a sentence so that it turns out positive, in real English.

In the manner of Ziegler et al. (2019): a prompt is how a person's sentence begins, a demonstration how one that people
rated positive goes on. Half of the sentences (by hash) are for pretraining, demonstrations and prompts; gold is made
from the other half and its ratings, which the policy never sees.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from prefrl_core.language import ratings, tasks
from prefrl_core.language.pieces import Pieces
from prefrl_core.language.ratings import Rated
from prefrl_core.language.reviews_gold import PARTS, Judge
from prefrl_core.language.tasks import Floats, Gold, Ints
from prefrl_core.language.vocab import EOS, Vocabulary

_PIECES = 1024
_CLEAR = 0.5  # ratings above this are positive
_OPENING = 3  # words of a sentence that its prompt gives away
_SHARES = (("demos", 0.6), ("rankings", 0.75), ("ppo", 0.9), ("validation", 0.95), ("test", 1.0))  # cumulative


@dataclass(frozen=True)
class Opening:
    """A prompt: the first words of a sentence."""

    words: tuple[str, ...]
    family: str = "positive"

    @property
    def split(self) -> str:
        """By the hash of its words."""
        place = _share(" ".join(self.words))
        return next(name for name, end in _SHARES if place < end or end == 1.0)


class Reviews:
    """See ``LMTask``."""

    parts: tuple[str, ...] = PARTS

    def __init__(self, sentences: Sequence[Rated] | None = None) -> None:
        """
        Args:
            sentences: rated text; the archive's, where left out.

        Raises:
            UserError: the archive is not there.
        """
        sentences = sentences or ratings.sentences()
        self.info = tasks.describe("language/reviews")
        seen, hidden = ([s for s in sentences if (_share(" ".join(s.words)) < 0.5) == first] for first in (True, False))
        counts = Counter(word for sentence in sentences for word in sentence.words)
        self.vocabulary: Vocabulary = Pieces(counts, _PIECES)
        self._texts, self.judge = seen, Judge(hidden)
        self._openings, self._demos = self._cut()
        self.scale = self._measure_scale()

    def pretraining(self, random: np.random.Generator, rows: int, tokens: int, held_out: bool = False) -> Ints:
        """Sentences one after the other; one in twenty is held out."""
        pool = [s for s in self._texts if (_share(" ".join(s.words)) < 0.025) == held_out] or self._texts

        def texts() -> Iterator[list[int]]:
            while True:
                yield self.vocabulary.encode(pool[int(random.integers(len(pool)))].words)

        return tasks.pack(texts(), tokens, rows)

    def prompts(self, random: np.random.Generator, split: str, count: int) -> list[Opening]:
        """``count`` prompts of a split."""
        pool = self._openings[split]
        return [pool[index] for index in random.integers(len(pool), size=count)]

    def demonstrations(self, random: np.random.Generator, count: int) -> tuple[list[Opening], Ints]:
        """How people's positive sentences begin and go on; they repeat where there are fewer than ``count``."""
        chosen = [self._demos[index] for index in random.integers(len(self._demos), size=count)]
        texts = [rest for _, rest in chosen]
        return [opening for opening, _ in chosen], tasks.encode_responses(
            self.vocabulary, texts, self.info.response_tokens
        )

    def gold(self, prompts: Sequence[Opening], responses: Ints) -> Gold:
        """What whole sentences are worth whose ends are ``responses (rows, tokens)``."""
        ended = (responses == EOS).any(1)
        parts = np.array(
            [
                self.judge.parts((*prompt.words, *self.vocabulary.decode(row)), bool(end))
                for prompt, row, end in zip(prompts, responses.tolist(), ended, strict=True)
            ]
        )
        nothing = np.zeros(len(responses))
        return Gold(parts, ended.astype(np.float64), nothing, np.full(len(responses), np.nan))

    def probes(self) -> tuple[list[Opening], list[Opening]]:
        """None: this task asks no questions."""
        return [], []

    def _cut(self) -> tuple[dict[str, list[Opening]], list[tuple[Opening, tuple[str, ...]]]]:
        """Distinct openings of each split, in order; and those of positive sentences with how these go on."""
        openings: dict[str, set[Opening]] = {name: set() for name, _ in _SHARES}
        demos = []
        for sentence in self._texts:
            opening, rest = Opening(sentence.words[:_OPENING]), sentence.words[_OPENING:]
            if not rest or len(self.vocabulary.encode(opening.words)) > self.info.prompt_tokens - 2:
                continue
            openings[opening.split].add(opening)
            fits = len(self.vocabulary.encode(rest)) < self.info.response_tokens
            if opening.split == "demos" and sentence.rating >= _CLEAR and fits:
                demos.append((opening, rest))
        return {name: sorted(found, key=lambda opening: opening.words) for name, found in openings.items()}, demos

    def _measure_scale(self) -> tuple[float, float]:
        """Mean and SD of gold over all demonstrations."""
        worth: Floats = np.array([sum(self.judge.parts((*a.words, *rest), True)) for a, rest in self._demos])
        return float(worth.mean()), float(worth.std())


def _share(text: str) -> float:
    return zlib.crc32(text.encode()) / 2**32
