"""A run of the language track from beginning to end: the stages that its method needs, upstream ones from the cache.

    pretrain -> sft -> candidates -> answers -> reward model -> ppo
                  \\-> held-out candidates ---------^

A stage's result is named by the hash of its settings, the seed and the results it builds on, so the arms of a seed
share what they have in common, and a larger budget begins with the rankings of a smaller one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from prefrl_core.language import arms
from prefrl_core.language.cache import Cache
from prefrl_core.language.rows import Recorder
from prefrl_core.language.run import Run
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
    torch.set_num_threads(1)  # more would change the order of sums, and with it the bytes
    run = Run(spec, recorder, Cache(cache), quiet=state is not None)
    run.pretrained()
    if spec.method != "base":
        run.fine_tuned()
    if spec.learns_reward:
        run.rankings()
        run.reward_model()
    arms.finish(run, state)
