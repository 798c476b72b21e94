"""What the papers saw, seen in small and in three seeds: slow, so only ``tox -e science`` runs it.

The pipeline of preset ``cpu`` with shorter stages, about four minutes of processor time a seed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefrl_core.language.pipeline import learn
from prefrl_core.language.spec import LanguageSpec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]

SEEDS = range(3)
SHORT: dict[str, Any] = {
    "task": "language/tinyinstruct",
    "preset": "cpu",
    "rankings": 1024,
    "pretrain": {"steps": 300},
    "sft": {"epochs": 3},
    "best_of_n": {"n": [1, 4], "samples": 4},
    "evaluation": {"prompts": 256, "curve_prompts": 128},
}
PPO = {"episodes": 3072}
ARMS: dict[str, dict[str, Any]] = {
    "few rankings": {"method": "best_of_n", "rankings": 64},
    "PPO on gold": {"reward": "gold", "rankings": 0, "ppo": PPO},
    "PPO": {"ppo": PPO},
    "no KL penalty": {"ppo": {**PPO, "beta": 0.0}},
    "PPO-ptx": {"ppo": {**PPO, "gamma": 0.3}},
}
Rows = list[dict[str, Any]]


class Kept:
    """A recorder of rows."""

    def __init__(self) -> None:
        self.rows: Rows = []

    def row(self, row: dict[str, Any]) -> None:
        self.rows.append(row)

    def samples(self, arrays: Any, texts: Any) -> None:
        pass

    def save(self, state: Any) -> None:
        pass


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Rows]]:
    """Rows of each arm and seed."""
    folder: Path = tmp_path_factory.mktemp("stages")
    made: dict[str, list[Rows]] = {name: [] for name in ARMS}
    for seed in SEEDS:
        for name, arm in ARMS.items():
            kept = Kept()
            learn(LanguageSpec.of({**SHORT, **arm, "seed": seed}), kept, folder)
            made[name].append(kept.rows)
    return made


def final(rows: Rows, column: str) -> float:
    """The last row's."""
    return float(rows[-1][column])


def accuracy(rows: Rows) -> float:
    """Of the reward model, on new pairs."""
    return float([row["rm_accuracy"] for row in rows if row["stage"] == "reward_model"][-1])


def tax_at(rows: Rows, kl: float) -> float:
    """Rise of the loss on pretraining text at a distance from SFT, between PPO's evaluations."""
    curve = [(row["kl_exact"], row["ptx_nll"]) for row in rows if row["stage"] == "ppo" and row["ptx_nll"] is not None]
    distances, losses = np.array(sorted(curve)).T
    return float(np.interp(kl, distances, losses) - losses[0])


def test_a_reward_model_is_more_accurate_with_more_rankings(runs: dict[str, list[Rows]]) -> None:
    few, many = ([accuracy(rows) for rows in runs[name]] for name in ("few rankings", "PPO"))
    assert all(a < b for a, b in zip(few, many, strict=True)) and np.mean(many) > 0.6, (few, many)


def test_ppo_on_gold_is_better_than_sft(runs: dict[str, list[Rows]]) -> None:
    gains = [final(rows, "gold_gain") for rows in runs["PPO on gold"]]
    assert min(gains) > 0.1, gains


def test_without_the_penalty_ppo_goes_further(runs: dict[str, list[Rows]]) -> None:
    free, held = ([final(rows, "kl_exact") for rows in runs[name]] for name in ("no KL penalty", "PPO"))
    assert all(a > b for a, b in zip(free, held, strict=True)), (free, held)


def test_the_pretraining_mix_gives_the_tax_back_at_matched_distance(runs: dict[str, list[Rows]]) -> None:
    for alone, mixed in zip(runs["PPO"], runs["PPO-ptx"], strict=True):
        kl = min(final(alone, "kl_exact"), final(mixed, "kl_exact"))
        assert tax_at(mixed, kl) < 0.5 * tax_at(alone, kl), (kl, tax_at(mixed, kl), tax_at(alone, kl))
