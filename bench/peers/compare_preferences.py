"""Learning from comparisons: ours beside imitation's preference comparisons, same steps, labels and network sizes.

    python -m bench.peers.compare_preferences --seeds 3 --to results/peers

As compare_policies.py: an environment of the peer's own, runs in turn, preferences.jsonl and preferences.md. The peer
needs an old Gymnasium, so its HalfCheetah is version 4 on MuJoCo 2.3.7; observations, reward and episode length are
those of our version 5. It keeps its documented settings (60 rounds, 3 epochs a round over all comparisons) where
ours have no counterpart.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.peers.side_by_side import Job, Peer, compare
from prefrl_core.policy.ppo import PPOSettings
from prefrl_core.reward.settings import EnsembleSettings

_TASKS = {"HalfCheetah": "mujoco-v5/half_cheetah@1"}
_STEPS, _LABELS, _SEGMENT = 100_000, 700, 30
PEER = Peer("imitation", ("torch==2.13.0", "imitation==1.0.1", "mujoco==2.3.7", "imageio"), "imitation_preferences.py")


def jobs(tasks: list[str], seeds: int) -> list[Job]:
    """All runs, each seed of ours next to the peer's."""
    policy, reward_model = dataclasses.asdict(PPOSettings()), dataclasses.asdict(EnsembleSettings())
    made: list[Job] = []
    for seed in range(seeds):
        for name in tasks:
            job = {"name": name, "seed": seed, "total_steps": _STEPS}
            ours = {"task": _TASKS[name], "labels": _LABELS, "segment": _SEGMENT, "policy": "ppo"}
            peer = {"task": f"{name}-v4", "labels": _LABELS, "segment": _SEGMENT}
            made += [
                {**job, "library": "ours", "spec": ours},
                {**job, **peer, "library": PEER.name, "policy": policy, "reward_model": reward_model},
            ]
    return made


if __name__ == "__main__":
    compare(PEER, Path("preferences.jsonl"), jobs, list(_TASKS), __doc__ or "")
