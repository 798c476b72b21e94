"""A run's comparisons as a Parquet table, a row a comparison.

Columns: ``left_observations`` and ``right_observations`` (steps x obs), ``left_actions`` and ``right_actions``
(steps x act), ``left_return``, ``right_return``, ``mu``, ``step_asked``, ``multiplicity`` (members), and the same for
each row ``run``, ``task`` and ``seed``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.feedback.recorded import Recorded

_SIDES = ("left", "right")


def save(path: Path, recorded: Recorded, header: str) -> None:
    """Write the table; ``header`` goes into its metadata."""
    pa, pq = pyarrow_or_raise()
    columns: dict[str, Any] = {}
    for name in ("observations", "actions"):
        for side, segments in zip(_SIDES, np.moveaxis(getattr(recorded, name), 1, 0), strict=True):
            columns[f"{side}_{name}"] = _lists(pa, segments)
    for side, returns in zip(_SIDES, recorded.true_returns.T, strict=True):
        columns[f"{side}_return"] = pa.array(returns)
    columns |= {"mu": pa.array(recorded.mu), "step_asked": pa.array(recorded.step_asked)}
    columns["multiplicity"] = _lists(pa, recorded.multiplicity)
    for name in ("run", "task", "seed"):
        columns[name] = pa.array([recorded.about.get(name)] * len(recorded))
    pq.write_table(pa.table(columns).replace_schema_metadata({"prefrl": header}), path, compression="zstd")


def load(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """The arrays of ``Recorded`` by name, and the header."""
    _, pq = pyarrow_or_raise()
    table = pq.read_table(path)
    arrays = {
        name: np.stack([_array(table[f"{side}_{column}"]) for side in _SIDES], axis=1)
        for name, column in (("observations", "observations"), ("actions", "actions"), ("true_returns", "return"))
    }
    arrays |= {name: _array(table[name]) for name in ("mu", "step_asked", "multiplicity")}
    header: bytes = table.schema.metadata[b"prefrl"]
    return arrays, header.decode()


def _lists(pa: Any, array: NDArray[Any]) -> Any:
    """``(rows, ...)`` as a column of nested lists of fixed size."""
    column = pa.array(np.ascontiguousarray(array).reshape(-1))
    for size in reversed(array.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column


def _array(column: Any) -> NDArray[Any]:
    """The reverse of ``_lists``."""
    flat, shape = column.combine_chunks(), [len(column)]
    while hasattr(flat.type, "list_size"):
        shape.append(flat.type.list_size)
        flat = flat.flatten()
    array: NDArray[Any] = flat.to_numpy(zero_copy_only=False).reshape(shape)
    return array


def pyarrow_or_raise() -> tuple[Any, Any]:
    """``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        UserError: they are not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise UserError("Parquet needs pyarrow: pip install 'prefrl-bench[parquet]'") from error
    return pyarrow, pyarrow.parquet
