"""One run of ours for a comparison with a peer: the same job and the same answer as the peer's script."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from prefrl_core.learner import Row, learn
from prefrl_core.spec import RunSpec


class Returns:
    """A recorder that keeps the rows in memory."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def row(self, row: Row) -> None:
        """Keep the row."""
        self.rows.append(row)

    def comparisons(self, arrays: dict[str, Any]) -> None:
        """There are none."""

    def save(self, state: dict[str, Any]) -> None:
        """Not needed."""


def main(job: dict[str, Any]) -> None:
    """Train, and print what came of it: the mean true return of the episodes that ended in the last 5 % of the steps
    (in a run so short that none did, of the last row that saw any)."""
    start, returns = time.perf_counter(), Returns()
    learn(RunSpec.of({"seed": job["seed"], "total_steps": job["total_steps"], **job["spec"]}), returns)
    seconds = time.perf_counter() - start
    ended = [row for row in returns.rows if row["episodes"]]
    late = [row for row in ended if float(row["step"] or 0) > 0.95 * job["total_steps"]] or ended[-1:]
    total = sum(float(row["true_return"] or 0) * int(row["episodes"] or 0) for row in late)
    count = sum(int(row["episodes"] or 0) for row in late)
    print(json.dumps({"return": total / count, "seconds": seconds}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
