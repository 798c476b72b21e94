"""The one table of settings that differ by task; everything absent is the default in the policy's settings class."""

from __future__ import annotations

from typing import Any

PPO: dict[str, dict[str, Any]] = {}


def stem(task: str) -> str:
    """A task's name without its room and version: ``hopper`` for ``mujoco-v5/hopper@1``."""
    return task.split("/")[-1].split("@")[0]
