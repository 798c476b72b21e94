"""What a language suite found, in sentences that are computed."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.findings import MOST
from bench.report.formats import entry
from bench.report.language.data import Language, Result
from bench.report.language.efficiency import COLUMN, lines


def findings(language: Language) -> list[str]:
    """Sentences a task, the most important first."""
    return [
        text for task in language.study.tasks for text in (*_budgets(language, task), *_overoptimised(language, task))
    ]


def _budgets(language: Language, task: str) -> Iterable[str]:
    """The gain in gold of each way to learn, by its number of rankings, beside that of PPO on gold."""
    known = language.of_task(task, "gold")
    ceiling = f"; PPO on gold gains {_told(known[0])}" if known else ""
    for line in [one for one in lines(language, task) if len(one.results) > 1][:MOST]:
        told = ", ".join(f"{one.spec.labels:,} rankings {_told(one)}" for one in line.results)
        yield f"{line.label} gains in gold, in standard deviations over demonstrations: {told}{ceiling}."


def _overoptimised(language: Language, task: str) -> Iterable[str]:
    """Arms that end below SFT although their own reward model says that they rose."""
    fell = [one for one in language.shown(task) if _below(one, COLUMN) and one.estimate("proxy_mean").value > 0]
    if fell:
        names = ", ".join(one.name for one in fell[:MOST]) + (
            f" and {len(fell) - MOST} more" if len(fell) > MOST else ""
        )
        yield f"Overoptimised, below SFT in gold while the reward model's own score rose: {names}."


def _below(one: Result, column: str) -> bool:
    found = one.estimate(column)
    return found.high < 0 and found.low > -float("inf")


def _told(one: Result) -> str:
    made = entry(one.estimate(COLUMN), 1.0)
    return f"{made.text} {made.interval}".rstrip()
