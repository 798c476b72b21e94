"""The verdict as text, as JSON for machines, and as Markdown for a pull request."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

from bench.gate.compare import untold, worse
from bench.gate.findings import USUAL, Finding, Limits

HEADER = ["verdict", "aspect", "task", "arm", "baseline", "candidate", "could see", "what"]


def rows(findings: Sequence[Finding]) -> list[list[str]]:
    """A header and a line a finding; what is wrong first."""
    order = ["WORSE", "changed", "not comparable", "fine"]
    sorted_ = sorted(findings, key=lambda one: order.index(one.verdict))
    return [HEADER, *(_row(one) for one in sorted_)]


def headline(suite: str, findings: Sequence[Finding], limits: Limits = USUAL) -> str:
    """One sentence: the gate's answer."""
    bad = [one for one in findings if one.verdict == "WORSE"]
    if not bad and untold(findings, limits):
        unjudged = next((one for one in findings if one.aspect == "learning" and one.verdict == "not comparable"), None)
        if unjudged is not None:
            return f"{suite}: CANNOT TELL whether as much was learned: {unjudged.what}"
        why = next(one.what for one in findings if one.aspect == "exactness")
        return f"{suite}: CANNOT TELL whether the bytes are the same: {why}"
    if not bad:
        return f"{suite}: not worse than the baseline"
    return f"{suite}: WORSE than the baseline in " + ", ".join(dict.fromkeys(one.aspect for one in bad))


def as_json(suite: str, findings: Sequence[Finding], limits: Limits) -> bytes:
    """Everything, for machines; numbers that are not there are null."""
    told: dict[str, Any] = {
        "suite": suite,
        "worse": worse(findings),
        "cannot_tell": untold(findings, limits),
        "limits": dataclasses.asdict(limits),
        "findings": [{k: _plain(v) for k, v in dataclasses.asdict(one).items()} for one in findings],
    }
    return (json.dumps(told, indent=1, allow_nan=False) + "\n").encode()


def as_markdown(suite: str, findings: Sequence[Finding], limits: Limits = USUAL) -> bytes:
    """A summary for a pull request: the answer, what is not fine, and the rest folded away."""
    header, *lines = rows(findings)
    bad = [line for line in lines if line[0] != "fine"]
    fine = [line for line in lines if line[0] == "fine"]
    parts = [f"### Gate: {headline(suite, findings, limits)}\n", _table(header, bad) if bad else ""]
    parts.append(f"<details><summary>{len(fine)} findings are fine</summary>\n\n{_table(header, fine)}\n</details>\n")
    return "\n".join(part for part in parts if part).encode()


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", "---", "---", "---", "---:", "---:", "---:", "---"]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in (header, rule, *lines))


def _row(one: Finding) -> list[str]:
    numbers = [_number(value) for value in (one.baseline, one.candidate, one.detectable)]
    return [one.verdict, one.aspect, one.task, one.arm, *numbers, one.what]


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
