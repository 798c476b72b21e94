"""Tables declared over facts, and their Markdown, LaTeX and CSV; numbers in words.

A fact is a dictionary: names of what was measured and its values, estimates among them. ``table`` makes a row and a
record of each. Where rows and records are not the same facts (a row a task, a column an arm), ``wide`` is given both.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.stats import Estimate

NONE = "–"
NOTHING = Estimate(math.nan, -math.inf, math.inf)
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

    def __str__(self) -> str:
        return " ".join(part for part in (self.text, self.interval, self.note and f"({self.note})") if part)


@dataclass(frozen=True)
class Table:
    """A table for people (``rows``) and for machines (``records``, one fact each, in full precision)."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    records: Sequence[Mapping[str, object]]
    labels: int = 1  # leading columns that name the row


Fact = dict[str, Any]  # a field whose name begins with "_" is for people alone
Rows = Sequence[Sequence[object]]
Column = str | tuple[str, Callable[[Any], Any]]  # the field that a column shows, or that and how


def table(
    name: str, caption: str, facts: Sequence[Fact], columns: Mapping[str, Column], labels: int = 1
) -> Table | None:
    """A row and a record for each fact, the columns by their titles; None where there are no facts. A fact of a single
    field has no record."""
    rows = [[_shown(fact, column) for column in columns.values()] for fact in facts]
    return wide(name, caption, list(columns), rows, facts, labels) if facts else None


def wide(name: str, caption: str, header: Sequence[str], rows: Rows, facts: Iterable[Fact], labels: int = 1) -> Table:
    """Rows of values of any kind (``told``), and the facts of the records."""
    records = [made for fact in facts if len(made := record(fact)) > 1]
    return Table(name, caption, header, [list(map(told, row)) for row in rows], records, labels)


def record(fact: Fact) -> dict[str, object]:
    """A fact with each estimate as three columns, without what is None."""
    made: dict[str, object] = {}
    for name, value in fact.items():
        if name.startswith("_") or value is None:
            continue
        if isinstance(value, Estimate):
            ends = (value.low, value.high) if value.low > -math.inf else (math.nan, math.nan)  # the latter is unknown
            made |= {name: value.value, f"{name}_low": ends[0], f"{name}_high": ends[1]}
        else:
            made[name] = value.text if isinstance(value, Entry) else value
    return made


def told(value: object) -> Entry:
    """A value as it stands in a table; estimates with two decimals."""
    match value:
        case Entry():
            return value
        case None:
            return Entry(NONE)
        case Estimate():
            return entry(value, 1.0)
        case float():
            return Entry(number(value))
    return Entry(str(value))


def _shown(fact: Fact, column: Column) -> object:
    name, how = (column, told) if isinstance(column, str) else column
    return None if fact.get(name) is None else how(fact[name])


def number(value: float, scale: float | None = None) -> str:
    """A number with as many decimals as the largest one beside it (``scale``) needs; "–" for none."""
    if not math.isfinite(value):
        return NONE
    largest = abs(value if scale is None else scale)
    decimals = 0 if largest >= 100 else 1 if largest >= 10 else 2
    text = f"{value:.{decimals}f}"
    return (text.lstrip("-") if float(text) == 0 else text).replace("-", "−")


def _end(value: float, scale: float | None) -> str:
    """An end of an interval that leaves 0 out: it is not shown as 0."""
    text = number(value, scale)
    return text if float(text.replace("−", "-")) else f"{value:.1g}".replace("-", "−")


def entry(estimate: Estimate, scale: float | None = None, note: str = "") -> Entry:
    """An estimate with its interval, where there is one."""
    if not math.isfinite(estimate.value):
        return Entry(NONE, note=note)
    known = math.isfinite(estimate.low) and math.isfinite(estimate.high)
    known &= estimate.high - estimate.low > 1e-9 * max(1.0, abs(estimate.value))  # the control beside itself is exact
    apart = known and (estimate.low > 0 or estimate.high < 0)
    ends = [_end(end, scale) if apart else number(end, scale) for end in (estimate.low, estimate.high)]
    interval = f"[{', '.join(ends)}]" if known else ""
    return Entry(number(estimate.value, scale), interval, note)


def to(scale: float) -> Callable[[Any], Entry]:
    """How to show values of about this size."""
    return lambda value: entry(value, scale) if isinstance(value, Estimate) else Entry(number(value, scale))


def signed(difference: Estimate | float) -> Entry:
    """A difference, with its sign."""
    made = told(difference)
    above = (difference.value if isinstance(difference, Estimate) else difference) > 0
    return Entry("+" + made.text if above else made.text, made.interval)


def part(some: Sequence[object], of: Sequence[object], what: str) -> str:
    """ "" for all of them, otherwise "5 of 7 games"."""
    return "" if len(some) == len(of) else f"{len(some)} of {len(of)} {what}"


def labels_entry(estimate: Estimate, budgets: Sequence[int], note: str = "") -> Entry:
    """Labels to reach a share: "143", "≤ 60" (the smallest budget was enough) or "not reached"."""

    def bounded(labels: float) -> str:
        if labels <= budgets[0]:
            return f"≤ {budgets[0]}"
        return f"{labels:.0f}" if math.isfinite(labels) else "not reached"

    interval = f"[{bounded(estimate.low)}, {bounded(estimate.high)}]" if estimate.low > -math.inf else ""
    text = bounded(estimate.value)
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
    rows = [list(table.header), *(list(map(str, row)) for row in table.rows)]
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


def _latex(entry: Entry) -> str:
    small = str(Entry("", entry.interval, entry.note))
    return escape(entry.text) + (rf" {{\scriptsize {escape(small)}}}" if small else "")


def _plain(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) or value == -math.inf else repr(float(value))
