"""How well and how fast people answered, from a run's ledger, which is only read."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.answers import record

_SIDES = ("left", "right")


@dataclass(frozen=True)
class Account:
    """One person's answers that stand. Shares are of answers of left or right; None where there is none."""

    name: str
    answers: int
    equal: int
    skipped: int
    seconds: float  # median, an answer
    accuracy: float | None  # share that the true returns agree with
    caught: float | None  # the same of catches, whose better side is beyond doubt


@dataclass(frozen=True)
class Sitting:
    """Everybody who taught a run, and Krippendorff's alpha over the pairs that several of them answered (None if there
    are none)."""

    people: tuple[Account, ...]
    alpha: float | None


def sitting(folder: Path) -> Sitting | None:
    """Who taught the run in a folder; None if nobody did."""
    if (path := record.path_of(folder)) is None:
        return None
    with record.reading(path) as sql:
        answers = sql.execute(
            "SELECT p.name, a.question, a.answer, a.seconds, q.left_return - q.right_return, q.catch FROM answers a "
            "JOIN people p ON p.id = a.person JOIN questions q ON q.number = a.question "
            "WHERE a.undone IS NULL ORDER BY p.id, a.id"
        ).fetchall()
    by_name: dict[str, list[tuple[str, float, float, int]]] = {}
    by_question: dict[int, list[str]] = {}
    for name, question, answer, seconds, gap, catch in answers:
        by_name.setdefault(name, []).append((answer, seconds, gap, catch))
        if answer != "skip":
            by_question.setdefault(question, []).append(answer)
    accounts = tuple(_account(name, given) for name, given in by_name.items())
    return Sitting(accounts, krippendorff_alpha(list(by_question.values()))) if accounts else None


def _account(name: str, given: Sequence[tuple[str, float, float, int]]) -> Account:
    told = Counter(answer for answer, *_ in given)
    decided = [((gap > 0) == (answer == "left"), catch) for answer, _, gap, catch in given if gap and answer in _SIDES]
    seconds = statistics.median(seconds for _, seconds, _, _ in given)
    shares = (_share([right for right, catch in decided if catch or not only]) for only in (False, True))
    return Account(name, len(given), told["equal"], told["skip"], seconds, *shares)


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def krippendorff_alpha(units: Sequence[Sequence[str]]) -> float | None:
    """Agreement beyond chance of any number of people on named answers: 1 - observed / expected disagreement
    (Krippendorff 2011, nominal data); None where no unit has two answers, or all answers are the same.

    Args:
        units: the answers to each question, of whoever answered it.
    """
    units = [unit for unit in units if len(unit) > 1]
    total = sum(map(len, units))
    # within a unit of m answers, each of its m (m - 1) ordered pairs weighs 1 / (m - 1)
    observed = sum(
        (len(unit) ** 2 - sum(count**2 for count in Counter(unit).values())) / (len(unit) - 1) for unit in units
    )
    everything = Counter(answer for unit in units for answer in unit)
    expected = total**2 - sum(count**2 for count in everything.values())
    return 1 - (total - 1) * observed / expected if expected else None
