"""What a language suite found, in sentences that are computed."""

from __future__ import annotations

from collections.abc import Iterable

from bench.report.findings import MOST, some
from bench.report.formats import told
from bench.report.language.data import Language, Result
from bench.report.language.efficiency import COLUMN, lines


def findings(language: Language) -> list[str]:
    """Sentences a task, the most important first."""
    return [
        text for task in language.study.tasks for text in (*_budgets(language, task), *_overoptimised(language, task))
    ]


def _budgets(language: Language, task: str) -> Iterable[str]:
    """The gain in gold of PPO on gold, and of each way to learn from rankings by their number; of best of n one n."""
    known = language.of_task(task, "gold")
    if known:
        gain = told(known[0].estimate(COLUMN))
        yield f"Told gold itself, PPO gains {gain} in gold (standard deviations over demonstrations)."
    swept = [line for line in lines(language, task) if len(line.results) > 1]
    sampled = [line for line in swept if line.results[0].n is not None]
    for line in [*(line for line in swept if line not in sampled), *sampled[len(sampled) // 2 :][:1]][:MOST]:
        said = ", ".join(f"{told(one.estimate(COLUMN))} from {one.spec.labels:,}" for one in line.results)
        yield f"{line.label} gains from rankings: {said}."


def _overoptimised(language: Language, task: str) -> Iterable[str]:
    """Arms that end below SFT although their own reward model says that they rose."""
    fell = [one for one in language.shown(task) if _below(one, COLUMN) and _risen(one)]
    if fell:
        names = some([one.name for one in fell])
        yield f"Overoptimised, below SFT in gold while the reward model's own score rose: {names}."


def _risen(one: Result) -> bool:
    """In the reward model's score: beyond SFT's at the beginning of PPO; of best of n always, and then beyond 0."""
    return one.estimate("proxy_mean" if one.n else "tax:proxy_mean").value > 0


def _below(one: Result, column: str) -> bool:
    found = one.estimate(column)
    return found.high < 0 and found.low > -float("inf")
