"""Everything a run needs to go on as if nothing had happened, in one safetensors file.

A state is a nested dictionary whose leaves are arrays and plain values. Arrays become tensors under their
path in the dictionary; plain values become one JSON text in the file's header. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

from prefrl_core.errors import UserError

_SEPARATOR = "/"


def save(path: Path, state: dict[str, Any]) -> None:
    """Write ``state`` to ``path``, whole or not at all: to a temporary name, flushed to disk, then renamed.

    Raises:
        UserError: a key holds a slash or is no text, or a leaf is neither an array nor a plain JSON value.
    """
    arrays: dict[str, np.ndarray] = {}
    plain = _split(state, "", arrays)
    header = {"plain": json.dumps(plain, allow_nan=False, sort_keys=True)}
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        file.write(to_bytes(arrays, metadata=header))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name too
    finally:
        os.close(folder)


def load(path: Path) -> dict[str, Any]:
    """The state that ``save`` wrote.

    Raises:
        UserError: the file is missing, truncated or no checkpoint.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            state: dict[str, Any] = json.loads(file.metadata()["plain"])
            for key in file.keys():  # noqa: SIM118 - not iterable itself
                *parents, name = key.split(_SEPARATOR)
                place = state
                for parent in parents:
                    place = place[parent]
                place[name] = file.get_tensor(key)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is damaged or no checkpoint ({error}): delete it, and the run starts over") from error
    return state


def _split(state: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """The plain part of ``state``; its arrays go to ``arrays`` under their path."""
    plain: dict[str, Any] = {}
    for key, value in state.items():
        if not isinstance(key, str) or _SEPARATOR in key:
            raise UserError(f"checkpoint key {key!r} in {prefix!r}: a text without {_SEPARATOR!r} is needed")
        if isinstance(value, dict):
            plain[key] = _split(value, f"{prefix}{key}{_SEPARATOR}", arrays)
        elif isinstance(value, np.ndarray):
            arrays[prefix + key] = np.asarray(value, order="C")
        elif isinstance(value, np.generic):
            plain[key] = value.item()
        else:
            _require_plain(value, f"{prefix}{key}")
            plain[key] = value
    return plain


def _require_plain(value: Any, place: str) -> None:
    """Raise UserError for what JSON cannot hold, an array in a list for example, by its place in the state."""
    if isinstance(value, (list, tuple)):
        for number, entry in enumerate(value):
            _require_plain(entry, f"{place}[{number}]")
    elif isinstance(value, dict):
        for key, entry in value.items():
            _require_plain(entry, f"{place}[{key!r}]")
    elif isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"the state's {place} is {value}: keep a number that may be so in an array")
    elif not isinstance(value, (str, int, float, bool, type(None))):
        raise UserError(
            f"the state's {place} is of type {type(value).__name__}: get_state() gives arrays and plain values, in "
            "dictionaries; arrays in a list go into a dictionary, or are stacked"
        )
