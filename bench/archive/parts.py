"""One file of a run <-> columns of values.

A file of JSON lines becomes a column a field, one of tensors a column a tensor, anything else one column of bytes. The
layout says what the columns do not: the order of the fields, the tensors' types and shapes. What would not be rebuilt
to the byte stays bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from bench.recorder import encode

Columns = dict[str, Any]  # by name: a list of values, an array (values,), or bytes
Layout = None | list[str] | dict[str, list[int]]  # bytes; fields of JSON lines; shapes of tensors
_TENSORS = ("<f8", "<f4", "<i8", "<i4", "|u1", "|b1")  # types that a column has


def split(name: str, data: bytes) -> tuple[Layout, Columns]:
    """A file's layout and its columns, each named ``file/field``, the bytes of one that stays whole ``file``."""
    layout, parts = _split(name, data)
    columns = {f"{name}/{field}": values for field, values in parts.items()}
    if layout is not None and join(name, layout, columns) == data:
        return layout, columns
    return None, {name: data}


def join(name: str, layout: Layout, columns: Mapping[str, Any]) -> bytes:
    """The file again.

    Raises:
        KeyError, ValueError: the columns are not those of the layout.
    """
    if layout is None:
        whole: bytes = columns[name]
        return whole
    if isinstance(layout, dict):
        return save({field: np.asarray(columns[f"{name}/{field}"]).reshape(layout[field]) for field in layout})
    rows = zip(*(columns[f"{name}/{field}"] for field in layout), strict=True)
    return b"".join(encode(dict(zip(layout, row, strict=True))) for row in rows)


def _split(name: str, data: bytes) -> tuple[Layout, Mapping[str, Any]]:
    try:
        if name.endswith(".jsonl"):
            rows = [json.loads(line) for line in data.splitlines()]
            fields = list(rows[0])
            return fields, {field: [row[field] for row in rows] for field in fields}
        if name.endswith(".safetensors"):
            tensors = dict(sorted(load(data).items()))
            if all(tensor.dtype.str in _TENSORS for tensor in tensors.values()):
                shapes = {field: list(tensor.shape) for field, tensor in tensors.items()}
                return shapes, {field: tensor.reshape(-1) for field, tensor in tensors.items()}
    except (ValueError, KeyError, IndexError, TypeError, SafetensorError):
        pass  # no such file after all
    return None, {}
