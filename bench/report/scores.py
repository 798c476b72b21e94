"""Atari: scores, human-normalised and by this harness's own run on the true reward, beside what the paper printed."""

from __future__ import annotations

import math

import numpy as np

from bench import stats
from bench.report import published, results
from bench.report.data import Study
from bench.report.formats import NONE, Entry, Table, entry, number
from bench.report.tables import fields

_PAPER = {f"labels_{n}": f"paper, {n:,} labels" for n in sorted(published.ATARI_BUDGETS, reverse=True)}


def scores(study: Study) -> Table | None:
    """A row for each game and arm, then those of figure 3. None where the suite has none of its games."""
    games = [task for task in study.tasks if published.game(task)]
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in games:
        name = study.task_names[task]
        for arm, cell in study.of_task(task):
            if not len(cell.returns):
                continue
            score = results.final_estimate(study, arm, task, "true_return", "episodes")
            own = results.normalised(study, task, arm) if task in study.normalisable else None
            human = _human(task, score)
            shown = entry(own, 1.0) if own else Entry(NONE)
            rows.append([Entry(name), Entry(arm, note=cell.count), entry(score), entry(human, 1.0), shown])
            told = {"game": name, "arm": arm, **fields("score", score), **fields("human_normalised", human)}
            records.append(told | (fields("normalised", own) if own else {}))
        for column, arm in ({"true_reward": "paper, true reward"} | _PAPER).items():
            rows.append(_published(task, name, arm, column, records))
    if not rows:
        return None
    caption = (
        "Scores at the end of training with 95 % intervals over seeds; human-normalised (0 random play, 1 a "
        "human tester) and normalised by the same source's own run on the true reward (0 untrained), beside figure 3 "
        "of Christiano et al. 2017."
    )
    return Table("scores", caption, ["Game", "Arm", "Score", "Human-normalised", "Normalised"], rows, records, labels=2)


def _published(task: str, name: str, arm: str, column: str, records: list[dict[str, object]]) -> list[Entry]:
    value = published.returns(task)[column]
    random, human = published.scale(task)
    own = published.share(task, column) if published.known(task) else math.nan  # on Enduro its control learned nothing
    of_human = (value - random) / (human - random)
    records.append({"game": name, "arm": arm, "score": value, "human_normalised": of_human})
    records[-1] |= {"normalised": own} if published.known(task) else {}
    return [Entry(name), Entry(arm), *(Entry(number(one, max(1.0, abs(one)))) for one in (value, of_human, own))]


def _human(task: str, score: stats.Estimate) -> stats.Estimate:
    random, human = published.scale(task)
    ends = (np.array([score.value, score.low, score.high]) - random) / (human - random)
    return stats.Estimate(*map(float, ends))
