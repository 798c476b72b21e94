"""A vocabulary of word pieces for real text: byte-pair merges (Sennrich et al. 2016) learned from word counts."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from prefrl_core.language.vocab import EOS, PAD, Vocabulary

_START = "_"  # marks the first piece of a word
Pair = tuple[str, str]


class Pieces(Vocabulary):
    """Encodes words by their pieces; what letters it was not trained on it cannot encode."""

    def __init__(self, counts: Mapping[str, int], size: int) -> None:
        """Learn merges from ``counts`` of words until there are ``size`` pieces."""
        letters = sorted({letter for word in counts for letter in word} - {_START})
        base = [*letters, *(_START + letter for letter in letters)]
        self.merges = learn_merges(counts, size - len(base) - 4)
        self._order = {pair: index for index, pair in enumerate(self.merges)}
        self._known: dict[str, list[int]] = {}
        super().__init__(dict.fromkeys((*base, *("".join(pair) for pair in self.merges))))

    def encode(self, text: str | Sequence[str]) -> list[int]:
        """Ids of the pieces of a text's words.

        Raises:
            UserError: a letter that is not in the vocabulary.
        """
        words = text.split() if isinstance(text, str) else text
        return [index for word in words for index in self._word(word)]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words up to the end token, joined from their pieces."""
        words: list[str] = []
        for index in ids:
            if index == EOS:
                break
            if index == PAD:
                continue
            piece = self.words[index]
            if piece.startswith(_START):
                words.append(piece[1:])
            elif words and not piece.startswith("<"):
                words[-1] += piece
            else:
                words.append(piece)
        return words

    def _word(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = super().encode(self._merge(split(word)))
        return self._known[word]

    def _merge(self, pieces: list[str]) -> list[str]:
        """Merge in the order learned."""
        while len(pieces) > 1:
            pairs = [(self._order.get(pair, len(self._order)), at) for at, pair in enumerate(adjacent(pieces))]
            order, at = min(pairs)
            if order == len(self._order):
                return pieces
            pieces = [*pieces[:at], pieces[at] + pieces[at + 1], *pieces[at + 2 :]]
        return pieces


def split(word: str) -> list[str]:
    """A word's letters, the first marked."""
    return [_START + word[0], *word[1:]]


def adjacent(pieces: Sequence[str]) -> list[Pair]:
    """Pairs of neighbours."""
    return list(itertools.pairwise(pieces))


def learn_merges(counts: Mapping[str, int], number: int) -> list[Pair]:
    """The ``number`` most frequent merges, one after the other; of equally frequent pairs the first by spelling."""
    words = {word: split(word) for word in sorted(counts)}
    frequency: Counter[Pair] = Counter()
    holders: defaultdict[Pair, set[str]] = defaultdict(set)
    for word, pieces in words.items():
        for pair in adjacent(pieces):
            frequency[pair] += counts[word]
            holders[pair].add(word)
    merges = []
    for _ in range(number):
        if not frequency:
            break
        most = max(frequency.values())
        if most < 2:
            break
        best = min(pair for pair, count in frequency.items() if count == most)
        merges.append(best)
        for word in sorted(holders[best]):
            before, after = words[word], _joined(words[word], best)
            for pair in adjacent(before):
                frequency[pair] -= counts[word]
            for pair in adjacent(after):
                frequency[pair] += counts[word]
                holders[pair].add(word)
            words[word] = after
        del frequency[best]
    return merges


def _joined(pieces: list[str], pair: Pair) -> list[str]:
    """With each occurrence of the pair as one piece, from the left."""
    made, at = [], 0
    while at < len(pieces):
        if at + 1 < len(pieces) and (pieces[at], pieces[at + 1]) == pair:
            made.append(pieces[at] + pieces[at + 1])
            at += 2
        else:
            made.append(pieces[at])
            at += 1
    return made
