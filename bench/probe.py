"""What one kind of run costs on this machine: ``python -m bench.probe SECONDS < SPEC`` does some turns of its loop.

The spec is the canonical one as JSON; the answer is one JSON object on stdout. What happens once in a run (the first
fit of the reward) is timed apart from what happens at every turn, and a checkpoint is written to see what that costs.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import tracks
from bench.recorder import encode, peak_memory

if TYPE_CHECKING:
    from prefrl_core.spec import RunSpec


@dataclass(frozen=True)
class Costs:
    """Of one kind of run; seconds are wall time on one core."""

    untrained_steps: int  # of the run, before it learns
    round_steps: int  # environment steps of one turn
    untrained: float  # seconds of one turn that only acts
    first: float  # seconds of the last of these, after which the reward is fitted for the first time, for long
    learning: float  # seconds of each later turn
    saving: float  # seconds of a checkpoint
    row_bytes: int  # of metrics and timing, a turn
    checkpoint_bytes: int  # with a full pool of segments and no comparisons
    comparison_bytes: int  # each
    memory_bytes: int  # most that the process had
    units: Mapping[str, float] = field(default_factory=dict)  # seconds of each unit of work, of tracks that count such


def of_learner(spec: RunSpec, seconds: float) -> Costs:
    """Costs of the run with this spec, by turns of it that take about so many seconds, never fewer than four.

    Raises:
        UserError: as the learner does.
    """
    import numpy as np

    from prefrl_core import checkpoint
    from prefrl_core.learner import Learner

    learner, until = Learner(spec), time.monotonic() + seconds
    # The first turn warms up, the second only acts, the third ends with the first fit, the others learn.
    untrained_steps, learner.untrained_steps = learner.untrained_steps, 3 * learner.round_steps
    turns: list[float] = []
    row: dict[str, int | float | str | None] = {}
    while not learner.finished and (len(turns) < 4 or time.monotonic() < until):
        began = time.monotonic()
        row = learner.iterate()
        turns.append(time.monotonic() - began)
    size, saving = 0, 0.0
    if learner.can_be_saved:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            checkpoint.save(path := Path(folder) / "checkpoint", learner.get_state())
            size, saving = path.stat().st_size, time.monotonic() - began
            grown = sum(side.stat().st_size for side in checkpoint.sides(path))
            size += grown * spec.total_steps // max(1, learner.step)  # a replay, until the run is done
    comparison = learner.comparisons.bytes_each
    segment = learner.pool.segments.features[:1].nbytes + spec.segment * 8
    size += (learner.pool.capacity - len(learner.pool.segments)) * segment * (spec.reward == "learned")
    size -= learner.comparisons.count * comparison
    learner.env.close()
    return Costs(
        untrained_steps,
        learner.round_steps,
        turns[min(1, len(turns) - 1)],
        turns[min(2, len(turns) - 1)],
        float(np.mean(turns[3:] or turns[-1:])),
        saving,
        len(encode(row)) + len(encode({"step": learner.step, "seconds": 1000.123456})),
        size,
        comparison,
        peak_memory(),
    )


def main() -> None:
    began = time.monotonic()
    values = json.load(sys.stdin)
    track = tracks.of(values["task"])
    costs = track.measure(track.spec(values), float(sys.argv[1]))
    print(json.dumps({"costs": asdict(costs), "seconds": time.monotonic() - began}))


if __name__ == "__main__":
    main()
