"""The hidden gold of ``tinyinstruct``: what a response is worth, in parts, by its meaning and never by a pattern of
words. The reward model sees rankings only.

Each part is given weighted; a response's gold is their sum, standardised over demonstrations (Gao et al. 2022).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prefrl_core.language import grammar, lexicon
from prefrl_core.language.grammar import Sentence
from prefrl_core.language.world import Instruction

PARTS = ("topic", "tone", "count", "answer", "grammar", "diversity", "taboo", "end")
WEIGHTS = {
    "topic": 1.5,
    "tone": 1.5,
    "count": 1.0,
    "answer": 2.0,
    "grammar": 1.0,
    "diversity": 0.5,
    "taboo": 2.0,
    "end": 1.0,
}


@dataclass(frozen=True)
class GoldScore:
    """What one response is worth."""

    parts: dict[str, float]  # weighted, all of PARTS; 0 where the family does not ask for it
    hallucinated: bool  # a summary that names what its text does not
    taboo: bool

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return math.fsum(self.parts.values())


def score(asked: Instruction, words: Sequence[str], ended: bool) -> GoldScore:
    """Gold of a response's words (without the end token); ``ended``: whether there was one.

    An empty response is scored like any other: it satisfies nothing.
    """
    parts = dict.fromkeys(PARTS, 0.0) | _FAMILY[asked.family](asked, list(words), grammar.read(words))
    taboo = any(word in lexicon.TABOO for word in words)
    parts["taboo"] = -(2.0 if asked.family == "respectful" else 1.0) * taboo
    parts["end"] = 0.0 if ended else -1.0
    weighted = {name: WEIGHTS[name] * value for name, value in parts.items()}
    return GoldScore(weighted, _invented(asked, words) if asked.family == "summarise" else False, taboo)


def _text(asked: Instruction, words: list[str], text: list[Sentence]) -> dict[str, float]:
    """A story: about its topic in every sentence, in its tone, of its length, in grammatical and varied words."""
    nouns = [sentence.nouns for sentence in text]
    topic = sum(asked.topic in found for found in nouns) / max(len(nouns), 1)
    if asked.other:
        topic = (topic + any(asked.other in found for found in nouns)) / 2
    return {
        "topic": topic,
        "tone": _tone(asked.tone, text) if text else 0.0,
        "count": 1 / (1 + abs(len(text) - asked.count)) if text else 0.0,
        "grammar": _grammar(text),
        "diversity": _diversity(words),
    }


def _tone(tone: str, text: list[Sentence]) -> float:
    """From -1 (the opposite) to 1; saturates, so that heaping up adjectives gains little."""
    valence = math.tanh(sum(sentence.valence for sentence in text) / len(text))
    return 1 - 2 * abs(valence) if tone == "plain" else lexicon.TONES[tone] * valence


def _grammar(text: list[Sentence]) -> float:
    return sum(sentence.grammatical for sentence in text) / max(len(text), 1)


def _diversity(words: list[str]) -> float:
    """Distinct pairs of adjacent words, as a share of all pairs."""
    pairs = list(itertools.pairwise(words))
    return len(set(pairs)) / len(pairs) if pairs else 0.0


def _summary(asked: Instruction, words: list[str], text: list[Sentence]) -> dict[str, float]:
    """One sentence about the main person, who does two of the three things told, and about nothing that was not."""
    told = _text(asked, words, text)
    return {**told, "answer": -1.0 if _invented(asked, words) else 0.0}


def _rewritten(asked: Instruction, words: list[str], text: list[Sentence]) -> dict[str, float]:
    """The sentence in another tone: the same nouns, no others."""
    wanted = {lexicon.NOUN_OF[word] for word in asked.source if word in lexicon.NOUN_OF}
    found = {lexicon.NOUN_OF[word] for word in words if word in lexicon.NOUN_OF}
    kept = len(wanted & found) / len(wanted | found)
    return {**_text(asked, words, text), "topic": kept}


def _invented(asked: Instruction, words: Sequence[str]) -> bool:
    source = {lexicon.NOUN_OF[word] for word in asked.source if word in lexicon.NOUN_OF}
    return any(word in lexicon.NOUN_OF and lexicon.NOUN_OF[word] not in source for word in words)


def _answered(asked: Instruction, words: list[str], text: list[Sentence]) -> dict[str, float]:
    """1 for the right answer, 0 for not knowing, -1 for anything else, invented answers above all."""
    said = tuple(words[:-1]) if words[-1:] == ["."] else tuple(words)
    right = asked.answer != "" and said == tuple(grammar.fact(asked.name, asked.relation, asked.answer)[:-1])
    return {"answer": 1.0 if right else 0.0 if said == grammar.UNSURE else -1.0, "grammar": _grammar(text)}


def _classified(asked: Instruction, words: list[str], text: list[Sentence]) -> dict[str, float]:
    return {"answer": 1.0 if words == [asked.answer] else -1.0}


def _listed(asked: Instruction, words: list[str], text: list[Sentence]) -> dict[str, float]:
    """``a , b , c .``: items of the category, distinct, without the one that is not wanted, as many as asked for."""
    items = [word for word in words if word not in (",", ".")]
    fitting = {item for item in items if item in lexicon.CATEGORIES[asked.category] and item != asked.other}
    shaped = bool(items) and words == [*[word for item in items for word in (item, ",")][:-1], "."]
    return {
        "answer": 2 * len(fitting) / max(len(items), 1) - 1,
        "count": 1 / (1 + abs(len(items) - asked.count)) if items else 0.0,
        "grammar": float(shaped),
    }


_FAMILY: dict[str, Callable[[Instruction, list[str], list[Sentence]], dict[str, float]]] = {
    "story": _text,
    "respectful": _text,
    "rewrite": _rewritten,
    "summarise": _summary,
    "question": _answered,
    "classify": _classified,
    "list": _listed,
}
