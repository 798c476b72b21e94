"""Atari over all games: human-normalised scores and shares of the run on the true reward, ours and the paper's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import stats
from bench.report import published, results
from bench.report.data import Study
from bench.report.formats import NONE, Entry, Table, entry, number
from bench.report.tables import fields

_OVER = ("IQM", "median")  # of results.AGGREGATES
_PAPER = {"true_reward": "paper, true reward"} | {
    f"labels_{n}": f"paper, {n:,} labels" for n in sorted(published.ATARI_BUDGETS, reverse=True)
}


def over_games(study: Study) -> Table | None:
    """A row for each arm, then those of figure 3 over the same games; None where the suite has fewer than two of them.

    A share is of the same source's run on the true reward, 0 being the untrained policy; games in which that learned
    nothing have none.
    """
    games = [task for task in study.tasks if published.game(task)]
    if len(games) < 2:
        return None
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for arm in study.arms:
        _ours(study, arm, games, rows, records)
    for column, arm in _PAPER.items():
        _papers(arm, column, games, rows, records)
    caption = (
        "Scores at the end of training over all games: human-normalised (0 random play, 1 a human tester), and as a "
        "share of the same source's run on the true reward (0 untrained); interquartile mean over runs and median over "
        "games, with 95 % intervals over seeds within games. Below, figure 3 of Christiano et al. 2017 (50,000,000 "
        "steps)."
    )
    header = ["Arm", *(f"{what}, {over}" for what in ("Human-normalised", "Share") for over in _OVER)]
    return Table("games", caption, header, rows, records)


def _ours(
    study: Study, arm: str, games: Sequence[str], rows: list[list[Entry]], records: list[dict[str, object]]
) -> None:
    played = [task for task in games if (cell := study.cell(arm, task)) and len(cell.returns)]
    if not played:
        return
    human = human_normalised(study, arm, played)
    shares, of = results.aggregates(study, arm)
    row = [Entry(arm, note=_count(played, games)), *(entry(human[over], 1.0) for over in _OVER)]
    row += [entry(shares[over], 1.0, _count(of, games)) if over in shares else Entry(NONE) for over in _OVER]
    rows.append(row)
    told: dict[str, object] = {"arm": arm, "games": len(played), "games_with_share": len(of)}
    for name, found in (("human_normalised", human), ("share", shares)):
        for over in (over for over in _OVER if over in found):
            told |= fields(f"{name}_{over.lower()}", found[over])
    records.append(told)


def human_normalised(study: Study, arm: str, games: Sequence[str]) -> dict[str, stats.Estimate]:
    """Interquartile mean and median over games of an arm's human-normalised scores, with intervals over seeds."""
    values, draws = [], []
    for task in games:
        random, human = published.scale(task)
        cell = study.draws(arm, task)
        values.append((cell.values - random) / (human - random))
        draws.append((cell.runs - random) / (human - random))
    kinds = {over: results.AGGREGATES[over] for over in _OVER}
    return {over: stats.estimate(statistic(values), statistic(draws)) for over, statistic in kinds.items()}


def _papers(
    arm: str, column: str, games: Sequence[str], rows: list[list[Entry]], records: list[dict[str, object]]
) -> None:
    human = []
    for task in games:
        low, high = published.scale(task)
        human.append(np.array([(published.returns(task)[column] - low) / (high - low)]))
    shared = [task for task in games if published.known(task)]
    shares = [np.array([published.share(task, column)]) for task in shared]
    found = {
        f"{name}_{over.lower()}": float(results.AGGREGATES[over](values)) if values else float("nan")
        for name, values in (("human_normalised", human), ("share", shares))
        for over in _OVER
    }
    rows.append([Entry(arm), *(Entry(number(value, 1.0)) for value in found.values())])
    records.append({"arm": arm, "games": len(games), "games_with_share": len(shared), **found})


def _count(some: Sequence[str], games: Sequence[str]) -> str:
    """ "" for all games, otherwise "5 of 7 games"."""
    return "" if len(some) == len(games) else f"{len(some)} of {len(games)} games"
