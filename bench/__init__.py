"""The laboratory: describes runs, executes them, keeps what they measured and shows it.

``bench.load(folders)`` is finished and unfinished runs as a pandas frame (``bench.frame``); it is imported on use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.frame import load, load_rows

__all__ = ["load", "load_rows"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from bench import frame

        return getattr(frame, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
