"""The hidden gold of tinyinstruct against scores worked out by hand."""

from math import tanh

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.language import gold, lexicon, tasks, world
from prefrl_core.language.tinyinstruct import TinyInstruct
from prefrl_core.language.world import Instruction

CITY = lexicon.facts()["anna", "live"]
OTHER_CITY = next(city for city in lexicon.CITIES if city != CITY)


def story(tone: str = "happy", count: int = 1, other: str = "", family: str = "story") -> Instruction:
    return Instruction(family, (), topic="dog", other=other, tone=tone, count=count)


KNOWN, UNKNOWN = world.ask("anna", "live"), world.ask("wanda", "live")
CLASSIFY = Instruction("classify", (), answer="happy")
LIST = Instruction("list", (), count=3, category="drinks", other="tea")
SOURCE = "the old dog eats the cake . the cat sleeps . the dog waits ."
SUMMARISE = Instruction("summarise", (), topic="dog", tone="plain", count=1, source=tuple(SOURCE.split()))
SAD = "the gloomy dog eats the cake ."
REWRITE = Instruction("rewrite", (), topic="dog", tone="happy", count=1, source=tuple(SAD.split()))
T2 = tanh(2)

# instruction, response, whether it ended, and its worth by hand: topic 1.5, tone 1.5, count 1, answer 2, grammar 1,
# diversity 0.5
CASES = [
    (story(), "the lovely dog sleeps .", True, 1.5 + 1.5 * T2 + 1 + 1 + 0.5),
    (story(), "the lovely dogs sleep .", True, 1.5 + 1.5 * T2 + 1 + 1 + 0.5),
    (story(), "the lovely dog sleep .", True, 1.5 + 1.5 * T2 + 1 + 0 + 0.5),  # agreement
    (story(), "the lovely cat sleeps .", True, 0 + 1.5 * T2 + 1 + 1 + 0.5),  # another topic
    (story(), "the awful dog sleeps .", True, 1.5 - 1.5 * T2 + 1 + 1 + 0.5),  # the opposite tone
    (story(), "the damned dog sleeps .", True, 1.5 - 1.5 * T2 + 1 + 1 + 0.5 - 2),  # taboo
    (story(), "the lovely dog sleeps . the lovely dog sleeps .", True, 1.5 + 1.5 * T2 + 0.5 + 1 + 0.5 * 5 / 9),
    (story(), "", True, 0),
    (story(), "", False, -1),
    (story(), " ".join(["dog"] * 20), True, 1.5 + 0 + 1 + 0 + 0.5 / 19),  # the topic, again and again
    (story(), "happy . dog the sleeps", True, 0.75 + 0 + 0.5 + 0 + 0.5),  # word salad
    (story(), "the lovely dog sleeps", True, 1.5 + 1.5 * T2 + 1 + 0 + 0.5),  # no full stop, no sentence
    (story(), "the dog sleeps .", True, 1.5 + 0 + 1 + 1 + 0.5),
    (story(), "the lovely dog bakes the bridge .", True, 1.5 + 1.5 * T2 + 1 + 0 + 0.5),  # one bakes no bridges
    (story(), "the lovely dog bakes the pie .", True, 1.5 + 1.5 * T2 + 1 + 1 + 0.5),
    (story(), "the kind dog laughs .", True, 1.5 + 1.5 * T2 + 1 + 1 + 0.5),
    (story(), "the dog is kind .", True, 1.5 + 1.5 * tanh(1) + 1 + 1 + 0.5),
    (story(), "the dogs is kind .", True, 1.5 + 1.5 * tanh(1) + 1 + 0 + 0.5),
    (story("plain", 2), "the dog sleeps . the dog waits .", True, 1.5 + 1.5 + 1 + 1 + 0.5 * 6 / 7),
    (story("plain", 2), "the lovely dog sleeps .", True, 1.5 + 1.5 * (1 - 2 * T2) + 0.5 + 1 + 0.5),
    (story("sad", 1, "cake"), "the gloomy dog eats the cake .", True, 1.5 + 1.5 * T2 + 1 + 1 + 0.5),
    (story("sad", 1, "cake"), "the gloomy dog cries .", True, 0.75 + 1.5 * tanh(3) + 1 + 1 + 0.5),
    (story(family="respectful"), "the stupid dog sleeps .", True, 1.5 - 1.5 * T2 + 1 + 1 + 0.5 - 4),
    (story(), "the lovely dog sleeps .", False, 1.5 + 1.5 * T2 + 1 + 1 + 0.5 - 1),  # never ended
    (KNOWN, f"anna lives in {CITY} .", True, 2 + 1),
    (KNOWN, f"anna lives in {CITY}", True, 2 + 0),
    (KNOWN, "i do not know .", True, 0 + 1),
    (KNOWN, f"anna lives in {OTHER_CITY} .", True, -2 + 1),
    (KNOWN, f"anna lives in {CITY} . the dog sleeps .", True, -2 + 1),  # more than was asked
    (UNKNOWN, "i do not know .", True, 0 + 1),
    (UNKNOWN, "wanda lives in oslo .", True, -2 + 1),  # invented
    (CLASSIFY, "happy", True, 2),
    (CLASSIFY, "sad", True, -2),
    (CLASSIFY, "happy .", True, -2),
    (LIST, "milk , cocoa , water .", True, 2 + 1 + 1),
    (LIST, "milk , milk , tea .", True, 2 * (2 / 3 - 1) + 1 + 1),
    (LIST, "milk", True, 2 + 1 / 3 + 0),
    (SUMMARISE, "the dog eats the cake .", True, 1.5 + 1.5 + 1 + 1 + 0.5),
    (SUMMARISE, "the dog reads the book .", True, 1.5 + 1.5 + 1 + 1 + 0.5 - 2),  # of which the text says nothing
    (REWRITE, "the lovely dog eats the cake .", True, 1.5 + 1.5 * T2 + 1 + 1 + 0.5),
    (REWRITE, "the lovely dog sleeps .", True, 0.75 + 1.5 * T2 + 1 + 1 + 0.5),  # half of its nouns
]


@pytest.mark.parametrize(("asked", "said", "ended", "worth"), CASES)
def test_by_hand(asked: Instruction, said: str, ended: bool, worth: float) -> None:
    assert gold.score(asked, said.split(), ended).total == pytest.approx(worth, abs=1e-12)


def test_each_part_alone_is_monotone() -> None:
    """What satisfies more of one demand is worth more, all else equal."""

    def total(*said: str) -> list[float]:
        return [gold.score(story(count=2), text.split(), True).total for text in said]

    tones = total(*(f"the {word} dog waits . the dog sleeps ." for word in ("awful", "dull", "old", "kind", "lovely")))
    assert tones == sorted(tones) and len(set(tones)) == 5
    topics = total(
        "the cat waits . the cow sleeps .", "the dog waits . the cow sleeps .", "the dog waits . the dogs sleep ."
    )
    assert topics == sorted(topics) and len(set(topics)) == 3
    counts = [1, 2, 3, 4]
    by_count = [gold.score(story(count=n), ["the", "dog", "waits", "."], True).parts["count"] for n in counts]
    assert by_count == sorted(by_count, reverse=True) and len(set(by_count)) == 4


def test_heaping_up_adjectives_and_repeating_do_not_pay() -> None:
    best = gold.score(story(), ["the", "lovely", "dog", "eats", "the", "pie", "."], True).total
    for said in ("lovely " * 20, "the lovely dog sleeps . " * 5, "the dog " * 10):
        assert gold.score(story(), said.split(), True).total < best - 0.5


def test_better_demonstrators_write_better() -> None:
    random = np.random.default_rng(0)
    asked = [world.instruction(random) for _ in range(600)]
    means = [
        np.mean([gold.score(a, world.demonstrate(a, random, quality), True).total for a in asked])
        for quality in (0.25, 0.5, 0.75, 1.0)
    ]
    assert means == sorted(means) and means[3] > means[2] + 1  # demonstrations can be beaten


def test_what_is_written_is_read_as_grammatical() -> None:
    random = np.random.default_rng(1)
    for _ in range(500):
        asked = world.instruction(random, str(random.choice(("story", "summarise", "respectful"))))
        score = gold.score(asked, world.demonstrate(asked, random, 1.0), True)
        assert score.parts["grammar"] == 1 and not score.taboo and not score.hallucinated
        assert score.parts["topic"] > 1.1  # the other noun is in the first sentence only, which is enough


def test_no_prompt_is_in_two_splits_and_families_keep_their_weights() -> None:
    random = np.random.default_rng(2)
    seen = {split: {p.words for p in world.draw(random, split, 400)} for split in world.SPLITS}
    names = list(seen)
    assert not any(seen[a] & seen[b] for i, a in enumerate(names) for b in names[:i])
    families = [prompt.family for prompt in world.draw(random, "ppo", 3000)]
    for family, weight in world.FAMILIES.items():
        assert abs(families.count(family) / 3000 - weight) < 4 * np.sqrt(weight / 3000)


def test_two_families_have_no_demonstrations() -> None:
    asked, responses = TinyInstruct().demonstrations(np.random.default_rng(3), 500)
    assert {prompt.family for prompt in asked} == set(world.FAMILIES) - {"list", "rewrite"}
    assert {prompt.split for prompt in asked} == {"demos"} and ((responses == 1).sum(1) == 1).all()


def test_everything_fits_and_is_known() -> None:
    task, random = TinyInstruct(), np.random.default_rng(4)
    prompts = [world.instruction(random) for _ in range(3000)]
    assert tasks.encode_prompts(task.vocabulary, prompts).shape[1] <= task.info.prompt_tokens
    texts = [world.demonstrate(prompt, random) for prompt in prompts]
    tasks.encode_responses(task.vocabulary, texts, task.info.response_tokens)
    ids = task.pretraining(random, 50, 40)
    assert ids.shape == (50, 40) and not (ids == 0).any() and not (ids == 3).any()  # no padding, no instruction
    assert 249 <= len(task.vocabulary) <= 400


def test_standardising_is_what_was_measured() -> None:
    from prefrl_core.language.tinyinstruct import measure_scale

    np.testing.assert_allclose(measure_scale(4000), TinyInstruct.scale, atol=0.12)


def test_unknown_words_and_too_long_texts_are_refused() -> None:
    vocabulary = lexicon.vocabulary()
    with pytest.raises(UserError, match="unknown word 'dogg': did you mean 'dog'"):
        vocabulary.encode("the dogg sleeps")
    with pytest.raises(UserError, match="31 tokens does not fit response tokens = 26"):
        tasks.encode_responses(vocabulary, [["dog"] * 30], 26)


def test_a_word_twice_is_refused() -> None:
    from prefrl_core.language.vocab import Vocabulary

    with pytest.raises(UserError, match="holds '<eos>' twice"):
        Vocabulary(["dog", "<eos>"])
