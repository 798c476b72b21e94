"""The task ``tinyinstruct``: a closed world of 249 words with instructions, facts, taboo words and a hidden gold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from prefrl_core.language import gold, lexicon, tasks, world
from prefrl_core.language.tasks import Floats, Gold, Ints
from prefrl_core.language.vocab import EOS
from prefrl_core.language.world import Instruction


class TinyInstruct:
    """See ``LMTask``. The world is the same in every run; text, prompts and demonstrations are drawn by the seed."""

    # of 100,000 demonstrations to prompts of all families at quality 0.75, those held out included
    scale: tuple[float, float] = (3.215, 1.903)
    parts: tuple[str, ...] = gold.PARTS

    def __init__(self) -> None:
        self.info = tasks.describe("language/tinyinstruct")
        self.vocabulary = lexicon.vocabulary()

    def pretraining(self, random: np.random.Generator, rows: int, tokens: int, held_out: bool = False) -> Ints:
        """Pretraining text ``(rows, tokens)``; text never repeats, so held-out text is simply more of it."""

        def texts() -> Iterator[list[int]]:
            while True:
                yield self.vocabulary.encode(world.pretraining_text(random))

        return tasks.pack(texts(), tokens, rows)

    def prompts(self, random: np.random.Generator, split: str, count: int) -> list[Instruction]:
        """``count`` prompts of a split."""
        return world.draw(random, split, count)

    def demonstrations(self, random: np.random.Generator, count: int) -> tuple[list[Instruction], Ints]:
        """``count`` prompts with a demonstration each, ``(count, response tokens)``."""
        asked = world.draw(random, "demos", count, leave_out=world.HELD_OUT)
        texts = [world.demonstrate(prompt, random) for prompt in asked]
        return asked, tasks.encode_responses(self.vocabulary, texts, self.info.response_tokens)

    def gold(self, prompts: Sequence[Instruction], responses: Ints) -> Gold:
        """What ``responses (rows, tokens)`` are worth."""
        ended = (responses == EOS).any(1)
        scores = [
            gold.score(prompt, self.vocabulary.decode(row), bool(end))
            for prompt, row, end in zip(prompts, responses.tolist(), ended, strict=True)
        ]
        invented = [
            float(score.hallucinated) if prompt.family == "summarise" else np.nan
            for prompt, score in zip(prompts, scores, strict=True)
        ]
        return Gold(
            np.array([[score.parts[name] for name in self.parts] for score in scores]),
            ended.astype(np.float64),
            np.array([score.taboo for score in scores], np.float64),
            np.array(invented),
        )

    def probes(self) -> tuple[list[Instruction], list[Instruction]]:
        """All 40 facts as questions, and the 16 questions about unknown names."""
        both = ("live", "like")
        return (
            [world.ask(name, relation) for name in lexicon.KNOWN for relation in both],
            [world.ask(name, relation) for name in lexicon.UNKNOWN for relation in both],
        )


def measure_scale(count: int = 100_000) -> Floats:
    """How ``TinyInstruct.scale`` was measured: mean and SD of gold over demonstrations of all families."""
    from prefrl_core import seeding

    random = seeding.generator(0, "scale of tinyinstruct")
    asked = [world.instruction(random) for _ in range(count)]
    totals = [gold.score(prompt, world.demonstrate(prompt, random), True).total for prompt in asked]
    return np.array([np.mean(totals), np.std(totals)])
