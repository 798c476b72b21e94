"""Is the control a straw man? Our PPO, TRPO, A2C and SAC beside those of stable-baselines3 and sb3-contrib, on
Gymnasium's own tasks, with the same settings and steps. ``compare_sbx`` has our SAC beside that of sbx.

    python -m bench.peers.compare_policies --seeds 3 --to results/peers

installs the peers into an environment of their own under --venv, runs ours and theirs in turn (one thread each),
appends every result to policies.jsonl as it comes, skips what is already there, and writes the table policies.md.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.peers.side_by_side import Job, Peer, compare
from prefrl_core.policy.a2c import A2CSettings
from prefrl_core.policy.ppo import PPOSettings
from prefrl_core.policy.sac import SACSettings
from prefrl_core.policy.trpo import TRPOSettings

_TASKS = {"HalfCheetah-v5": "mujoco-v5/half_cheetah@1", "Hopper-v5": "mujoco-v5/hopper@1"}
_OF_SAC = _TASKS | {"Walker2d-v5": "mujoco-v5/walker2d@1"}
_POLICIES: dict[str, PPOSettings | TRPOSettings | A2CSettings | SACSettings] = {
    "ppo": PPOSettings(),
    "trpo": TRPOSettings(),
    "a2c": A2CSettings(),
    "sac": SACSettings(),
}
_PEER_STARTS = 10_000  # steps after which SAC learns there; here after an episode of each environment, 16,384 steps
_STEPS = {"sac, HalfCheetah-v5": 200_000}  # the others: 300,000
PEER = Peer(
    "stable-baselines3",
    (
        *("torch==2.13.0", "stable-baselines3==2.9.2", "sb3-contrib==2.9.2", "gymnasium[mujoco]==1.4.0"),
        *("mujoco==4.0.0", "ale-py==0.12.1", "opencv-python", "pandas", "matplotlib"),
    ),
    "sb3_policy.py",
)
NAMES = [f"{policy}, {task}" for task in _OF_SAC for policy in _POLICIES if task in _TASKS or policy == "sac"]


def jobs(names: list[str], seeds: int, peer: str = PEER.name) -> list[Job]:
    """All runs, each seed of ours next to the peer's, every name's first seed before any second one."""
    made: list[Job] = []
    for seed in range(seeds):
        for name in names:
            kind, task = name.split(", ")
            job = {"name": name, "seed": seed, "total_steps": _STEPS.get(name, 300_000)}
            policy = {"name": kind, **dataclasses.asdict(_POLICIES[kind])}
            made += [
                {**job, "library": "ours", "spec": {"task": _OF_SAC[task], "reward": "true", "policy": policy}},
                {**job, "library": peer, "task": task, "policy": {**policy, "learning_starts": _PEER_STARTS}},
            ]
    return made


if __name__ == "__main__":
    compare(PEER, Path("policies.jsonl"), jobs, NAMES, __doc__ or "")
