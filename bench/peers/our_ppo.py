"""Our PPO on the true reward of a Gymnasium task, with the same job and the same answer as ``sb3_ppo.py``."""

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
    """Train, and print what came of it."""
    start, returns = time.perf_counter(), Returns()
    spec = {key: job[key] for key in ("task", "seed", "total_steps", "policy")}
    learn(RunSpec.of({**spec, "reward": "true"}), returns)
    late = [row for row in returns.rows if row["episodes"] and float(row["step"] or 0) > 0.95 * job["total_steps"]]
    total = sum(float(row["true_return"] or 0) * int(row["episodes"] or 0) for row in late)
    count = sum(int(row["episodes"] or 0) for row in late)
    print(json.dumps({"return": total / count, "seconds": time.perf_counter() - start}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
