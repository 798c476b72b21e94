"""Atari beside what the paper printed, game by game and over all games: scores, human-normalised and by each source's
own run on the true reward."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench import stats
from bench.report import published, results
from bench.report.data import Study
from bench.report.formats import Column, Entry, Fact, Table, entry, number, part, table

_OVER = {over: results.AGGREGATES[over] for over in ("IQM", "median")}


def scores(study: Study) -> Table | None:
    """A row for each game and arm, then those of figure 3. None where the suite has none of its games."""
    facts: list[Fact] = []
    for task in (task for task in study.tasks if published.game(task)):
        for arm, cell in study.of_task(task):
            if len(cell.returns):
                score = results.final_estimate(study, arm, task)
                own = results.normalised(study, task, arm) if task in study.normalisable else None
                human = stats.Estimate(*(published.of_human(task, end) for end in (score.value, score.low, score.high)))
                about = {"game": study.task_names[task], "arm": Entry(arm, note=cell.count), "_score": entry(score)}
                facts.append({**about, "score": score, "human_normalised": human, "normalised": own})
        for column, arm in published.ATARI_ARMS.items():
            facts.append({"game": study.task_names[task], "arm": arm, **_published(task, column)})
    caption = (
        "Scores at the end of training with 95 % intervals over seeds; human-normalised (0 random play, 1 a "
        "human tester) and normalised by the same source's own run on the true reward (0 untrained), beside figure 3 "
        "of Christiano et al. 2017."
    )
    columns = {
        "Game": "game",
        "Arm": "arm",
        "Score": "_score",
        "Human-normalised": "human_normalised",
        "Normalised": "normalised",
    }
    return table("scores", caption, facts, columns, labels=2)


def _published(task: str, column: str) -> Fact:
    value = published.returns(task)[column]
    own = published.share(task, column) if published.known(task) else None  # on Enduro its control learned nothing
    human = published.of_human(task, value)
    return {"score": value, "human_normalised": human, "normalised": own, "_score": number(value)}


def over_games(study: Study) -> Table | None:
    """A row for each arm, then those of figure 3 over the same games; None where the suite has fewer than two of them.

    A share is of the same source's run on the true reward, 0 being the untrained policy; games in which that learned
    nothing have none.
    """
    games = [task for task in study.tasks if published.game(task)]
    if len(games) < 2:
        return None
    facts = [_ours(study, arm, games) for arm in study.arms if any(study.has(arm, task) for task in games)]
    facts += [_papers(column, arm, games) for column, arm in published.ATARI_ARMS.items()]
    caption = (
        "Scores at the end of training over all games: human-normalised (0 random play, 1 a human tester), and as a "
        "share of the same source's run on the true reward (0 untrained); interquartile mean over runs and median over "
        "games, with 95 % intervals over seeds within games. Below, figure 3 of Christiano et al. 2017 (50,000,000 "
        "steps)."
    )
    columns: dict[str, Column] = {"Arm": "arm"}
    columns |= {f"Human-normalised, {over}": f"human_normalised_{over.lower()}" for over in _OVER}
    columns |= {f"Share, {over}": f"_share_{over.lower()}" for over in _OVER}
    return table("games", caption, facts, columns)


def _ours(study: Study, arm: str, games: Sequence[str]) -> Fact:
    played = [task for task in games if study.has(arm, task)]
    shares, of = results.aggregates(study, arm, list(_OVER))
    fact = {"arm": Entry(arm, note=part(played, games, "games")), "games": len(played), "games_with_share": len(of)}
    fact |= {f"human_normalised_{over.lower()}": one for over, one in human_normalised(study, arm, played).items()}
    fact |= {f"share_{over.lower()}": one for over, one in shares.items()}
    return fact | {f"_share_{over.lower()}": entry(one, 1.0, part(of, games, "games")) for over, one in shares.items()}


def human_normalised(study: Study, arm: str, games: Sequence[str]) -> dict[str, stats.Estimate]:
    """Interquartile mean and median over games of an arm's human-normalised scores, with intervals over seeds."""
    cells = {task: study.draws(arm, task) for task in games}
    values = [published.of_human(task, cell.values) for task, cell in cells.items()]
    draws = [published.of_human(task, cell.runs) for task, cell in cells.items()]
    return {over: stats.estimate(statistic(values), statistic(draws)) for over, statistic in _OVER.items()}


def _papers(column: str, arm: str, games: Sequence[str]) -> Fact:
    shared = [task for task in games if published.known(task)]
    human = [np.array([published.of_human(task, published.returns(task)[column])]) for task in games]
    shares = [np.array([published.share(task, column)]) for task in shared]
    found = {
        f"{name}_{over.lower()}": float(statistic(values)) if values else float("nan")
        for name, values in (("human_normalised", human), ("share", shares))
        for over, statistic in _OVER.items()
    }
    shown = {f"_{name}": value for name, value in found.items()}
    return {"arm": arm, "games": len(games), "games_with_share": len(shared), **found, **shown}
