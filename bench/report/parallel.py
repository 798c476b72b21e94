"""Independent parts of a report made side by side, on the cores that this process may use."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from bench.resources import cores

T = TypeVar("T")
_FEW = 4  # calls that are not worth a process
_calls: Sequence[Callable[[], Any]] = ()  # as seen by forked children, which need no pickle of them


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """What each call gives, in order; put the longest first. Results are pickled, calls may be closures."""
    global _calls
    workers = min(cores(), len(calls))
    daemon = multiprocessing.current_process().daemon  # which may have no children
    if len(calls) < _FEW or workers < 2 or daemon or "fork" not in multiprocessing.get_all_start_methods():
        return [call() for call in calls]
    _calls = calls
    try:
        # A child that is ended by a signal must not run the handler that our process has for it.
        ends = signal.signal, (signal.SIGTERM, signal.SIG_DFL)
        with multiprocessing.get_context("fork").Pool(workers, *ends) as pool:
            made = pool.map(_call, range(len(calls)), chunksize=1)
            pool.close()
            pool.join()
            return made
    finally:
        _calls = ()


def _call(place: int) -> Any:
    return _calls[place]()
