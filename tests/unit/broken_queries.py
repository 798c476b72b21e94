"""Query strategies that each break one law (and now and then another with it), for test_conformance.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefrl_core.feedback.queries import Candidates, Uniform

QUERIES: dict[str, Any] = {}


def query(law: str) -> Callable[[Any], Any]:
    """A query strategy whose ``choose`` is the decorated function of (itself, candidates, count, generator)."""

    def add(choose: Any) -> Any:
        QUERIES[law] = dataclass(frozen=True)(type("Bad", (Uniform,), {"choose": choose, "__module__": __name__}))
        return choose

    return add


@dataclass(frozen=True)
class NoFactor(Uniform):
    factor: float = 1.5  # type: ignore[assignment]


QUERIES["factor"] = NoFactor


@query("valid indices")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.arange(1, count + 1)


@query("as many as asked")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.arange(count // 2)


QUERIES["budget exact"] = QUERIES["as many as asked"]


@query("no repeats")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return rng.integers(0, len(candidates.pairs), count)


@query("no pair with itself")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    candidates.pairs[:, 1] = candidates.pairs[:, 0]
    return np.arange(count)


QUERIES["different segments compared"] = QUERIES["no pair with itself"]


@query("deterministic")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.random.default_rng().permutation(len(candidates.pairs))[:count]


@query("own generator")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.random.permutation(len(candidates.pairs))[:count]  # noqa: NPY002


@query("no memory")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    start = self.__dict__["start"] = self.__dict__.get("start", -1) + 1
    return (np.arange(count) + start) % len(candidates.pairs)


@query("arguments unchanged")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    candidates.probabilities.sort()
    return np.arange(count)


@query("nothing kept alive")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    self.__dict__["latest"] = candidates.segments[-1]
    return np.arange(count)


@query("symmetric")
def _(self: Any, candidates: Candidates, count: int, rng: np.random.Generator) -> Any:
    return np.argsort(-candidates.probabilities.mean(0), kind="stable")[:count]
