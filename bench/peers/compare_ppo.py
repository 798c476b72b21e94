"""Is the control a straw man? Our PPO beside stable-baselines3's on Gymnasium's own tasks, same settings, same steps.

    python -m bench.peers.compare_ppo --seeds 5 --to results/peers

installs the peer into an environment of its own under --venv, runs the two in turn (one thread each), appends every
result to ppo.jsonl as it comes, skips what is already there, and writes the table ppo.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.peers.side_by_side import Job, Peer, compare
from prefrl_core.policy.ppo import PPOSettings

_TASKS = {
    "HalfCheetah-v5": ("mujoco-v5/half_cheetah@1", 300_000),
    "Hopper-v5": ("mujoco-v5/hopper@1", 300_000),
    "InvertedDoublePendulum-v5": ("mujoco-v5/inverted_double_pendulum@1", 200_000),
}
PEER = Peer(
    "stable-baselines3",
    ("torch==2.13.0", "stable-baselines3==2.9.2", "gymnasium[mujoco]==1.4.0", "mujoco==4.0.0"),
    "sb3_ppo.py",
)


def jobs(tasks: list[str], seeds: int) -> list[Job]:
    """All runs, each seed of ours next to the peer's, every task's first seed before any second one."""
    policy = dataclasses.asdict(PPOSettings())
    made: list[Job] = []
    for seed in range(seeds):
        for name in tasks:
            task, steps = _TASKS[name]
            job = {"name": name, "seed": seed, "total_steps": steps}
            ours = {"task": task, "reward": "true", "policy": {"name": "ppo", **policy}}
            made += [
                {**job, "library": "ours", "spec": ours},
                {**job, "library": PEER.name, "task": name, "policy": policy},
            ]
    return made


if __name__ == "__main__":
    compare(PEER, Path("ppo.jsonl"), jobs, list(_TASKS), __doc__ or "")
