"""Who ranks K completions of a prompt: synthetic labelers that know the hidden gold score.

A labeler answers every pair at once, ``(prompts, K (K - 1) / 2)`` in the order of ``itertools.combinations``: 1 (the
first is better), 0 (the second) or 0.5 (equally good), as the main track's do. Pairs, not ranks, are kept, because a
labeler that flips pairs need not be transitive. Gold is given in standard deviations over demonstrations.

The names are the main track's; what a setting means there for a pair of clips it means here for a pair of completions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError, require, unknown
from prefrl_core.feedback import human_curve
from prefrl_core.settings import build

Floats = NDArray[np.float64]
JUDGES = 0  # the persona of the panel whose second half judges


class Ranker(Protocol):
    """Ranks the completions of each prompt."""

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)`` to completions of ``gold`` and ``lengths`` (tokens), each ``(prompts, K)``.

        ``parts (prompts, K, parts)``: what each part adds to ``gold``, for labelers who weigh the parts themselves.
        """


def differences(scores: Floats) -> Floats:
    """By how much the first of each pair is better: ``(prompts, K)`` to ``(prompts, K (K - 1) / 2)``.

    Raises:
        UserError: fewer than two completions, or a score that is no number.
    """
    require(scores.shape[1] >= 2, f"K = {scores.shape[1]}: a ranking needs at least 2 completions")
    require(bool(np.isfinite(scores).all()), "gold scores hold a value that is no finite number: check the task's gold")
    first, second = np.triu_indices(scores.shape[1], 1)
    return np.asarray(scores[:, first] - scores[:, second], np.float64)


def pairs_asked(prompts: int, candidates: int) -> int:
    """What ``prompts`` rankings cost in pairs, ties included."""
    return prompts * candidates * (candidates - 1) // 2


@dataclass(frozen=True)
class Ranked:
    """All imperfections of one person, freely combined; each is off by default, which is the oracle.

    The order is: bias, Plackett-Luce noise (a Gumbel draw a completion, so a pair is right with probability
    ``sigmoid(gap / tau)``), ties by the gap that is left, flips of untied pairs.
    """

    tau: float = 0.0  # scale of the Gumbel noise, in standard deviations of gold
    flip: float = 0.0  # probability that an untied pair is answered the wrong way round
    tie: float = 0.0  # gaps below this are ties
    length: float = 0.0  # gold that one more token is worth

    def __post_init__(self) -> None:
        require(self.tau >= 0, f"labeler setting tau = {self.tau}: at least 0")
        require(0 <= self.flip <= 0.5, f"labeler setting flip = {self.flip}: in [0, 0.5]")
        require(self.tie >= 0, f"labeler setting tie = {self.tie}: at least 0")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``."""
        noise = random.gumbel(size=gold.shape)  # drawn whether needed or not, so that settings share their streams
        gap = differences(gold + self.length * lengths + self.tau * noise)
        flipped = random.random(gap.shape) < self.flip
        answers = np.where(gap == 0, 0.5, np.where(flipped, gap < 0, gap > 0))
        return np.where(np.abs(gap) < self.tie, 0.5, answers)


@dataclass(frozen=True)
class HumanCurve:
    """Ties and errs as often as people do at the same gap."""

    scale: float = 1.0  # above 1 the differences are easier to see

    def __post_init__(self) -> None:
        require(self.scale > 0, f"labeler setting scale = {self.scale}: must be above 0")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``."""
        gap = differences(gold) * human_curve.RATING_SD * self.scale
        return human_curve.answers(gap.ravel(), random).reshape(gap.shape)


@dataclass(frozen=True)
class Panel:
    """Persons who weigh the parts of gold in their own ways; each ranking is done by one of them, drawn at random.

    The weights of a person are gold's times ``exp(spread * normal)``, drawn once from ``persona``; so two persons
    differ, and nobody is gold. The first half of the panel teaches, the second is held out to judge.
    """

    persons: int = 10
    spread: float = 0.3  # standard deviation of the logarithm of a person's weight of a part
    rationality: float = 2.0  # a pair is right with probability sigmoid(rationality * gap); 0 stands for no noise
    persona: int = JUDGES  # which panel
    held_out: bool = False  # whether the second half answers

    def __post_init__(self) -> None:
        require(self.persons >= 2, f"labeler setting persons = {self.persons}: at least 2, half of whom are held out")
        require(self.spread >= 0, f"labeler setting spread = {self.spread}: at least 0")
        require(self.rationality >= 0, f"labeler setting rationality = {self.rationality}: at least 0")
        require(self.persona >= 0, f"labeler setting persona = {self.persona}: at least 0")

    def weights(self, parts: int) -> Floats:
        """What each person of the whole panel multiplies each part with: ``(persons, parts)``."""
        return np.exp(self.spread * seeding.generator(self.persona, "panel").normal(size=(self.persons, parts)))

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``.

        Raises:
            UserError: the parts of gold are not given.
        """
        if parts is None:
            raise UserError("labeler 'panel' weighs the parts of gold, and this task has none: choose another labeler")
        half = self.persons // 2
        first, last = (half, self.persons) if self.held_out else (0, half)
        who = random.integers(first, last, size=len(gold))
        seen = (parts * self.weights(parts.shape[-1])[who][:, None]).sum(-1)
        return Ranked(tau=1 / self.rationality if self.rationality else 0.0).rank(seen, lengths, random)


@dataclass(frozen=True)
class Oracle(Ranked):
    """Always the better one."""


@dataclass(frozen=True)
class Stochastic:
    """Plackett-Luce: a pair is right with probability ``sigmoid(rationality * gap)``, the gap in SD of gold."""

    rationality: float = 1.0

    def __post_init__(self) -> None:
        require(self.rationality > 0, f"labeler setting rationality = {self.rationality}: above 0")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``."""
        return Ranked(tau=1 / self.rationality).rank(gold, lengths, random)


@dataclass(frozen=True)
class Mistake:
    """Answers each untied pair the wrong way round with probability ``mistake``."""

    mistake: float = 0.1

    def __post_init__(self) -> None:
        require(0 <= self.mistake <= 0.5, f"labeler setting mistake = {self.mistake}: in [0, 0.5]")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``."""
        return Ranked(flip=self.mistake).rank(gold, lengths, random)


@dataclass(frozen=True)
class Equal:
    """Calls a tie where the gap is below ``equal`` standard deviations of gold."""

    equal: float = 0.5

    def __post_init__(self) -> None:
        require(self.equal >= 0, f"labeler setting equal = {self.equal}: at least 0")

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``."""
        return Ranked(tie=self.equal).rank(gold, lengths, random)


@dataclass(frozen=True)
class Biased:
    """Prefers long responses: each additional token is worth ``length`` standard deviations of gold."""

    length: float = 0.1

    def rank(self, gold: Floats, lengths: Floats, random: np.random.Generator, parts: Floats | None = None) -> Floats:
        """Answers ``(prompts, pairs)``."""
        return Ranked(length=self.length).rank(gold, lengths, random)


NAMES: dict[str, Any] = {
    "oracle": Oracle,
    "stochastic": Stochastic,
    "mistake": Mistake,
    "equal": Equal,
    "biased": Biased,
    "mixed": Ranked,
    "panel": Panel,
    "human_curve": HumanCurve,
}


def complete(value: Any) -> dict[str, Any]:
    """A labeler's name and all its settings, from its name or a table with it.

    Raises:
        UserError: an unknown name or setting, or a value out of range.
    """
    made = make(table := {"name": value} if isinstance(value, str) else value)
    return {"name": table["name"], **dataclasses.asdict(made)}


def make(table: Any) -> Any:
    """The labeler that ``table["name"]`` names, built from the other settings.

    Raises:
        UserError: an unknown name or setting, or a value out of range.
    """
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise UserError(f"labeler = {table!r} needs a name: one of {', '.join(NAMES)}")
    if table["name"] not in NAMES:
        raise unknown("labeler", table["name"], NAMES)
    rest = {key: value for key, value in table.items() if key != "name"}
    return build(NAMES[table["name"]], rest, f"setting of labeler {table['name']!r}:")
