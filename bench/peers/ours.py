"""One run of ours for a comparison with a peer: the same job and the same answer as the peer's script."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from prefrl_core.loop import Row, learn
from prefrl_core.spec import RunSpec


class Returns:
    """A recorder that keeps the episodes' returns with the step and the second at which their rollout ended."""

    def __init__(self) -> None:
        self.episodes: list[tuple[int, float, float]] = []
        self.start = time.perf_counter()

    def row(self, row: Row) -> None:
        """Keep the mean return, once for each episode that it is the mean of."""
        if row["episodes"]:
            ended = int(row["step"] or 0), time.perf_counter() - self.start, float(row["true_return"] or 0)
            self.episodes += [ended] * int(row["episodes"])

    def comparisons(self, arrays: dict[str, Any]) -> None:
        """Not needed."""

    def segments(self, arrays: dict[str, Any]) -> None:
        """Not needed."""

    def save(self, state: dict[str, Any]) -> None:
        """Not needed."""


def main(job: dict[str, Any]) -> None:
    """Train, and print what came of it."""
    spec = RunSpec.of({"seed": job["seed"], "total_steps": job["total_steps"], **job["spec"]})
    returns = Returns()
    learn(spec, returns)
    print(json.dumps({"episodes": returns.episodes, "seconds": time.perf_counter() - returns.start}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
