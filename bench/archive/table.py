"""Columns of values <-> one Parquet file, each column in the encoding that comes out shortest.

Most of a run's bytes are mantissas of measured numbers, which no compressor shortens. What the file saves is all else:
the names and digits of the text, exponents and signs (apart from the mantissas: BYTE_STREAM_SPLIT), counters (as
differences), repeated values (a dictionary). Microseconds are whole numbers in disguise and are kept as such.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from bench.archive.parts import Columns
from prefrl_core.feedback.parquet import pyarrow_or_raise

SCHEMA = 1
_MICRO = 1_000_000
_CODINGS = ("PLAIN", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED", "")  # "": a dictionary
_SMALL = 1 << 12  # bytes
_PAGE = 16 << 20  # bytes: what is alike in several runs lies in one page, and is stored once
_READ: Mapping[str, Callable[[Any], Any]] = {"json": json.loads, "micro": lambda whole: whole / _MICRO}


def write(rows: Sequence[Columns]) -> bytes:
    """The file of these rows; a column that a row lacks is null there."""
    pa, _ = pyarrow_or_raise()
    names = list(dict.fromkeys(chain.from_iterable(rows)))
    columns = {name: _column(pa, [row.get(name) for row in rows]) for name in names}
    table = pa.table({name: array for name, (array, _) in columns.items()})
    forms = {name: form for name, (_, form) in columns.items() if form}
    codings = {name: _shortest(table.select([name])) for name in names}
    table = table.replace_schema_metadata({"prefrl-runs": json.dumps({"schema": SCHEMA, "forms": forms})})
    return _written(table, codings, level=19)


def read(data: bytes) -> list[Columns]:
    """The rows again: lists of plain values, arrays for tensors, bytes.

    Raises:
        ValueError, KeyError, OSError: it is no such file.
    """
    pa, pq = pyarrow_or_raise()
    table = pq.read_table(pa.BufferReader(data), page_checksum_verification=True)
    about = json.loads((table.schema.metadata or {}).get(b"prefrl-runs", b"{}"))
    if about.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {about.get('schema')}, this version reads {SCHEMA}")
    rows: list[Columns] = [{} for _ in range(len(table))]
    for name in table.column_names:
        for row, value in zip(rows, _values(table[name], about["forms"].get(name, "")), strict=True):
            if value is not None:
                row[name] = value
    return rows


def _column(pa: Any, values: Sequence[Any]) -> tuple[Any, str]:
    """As an array, and the form that its values took (empty for their own)."""
    some = next(value for value in values if value is not None)
    if isinstance(some, bytes):
        return pa.array(values, pa.binary()), ""
    if isinstance(some, np.ndarray):
        return pa.array(values, pa.list_(pa.from_numpy_dtype(some.dtype))), "tensor"
    flat = [one for value in values if value is not None for one in value if one is not None]
    kinds = {type(one) for one in flat}
    if kinds <= {int} and all(-(2**63) <= one < 2**63 for one in flat):
        return pa.array(values, pa.list_(pa.int64())), ""
    if kinds == {float} and _in_micros(np.array(flat)):
        return pa.array(_mapped(lambda one: round(one * _MICRO), values), pa.list_(pa.int64())), "micro"
    if kinds == {float}:
        return pa.array(values, pa.list_(pa.float64())), ""
    if kinds == {str}:
        return pa.array(values, pa.list_(pa.string())), ""
    return pa.array(_mapped(json.dumps, values), pa.list_(pa.string())), "json"


def _in_micros(flat: np.ndarray) -> bool:
    """Whether all are whole multiples of a millionth, to the bit (-0.0 is none)."""
    if np.abs(flat).max() >= 2**52 / _MICRO:
        return False
    back = np.rint(flat * _MICRO).astype(np.int64) / _MICRO
    return back.tobytes() == flat.tobytes()


def _values(column: Any, form: str) -> list[Any]:
    if form == "tensor":
        return [one.values.to_numpy(zero_copy_only=False) if one.is_valid else None for one in column]
    values: list[Any] = column.to_pylist()
    return _mapped(_READ[form], values) if form else values


def _mapped(change: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    return [value and [None if one is None else change(one) for one in value] for value in values]


def _shortest(column: Any) -> str:
    """The encoding in which a table of one column takes the fewest bytes; not tried where that saves nothing."""
    if column.nbytes < _SMALL:
        return ""
    sizes = {}
    for coding in _CODINGS:
        try:
            sizes[coding] = len(_written(column, {column.column_names[0]: coding}, level=6))
        except OSError:  # it is not for values of this type
            continue
    return min(sizes, key=lambda coding: sizes[coding])


def _written(table: Any, codings: Mapping[str, str], level: int) -> bytes:
    pa, pq = pyarrow_or_raise()
    lists = {field.name for field in table.schema if pa.types.is_list(field.type)}
    nested = {name: f"{name}.list.element" if name in lists else name for name in codings}
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        compression="zstd",
        compression_level=level,
        use_dictionary=[nested[name] for name, coding in codings.items() if not coding],
        column_encoding={nested[name]: coding for name, coding in codings.items() if coding},
        data_page_size=_PAGE,
        row_group_size=len(table),
        write_statistics=False,
        write_page_checksum=True,
    )
    return file.getvalue()
