"""Fits a reward model to exported comparisons, and tells how often it is right about comparisons that it never saw.

python -m bench export --suite quick --to comparisons
python examples/offline_reward.py comparisons
"""

from __future__ import annotations

import argparse
from itertools import groupby
from pathlib import Path

from prefrl_core import seeding
from prefrl_core.feedback import dataset
from prefrl_core.reward import offline


def main() -> None:
    """Four fifths of each task's comparisons to fit, the others to test."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder written by `python -m bench export`")
    parser.add_argument("--updates", type=int, default=1000, help="gradient steps (default: 1000)")
    options = parser.parse_args()
    for task, several in groupby(sorted(dataset.load(options.data), key=_task), key=_task):
        recorded = dataset.join(list(several))
        order = seeding.generator(0, "split").permutation(len(recorded))
        held_out, shown = recorded.take(order[: len(order) // 5]), recorded.take(order[len(order) // 5 :])
        ensemble = offline.fit(shown, updates=options.updates)
        print(
            f"{task}: {len(shown)} comparisons shown, right about {offline.accuracy(ensemble, shown):.0%} of them and "
            f"about {offline.accuracy(ensemble, held_out):.0%} of {len(held_out)} held out"
        )


def _task(recorded: dataset.Recorded) -> str:
    task: str = recorded.about["task"]
    return task


if __name__ == "__main__":
    main()
