"""Three sizes of the pipeline: ``smoke`` for tests (seconds), ``cpu`` for one core (minutes), ``gpu`` for more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefrl_core.errors import UserError, unknown

_RANKINGS = {"smoke": 16, "cpu": 4096, "gpu": 33_000}

# What differs from the settings' defaults, which are those of cpu.
_TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "smoke": {
        "model": {"width": 32, "layers": 1, "heads": 2},
        "pretrain": {"steps": 40, "batch": 16},
        "sft": {"demos": 64, "epochs": 2, "batch": 16},
        "reward_model": {"batch": 4},
        "ppo": {"episodes": 64, "batch": 32, "minibatches": 4, "warmup": 1},
        "best_of_n": {"n": (1, 4, 8), "samples": 8},
        "evaluation": {"prompts": 16, "curve_prompts": 8, "every": 1},
    },
    "cpu": {},
    "gpu": {
        "model": {"width": 256, "layers": 6, "heads": 8},
        "pretrain": {"steps": 10_000, "batch": 128, "learning_rate": 1e-3},
        "sft": {"demos": 13_000, "learning_rate": 3e-4},
        "reward_model": {"learning_rate": 1e-4, "batch": 64},
        "ppo": {"episodes": 256_000, "batch": 512, "learning_rate": 1e-4, "ptx_ratio": 8.0, "ema": 0.992},
        "evaluation": {"prompts": 1024, "curve_prompts": 256},
    },
}
TABLES = ("model", "pretrain", "sft", "reward_model", "ppo", "best_of_n", "evaluation")


def complete(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with the preset's tables below theirs, key by key.

    Raises:
        UserError: an unknown preset, or a table that is none.
    """
    preset = values.get("preset", "cpu")
    if not isinstance(preset, str) or preset not in _TABLES:
        raise unknown("preset", preset, _TABLES)
    made = dict(values)
    for name in TABLES:
        table = values.get(name, {})
        if not isinstance(table, Mapping):
            raise UserError(f"run setting {name!r} = {table!r}: expected a table")
        made[name] = {**_TABLES[preset].get(name, {}), **table}
    return made


def rankings(preset: str) -> int:
    """The preset's budget."""
    return _RANKINGS[preset]
