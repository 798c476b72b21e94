"""What the comparisons with other libraries share: the peer's own environment, runs in turn, a record that resumes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

_FOLDER = Path(__file__).parent
_ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}

Job = dict[str, Any]  # "library", "name" (of the task), "seed", "total_steps", and what the scripts read
Result = dict[str, Any]  # the job's name, "seconds" of learning, and "curve": [step, second, mean return] of its parts
# The return of the control of Christiano et al. (2017), figure 2, after 20,000,000 steps: when is it first reached?
_LEVELS = {"sac, HalfCheetah-v5": 4209}
_PARTS = 20  # of a curve: what is kept of the single episodes


@dataclass(frozen=True)
class Peer:
    """Another library: its name, what it is installed from, and the script here that runs one job with it."""

    name: str
    packages: tuple[str, ...]  # PyTorch first: what follows then takes no other build
    script: str

    def python(self, folder: Path) -> Path:
        """The interpreter of the peer's environment, which is made on first use."""
        python = folder / "bin" / "python"
        if not (folder / "complete").exists():
            venv.create(folder, with_pip=True, clear=True)
            for packages in (self.packages[:1], self.packages):
                subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
            (folder / "complete").touch()
        return python.absolute()


def one_thread(command: list[Any]) -> Any:
    """What a command prints last, as JSON; it runs with one thread."""
    environment = {**os.environ, **_ONE_THREAD}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def run(job: Job, command: list[str]) -> Result:
    """One run in a process of its own with one thread; what it printed, with the job's name."""
    environment = {**os.environ, **_ONE_THREAD}
    with TemporaryDirectory() as folder:  # MuJoCo leaves its warnings in a file where the peer runs
        here = None if job["library"] == "ours" else folder
        done = subprocess.run(
            [*command, json.dumps(job)], check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=here
        )
    answer = json.loads(done.stdout.splitlines()[-1])
    made = {key: job[key] for key in ("library", "name", "seed", "total_steps")}
    return {**made, "seconds": round(answer["seconds"], 2), "curve": curve(answer["episodes"], job["total_steps"])}


def curve(episodes: list[tuple[int, float, float]], total_steps: int) -> list[list[float]]:
    """Episodes (step, second, return) as means over equal parts of the steps; parts without an episode are left out."""
    ended = np.array(episodes).reshape(-1, 3)
    part = np.minimum((ended[:, 0] * _PARTS / total_steps).astype(int), _PARTS - 1)
    return [[round(float(v), 2) for v in ended[part == i].mean(0)] for i in range(_PARTS) if (part == i).any()]


def return_at(result: Result, seconds: float) -> float:
    """The return that a run had come to after some seconds, between the parts of its curve."""
    _, times, values = np.array(result["curve"]).T
    return float(np.interp(seconds, times, values))


def seconds_to(result: Result, level: float) -> float:
    """The second at which a run's curve first came to a return; infinite where it never did."""
    _, times, values = np.array(result["curve"]).T
    reached = np.flatnonzero(values >= level)
    return float(times[reached[0]]) if len(reached) else float("inf")


def compare(peer: Peer, record: Path, jobs: Callable[[list[str], int], list[Job]], tasks: list[str], doc: str) -> None:
    """Command line of one comparison: run the jobs that are missing, ours and the peer's in turn, then write the table.

    Args:
        record: file name of the results, one JSON line each; the table has the same name with the suffix ``.md``.
        jobs: (tasks, seeds) -> jobs of both libraries, "ours" being run by ``ours.py``.
        doc: description shown by ``--help``.
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=tasks, default=tasks)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="runs side by side, at most one a core")
    parser.add_argument("--venv", type=Path, default=Path(f".tox/peer-{peer.name}"))
    parser.add_argument("--to", type=Path, default=Path("results/peers"))
    arguments = parser.parse_args()
    commands = {
        "ours": [sys.executable, "-m", "bench.peers.ours"],
        peer.name: [str(peer.python(arguments.venv)), str((_FOLDER / peer.script).absolute())],
    }
    arguments.to.mkdir(parents=True, exist_ok=True)
    path = arguments.to / record
    results = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    had = {_name(result) for result in results}
    missing = [job for job in jobs(arguments.tasks, arguments.seeds) if _name(job) not in had]
    with ThreadPoolExecutor(arguments.workers) as pool, open(path, "a") as file:
        for result in pool.map(lambda job: run(job, commands[job["library"]]), missing):
            results.append(result)
            print(json.dumps(result), file=file, flush=True)
            print(json.dumps(result), flush=True)
    path.with_suffix(".md").write_text(table(results, peer.name))


def _name(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["library"], entry["name"], entry["seed"]


def table(results: list[Result], peer: str) -> str:
    """The comparison in Markdown: means over seeds and their range at equal steps (the last part of the curve), the
    peer's mean when ours was done, and the ratio of the median times."""
    lines = [
        f"| task | steps | seeds | ours: return | {peer}: return | {peer}: return after our seconds | ours: s "
        "| peer: s | peer / ours |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(result["name"] for result in results):
        sides = [[r for r in results if (r["name"], r["library"]) == (name, x)] for x in ("ours", peer)]
        if not all(sides):
            continue
        returns = [np.array([r["curve"][-1][2] for r in side]) for side in sides]
        seconds = [float(np.median([r["seconds"] for r in side])) for side in sides]
        shown = [_range(values) for values in returns]
        early = np.mean([return_at(r, seconds[0]) for r in sides[1]])
        lines.append(
            f"| {name} | {sides[0][0]['total_steps']:,} | {min(map(len, sides))} | {shown[0]} | {shown[1]} "
            f"| {early:.0f} | {seconds[0]:.0f} | {seconds[1]:.0f} | {seconds[1] / seconds[0]:.1f} |"
        )
    for name, level in _LEVELS.items():
        for library in ("ours", peer):
            found = [seconds_to(r, level) for r in results if (r["name"], r["library"]) == (name, library)]
            if found:
                told = ", ".join(f"{s:.0f}" if np.isfinite(s) else "not reached" for s in found)
                lines += ["", f"{name}, seconds to a return of {level:,}, {library}: {told}"]
    return "\n".join(lines) + "\n"


def _range(values: np.ndarray[Any, Any]) -> str:
    shown = f"{values.mean():.0f}"
    return shown if len(values) == 1 else f"{shown} ({values.min():.0f} to {values.max():.0f})"
