"""Tables as data, and their Markdown, LaTeX and CSV; numbers in words."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.stats import Estimate

NONE = "–"
LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: "\\" + sign for sign in "%&#_${}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "−": "$-$",
    "≤": r"$\le$",
    ">": "$>$",
    "<": "$<$",
}


@dataclass(frozen=True)
class Entry:
    """One place in a table: what it says, the interval under it, and what the reader must know about it."""

    text: str
    interval: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table for people (``rows``) and for machines (``records``, one fact each, in full precision)."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    records: Sequence[Mapping[str, object]]
    labels: int = 1  # leading columns that name the row


def number(value: float, scale: float | None = None) -> str:
    """A number with as many decimals as the largest one beside it (``scale``) needs; "–" for none."""
    if not math.isfinite(value):
        return NONE
    largest = abs(value if scale is None else scale)
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2
    text = f"{value:.{decimals}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def entry(estimate: Estimate, scale: float | None = None, note: str = "") -> Entry:
    """An estimate with its interval, where there is one."""
    if not math.isfinite(estimate.value):
        return Entry(NONE, note=note)
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    known &= estimate.high - estimate.low > 1e-9 * max(1.0, abs(estimate.value))  # the control beside itself is exact
    interval = f"[{number(estimate.low, scale)}, {number(estimate.high, scale)}]" if known else ""
    return Entry(number(estimate.value, scale), interval, note)


def labels_entry(estimate: Estimate, budgets: Sequence[int], note: str = "") -> Entry:
    """Labels to reach a share: "143", "≤ 60" (the smallest budget was enough) or "not reached"."""

    def told(labels: float) -> str:
        if labels <= budgets[0]:
            return f"≤ {budgets[0]}"
        return f"{labels:.0f}" if math.isfinite(labels) else "not reached"

    interval = f"[{told(estimate.low)}, {told(estimate.high)}]" if estimate.low > -math.inf else ""
    text = told(estimate.value)
    return Entry(text, "" if interval == f"[{text}, {text}]" else interval, note)


def count(value: float) -> str:
    """A large count on an axis or in a sentence: 50k, 1.5M."""
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def markdown(table: Table) -> str:
    """A GitHub table; numbers to the right."""
    rule = ["---" if i < table.labels else "---:" for i in range(len(table.header))]
    rows = [list(table.header), *([_one_line(entry) for entry in row] for row in table.rows)]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in (cells[0], rule, *cells[1:]))


def latex(table: Table) -> str:
    """A table in a float, for a document that uses booktabs."""
    columns = "l" * table.labels + "r" * (len(table.header) - table.labels)
    body = [" & ".join(_latex(entry) for entry in row) + r" \\" for row in table.rows]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{escape(table.caption)}}}",
            rf"  \label{{tab:{table.name}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            r"    \toprule",
            "    " + " & ".join(escape(name) for name in table.header) + r" \\",
            r"    \midrule",
            *("    " + line for line in body),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def records_csv(records: Sequence[Mapping[str, object]]) -> str:
    """Facts as comma-separated values in full precision; empty where there is none."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(record.get(key)) for key in columns] for record in records)
    return file.getvalue()


def escape(text: str) -> str:
    """Text as LaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def _one_line(entry: Entry) -> str:
    return " ".join(part for part in (entry.text, entry.interval, entry.note and f"({entry.note})") if part)


def _latex(entry: Entry) -> str:
    small = " ".join(part for part in (entry.interval, entry.note and f"({entry.note})") if part)
    return escape(entry.text) + (rf" {{\scriptsize {escape(small)}}}" if small else "")


def _plain(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) or value == -math.inf else repr(float(value))
