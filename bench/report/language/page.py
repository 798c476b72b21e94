"""The page of a language suite, the page of samples, and their parts as files."""

from __future__ import annotations

from functools import partial

from bench.report import formats, ran
from bench.report import tables as common
from bench.report.data import Study
from bench.report.figures import Image
from bench.report.language import data, figures, findings, models, samples, tables
from bench.report.page import Shown, image_files, render, table_files
from bench.report.parallel import side_by_side

_DATA = {
    "win-rates": "outcomes.csv",
    "labels": "labels-to-reach.csv",
    "frontier": "curves.csv",
    "overoptimisation": "curves.csv",
    "tax": "curves.csv",
    "reward-model": "reward-model.csv",
}
_CURVES = (
    "episodes",
    "kl_exact",
    "kl_k1",
    "gold_mean",
    "gold_gain",
    "proxy_mean",
    "entropy",
    "length",
    "ptx_nll",
    "qa_acc",
)


def build(study: Study) -> dict[str, bytes]:
    """All files of a report by name; ``index.html`` last."""
    language = data.load(study)
    images = dict(
        zip(figures.ALL, side_by_side([partial(draw, language) for draw in figures.ALL.values()]), strict=True)
    )
    shown = {name: _shown(name, found) for name, found in images.items()}
    made = _tables(language)
    sheets = samples.sheets(language)
    found = findings.findings(language)
    page = partial(render, study=study, shown=shown, made=made, remarks=_remarks(language), findings=found)
    return {
        "curves.csv": formats.records_csv(_curves(language)).encode(),
        "samples.csv": formats.records_csv(samples.records(sheets)).encode(),
        **image_files(shown),
        **table_files(made),
        "samples.html": page("samples.html.j2", sheets=sheets),
        "index.html": page("language.html.j2", sheets=sheets),
    }


def tables_of(study: Study) -> dict[str, formats.Table]:
    """All tables by name."""
    return _tables(data.load(study))


def _tables(language: data.Language) -> dict[str, formats.Table]:
    study = language.study
    return {
        table.name: table
        for table in (
            tables.outcomes(language),
            tables.answers(language),
            tables.comparison(language),
            tables.labels_to_reach(language),
            tables.fits(language),
            tables.tax(language),
            models.reward_model(language),
            common.cost(study),
            ran.progress(study),
            ran.settings(study),
        )
        if table is not None
    }


def _shown(name: str, images: list[Image]) -> Shown:
    """As on the other page: panels, and all of them in one (the last); the forests of win rates are whole already."""
    if name == "win-rates":
        return Shown(images, None, _DATA[name])
    return Shown(images[:-1], images[-1] if images else None, _DATA[name])


def _curves(language: data.Language) -> list[dict[str, object]]:
    """Every row of PPO and every final one, as they were recorded."""
    return [
        {
            "task": language.study.task_names[one.task],
            "arm": one.arm,
            "n": one.n,
            "rankings": one.spec.labels,
            "seed": told.run.seed,
            "stage": row["stage"],
            **{name: row.get(name) for name in _CURVES},
        }
        for one in language.results
        for told in one.runs
        for row in told.rows
        if (row["stage"] == "ppo" and one.n is None) or (row["stage"] == "final" and row.get("n") == one.n)
    ]


def _remarks(language: data.Language) -> list[ran.Remark]:
    """What bears on the numbers, the gravest first."""
    found = ran.remarks_of_any(language.study)
    for task in language.study.tasks:
        name = language.study.task_names[task]
        if not language.of_task(task, "gold"):
            found.append(
                ran.Remark(f"{name} has no finished run of PPO on gold: no labels to reach a share of its gain.")
            )
    return found
