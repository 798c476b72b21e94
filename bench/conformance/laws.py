# ruff: noqa: NPY002 - the legacy generator is what is watched here
"""What a law is, and what several kinds of parts are held to.

A law is a function of the part under test. It returns what was seen where the law is kept, raises ``Broken`` with
what was seen where it is not, and ``NotApplicable`` where the part makes no such promise. Its name, underscores as
spaces, is the law's name in the table. Anything else that the part raises breaks the law too.
"""

from __future__ import annotations

import gc
import random
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from prefrl_core.checkpoint import Log
from prefrl_core.errors import located

FALSE_ALARM = 1e-6  # bound on the probability that a law of distribution calls a lawful part broken


class Broken(Exception):
    """The law is broken; the text says what was seen."""


class NotApplicable(Exception):
    """The part does not promise this; the text says why."""


@dataclass(frozen=True)
class Verdict:
    """The outcome of one law."""

    law: str
    state: Literal["kept", "broken", "not applicable"]
    seen: str


def judge(
    part: Any, laws: Sequence[Callable[[Any], str]], tell: Callable[[str], None] = lambda law: None
) -> list[Verdict]:
    """A verdict for each law, in order; ``tell`` hears each law's name before it is tried.

    An exception that breaks several laws is told once, with its place.
    """
    raised: dict[str, str] = {}
    verdicts = []
    for law in laws:
        name = law.__name__.replace("_", " ")
        tell(name)
        verdicts.append(_verdict(part, name, law, raised))
    return verdicts


def _verdict(part: Any, name: str, law: Callable[[Any], str], raised: dict[str, str]) -> Verdict:
    """``raised``: exceptions so far, and the law that each broke first."""
    try:
        return Verdict(name, "kept", law(part))
    except Broken as seen:
        return Verdict(name, "broken", str(seen))
    except NotApplicable as reason:
        return Verdict(name, "not applicable", str(reason))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's code may fail in any way, sys.exit among them
        first = raised.setdefault(located(error), name)
        return Verdict(name, "broken", f"raised {located(error)}" if first == name else f"raised the same as {first!r}")


def hold(condition: bool, seen: str) -> None:
    """Raise ``Broken`` with what was seen unless the condition holds."""
    if not condition:
        raise Broken(seen)


def as_bytes(value: Any) -> bytes:
    """A nested value as bytes: equal where, and only where, it is equal to the bit."""
    if isinstance(value, dict):
        return b"{" + b",".join(str(key).encode() + b":" + as_bytes(value[key]) for key in sorted(value)) + b"}"
    if isinstance(value, (list, tuple)):
        return b"[" + b",".join(map(as_bytes, value)) + b"]"
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + value.tobytes()
    if isinstance(value, Log):
        return f"{value.first}{value.total}".encode() + value.rows(value.first, value.total).tobytes()
    return repr(value).encode()


def same_each_time(call: Callable[[], Any]) -> str:
    """``call``, which makes everything that it needs, gives the same to the bit each time."""
    first = as_bytes(call())
    hold(first == as_bytes(call()) == as_bytes(call()), "the same state of the generator gave another result")
    return "same to the bit, three times"


def apart_from_global_state(call: Callable[[], Any]) -> str:
    """``call`` neither depends on the generators that all of a process shares, nor moves them."""
    results = []
    for seed in (1, 2):
        with poisoned(seed):
            before = _global_state()
            results.append(as_bytes(call()))
            for name, old, new in zip(("np.random", "random"), before, _global_state(), strict=True):
                hold(old == new, f"it drew from the global generator of {name}: use the generator it is given")
    hold(results[0] == results[1], "another global seed gave another result")
    return "no effect of np.random.seed or random.seed, neither generator moved"


@contextmanager
def poisoned(seed: int) -> Iterator[None]:
    """The generators that all of a process shares begin at ``seed``, and are put back afterwards."""
    kept = np.random.get_state(), random.getstate()
    try:
        np.random.seed(seed)
        random.seed(seed)
        yield
    finally:
        np.random.set_state(kept[0])
        random.setstate(kept[1])


def _global_state() -> tuple[bytes, bytes]:
    return as_bytes(tuple(np.random.get_state())), repr(random.getstate()).encode()


def unchanged(call: Callable[[], Any], **arrays: NDArray[Any]) -> str:
    """``call`` leaves the arrays as they were."""
    before = {name: np.array(array) for name, array in arrays.items()}  # compressed clips of frames are taken out
    call()
    for name, array in arrays.items():
        hold(as_bytes(np.asarray(array)) == as_bytes(before[name]), f"it wrote to {name}: copy what is to be changed")
    return f"{', '.join(arrays)} as before"


def let_go(call: Callable[[], tuple[Any, Iterable[NDArray[Any]]]]) -> str:
    """Nothing keeps alive the arrays that ``call`` made and used; the part, which ``call`` returns first, lives on."""
    part, given = call()
    watched = [weakref.ref(array) for array in given]
    del given
    gc.collect()
    alive = sum(one() is not None for one in watched)
    hold(not alive, f"{alive} of the {len(watched)} arrays it was given are kept alive by {type(part).__name__}: copy")
    return f"{len(watched)} arrays were freed"


def same_shares(one: NDArray[np.int64], other: NDArray[np.int64], trials: int, what: Callable[[int], str]) -> None:
    """Break the law where two counts of ``trials`` independent trials cannot have one probability.

    Fisher's exact test of each entry, with Bonferroni's correction: a lawful part is called broken with a
    probability of at most ``FALSE_ALARM``.
    """
    from scipy.stats import fisher_exact

    for place in np.flatnonzero(one != other):
        a, b = int(one[place]), int(other[place])
        if fisher_exact([[a, trials - a], [b, trials - b]]).pvalue < FALSE_ALARM / len(one):
            raise Broken(f"{what(int(place))}: {a} of {trials} times, mirrored {b} of {trials}")
