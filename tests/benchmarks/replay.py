"""Many finished runs from a few real ones: each is copied to folders with other seeds and their right keys.

    prefrl archive unpack results/mujoco-trpo/runs.parquet --out unpacked
    python tests/benchmarks/replay.py unpacked mujoco-trpo --seeds 32 --out replayed # 1,024 runs
    python -m bench report mujoco-trpo --seeds 32 --out replayed

The numbers are not to be believed (seeds repeat one another); their amount is: it is for measuring what reads them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import store, suite


def replay(source: Path, planned: Sequence[suite.Planned], out: Path) -> int:
    """Give every planned run a folder in ``out``, copied from finished runs in ``source`` that differ in the seed
    alone, in turn; how many could be given one."""
    cells: dict[str, list[store.Run]] = {}
    for run in store.load(source):
        if run.status == "done":
            cells.setdefault(_cell(run.spec), []).append(run)
    made = 0
    for one in planned:
        spec = one.spec.canonical()
        if found := cells.get(_cell(spec)):
            origin = found[one.seed % len(found)]
            folder = shutil.copytree(origin.folder, out / one.key)
            identity = {"schema": store.SCHEMA, "key": one.key, "spec": spec, "versions": suite.versions_of(one.spec)}
            store.write_json(folder / "spec.json", identity)
            checked = {name: store.checksum(folder / name) for name in store.CHECKED}
            store.write_json(folder / "done.json", {**origin.done, "sha256": checked})
            made += 1
    return made


def _cell(spec: dict[str, Any]) -> str:
    return json.dumps({**spec, "seed": 0}, sort_keys=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("suite")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print(replay(options.source, suite.load(options.suite).runs(options.seeds), options.out), "runs")
