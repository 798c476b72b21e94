"""The page of a language suite, the page of samples, and their parts as files."""

from __future__ import annotations

from functools import partial

from bench.report import formats, ran
from bench.report import tables as common
from bench.report.data import Study
from bench.report.language import data, figures, findings, samples, tables
from bench.report.page import assemble, named
from bench.report.parallel import side_by_side

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
    drawn = side_by_side([partial(draw, language) for draw, _ in figures.ALL.values()])
    shown = {name: (images, of) for (name, (_, of)), images in zip(figures.ALL.items(), drawn, strict=True)}
    sheets = samples.sheets(language)
    return assemble(
        study,
        shown,
        _tables(language),
        {"curves": _curves(language), "samples": [row for sheet in sheets for row in sheet.rows]},
        {"samples.html": "samples.html.j2", "index.html": "language.html.j2"},
        sheets=sheets,
        remarks=_remarks(language),
        findings=findings.findings(language),
    )


def tables_of(study: Study) -> dict[str, formats.Table]:
    """All tables by name."""
    return _tables(data.load(study))


def _tables(language: data.Language) -> dict[str, formats.Table]:
    own = (tables.outcomes, tables.answers, tables.comparison, tables.labels_to_reach, tables.fits, tables.tax)
    every = (common.cost, ran.progress, ran.settings)
    return named(*(made(language) for made in (*own, tables.reward_model)), *(made(language.study) for made in every))


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
    bare = [name for task, name in language.study.task_names.items() if not language.of_task(task, "gold")]
    told = "has no finished run of PPO on gold: no labels to reach a share of its gain."
    return [*ran.remarks(language.study, normalised=False), *(ran.Remark(f"{name} {told}") for name in bare)]
