"""One independent random generator for each purpose, derived from the run's seed by name."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np


def sequence(seed: int, name: str) -> np.random.SeedSequence:
    """The seed sequence of one purpose. The name enters by CRC-32, which, unlike ``hash``, is never salted."""
    return np.random.SeedSequence([seed, zlib.crc32(name.encode())])


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of one purpose: the same seed and name always give the same stream."""
    return np.random.Generator(np.random.PCG64(sequence(seed, name)))


def integer(seed: int, name: str) -> int:
    """A seed (31 bits) for a library that takes an integer."""
    return int(sequence(seed, name).generate_state(1)[0] >> 1)


def state_of(random: np.random.Generator) -> dict[str, Any]:
    """The generator's whole state as plain values."""
    return dict(random.bit_generator.state)


def restore(random: np.random.Generator, state: dict[str, Any]) -> None:
    """Put the generator back to where ``state_of`` found it."""
    random.bit_generator.state = state
