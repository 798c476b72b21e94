"""``prefrl``: the commands of ``bench.cli`` under a name that no folder of one's own is likely to have.

``python -m bench`` runs whatever is called ``bench`` in the current folder. ``prefrl`` always runs the package beside
this one, says so where another one was found first, and looks for plug-ins in the current folder last. ``python -P
prefrl/__main__.py bench.worker FOLDER`` runs a module of ours in the same way: workers are started by it.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from pathlib import Path

_HOME = Path(__file__).resolve().parents[1]


def main() -> int:
    """The command line of ``bench.cli``; its exit code."""
    try:
        found = prefer_ours()
    except FileNotFoundError:  # of os.getcwd
        print("prefrl: the current folder was deleted: go to another one", file=sys.stderr)
        return 2
    if found:
        print(f"prefrl: 'bench' is {found} here; running the one in {_HOME / 'bench'} instead", file=sys.stderr)
    try:
        from bench.cli import main
    except KeyboardInterrupt:
        return 130
    return main()


def run(module: str, *words: str) -> None:
    """Run a module of ours as ``python -m module words`` would where no other one has its name."""
    prefer_ours()
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def prefer_ours() -> str | None:
    """Have ``import bench`` find ours, and the current folder searched last; where another one was found, its place."""
    spec = importlib.util.find_spec("bench")
    places = [] if spec is None else [spec.origin or "", *(spec.submodule_search_locations or [])]
    ours = any(Path(place).resolve().is_relative_to(_HOME / "bench") for place in places if place)
    if not ours:
        sys.path.insert(0, str(_HOME))
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.append(os.getcwd())
    return None if ours or not places else next(place for place in places if place)
