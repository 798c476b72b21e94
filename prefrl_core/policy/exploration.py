"""Exploration without a reward, before the first question (PEBBLE, Lee et al. 2021, section 4.1): a state is worth its
distance from the k-th nearest of other states, an estimate of the states' entropy."""

from __future__ import annotations

import numpy as np

from prefrl_core.neighbours import nearest
from prefrl_core.networks import Array
from prefrl_core.policy.replay import Drawn, Replay

_NEIGHBOUR = 5  # k, as released
_OTHERS = 2048  # random states of the replay among which neighbours are looked for; the release takes all of them
_FEW = 1024  # of fewer states all are taken: among so many draws each would be its own neighbour several times


def rewards(replay: Replay, drawn: Drawn, random: np.random.Generator) -> Array:
    """``(steps, drawn)``: the distance of each state's raw observation, as in the release, from its k-th neighbour, in
    units of the standard deviation of those drawn."""
    held = replay.steps * replay.envs
    few = held < _FEW
    others = replay.observations[np.arange(held) if few else random.integers(0, held, _OTHERS)]
    states = replay.observations[drawn.places.reshape(-1)]
    distances = np.sqrt(nearest(states, others, _NEIGHBOUR + few))  # one of all is the state itself
    distances /= distances.std() + np.float32(1e-6)
    return distances.reshape(drawn.places.shape)
