"""The instructions of ``tinyinstruct``: seven families, what a good response to each is, and people who write one.

The demonstrator satisfies each demand with a probability of its own, so demonstrations are good but can be beaten, as
people's are. Two families have no demonstrations at all: what the policy does there, it has from the other stages.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from prefrl_core.language import grammar, lexicon
from prefrl_core.language.grammar import pick

Random = np.random.Generator

# The paper's use cases are mostly generation, then open questions (Ouyang et al. 2022, table 1); the weights are ours.
FAMILIES = {
    "story": 0.45,
    "question": 0.15,
    "list": 0.10,
    "rewrite": 0.10,
    "summarise": 0.10,
    "classify": 0.05,
    "respectful": 0.05,
}
HELD_OUT = ("list", "rewrite")
SPLITS = {"demos": 0.3, "rankings": 0.3, "ppo": 0.2, "validation": 0.1, "test": 0.1}  # shares of all prompts
PROMPT_TOKENS, RESPONSE_TOKENS = 28, 26
_UNKNOWN_SHARE = 0.25  # of the questions, about names that nothing is known about
_FACTS = lexicon.facts()


@dataclass(frozen=True)
class Instruction:
    """A prompt, and what its gold asks for; the reward model sees ``words`` only."""

    family: str
    words: tuple[str, ...]
    topic: str = ""  # noun that a story, rewrite or summary is about
    other: str = ""  # noun that has to occur as well
    tone: str = ""
    count: int = 0  # sentences, or items of a list
    name: str = ""  # who is asked about
    relation: str = ""
    answer: str = ""  # the right one; "" where nobody knows
    category: str = ""
    source: tuple[str, ...] = ()  # text to summarise or rewrite

    @property
    def split(self) -> str:
        """Which split the prompt belongs to, by the hash of its words, so that no prompt is in two."""
        place, share = zlib.crc32(" ".join(self.words).encode()) / 2**32, 0.0
        for name, size in SPLITS.items():
            share += size
            if place < share:
                return name
        return "test"


def instruction(random: Random, family: str = "") -> Instruction:
    """A random prompt of ``family``, or of one drawn by its weight."""
    if not family:
        family = str(random.choice(tuple(FAMILIES), p=tuple(FAMILIES.values())))
    return _MAKERS[family](random)


def draw(random: Random, split: str, count: int, leave_out: tuple[str, ...] = ()) -> list[Instruction]:
    """``count`` prompts of a split; families keep their weights, whatever share of their prompts the split has."""
    weights = {family: weight for family, weight in FAMILIES.items() if family not in leave_out}
    shares = np.array(tuple(weights.values())) / sum(weights.values())
    made = []
    for family in random.choice(tuple(weights), size=count, p=shares):
        made.append(instruction(random, str(family)))
        while made[-1].split != split:
            made[-1] = instruction(random, str(family))
    return made


def _story(random: Random, family: str = "story") -> Instruction:
    topic, tone, count = pick(lexicon.SUBJECTS, random), pick(tuple(lexicon.TONES), random), int(random.integers(1, 4))
    other = pick(tuple(lexicon.CLASS_OF), random) if random.random() < 0.5 else ""
    manner = ["respectful"] if family == "respectful" else []
    about = ["the", topic, *(["and", "the", other] if other else [])]
    length = [lexicon.NUMBERS[count - 1], "sentence" if count == 1 else "sentences"]
    words = ("tell", "a", *manner, tone, "story", "of", *length, "about", *about)
    return Instruction(family, words, topic=topic, other=other, tone=tone, count=count)


def _question(random: Random) -> Instruction:
    name = pick(lexicon.UNKNOWN if random.random() < _UNKNOWN_SHARE else lexicon.KNOWN, random)
    relation = "live" if random.random() < 0.5 else "like"
    return ask(name, relation)


def ask(name: str, relation: str) -> Instruction:
    """The question about one fact."""
    words, answer = tuple(grammar.question(name, relation)), _FACTS.get((name, relation), "")
    return Instruction("question", words, name=name, relation=relation, answer=answer)


def _list(random: Random) -> Instruction:
    category, count = pick(tuple(lexicon.CATEGORIES), random), int(random.integers(2, 5))
    without = pick(lexicon.CATEGORIES[category], random) if random.random() < 0.7 else ""
    words = ("list", lexicon.NUMBERS[count - 1], category, *(["but", "no", without] if without else []))
    return Instruction("list", words, count=count, category=category, other=without)


def _rewrite(random: Random) -> Instruction:
    topic, (tone, now) = pick(lexicon.SUBJECTS, random), random.permutation(tuple(lexicon.TONES))[:2]
    source = grammar.sentence(topic, str(now), random)
    words = ("rewrite", "this", "as", str(tone), ":", *source)
    return Instruction("rewrite", words, topic=topic, tone=str(tone), count=1, source=tuple(source))


def _summarise(random: Random) -> Instruction:
    topic, tone = pick(lexicon.SUBJECTS, random), pick(tuple(lexicon.TONES), random)
    subjects = [topic, topic, pick(lexicon.SUBJECTS, random)]
    texts = [grammar.sentence(subjects[index], tone, random) for index in random.permutation(3)]
    source = tuple(word for text in texts for word in text)
    if 2 + len(source) + 2 > PROMPT_TOKENS:
        return _summarise(random)
    return Instruction("summarise", ("summarise", ":", *source), topic=topic, tone=tone, count=1, source=source)


def _classify(random: Random) -> Instruction:
    topic, tone = pick(lexicon.SUBJECTS, random), pick(("happy", "sad"), random)
    source = grammar.sentence(topic, tone, random)
    return Instruction(
        "classify", ("is", "this", "happy", "or", "sad", ":", *source), answer=tone, source=tuple(source)
    )


_MAKERS: dict[str, Callable[[Random], Instruction]] = {
    "story": _story,
    "question": _question,
    "list": _list,
    "rewrite": _rewrite,
    "summarise": _summarise,
    "classify": _classify,
    "respectful": lambda random: _story(random, "respectful"),
}


def demonstrate(asked: Instruction, random: Random, quality: float = 0.75) -> list[str]:
    """A response that satisfies each demand with probability ``quality``."""

    def good() -> bool:
        return bool(random.random() < quality)

    if asked.family == "classify":
        return [asked.answer if good() else pick(("happy", "sad", "plain"), random)]
    if asked.family == "question":
        return _demonstrate_answer(asked, random, good())
    if asked.family == "list":
        items = [word for word in lexicon.CATEGORIES[asked.category] if word != asked.other or not good()]
        count = asked.count if good() else int(random.integers(1, 5))
        chosen = [str(item) for item in random.permutation(items)[:count]]
        return [*[word for item in chosen for word in (item, ",")][:-1], "."]
    texts = _demonstrate_text(asked, random, good)
    if not good():
        at = int(random.integers(len(texts)))
        texts[at] = grammar.break_agreement(texts[at])
    if not good():
        at = int(random.integers(len(texts)))
        texts[at] = swear(texts[at], random)
    return [word for text in texts for word in text]


def _demonstrate_text(asked: Instruction, random: Random, good: Callable[[], bool]) -> list[list[str]]:
    """Sentences for a story, a rewrite or a summary, which quotes one of those that matter."""
    if asked.family == "summarise" and good():
        told = [sentence for sentence in grammar.read(asked.source) if asked.topic in sentence.nouns]
        return [[*told[int(random.integers(len(told)))].words, "."]]
    topic = asked.topic if good() else pick(lexicon.SUBJECTS, random)
    tone = asked.tone if good() else pick(tuple(lexicon.TONES), random)
    objects = [noun for word in asked.source if (noun := lexicon.NOUN_OF.get(word, "")) in lexicon.CLASS_OF]
    other = (asked.other or (objects[0] if objects and asked.family == "rewrite" else "")) if good() else ""
    count = asked.count if good() else int(random.integers(1, 4))
    return [grammar.sentence(topic, tone, random, other if index == 0 else "") for index in range(count)]


def _demonstrate_answer(asked: Instruction, random: Random, good: bool) -> list[str]:
    things = lexicon.CITIES if asked.relation == "live" else lexicon.DRINKS
    if good and not asked.answer:
        return [*grammar.UNSURE, "."]
    return grammar.fact(asked.name, asked.relation, asked.answer if good else pick(things, random))


def swear(words: list[str], random: Random) -> list[str]:
    """The same sentence with a taboo word for its first adjective, or before its first noun."""
    word = pick(tuple(lexicon.TABOO), random)
    if len(words) > 1 and words[1] in lexicon.ADJECTIVES:
        return [words[0], word, *words[2:]]
    return [words[0], word, *words[1:]] if words[0] == "the" else words


def pretraining_text(random: Random) -> list[str]:
    """One text that follows no instruction: a story, facts said and asked, a list, or words at random."""
    kind = random.random()
    if kind < 0.55:
        return _free_story(random)
    if kind < 0.85:
        return _talk_of_facts(random)
    if kind < 0.95:
        category = pick(tuple(lexicon.CATEGORIES), random)
        items = random.permutation(lexicon.CATEGORIES[category])[: int(random.integers(2, 5))]
        return ["a", "list", "of", category, ":", *[w for item in items for w in (str(item), ",")][:-1], "."]
    nouns = tuple(lexicon.NOUN_OF)
    return [pick(nouns, random) for _ in range(int(random.integers(3, 9)))] + ["."]


def _free_story(random: Random) -> list[str]:
    topic, tone = pick(lexicon.SUBJECTS, random), pick(tuple(lexicon.TONES), random)
    texts = [grammar.sentence(topic, tone, random) for _ in range(int(random.integers(1, 5)))]
    texts = [swear(text, random) if random.random() < 0.05 else text for text in texts]
    start = ["a", tone, "story", "about", "the", topic, ":"] if random.random() < 0.3 else []
    return [*start, *(word for text in texts for word in text)]


def _talk_of_facts(random: Random) -> list[str]:
    made = []
    for _ in range(int(random.integers(1, 4))):
        (name, relation), thing = list(_FACTS.items())[int(random.integers(len(_FACTS)))]
        said = grammar.fact(name, relation, thing)
        made += grammar.question(name, relation) + said if random.random() < 0.5 else said
    if random.random() < 0.1:
        made += [*grammar.question(pick(lexicon.UNKNOWN, random), pick(("live", "like"), random)), *grammar.UNSURE, "."]
    return made
