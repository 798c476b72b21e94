"""The page: figures, tables and remarks in one HTML file, and the same parts beside it as files."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report import (
    agreement,
    atari,
    comparison,
    efficiency_tables,
    feedback,
    figures,
    findings,
    formats,
    heatmap,
    people,
    published,
    ran,
    results,
    tables,
)
from bench.report.data import Study

HERE = Path(__file__).parent
Shown = tuple[Sequence[figures.Image], str]  # figures of a section, and the file of their data


TABLES = (
    tables.efficiency,
    efficiency_tables.labels_to_reach,
    efficiency_tables.per_hour,
    efficiency_tables.aggregates,
    comparison.against_baseline,
    comparison.order,
    comparison.beside_the_paper,
    efficiency_tables.papers_level,
    comparison.beside,
    atari.scores,
    atari.over_games,
    tables.reward_model,
    people.people,
    tables.cost,
    ran.progress,
    ran.settings,
)


def build(study: Study) -> dict[str, bytes]:
    """All files of a report by name; ``index.html`` last."""
    learning = {task: results.curves(study, task, "true_return") for task in study.tasks}
    accuracy = {task: results.curves(study, task, "reward_accuracy") for task in study.tasks}
    shown = {
        "curves": (figures.learning(study, learning), "curves.csv"),
        "feedback": (feedback.feedback(study), "efficiency.csv"),
        "profiles": (figures.profiles(study), "efficiency.csv"),
        "accuracy": (figures.accuracy(study, accuracy), "accuracy.csv"),
        "agreement": (agreement.of_suite(study), "reward-model.csv"),
        "heatmap": (heatmap.heatmap(study), "comparison.csv"),
    }
    records = {
        "curves": tables.curve_records(study, learning, "true_return"),
        "accuracy": tables.curve_records(study, accuracy, "reward_accuracy"),
        "curves-seeds": tables.seed_records(study, learning, "true_return"),
        "returns": tables.run_records(study),
    }
    return assemble(
        study,
        shown,
        tables_of(study),
        records,
        {"index.html": "page.html.j2"},
        remarks=ran.remarks(study),
        findings=findings.findings(study),
        banded=figures.banded(study),
    )


def tables_of(study: Study) -> dict[str, formats.Table]:
    """All tables by name."""
    return named(*(made(study) for made in TABLES))


def named(*made: formats.Table | None) -> dict[str, formats.Table]:
    """Tables by name, those that there are."""
    return {table.name: table for table in made if table is not None}


def assemble(
    study: Study,
    shown: Mapping[str, Shown],
    made: Mapping[str, formats.Table],
    records: Mapping[str, Sequence[formats.Fact]],
    pages: Mapping[str, str],
    **more: object,
) -> dict[str, bytes]:
    """All files of a report: figures, tables and records, and pages by the names of their templates."""
    images = [image for of, _ in shown.values() for image in of]
    return {
        **{f"{name}.csv": formats.records_csv(rows).encode() for name, rows in records.items()},
        **{f"{image.name}.{kind}": getattr(image, kind) for image in images for kind in ("png", "svg")},
        **table_files(made),
        **{name: _render(template, study, shown, made, **more) for name, template in pages.items()},
    }


def table_files(made: Mapping[str, formats.Table]) -> dict[str, bytes]:
    """Every table as Markdown, LaTeX and CSV."""
    kinds: dict[str, Callable[[formats.Table], str]] = {
        "md": formats.markdown,
        "tex": formats.latex,
        "csv": lambda table: formats.records_csv(table.records),
    }
    return {f"{t.name}.{kind}": render(t).encode() for t in made.values() for kind, render in kinds.items()}


def _render(
    template: str, study: Study, shown: Mapping[str, Shown], made: Mapping[str, formats.Table], **more: object
) -> bytes:
    """A page of this folder's templates, with what every report has in it and ``more``."""
    loader = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = loader.get_template(template).render(
        study=study,
        shown=shown,
        tables=made,
        css=Markup((HERE / "page.css").read_text("utf-8")),
        inline=_inline,
        shared=ran.shared_settings(study),
        software=ran.software(study),
        finished=sum(run.status == "done" for run in study.runs),
        seeds=sorted({run.seed for run in study.runs}),
        published=published.note(study.tasks),
        **more,
    )
    return text.encode()


def _inline(image: figures.Image) -> str:
    """An image as part of the page, so that it opens from disk and alone."""
    return "data:image/svg+xml;base64," + base64.b64encode(image.svg).decode()
