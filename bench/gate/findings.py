"""One line of the gate's verdict, and when a difference counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["fine", "WORSE", "changed", "not comparable"]
ALL = "all tasks"


@dataclass(frozen=True)
class Limits:
    """When a difference counts."""

    margin: float = 0.1  # of normalised return: a loss of less is not called worse
    accuracy: float = 0.05  # of the reward model's accuracy, the same
    loss: float = 0.1  # nats of its validation loss, the same
    doubt_of_all: float = 0.05  # that the loss over all cells is more than the margin must be at least 1 - this likely
    doubt_of_one: float = 0.005  # the same of a single cell
    slower: float = 0.15  # share of the speed ratio, where both sides ran on one class of processor
    slower_elsewhere: float = 0.3  # the same on another: arrays and interpreter do not speed up as the physics does
    memory: float = 0.25  # share of the peak memory
    seeds: int = 3  # that a cell must have on both sides
    exact: bool = False  # changed numbers fail the gate


@dataclass(frozen=True)
class Finding:
    """One line of the verdict."""

    task: str
    arm: str
    aspect: Literal["learning", "reward accuracy", "reward loss", "exactness", "throughput", "memory"]
    baseline: float
    candidate: float
    verdict: Verdict
    what: str = ""
    detectable: float = float("nan")  # the loss that would have been called worse in four samples of five


USUAL = Limits()
