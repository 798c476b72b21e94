"""A yardstick for parts that have no natural one: fixed work, half array operations and half interpreter."""

from __future__ import annotations

from collections.abc import Callable
from time import thread_time
from typing import Any

import numpy as np
import pytest


def yardstick() -> float:
    """Processor seconds of the fixed work, about a millisecond."""
    values, weights = np.ones((256, 64), np.float32), np.full((64, 64), 0.01, np.float32)
    start = thread_time()
    for _ in range(12):
        values = np.tanh(values @ weights)
    total = 0
    for index in range(12_000):
        total += index & 7
    return thread_time() - start


@pytest.fixture
def against_yardstick(benchmark: Any) -> Callable[..., Any]:
    """Benchmark a call and put its median, in yardsticks measured in turn with it, into ``extra_info``."""

    def measure(call: Callable[[], Any], rounds: int = 30) -> Any:
        if not benchmark.disabled:
            pairs = []
            for _ in range(rounds):
                start = thread_time()
                call()
                pairs.append((thread_time() - start, yardstick()))
            ours, fixed = np.median(pairs, axis=0)
            benchmark.extra_info["ratio_to_yardstick"] = float(f"{ours / fixed:.3g}")
        return benchmark.pedantic(call, rounds=max(3, rounds // 3), warmup_rounds=1)

    return measure
