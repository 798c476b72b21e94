"""A vocabulary of whole words: no text of a task is unknown, and no word is cut."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from prefrl_core.errors import UserError, unknown

SPECIAL = ("<pad>", "<eos>", "<bos>", "<sep>")  # ids 0 to 3, as in model.py: none doubles as another
PAD, EOS, BOS, SEP = range(4)


class Vocabulary:
    """Words and their ids; the special ones come first."""

    def __init__(self, words: Iterable[str]) -> None:
        """
        Raises:
            UserError: a word occurs twice, so that two ids would mean the same (a pad that equals the end, say).
        """
        self.words = (*SPECIAL, *words)
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = next(word for word in self.words if self.words.count(word) > 1)
            raise UserError(f"vocabulary holds {twice!r} twice: every word needs an id of its own")

    def __len__(self) -> int:
        return len(self.words)

    def encode(self, text: str | Sequence[str]) -> list[int]:
        """Ids of a text's words.

        Raises:
            UserError: a word that is not in the vocabulary.
        """
        words = text.split() if isinstance(text, str) else text
        try:
            return [self._ids[word] for word in words]
        except KeyError as error:
            raise unknown("word", error.args[0], self.words) from None

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Words up to the end token, which like padding is left out."""
        made = []
        for index in ids:
            if index == EOS:
                break
            if index != PAD:
                made.append(self.words[index])
        return made

    @property
    def digest(self) -> str:
        """Hash of all words in order; checkpoints carry it."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()[:16]
