"""The words of ``tinyinstruct`` and what they mean: number, class, valence, facts."""

from __future__ import annotations

import itertools

from prefrl_core import seeding
from prefrl_core.language.vocab import Vocabulary

SUBJECTS = (
    *("dog", "cat", "horse", "bird", "cow", "lion", "sailor", "farmer", "baker", "teacher"),
    *("doctor", "painter", "king", "queen", "girl", "boy", "driver", "singer", "guard", "cook"),
)
OBJECTS = {  # by class
    "food": ("apple", "cake", "pie", "plum", "carrot"),
    "text": ("book", "letter", "poem", "map", "song"),
    "thing": ("lamp", "box", "chair", "coat", "drum"),
    "place": ("house", "garden", "bridge", "tower", "market"),
}
VERBS = {  # a class of objects to its verbs in the plural; "" takes no object
    "": ("sleep", "run", "sing", "laugh", "cry", "wait", "dance", "fall"),
    "food": ("eat", "bake", "share"),
    "text": ("write", "read", "copy"),
    "thing": ("carry", "sell", "mend"),
    "place": ("visit", "paint", "leave"),
}
VALENCE = {
    **dict.fromkeys(("wonderful", "joyful", "brilliant", "lovely"), 2),
    **dict.fromkeys(("kind", "bright", "warm", "gentle", "merry", "sweet"), 1),
    **dict.fromkeys(("old", "small", "red", "tall", "blue", "young", "round", "quiet"), 0),
    **dict.fromkeys(("dull", "cold", "tired", "lonely", "bitter", "weak"), -1),
    **dict.fromkeys(("awful", "gloomy", "dreadful", "wretched"), -2),
}
TABOO = dict.fromkeys(("damned", "stupid", "filthy", "rotten"), -2)  # adjectives that nobody wants to read
ADJECTIVES = {**VALENCE, **TABOO}
FEELING = {"laugh": 1, "sing": 1, "dance": 1, "cry": -1, "fall": -1}  # valence of verbs

TONES = {"happy": 1, "plain": 0, "sad": -1}
NUMBERS = ("one", "two", "three", "four")
KNOWN = (
    *("anna", "ben", "carl", "dora", "emil", "fritz", "greta", "hugo", "ida", "jonas"),
    *("karin", "leo", "maria", "nils", "olga", "paul", "rosa", "simon", "tina", "viktor"),
)
UNKNOWN = ("wanda", "xaver", "yusuf", "zora", "quentin", "bruno", "clara", "oskar")
CITIES = ("oslo", "rome", "paris", "cairo", "lima", "delhi", "tokyo", "quito")
DRINKS = ("tea", "milk", "cocoa", "water", "juice", "cider")
CATEGORIES = {
    "animals": ("dog", "cat", "horse", "bird", "cow", "lion"),
    "foods": OBJECTS["food"],
    "things": OBJECTS["thing"],
    "places": OBJECTS["place"],
    "cities": CITIES,
    "drinks": DRINKS,
}

_PLURALS = {"boy": "boys", "lady": "ladies", "box": "boxes", "city": "cities"}
_VERB_FORMS = {"cry": "cries", "carry": "carries", "copy": "copies"}
_GLUE = (
    *(".", ",", "?", ":", "the", "a", "is", "are", "and", "in", "i", "do", "does", "not", "know"),
    *("where", "what", "live", "lives", "like", "likes", "of", "list", "story", "about", "this", "or"),
    *("respectful", "tell", "sentence", "sentences", "rewrite", "as", "summarise", "but", "no", "there", "here"),
)


def plural(noun: str) -> str:
    """The plural of a noun."""
    return _PLURALS.get(noun, noun + "s")


def third_person(verb: str) -> str:
    """The form that goes with a singular subject."""
    return _VERB_FORMS.get(verb, verb + ("es" if verb.endswith("sh") else "s"))


NOUN_OF = {form: noun for noun in (*SUBJECTS, *itertools.chain(*OBJECTS.values())) for form in (noun, plural(noun))}
CLASS_OF = {noun: kind for kind, nouns in OBJECTS.items() for noun in nouns}
PLURAL_FORMS = {plural(noun) for noun in NOUN_OF.values()}
VERB_OF = {form: verb for verbs in VERBS.values() for verb in verbs for form in (verb, third_person(verb))}
TAKES = {verb: kind for kind, verbs in VERBS.items() for verb in verbs}


def vocabulary() -> Vocabulary:
    """All words, in an order that does not depend on anything."""
    words = (*_GLUE, *NUMBERS, *TONES, *ADJECTIVES, *NOUN_OF, *VERB_OF, *KNOWN, *UNKNOWN, *CITIES, *DRINKS, *CATEGORIES)
    return Vocabulary(dict.fromkeys(words))


def facts() -> dict[tuple[str, str], str]:
    """The base of 40 facts: ``(name, "live")`` to a city, ``(name, "like")`` to a drink; the same in every run."""
    random = seeding.generator(0, "facts of tinyinstruct")
    return {
        **{(name, "live"): CITIES[random.integers(len(CITIES))] for name in KNOWN},
        **{(name, "like"): DRINKS[random.integers(len(DRINKS))] for name in KNOWN},
    }
