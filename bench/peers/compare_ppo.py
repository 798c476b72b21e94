"""Is the control a straw man? Our PPO beside stable-baselines3's on Gymnasium's own tasks, same settings, same steps.

    python -m bench.peers.compare_ppo --seeds 5 --to results/peers

installs the peer into an environment of its own under --venv, runs the two in turn (one thread each), appends every
result to ppo.jsonl as it comes, skips what is already there, and writes the table ppo.md.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from prefrl_core.policy.ppo import PPOSettings

_TASKS = {
    "HalfCheetah-v5": ("mujoco-v5/half_cheetah@1", 300_000),
    "Hopper-v5": ("mujoco-v5/hopper@1", 300_000),
    "InvertedDoublePendulum-v5": ("mujoco-v5/inverted_double_pendulum@1", 200_000),
}
_PEER_PACKAGES = ["torch==2.13.0", "stable-baselines3==2.9.2", "gymnasium[mujoco]==1.4.0", "mujoco==4.0.0"]
_FOLDER = Path(__file__).parent
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def peer_python(folder: Path) -> Path:
    """The interpreter of the peer's environment, which is made on first use."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        for packages in (_PEER_PACKAGES[:1], _PEER_PACKAGES):  # PyTorch first: what follows then takes no other build
            subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        (folder / "complete").touch()
    return python


def jobs(tasks: list[str], seeds: int) -> list[dict[str, Any]]:
    """All runs, each seed of ours next to the peer's, every task's first seed before any second one."""
    policy = dataclasses.asdict(PPOSettings())
    return [
        {"library": library, "name": name, "seed": seed, "total_steps": _TASKS[name][1], "policy": policy}
        for seed in range(seeds)
        for name in tasks
        for library in ("ours", "stable-baselines3")
    ]


def run(job: dict[str, Any], peer: Path) -> dict[str, Any]:
    """One run in a process of its own; what it printed, with the job's name."""
    ours = job["library"] == "ours"
    task = _TASKS[job["name"]][0] if ours else job["name"]
    policy = {"name": "ppo", **job["policy"]} if ours else job["policy"]
    command = [sys.executable, "-m", "bench.peers.our_ppo"] if ours else [str(peer), str(_FOLDER / "sb3_ppo.py")]
    command.append(json.dumps({**job, "task": task, "policy": policy}))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **_ONE_THREAD})
    return {**{key: job[key] for key in ("library", "name", "seed", "total_steps")}, **json.loads(done.stdout)}


def table(results: list[dict[str, Any]]) -> str:
    """The comparison in Markdown: mean over seeds and their range, and the ratio of the median times."""
    lines = [
        "| task | steps | seeds | ours: return | stable-baselines3: return | ours: s | peer: s | peer / ours |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(result["name"] for result in results):
        sides = [[r for r in results if (r["name"], r["library"]) == (name, x)] for x in ("ours", "stable-baselines3")]
        if not all(sides):
            continue
        returns = [np.array([r["return"] for r in side]) for side in sides]
        seconds = [float(np.median([r["seconds"] for r in side])) for side in sides]
        shown = [f"{values.mean():.0f} ({values.min():.0f} to {values.max():.0f})" for values in returns]
        lines.append(
            f"| {name} | {sides[0][0]['total_steps']:,} | {min(map(len, sides))} | {shown[0]} | {shown[1]} "
            f"| {seconds[0]:.0f} | {seconds[1]:.0f} | {seconds[1] / seconds[0]:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what is missing, then write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=list(_TASKS), default=list(_TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1, help="runs side by side, at most one a core")
    parser.add_argument("--venv", type=Path, default=Path(".tox/peer-stable-baselines3"))
    parser.add_argument("--to", type=Path, default=Path("results/peers"))
    arguments = parser.parse_args()
    peer, record = peer_python(arguments.venv).absolute(), arguments.to / "ppo.jsonl"
    arguments.to.mkdir(parents=True, exist_ok=True)
    results = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    had = {(r["library"], r["name"], r["seed"]) for r in results}
    missing = [j for j in jobs(arguments.tasks, arguments.seeds) if (j["library"], j["name"], j["seed"]) not in had]
    with ThreadPoolExecutor(arguments.workers) as pool, open(record, "a") as file:
        for result in pool.map(lambda job: run(job, peer), missing):
            results.append(result)
            print(json.dumps(result), file=file, flush=True)
            print(json.dumps(result), flush=True)
    (arguments.to / "ppo.md").write_text(table(results))


if __name__ == "__main__":
    main()
