"""A run of the language track from beginning to end: the stages that its method needs, upstream ones from the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefrl_core.language.rows import Recorder
from prefrl_core.language.spec import LanguageSpec


def learn(
    spec: LanguageSpec, recorder: Recorder, cache: Path | None = None, state: dict[str, Any] | None = None
) -> None:
    """Run ``spec`` to its end.

    Args:
        spec: what to run.
        recorder: hears each row, the final samples, and checkpoints.
        cache: folder of finished stages, shared by runs (also by several processes at once); None keeps them in memory.
        state: the last checkpoint, to go on from; the rows that it builds on are not reported again.

    Raises:
        UserError: a stage failed in a way that its user can put right.
    """
    raise NotImplementedError
