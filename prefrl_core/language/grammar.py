"""The sentences of ``tinyinstruct``: written with agreement and sense, and read back.

A sentence is ``the [adjective] subject verb [the [adjective] object]``, ``the [adjective] subject is adjective``,
a fact (``anna lives in oslo``, ``anna likes tea``) or ``i do not know``. The verb agrees with its subject in number,
and takes only objects of its class: one bakes pies, not bridges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prefrl_core.language import lexicon
from prefrl_core.language.lexicon import ADJECTIVES, CLASS_OF, FEELING, NOUN_OF, PLURAL_FORMS, TAKES, VERB_OF, VERBS

Random = np.random.Generator
UNSURE = ("i", "do", "not", "know")
_BY_TONE = {
    tone: tuple(word for word, valence in lexicon.VALENCE.items() if np.sign(valence) == sign)
    for tone, sign in lexicon.TONES.items()
}


@dataclass(frozen=True)
class Sentence:
    """What a reader finds in one sentence."""

    words: tuple[str, ...]
    grammatical: bool

    @property
    def nouns(self) -> set[str]:
        """Its nouns, in the singular."""
        return {NOUN_OF[word] for word in self.words if word in NOUN_OF}

    @property
    def valence(self) -> int:
        """The sum over its words."""
        return sum(ADJECTIVES.get(word, 0) + FEELING.get(VERB_OF.get(word, ""), 0) for word in self.words)


def pick(options: Sequence[str], random: Random) -> str:
    """One of them, each as likely."""
    return options[int(random.integers(len(options)))]


def noun_phrase(noun: str, plural: bool, adjective: str = "") -> list[str]:
    """``the [adjective] noun(s)``."""
    return ["the", *([adjective] if adjective else []), lexicon.plural(noun) if plural else noun]


def adjective(tone: str, random: Random) -> str:
    """A decent one that fits the tone."""
    return pick(_BY_TONE[tone], random)


def sentence(subject: str, tone: str, random: Random, target: str = "") -> list[str]:
    """A sentence about ``subject``, with ``target`` as its object where given, its full stop included.

    Happy and sad ones have at least one adjective of their tone, and no word against it.
    """
    plural = bool(random.random() < 0.4)
    if not target and random.random() < 0.2:
        return [*noun_phrase(subject, plural), "are" if plural else "is", adjective(tone, random), "."]
    kind = CLASS_OF[target] if target else pick(tuple(VERBS), random)
    verb = pick([verb for verb in VERBS[kind] if FEELING.get(verb, 0) * lexicon.TONES[tone] >= 0], random)
    if tone == "plain" and FEELING.get(verb, 0):
        verb = "wait"
    first = adjective(tone, random) if tone != "plain" or random.random() < 0.5 else ""
    words = [*noun_phrase(subject, plural, first), verb if plural else lexicon.third_person(verb)]
    if kind:
        second = adjective(tone, random) if random.random() < 0.3 else ""
        words += noun_phrase(target or pick(lexicon.OBJECTS[kind], random), bool(random.random() < 0.3), second)
    return [*words, "."]


def break_agreement(words: list[str]) -> list[str]:
    """The same sentence with its verb in the wrong number; unchanged where it has no verb of ours."""
    for index, word in enumerate(words):
        if word in ("is", "are"):
            return [*words[:index], "are" if word == "is" else "is", *words[index + 1 :]]
        if word in VERB_OF:
            wrong = lexicon.third_person(word) if VERB_OF[word] == word else VERB_OF[word]
            return [*words[:index], wrong, *words[index + 1 :]]
    return words


def fact(name: str, relation: str, thing: str) -> list[str]:
    """``anna lives in oslo .``"""
    return [name, "lives", "in", thing, "."] if relation == "live" else [name, "likes", thing, "."]


def question(name: str, relation: str) -> list[str]:
    """``where does anna live ?``"""
    return ["where" if relation == "live" else "what", "does", name, relation, "?"]


def read(words: Sequence[str]) -> list[Sentence]:
    """The sentences of a text: what stands before each full stop, and what is left after the last, which is none."""
    made, rest = [], list(words)
    while "." in rest:
        at = rest.index(".")
        part = tuple(rest[:at])
        made.append(Sentence(part, is_sentence(part)))
        rest = rest[at + 1 :]
    return [*made, Sentence(tuple(rest), False)] if rest else made


def is_sentence(words: Sequence[str]) -> bool:
    """Whether the words, without a full stop, are a sentence as described above."""
    if tuple(words) == UNSURE or _is_fact(words):
        return True
    start = _noun_phrase_at(words, 0)
    if start == 0 or start >= len(words):
        return False
    plural, word, rest = words[start - 1] in PLURAL_FORMS, words[start], start + 1
    if word in ("is", "are"):
        return plural == (word == "are") and len(words) == rest + 1 and words[rest] in ADJECTIVES
    if word not in VERB_OF or plural != (VERB_OF[word] == word):
        return False
    kind = TAKES[VERB_OF[word]]
    if not kind:
        return rest == len(words)
    whole = rest < _noun_phrase_at(words, rest) == len(words)
    return whole and CLASS_OF.get(NOUN_OF[words[-1]]) == kind


def _is_fact(words: Sequence[str]) -> bool:
    known = (*lexicon.KNOWN, *lexicon.UNKNOWN)
    if len(words) == 4 and words[0] in known and tuple(words[1:3]) == ("lives", "in"):
        return words[3] in lexicon.CITIES
    return len(words) == 3 and words[0] in known and words[1] == "likes" and words[2] in lexicon.DRINKS


def _noun_phrase_at(words: Sequence[str], start: int) -> int:
    """Where the noun phrase that begins at ``start`` ends; ``start`` where there is none."""
    at = start
    if at < len(words) and words[at] == "the":
        at += 1
        at += at < len(words) and words[at] in ADJECTIVES
        if at < len(words) and words[at] in NOUN_OF:
            return at + 1
    return start
