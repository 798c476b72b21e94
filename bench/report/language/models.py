"""The reward models of a language suite: each once, however many arms learn from it."""

from __future__ import annotations

import numpy as np

from bench import spread, stats
from bench.report.formats import Entry, Table, entry
from bench.report.language.data import Language, Result, Told
from bench.report.language.tables import INTERVALS, about, header, names_of
from bench.report.tables import fields

COLUMNS = {
    "rm_accuracy": "Accuracy (gold)",
    "rm_accuracy_train_labelers": "Accuracy (teachers)",
    "rm_accuracy_heldout_labelers": "Accuracy (held out)",
    "rm_ece": "Calibration error",
}
_LABELS = {"labels.agreement": "Agreement", "labels.agreement_close": "of close pairs"}


def reward_model(language: Language) -> Table | None:
    """Each reward model once, however many arms use it."""
    rows: list[list[Entry]] = []
    records: list[dict[str, object]] = []
    for task in language.study.tasks:
        for one in models(language, task):
            found = {column: estimate(one, column) for column in (*COLUMNS, *_LABELS)}
            counts = [Entry(str(one.spec.labels)), Entry(str(one.pairs))]
            name = [*names_of(language, task, one)[:-1], Entry(one.arm, note=one.note)]
            rows.append([*name, *counts, *(entry(found[column], 1.0) for column in found)])
            told = about(language, one)
            for column, value in found.items():
                told |= fields(column, value)
            records.append(told)
    if not rows:
        return None
    caption = (
        "The reward model (named by the first arm that learns from it): share of held-out pairs whose better side it "
        "predicts, by gold, by the labelers who taught it and by those who did not; expected calibration error of its "
        f"probabilities; and how often the labels agree with gold, {INTERVALS} over seeds."
    )
    names = ["Rankings", "Pairs", *COLUMNS.values(), *_LABELS.values()]
    heads = header(language, *names)
    return Table("reward-model", caption, heads, rows, records, labels=len(heads) - len(names))


def models(language: Language, task: str) -> list[Result]:
    """One result for each reward model of a task."""
    found: dict[str, Result] = {}
    for one in language.of_task(task):
        if one.spec.labels:
            found.setdefault(one.reward_model, one)
    return list(found.values())


def estimate(result: Result, column: str) -> stats.Estimate:
    """A measure of the reward model at the end of its training."""
    stage = "collect" if column.startswith("labels.") else "reward_model"

    def value(told: Told) -> float:
        return _value(told, column, stage)

    return spread.mean_estimate(list(result.by_seed(value).values()), result.pool(value))


def _value(told: Told, column: str, stage: str) -> float:
    found = told.last(column, stage)
    return found if np.isfinite(found) else told.value(column)
