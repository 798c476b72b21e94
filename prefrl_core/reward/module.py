"""A reward model from a ``torch.nn.Module`` of one's own: an ensemble of them, fitted like the default one.

The module has one ``forward``, in one of two forms:

- per step, the default: features ``(rows, width)`` -> rewards ``(rows,)``; segments are compared by their sums;
- per segment, where the module's class says ``per_segment = True``: features ``(segments, steps, width)`` -> the
  shares of each segment's score that fall on its steps, ``(segments, steps)``. Recurrent and attention models are of
  this form. In a rollout it is given pieces as long as a compared segment, or shorter before the end of an episode.

Features are observation and action, standardized by running moments. A suite names the module:

    reward_model = { name = "module", module = "my_package.networks:Transformer" }

or a part of one's own inherits from ``ModuleSettings``, adds settings and makes the network in ``network(width)``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from prefrl_core import registry, seeding
from prefrl_core.errors import UserError, require
from prefrl_core.features import Features
from prefrl_core.hardware import Hardware
from prefrl_core.networks import Array
from prefrl_core.normalize import Standardizer
from prefrl_core.reward.fitted import FittedReward
from prefrl_core.reward.settings import FitSettings
from prefrl_core.rollout import Turn
from prefrl_core.tensors import Moments

_ROWS = 8192  # single steps evaluated at a time


@dataclass(frozen=True)
class ModuleSettings(FitSettings):
    """An ensemble of a ``torch.nn.Module`` of your own."""

    module: str = ""  # the module's class, as package.module:Class; called with the width of the features
    learning_rate: float = 1e-3  # Adam
    sees_pixels: ClassVar[bool] = False
    learner: ClassVar[str] = "prefrl_core.reward.module:ModuleReward"

    def __post_init__(self) -> None:
        super().__post_init__()
        named = ":" in self.module or type(self).network is not ModuleSettings.network  # a part of one's own makes it
        require(named, f"reward_model.module = {self.module!r}: name the class as 'package.module:Class'")

    def network(self, width: int) -> torch.nn.Module:
        """A new network over features of that width.

        Raises:
            UserError: it is not named, or cannot be made.
        """
        try:
            made: torch.nn.Module = registry.resolve(self.module)(width)
        except Exception as error:  # somebody else's code may fail in any way
            raise UserError(
                f"reward_model.module = {self.module!r} cannot be made for {width} features: "
                f"{type(error).__name__}: {' '.join(str(error).split())}"
            ) from error
        return made


class ModuleReward(FittedReward):
    """The ensemble of modules. Dropout and the like draw from a generator of the run's own, while fitting alone."""

    def __init__(self, settings: FitSettings, features: Features, seed: int, segment: int) -> None:
        super().__init__(settings, features, seed)
        if len(features.shape) != 1:
            raise UserError(
                "reward_model 'module' sees no pixels: choose 'convolutional', or inherit from FittedReward"
            )
        Hardware().torch()  # one thread, deterministic
        self.drawing = seeding.generator(seed, "reward module")
        self.segment, (self.width,) = segment, features.shape
        with self._own_random_numbers():
            self.members = [self.network() for _ in range(settings.members)]
        self.per_segment = bool(getattr(self.members[0], "per_segment", False))
        self.context = segment if self.per_segment else 1
        self.standardize = Standardizer(self.width)
        self.parameters = _Leaves([each for member in self.members for each in member.parameters()])
        self.optimiser = Moments(self.parameters.leaves, settings.learning_rate)
        self._graph: Any = None
        self._check(settings)

    def begin(self, seed: int) -> None:
        """Begin a run as it is now."""
        super().begin(seed)
        self.drawing = seeding.generator(seed, "reward module")

    def network(self) -> torch.nn.Module:
        """A new member."""
        assert isinstance(self.settings, ModuleSettings)
        return self.settings.network(self.width)

    def outputs(self, features: NDArray[Any], done: NDArray[np.bool_] | None = None) -> Array:
        """Each member's plain output, ``(members, ...)`` for raw features ``(..., width)``; per segment, of
        ``(steps, envs, width)`` in pieces that end where episodes do."""
        rows = self.standardize(features)
        if not self.per_segment:
            flat = rows.reshape(-1, self.width)
            return self._evaluate(flat).reshape(len(self.members), *features.shape[:-1])
        result = np.empty((len(self.members), *features.shape[:-1]), np.float32)
        for length, starts in pieces(features.shape[:2], done, self.context).items():
            steps = starts[:, :1] + np.arange(length)
            result[:, steps, starts[:, 1:]] = self._evaluate(rows[steps, starts[:, 1:]])
        return result

    def segment_sums(self, kept: NDArray[Any]) -> Array:
        """Scores ``(members, segments)`` of ``(segments, steps, width)``."""
        rows = self.standardize(kept)
        if not self.per_segment:
            return self._evaluate(rows.reshape(-1, self.width)).reshape(-1, *kept.shape[:2]).sum(-1)
        return self._evaluate(rows).sum(-1)

    def _evaluate(self, rows: Array) -> Array:
        """Each member's ``forward`` of standardized rows ``(rows, width)`` or segments ``(segments, steps, width)``."""
        size = max(1, _ROWS // (1 if rows.ndim == 2 else rows.shape[1]))
        result = np.empty((len(self.members), *rows.shape[:-1]), np.float32)
        with torch.no_grad():
            for member, out in zip(self.members, result, strict=True):
                member.eval()
                for start in range(0, len(rows), size):
                    out[start : start + size] = member(torch.from_numpy(rows[start : start + size])).numpy()
        return result

    def pair_sums(
        self, member: Any, kept: NDArray[Any], fitting: bool = False, mask: NDArray[Any] | None = None
    ) -> Array:
        """A member's scores ``(pairs, 2)`` for the features ``(pairs, 2, steps, width)`` of compared segments."""
        rows = torch.from_numpy(self.standardize(kept).reshape(-1, *kept.shape[2:]))
        member.train(fitting)
        with torch.set_grad_enabled(fitting), self._own_random_numbers():
            flat = rows if self.per_segment else rows.reshape(-1, self.width)
            shares = member(flat).reshape(*kept.shape[:2], -1)
            sums = (shares if mask is None else shares * torch.from_numpy(mask)).sum(-1)
        self._graph = sums if fitting else None
        found: Array = sums.detach().numpy().copy()
        return found

    def backward(self, member: Any, slopes: Array, l2: float) -> None:
        """Add the gradient, see ``FittedReward``; the penalty is on matrices, not on biases and scales."""
        torch.autograd.backward([self._graph], [torch.from_numpy(slopes)])
        self._graph = None
        with torch.no_grad():
            for weight in member.parameters():
                if weight.ndim > 1 and weight.grad is not None:
                    weight.grad.add_(weight, alpha=2 * l2)

    def typical_outputs(self, comparisons: Any) -> Array:
        """Outputs over the compared segments; per segment, of some whole ones."""
        if not self.per_segment:
            return super().typical_outputs(comparisons)
        kept = comparisons.features.reshape(-1, *comparisons.features.shape[2:])
        some = np.linspace(0, len(kept) - 1, min(len(kept), -(-self.normalising_rows // self.context))).astype(np.int64)
        return self._evaluate(self.standardize(kept[some]))

    def newest_outputs(self, turn: Turn) -> Array:
        """Outputs over the newest turn."""
        return self.outputs(turn.features, turn.done)

    def observe(self, turn: Turn) -> None:
        """Take in the scale of the turn's features. A known reward that nothing is fitted to keeps its scale: with
        fixed weights another one would change what it rewards."""
        if not self.as_known:
            self.standardize.update(turn.features)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on; buffers of the modules among it."""
        return {
            **super().get_state(),
            "standardize": self.standardize.get_state(),
            "drawing": seeding.state_of(self.drawing),
            "modules": {
                str(index): {
                    name.replace("/", "|"): value.numpy().copy() for name, value in member.state_dict().items()
                }
                for index, member in enumerate(self.members)
            },
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.standardize.set_state(state["standardize"])
        seeding.restore(self.drawing, state["drawing"])
        for index, member in enumerate(self.members):
            saved = {name.replace("|", "/"): value for name, value in state["modules"][str(index)].items()}
            try:
                member.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in saved.items()})
            except RuntimeError as error:
                raise ValueError(f"the module's parameters are others: {' '.join(str(error).split())}") from error

    @contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        """PyTorch's global generator, seeded from the run's own and put back afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(self.drawing.integers(2**31)))
            yield

    def _check(self, settings: FitSettings) -> None:
        """Refuse a module whose outputs have the wrong shape, are not finite, or differ from one call to the next."""
        what = f"reward_model {getattr(settings, 'module', '') or type(settings).__name__!r}"
        shape = (4, self.segment, self.width) if self.per_segment else (4, self.width)
        rows = np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
        for member in self.members:
            with torch.no_grad():
                member.eval()
                try:
                    first, again = (member(torch.from_numpy(rows)) for _ in range(2))
                except Exception as error:  # somebody else's code may fail in any way
                    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
                    raise UserError(f"{what} fails on features of shape {shape}: {text}") from error
            found = tuple(getattr(first, "shape", ()))
            if found != shape[:-1]:
                raise UserError(f"{what} gives {found} for features of shape {shape}: {shape[:-1]} is needed")
            if not bool(torch.isfinite(first).all()):
                raise UserError(f"{what} gives numbers that are not finite: check how it is initialised")
            if not torch.equal(first, again):
                raise UserError(f"{what} gives other numbers at a second call: it must keep no state between calls")


class _Leaves:
    """All parameters of all members."""

    def __init__(self, leaves: list[Any]) -> None:
        self.leaves = leaves

    def finite(self) -> bool:
        """None is NaN or infinite."""
        return all(bool(leaf.isfinite().all()) for leaf in self.leaves)


def pieces(shape: tuple[int, ...], done: NDArray[np.bool_] | None, most: int) -> dict[int, NDArray[np.int64]]:
    """How a rollout of ``(steps, envs)`` is cut, for a model that looks at several steps at once: by length, the step
    and environment ``(pieces, 2)`` at which each piece begins. Pieces cover all steps once, none is longer than
    ``most``, and none goes on behind the end of an episode (``done``, ``(steps, envs)``)."""
    found: dict[int, list[tuple[int, int]]] = {}
    for env in range(shape[1]):
        ends = [] if done is None else (np.flatnonzero(done[:, env]) + 1).tolist()
        begin = 0
        for end in sorted({*ends, shape[0]}):
            for start in range(begin, end, most):
                found.setdefault(min(most, end - start), []).append((start, env))
            begin = end
    return {length: np.array(starts, np.int64) for length, starts in found.items()}
