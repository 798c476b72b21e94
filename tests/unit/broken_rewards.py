"""For each law of a reward model one that breaks it, and is otherwise the default one."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from prefrl_core.reward.ensemble import Ensemble
from prefrl_core.reward.settings import EnsembleSettings

REWARDS: dict[str, type] = {}


def reward(law: str, **defaults: Any) -> Callable[[type], type]:
    """The decorated class is what the settings make."""

    def add(cls: type) -> type:
        globals()[f"of_{cls.__name__}"] = cls
        fields = {"learner": f"{__name__}:{cls.__name__}", **defaults}
        notes = {"learner": ClassVar[str], **{name: type(value) for name, value in defaults.items()}}
        body = {**fields, "__annotations__": notes, "__module__": __name__}
        REWARDS[law] = dataclass(frozen=True)(type(f"{cls.__name__}Settings", (EnsembleSettings,), body))
        return cls

    return add


@reward("shapes")
class Column(Ensemble):
    def predict(self, features: Any, done: Any = None) -> Any:
        return super().predict(features, done)[..., None]


@reward("deterministic")
class Entropic(Ensemble):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.random = np.random.default_rng()


@reward("own generator")
class Global(Ensemble):
    def predict(self, features: Any, done: Any = None) -> Any:
        return super().predict(features, done) + np.float32(1e-3 * random.random())


@reward("predictions change nothing")
class Observing(Ensemble):
    def predict(self, features: Any, done: Any = None) -> Any:
        self.standardize.update(features)
        return super().predict(features, done)


@reward("arguments unchanged")
class Scribbler(Ensemble):
    def observe(self, turn: Any) -> None:
        super().observe(turn)
        turn.features[..., 0] = 0


@reward("complement")
class LeftHanded(Ensemble):
    def preferences(self, kept: Any, pairs: Any) -> Any:
        return np.minimum(1, super().preferences(kept, pairs) + 0.1)


@reward("bounded")
class Thorough(Ensemble):
    def updates(self, comparisons: Any, first: bool) -> int:
        return int(comparisons.count) ** 2 // 10_000  # 4 for 200 comparisons, 400 for 2,000


@reward("learns")
class Contrary(Ensemble):
    def losses(self, sums: Any, batch: Any) -> Any:
        loss, slopes = super().losses(sums, batch)
        return loss, -slopes


@reward("members differ")
class Clones(Ensemble):
    def segment_sums(self, kept: Any) -> Any:
        return np.repeat(super().segment_sums(kept)[:1], len(self.members), axis=0)


@reward("refuses nonsense")
class Silent(Ensemble):
    def take_steps(self, comparisons: Any, updates: int, pool: Any = None) -> Any:
        self.parameters.finite = lambda: True  # type: ignore[method-assign]
        return super().take_steps(comparisons, updates, pool)


@reward("state")
class Forgetful(Ensemble):
    def set_state(self, state: Any) -> None:
        super().set_state({**state, "standardize": self.standardize.get_state()})


@reward("nothing kept alive")
class Hoarder(Ensemble):
    def observe(self, turn: Any) -> None:
        super().observe(turn)
        self.__dict__.setdefault("history", []).append(turn.features)
