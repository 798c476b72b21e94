"""Compare the ratios of a benchmark run with the committed baseline, or make it the baseline.

    python tests/benchmarks/compare.py RESULTS.json BASELINE.json [--update]

Ratios, because a machine's speed changes from hour to hour; the table says how each moved, and judges nothing.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def ratios(results: Path) -> dict[str, float]:
    """``{"test[parameter] ratio": value}`` of a pytest-benchmark file."""
    found = json.loads(results.read_text())["benchmarks"]
    return {
        f"{each['name']} {name}": value
        for each in found
        for name, value in each["extra_info"].items()
        if name.startswith(("ratio", "share"))
    }


def table(now: dict[str, float], before: dict[str, float]) -> str:
    """Markdown: now, baseline, and now / baseline."""
    lines = ["| benchmark | now | baseline | now / baseline |", "|---|---:|---:|---:|"]
    for name in sorted({*now, *before}):
        new, old = now.get(name), before.get(name)
        change = f"{new / old:.2f}" if new is not None and old else "-"
        lines.append(
            f"| {name} | {'-' if new is None else f'{new:.3g}'} | {'-' if old is None else f'{old:.3g}'} | {change} |"
        )
    return "\n".join(lines)


def main(results: str, baseline: str, *options: str) -> None:
    """Print the table; with ``--update`` write the baseline."""
    path, now = Path(baseline), ratios(Path(results))
    print(table(now, json.loads(path.read_text()) if path.exists() else {}))
    if "--update" in options:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
