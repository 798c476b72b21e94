"""Tasks of the language track by name and version, and what each has to offer. Importing this needs no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core import registry
from prefrl_core.errors import require, unknown
from prefrl_core.language.vocab import BOS, EOS, PAD, SEP, Vocabulary

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TaskInfo:
    """What a spec has to know about a task."""

    id: str  # with its version
    prompt_tokens: int  # the longest prompt, its beginning and separator included
    response_tokens: int  # the longest response, its end included
    families: tuple[str, ...]
    held_out: tuple[str, ...]  # families without demonstrations

    @property
    def tokens(self) -> int:
        """The context that prompt and response need."""
        return self.prompt_tokens + self.response_tokens


@dataclass(frozen=True)
class Gold:
    """What responses are worth, a row each."""

    parts: Floats  # (rows, parts): weighted, before standardising
    ended: Floats  # (rows,): whether there is an end token
    taboo: Floats  # (rows,): whether a taboo word occurs
    hallucinated: Floats  # (rows,): a summary that names what its text does not; NaN elsewhere

    @property
    def total(self) -> Floats:
        """The sum of the parts ``(rows,)``."""
        return np.asarray(self.parts.sum(1))


class Prompt(Protocol):
    """A prompt of a task."""

    @property
    def family(self) -> str: ...
    @property
    def words(self) -> tuple[str, ...]: ...


class LMTask(Protocol):
    """A task: text, prompts, demonstrations and the hidden gold. Randomness comes from the generators given alone."""

    info: TaskInfo
    vocabulary: Vocabulary
    parts: tuple[str, ...]  # of gold
    scale: tuple[float, float]  # mean and SD of gold over demonstrations, by which gold is standardised

    def pretraining(self, random: np.random.Generator, rows: int, tokens: int, held_out: bool = False) -> Ints:
        """Pretraining text ``(rows, tokens)`` without padding; ``held_out`` text is for measuring only."""

    def prompts(self, random: np.random.Generator, split: str, count: int) -> list[Any]:
        """Prompts of a split: "rankings", "ppo", "validation" or "test"."""

    def demonstrations(self, random: np.random.Generator, count: int) -> tuple[list[Any], Ints]:
        """Prompts of the split "demos" and responses to them ``(count, response tokens)``."""

    def gold(self, prompts: Sequence[Any], responses: Ints) -> Gold:
        """What ``responses (rows, tokens)`` are worth."""

    def probes(self) -> tuple[list[Any], list[Any]]:
        """Questions of fact, and questions whose answer nobody knows; empty where a task has none."""


TASKS = {
    info.id: info
    for info in (
        TaskInfo(
            "language/tinyinstruct@1",
            28,
            26,
            ("story", "question", "list", "rewrite", "summarise", "classify", "respectful"),
            ("list", "rewrite"),
        ),
        TaskInfo("language/reviews@1", 8, 40, ("positive",), ()),
    )
}


_CLASSES = {  # imported when they are used
    "language/reviews@1": "prefrl_core.language.reviews:Reviews",
    "language/tinyinstruct@1": "prefrl_core.language.tinyinstruct:TinyInstruct",
}


def describe(name: str) -> TaskInfo:
    """The task of that name; the version may be left out.

    Raises:
        UserError: no such task.
    """
    for info in TASKS.values():
        if name in (info.id, info.id.split("@")[0]):
            return info
    raise unknown("task", name, TASKS)


def make(name: str) -> LMTask:
    """The task itself.

    Raises:
        UserError: no such task, or its data is not there.
    """
    made: LMTask = registry.resolve(_CLASSES[describe(name).id])()
    return made


def require_data(name: str) -> None:
    """See that what the task is made from is there, where it is not part of the package.

    Raises:
        UserError: no such task, or its data is not there.
    """
    if describe(name).id == "language/reviews@1":
        from prefrl_core.language import ratings

        ratings.sentences()


def encode_prompts(vocabulary: Vocabulary, prompts: Sequence[Prompt]) -> Ints:
    """``<bos> words <sep>``, padded on the left to the longest: ``(rows, tokens)``."""
    rows = [[BOS, *vocabulary.encode(prompt.words), SEP] for prompt in prompts]
    made = np.full((len(rows), max(map(len, rows))), PAD, np.int64)
    for row, ids in zip(made, rows, strict=True):
        row[-len(ids) :] = ids
    return made


def encode_responses(vocabulary: Vocabulary, texts: Sequence[Sequence[str]], tokens: int) -> Ints:
    """Words and the end token, padded on the right: ``(rows, tokens)``.

    Raises:
        UserError: a text that does not fit.
    """
    made = np.full((len(texts), tokens), PAD, np.int64)
    for row, text in zip(made, texts, strict=True):
        ids = [*vocabulary.encode(text), EOS]
        require(len(ids) <= tokens, f"a response of {len(ids)} tokens does not fit response tokens = {tokens}")
        row[: len(ids)] = ids
    return made


def pack(texts: Any, tokens: int, rows: int) -> Ints:
    """Texts one after the other, each ``<bos> ... <eos>``, cut into rows: ``(rows, tokens)``; ``texts`` is endless."""
    stream: list[int] = []
    while len(stream) < rows * tokens:
        stream += [BOS, *next(texts), EOS]
    return np.array(stream[: rows * tokens], np.int64).reshape(rows, tokens)
