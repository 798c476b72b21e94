"""What one kind of run costs on this machine, measured by some turns of the learner's loop.

What happens once in a run (the first fit of the reward) is timed apart from what happens at every turn, and a
checkpoint is written to see what that costs. ``bench.measure`` does it in a process of its own.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.costs import Costs
from bench.recorder import encode, peak_memory

if TYPE_CHECKING:
    from prefrl_core.spec import RunSpec


def of_learner(spec: RunSpec, seconds: float) -> Costs:
    """Costs of the run with this spec, by turns of it that take about so many seconds, never fewer than four.

    Raises:
        UserError: as the learner does.
    """
    import numpy as np

    from prefrl_core import checkpoint, loop

    run, until = loop.start(spec), time.monotonic() + seconds
    # The first turn warms up, the second only acts, the third ends with the first fit, the others learn.
    untrained_steps, run.untrained_steps = run.untrained_steps, 3 * run.turn_steps
    turns: list[float] = []
    row: dict[str, int | float | str | None] = {}
    while not run.finished and (len(turns) < 4 or time.monotonic() < until):
        began = time.monotonic()
        row = loop.turn(run)
        turns.append(time.monotonic() - began)
    size, saving = 0, 0.0
    if run.can_be_saved:
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            checkpoint.save(path := Path(folder) / "checkpoint", run.get_state())
            size, saving = path.stat().st_size, time.monotonic() - began
            grown = sum(side.stat().st_size for side in checkpoint.sides(path))
            size += grown * spec.total_steps // max(1, run.step)  # a replay, until the run is done
    comparison = run.comparisons.bytes_each
    segment = run.pool.segments.features[:1].nbytes + spec.segment * 8
    size += (run.pool.capacity - len(run.pool.segments)) * segment * (spec.reward == "learned")
    size -= run.comparisons.count * comparison
    run.env.close()
    return Costs(
        untrained_steps,
        run.turn_steps,
        turns[min(1, len(turns) - 1)],
        turns[min(2, len(turns) - 1)],
        float(np.mean(turns[3:] or turns[-1:])),
        saving,
        len(encode(row)) + len(encode({"step": run.step, "seconds": 1000.123456})),
        size,
        comparison,
        peak_memory(),
    )
