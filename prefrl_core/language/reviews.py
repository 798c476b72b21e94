"""The task ``reviews``: write a positive or negative sentence with a given word, in real English.

In the manner of Ziegler et al. (2019), with instructions in hindsight: a demonstration is a sentence that a person
wrote, its prompt the rating that people gave it and a word it has. Half of the sentences (by hash) are for pretraining
and demonstrations; gold is made from the other half and its ratings, which the policy never sees.
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
_CLEAR = 0.5  # ratings nearer to 0 than this are neither positive nor negative
_SHARES = (("demos", 0.6), ("rankings", 0.75), ("ppo", 0.9), ("validation", 0.95), ("test", 1.0))  # cumulative
_RARE, _FREQUENT = 10, 400  # how often a word that a prompt asks for occurs


@dataclass(frozen=True)
class Request:
    """A prompt: the sentiment and the word."""

    family: str
    word: str

    @property
    def words(self) -> tuple[str, ...]:
        """The prompt's words; the first is one token."""
        return f"<{self.family}>", self.word

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
        self.vocabulary: Vocabulary = Pieces(counts, _PIECES, [f"<{family}>" for family in self.info.families])
        self._texts = [s for s in seen if len(self.vocabulary.encode(s.words)) < self.info.response_tokens]
        self.judge = Judge(hidden)
        often = {word for word, count in counts.items() if _RARE <= count <= _FREQUENT and len(word) > 3}
        fits = self.info.prompt_tokens - 3
        self._words = sorted(word for word in often if len(self.vocabulary.encode([word])) <= fits)
        self._demos = self._hindsight()
        self.scale = self._measure_scale()

    def pretraining(self, random: np.random.Generator, rows: int, tokens: int, held_out: bool = False) -> Ints:
        """Sentences one after the other; one in twenty is held out."""
        pool = [s for s in self._texts if (_share(" ".join(s.words)) < 0.025) == held_out] or self._texts

        def texts() -> Iterator[list[int]]:
            while True:
                yield self.vocabulary.encode(pool[int(random.integers(len(pool)))].words)

        return tasks.pack(texts(), tokens, rows)

    def prompts(self, random: np.random.Generator, split: str, count: int) -> list[Request]:
        """``count`` prompts of a split."""
        made: list[Request] = []
        while len(made) < count:
            word, family = self._words[int(random.integers(len(self._words)))], int(random.integers(2))
            asked = Request(self.info.families[family], word)
            if asked.split == split:
                made.append(asked)
        return made

    def demonstrations(self, random: np.random.Generator, count: int) -> tuple[list[Request], Ints]:
        """Sentences of people with their prompts; they repeat where there are fewer than ``count``."""
        chosen = [self._demos[index] for index in random.integers(len(self._demos), size=count)]
        texts = [sentence.words for _, sentence in chosen]
        return [asked for asked, _ in chosen], tasks.encode_responses(self.vocabulary, texts, self.info.response_tokens)

    def gold(self, prompts: Sequence[Request], responses: Ints) -> Gold:
        """What ``responses (rows, tokens)`` are worth."""
        ended = (responses == EOS).any(1)
        parts = np.array(
            [
                self.judge.parts(prompt.family == "positive", prompt.word, self.vocabulary.decode(row), bool(end))
                for prompt, row, end in zip(prompts, responses.tolist(), ended, strict=True)
            ]
        )
        nothing = np.zeros(len(responses))
        return Gold(parts, ended.astype(np.float64), nothing, np.full(len(responses), np.nan))

    def probes(self) -> tuple[list[Request], list[Request]]:
        """None: this task asks no questions."""
        return [], []

    def _hindsight(self) -> list[tuple[Request, Rated]]:
        """Each clear sentence with the request it answers, where that is a demonstration's."""
        made, wanted = [], set(self._words)
        for sentence in self._texts:
            word = max((w for w in sentence.words if w in wanted), key=lambda w: (len(w), w), default="")
            asked = Request("positive" if sentence.rating > 0 else "negative", word)
            if word and abs(sentence.rating) >= _CLEAR and asked.split == "demos":
                made.append((asked, sentence))
        return made

    def _measure_scale(self) -> tuple[float, float]:
        """Mean and SD of gold over all demonstrations."""
        worth: Floats = np.array(
            [sum(self.judge.parts(a.family == "positive", a.word, list(s.words), True)) for a, s in self._demos]
        )
        return float(worth.mean()), float(worth.std())


def _share(text: str) -> float:
    return zlib.crc32(text.encode()) / 2**32
