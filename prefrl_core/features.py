"""What a reward model sees of a step, in the two forms there are: ``Vectors`` of numbers, and ``Frames`` of pixels.

All code that has to know which of the two a task has is here: how features are taken from a rollout, how clips of them
are kept, and what people are shown of them. Vectors are the observation and the executed action, side by side. Frames
are the observation alone, as in the paper; a clip keeps each frame once and is stacked where it is used.
"""

from __future__ import annotations

from typing import Any, Protocol

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from prefrl_core import frames
from prefrl_core.environment import Environment, Shown
from prefrl_core.frames import STACK
from prefrl_core.hardware import Hardware
from prefrl_core.packed import Packed
from prefrl_core.rollout import Rollout

Array = NDArray[Any]


class Features(Protocol):
    """One of the two forms. ``steps`` below is the number of steps of a clip."""

    shape: tuple[int, ...]  # of one step: (width,), or (STACK, height, width)
    hardware: tuple[Hardware, ...]  # what networks over these features have to be told: nothing, or where they live

    def of(self, rollout: Rollout) -> Array:
        """The features ``(steps, envs, *shape)`` of a rollout."""

    def empty(self, clips: int, steps: int) -> Array:
        """Memory for clips in the form in which they are kept."""

    def kept(self, clips: Array) -> Array:
        """Clips ``(clips, steps, *shape)`` in the form in which they are kept."""

    def store(self, pairs: int, steps: int) -> Any:
        """Memory for pairs of clips that stay for the whole run: an array ``(pairs, 2, ...)`` of the form in which they
        are kept, or what is read and written like one."""

    def single(self, stored: Any, where: tuple[NDArray[np.int64], ...]) -> Array:
        """Single steps ``(rows, *shape)`` of stored pairs: those of the pairs, sides and steps in ``where``."""

    def saved(self, stored: Any) -> dict[str, Array]:
        """Stored pairs as a checkpoint has them."""

    def restore(self, stored: Any, state: dict[str, Any]) -> None:
        """The reverse of ``saved``, and of ``pack`` under the names that a file of comparisons has, into as many
        pairs."""

    def rows(self, features: Array, most: int) -> Array:
        """Single steps ``(rows, *shape)`` of ``(steps, envs, *shape)``; at most ``most`` where a row is costly."""

    def pack(self, kept: Any, which: slice | NDArray[np.int64] = slice(None)) -> Any:
        """Kept clips, or ``which`` of stored pairs, as a checkpoint has them."""

    def unpack(self, packed: Any) -> Array:
        """The reverse of ``pack``."""

    def scene_width(self, env: Shown) -> int:
        """Numbers a step that have to be kept beside the features so that people can be shown an environment."""

    def pictured(self, kept: Array, scenes: Array) -> NDArray[np.float32]:
        """What people are shown of kept clips and the scenes beside them: ``(..., steps, scene)``."""

    def newest(self, features: Array, scenes: Array) -> NDArray[np.float32]:
        """What people are shown of a rollout: ``(steps, envs, scene)``."""


class Vectors:
    """Rows of numbers: an observation and an action, a discrete one as a unit vector."""

    hardware: tuple[Hardware, ...] = ()

    def __init__(self, width: int, choices: int = 0, acted: int = 0) -> None:
        """``choices``: how many discrete actions there are; 0 where actions are numbers. ``acted``: how many of the
        numbers, the last ones, are the action; 0 where nobody knows."""
        self.shape: tuple[int, ...] = (width,)
        self.choices, self.acted = choices, acted

    def of(self, rollout: Rollout) -> Array:
        """See ``Features``."""
        actions = np.eye(self.choices, dtype=np.float32)[rollout.actions] if self.choices else rollout.actions
        return np.concatenate([rollout.observations, actions], axis=-1, dtype=np.float32)

    def empty(self, clips: int, steps: int) -> Array:
        """See ``Features``."""
        return np.empty((clips, steps, *self.shape), np.float32)

    def kept(self, clips: Array) -> Array:
        """See ``Features``."""
        return clips

    def store(self, pairs: int, steps: int) -> Array:
        """See ``Features``."""
        return np.empty((pairs, 2, steps, *self.shape), np.float32)

    def single(self, stored: Any, where: tuple[NDArray[np.int64], ...]) -> Array:
        """See ``Features``."""
        return np.asarray(stored[where])

    def saved(self, stored: Any) -> dict[str, Array]:
        """See ``Features``."""
        return {"features": stored.copy()}

    def restore(self, stored: Any, state: dict[str, Any]) -> None:
        """See ``Features``."""
        stored[:] = state["features"]

    def rows(self, features: Array, most: int) -> Array:
        """See ``Features``; all of them."""
        return features.reshape(-1, *self.shape)

    def pack(self, kept: Any, which: slice | NDArray[np.int64] = slice(None)) -> Any:
        """See ``Features``."""
        return kept[which].copy()

    def unpack(self, packed: Any) -> Array:
        """See ``Features``."""
        return np.asarray(packed)

    def scene_width(self, env: Shown) -> int:
        """See ``Features``."""
        return int(env.scenes().shape[1])

    def pictured(self, kept: Array, scenes: Array) -> NDArray[np.float32]:
        """See ``Features``."""
        return scenes

    def newest(self, features: Array, scenes: Array) -> NDArray[np.float32]:
        """See ``Features``."""
        return scenes


class Frames:
    """Stacked frames, uint8; ``hardware`` says where networks over them live."""

    def __init__(self, height: int, width: int, hardware: Hardware | None = None) -> None:
        self.size = height, width
        self.shape: tuple[int, ...] = (STACK, height, width)
        self.hardware: tuple[Hardware, ...] = () if hardware is None else (hardware,)

    def of(self, rollout: Rollout) -> Array:
        """See ``Features``."""
        return rollout.observations

    def empty(self, clips: int, steps: int) -> Array:
        """See ``Features``; ``(clips, steps + STACK - 1, height, width)``."""
        return np.empty((clips, steps + STACK - 1, *self.size), np.uint8)

    def kept(self, clips: Array) -> Array:
        """See ``Features``."""
        return frames.unstacked(clips)

    def store(self, pairs: int, steps: int) -> Packed:
        """See ``Features``; compressed, as 3,000 pairs are 1.1 GiB."""
        return Packed(pairs, (steps + STACK - 1, *self.size))

    def single(self, stored: Any, where: tuple[NDArray[np.int64], ...]) -> Array:
        """See ``Features``; a clip is taken out once, whatever the number of its steps."""
        pair, side, step = where
        rows = np.empty((len(step), *self.shape), np.uint8)
        shown, places = np.unique(2 * pair + side, return_inverse=True)
        for number, clip in enumerate(shown):
            of_it = places == number
            rows[of_it] = frames.clips(stored.clips(clip))[step[of_it]]
        return rows

    def saved(self, stored: Any) -> dict[str, Array]:
        """See ``Features``."""
        found: dict[str, Array] = stored.save()
        return found

    def restore(self, stored: Any, state: dict[str, Any]) -> None:
        """See ``Features``."""
        if "clips" in state:
            stored.load(state)
        else:
            stored[:] = frames.unpack({"packed": state["frames"], "shape": state["frames_shape"]})

    def rows(self, features: Array, most: int) -> Array:
        """See ``Features``; evenly spread over all of them."""
        rows = features.reshape(-1, *self.shape)
        return rows[np.linspace(0, len(rows) - 1, most).astype(np.int64)]

    def pack(self, kept: Any, which: slice | NDArray[np.int64] = slice(None)) -> Any:
        """See ``Features``; compressed, exactly, and one pair after the other."""
        return frames.pack(kept.only(which) if isinstance(kept, Packed) else kept[which])

    def unpack(self, packed: Any) -> Array:
        """See ``Features``."""
        return frames.unpack(packed)

    def scene_width(self, env: Shown) -> int:
        """See ``Features``; none, as frames are kept anyway."""
        return 0

    def pictured(self, kept: Array, scenes: Array) -> NDArray[np.float32]:
        """See ``Features``; the newest frame of each step."""
        return frames.pictures(kept[..., STACK - 1 :, :, :])

    def newest(self, features: Array, scenes: Array) -> NDArray[np.float32]:
        """See ``Features``."""
        return frames.pictures(features[:, :, -1])


def of_environment(env: Environment, hardware: Hardware) -> Features:
    """The form of the features that a task's environments give."""
    seen, action = env.single_observation_space, env.single_action_space
    if len(seen.shape or ()) == 3:
        _, height, width = seen.shape or ()
        return Frames(height, width, hardware)
    choices = input_count(action) if isinstance(action, gym.spaces.Discrete) else 0
    return Vectors(input_count(seen) + input_count(action), choices, input_count(action))


def input_count(space: gym.Space[Any]) -> int:
    """Numbers that describe an element of ``space``, or a distribution over it: a network's inputs or outputs."""
    return int(space.n) if isinstance(space, gym.spaces.Discrete) else int(np.prod(space.shape or ()))
