"""Our SAC beside that of sbx (stable-baselines3 in JAX), with the settings, tasks and steps of ``compare_policies``.

    python -m bench.peers.compare_sbx --seeds 3 --to results/peers

What it does beside that is the same; the record is sbx.jsonl, the table sbx.md.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from bench.peers import compare_policies
from bench.peers.side_by_side import Peer, compare

PEER = Peer(
    "sbx",
    (
        *("torch==2.13.0", "sbx-rl==0.28.0", "jax==0.10.2", "flax==0.12.8", "gymnasium[mujoco]==1.4.0"),
        *("mujoco==4.0.0", "tfp-nightly"),  # the released tensorflow-probability does not know this jax
    ),
    "sb3_policy.py",
)
NAMES = [name for name in compare_policies.NAMES if name.startswith("sac")]

if __name__ == "__main__":
    compare(PEER, Path("sbx.jsonl"), partial(compare_policies.jobs, peer=PEER.name), NAMES, __doc__ or "")
