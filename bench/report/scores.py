"""Atari: scores, human-normalised and by this harness's own run on the true reward, beside what the paper printed."""

from __future__ import annotations

from bench import stats
from bench.report import published, results
from bench.report.data import Study
from bench.report.formats import Entry, Fact, Table, entry, number, table


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
