"""What one kind of run costs on one machine: as measured (``bench.measure``), and as estimates are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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
