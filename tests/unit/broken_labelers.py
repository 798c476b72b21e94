"""Labelers that each break one law (and now and then another with it), for test_conformance.py."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefrl_core.feedback.labelers import Mistake, Oracle, Questions, Stochastic

LABELERS: dict[str, Any] = {}  # by the law that each breaks


def labeler(law: str, base: type = Oracle) -> Callable[[Any], Any]:
    """A labeler whose ``answer`` is the decorated function of (itself, questions, generator)."""

    def add(answer: Any) -> Any:
        LABELERS[law] = dataclass(frozen=True)(type("Bad", (base,), {"answer": answer, "__module__": __name__}))
        return answer

    return add


@labeler("answers")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return 2 * Oracle.answer(self, questions, rng) - 1


@labeler("deterministic")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return Stochastic().answer(questions, np.random.default_rng())


@labeler("own generator")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return np.where(random.random() < 0.5, 0.5, Oracle.answer(self, questions, rng))


@labeler("no memory")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    asked = self.__dict__["asked"] = self.__dict__.get("asked", 0) + 1
    return np.where(asked > 2, 0.5, Oracle.answer(self, questions, rng))


LABELERS["resumed is uninterrupted"] = LABELERS["no memory"]


@labeler("arguments unchanged")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    questions.left[:] -= questions.left.mean()
    return Oracle.answer(self, questions, rng)


@labeler("nothing kept alive")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    self.__dict__["seen"] = questions.right[:1]
    return Oracle.answer(self, questions, rng)


@labeler("symmetric")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    """Three in a hundred times the left, whatever it is."""
    return np.where(rng.random(len(questions.left)) < 0.03, 1.0, Oracle.answer(self, questions, rng))


@labeler("prefers the better")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return (rng.random(len(questions.left)) < 0.5).astype(float)


@labeler("calibrated", Mistake)
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    """States that it errs one time in ten, and errs one time in five."""
    return Mistake(mistake=0.2).answer(questions, rng)


@labeler("same run twice")
def _(self: Any, questions: Questions, rng: np.random.Generator) -> Any:
    return np.where(np.random.rand(len(questions.left)) < 0.5, 0.5, Oracle.answer(self, questions, rng))  # noqa: NPY002


class PlainLabeler:
    def answer(self, questions: Questions, rng: np.random.Generator) -> Any:
        return Oracle().answer(questions, rng)


LABELERS["settings"] = PlainLabeler
