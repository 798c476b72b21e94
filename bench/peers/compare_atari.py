"""From pixels: our PPO and A2C beside those of stable-baselines3 on Pong, with the same network, settings and steps.

    python -m bench.peers.compare_atari --seeds 1 --to results/peers

installs the peer into an environment of its own under --venv, runs ours and theirs in turn (one thread each), appends
every result to atari.jsonl as it comes, skips what is already there, and writes the table atari.md. The steps are
enough to time both, not to learn (in the first 10,240 of ours the player is untrained and learns nothing): for the
curve of a whole run see the suite ``atari-quick``. The peer learns from the games' clipped reward as it is; ours
divides it by the standard deviation of its discounted return (PPO).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from bench.peers.compare_policies import PEER
from bench.peers.side_by_side import Job, compare
from prefrl_core.policy import hyperparameters
from prefrl_core.policy.a2c import A2CSettings
from prefrl_core.policy.ppo import PPOSettings
from prefrl_core.tasks import describe

_GAME, _TASK = "Pong", "atari/pong@1"
_STEPS = 40_000
_POLICIES: dict[str, type[PPOSettings] | type[A2CSettings]] = {"ppo": PPOSettings, "a2c": A2CSettings}
NAMES = [f"{policy}, {_GAME}" for policy in _POLICIES]


def jobs(names: list[str], seeds: int) -> list[Job]:
    """All runs, each seed of ours next to the peer's."""
    made: list[Job] = []
    for seed in range(seeds):
        for name in names:
            kind = name.split(", ")[0]
            job = {"name": name, "seed": seed, "total_steps": _STEPS}
            settings = _POLICIES[kind](**hyperparameters.of(kind, describe(_TASK)))
            policy = {"name": kind, **dataclasses.asdict(settings)}
            made += [
                {**job, "library": "ours", "spec": {"task": _TASK, "reward": "true", "policy": policy}},
                {**job, "library": PEER.name, "game": _GAME, "policy": policy},
            ]
    return made


if __name__ == "__main__":
    compare(PEER, Path("atari.jsonl"), jobs, NAMES, __doc__ or "")
