"""The page: figures, tables and remarks in one HTML file, and the same parts beside it as files."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.report import (
    agreement,
    beside_table,
    comparison,
    efficiency_tables,
    feedback,
    figures,
    findings,
    formats,
    games,
    heatmap,
    order,
    people,
    published,
    ran,
    reach,
    results,
    scores,
    tables,
)
from bench.report.data import Study

HERE = Path(__file__).parent
Records = list[dict[str, object]]


@dataclass(frozen=True)
class Shown:
    """A section's figures (a panel each on the page, all in one for papers) and the file of their data."""

    panels: Sequence[figures.Image]
    whole: figures.Image | None
    data: str


def build(study: Study) -> dict[str, bytes]:
    """All files of a report by name; ``index.html`` last."""
    learning = {task: results.curves(study, task, "true_return", "episodes") for task in study.tasks}
    accuracy = {task: results.curves(study, task, "reward_accuracy") for task in study.tasks}
    shown = {
        "curves": _shown(figures.learning(study, learning), "curves.csv"),
        "feedback": _shown(feedback.feedback(study), "efficiency.csv"),
        "profiles": _shown(figures.profiles(study), "efficiency.csv"),
        "accuracy": _shown(figures.accuracy(study, accuracy), "accuracy.csv"),
        "agreement": _shown(agreement.of_suite(study), "reward-model.csv"),
    }
    if (image := heatmap.heatmap(study)) is not None:
        shown["heatmap"] = Shown([image], None, "comparison.csv")
    made = tables_of(study)
    files = {
        "curves.csv": _curve_csv(study, learning, "true_return"),
        "accuracy.csv": _curve_csv(study, accuracy, "reward_accuracy"),
        "curves-seeds.csv": _seeds_csv(study, learning, "true_return"),
        "returns.csv": formats.records_csv(tables.run_records(study)).encode(),
        **image_files(shown),
        **table_files(made),
    }
    told = {"remarks": ran.remarks(study), "findings": findings.findings(study)}
    page = render("page.html.j2", study, shown, made, **told, banded=figures.banded(study))
    return {**files, "index.html": page}


def tables_of(study: Study) -> dict[str, formats.Table]:
    """All tables by name."""
    return {
        table.name: table
        for table in (
            tables.efficiency(study),
            efficiency_tables.labels_to_reach(study),
            efficiency_tables.per_hour(study),
            efficiency_tables.aggregates(study),
            comparison.against_baseline(study),
            order.of_arms(study),
            comparison.beside_the_paper(study),
            reach.papers_level(study),
            beside_table.beside(study),
            scores.scores(study),
            games.over_games(study),
            tables.reward_model(study),
            people.people(study),
            tables.cost(study),
            ran.progress(study),
            ran.settings(study),
        )
        if table is not None
    }


def _shown(images: Sequence[figures.Image], data: str) -> Shown:
    return Shown(images[:-1], images[-1] if images else None, data)


def image_files(shown: Mapping[str, Shown]) -> dict[str, bytes]:
    """Every figure as PNG and SVG."""
    images = [image for one in shown.values() for image in (*one.panels, one.whole) if image]
    return {f"{i.name}.{kind}": data for i in images for kind, data in (("png", i.png), ("svg", i.svg))}


def table_files(made: Mapping[str, formats.Table]) -> dict[str, bytes]:
    """Every table as Markdown, LaTeX and CSV."""
    kinds: dict[str, Callable[[formats.Table], str]] = {
        "md": formats.markdown,
        "tex": formats.latex,
        "csv": lambda table: formats.records_csv(table.records),
    }
    return {f"{t.name}.{kind}": render(t).encode() for t in made.values() for kind, render in kinds.items()}


def _curve_csv(study: Study, curves: Mapping[str, Sequence[results.Curve]], value: str) -> bytes:
    pairs = [(task, curve) for task, drawn in curves.items() for curve in drawn]
    return formats.records_csv(tables.curve_records(study, pairs, value)).encode()


def _seeds_csv(study: Study, curves: Mapping[str, Sequence[results.Curve]], value: str) -> bytes:
    pairs = [(task, curve) for task, drawn in curves.items() for curve in drawn]
    return formats.records_csv(tables.seed_records(study, pairs, value)).encode()


def render(
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
