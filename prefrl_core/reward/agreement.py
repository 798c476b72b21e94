"""How well predicted returns of segments agree with true ones: for the log, never for the learner."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TURNS = 64  # of a run, about, of which segments are kept
_SEGMENTS = 32  # kept of each of them, at most


def agreement(predicted: NDArray[Any], true: NDArray[Any]) -> dict[str, float | None]:
    """How well predicted segment returns ``(segments,)`` agree with true ones: of all pairs with unequal true returns
    the share that they put in the right order (``reward_accuracy``), and Pearson's correlation."""
    upper = np.triu_indices(len(true), 1)
    gaps, guesses = np.subtract.outer(true, true)[upper], np.subtract.outer(predicted, predicted)[upper]
    told = gaps != 0
    accuracy = float(np.mean(np.sign(guesses[told]) == np.sign(gaps[told]))) if told.any() else None
    varied = len(true) > 1 and np.std(true) > 0 and np.std(predicted) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = float(np.corrcoef(predicted, true)[0, 1]) if varied else None
    if correlation is not None and not np.isfinite(correlation):  # a spread whose square is too small for a number
        correlation = None
    return {"reward_accuracy": accuracy, "reward_correlation": correlation}


class Sample:
    """Predicted and true returns of some fresh segments, evenly spread over the turns of a run: what a picture of
    reward learning is drawn from."""

    def __init__(self, turns: int) -> None:
        """``turns``: turns of the loop in the whole run."""
        self._every = max(1, turns // _TURNS)
        types = {"step": np.int64, "predicted": np.float32, "true": np.float32}
        self._kept: dict[str, list[NDArray[Any]]] = {name: [np.zeros(0, kind)] for name, kind in types.items()}

    def add(self, turn: int, step: int, predicted: NDArray[Any], true: NDArray[Any]) -> None:
        """Keep some of the segments ``(segments,)`` of a turn, where it is one to keep."""
        if turn % self._every == 0:
            some = slice(None, None, -(-len(true) // _SEGMENTS) or 1)
            values: tuple[NDArray[Any], ...] = (
                np.full(len(true[some]), step, np.int64),
                predicted[some].copy(),
                true[some].astype(np.float32),
            )
            for kept, value in zip(self._kept.values(), values, strict=True):
                kept.append(value)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """``step``, ``predicted`` and ``true``, each ``(segments kept,)``; returns are undiscounted sums."""
        return {name: np.concatenate(kept) for name, kept in self._kept.items()}

    def get_state(self) -> dict[str, Any]:
        """The same."""
        return self.arrays()

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        self._kept = {name: [state[name]] for name in self._kept}
