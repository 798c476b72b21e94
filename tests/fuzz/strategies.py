"""What to feed the doors with: documents from the models themselves, and the worst that can be put into one place."""

from __future__ import annotations

import copy
import json
import math
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from safetensors.numpy import save

from bench.parse import Model

LONG = "x" * 20_000
DEEP: Any = 1
for _ in range(60):
    DEEP = {"a": [DEEP]}
HOSTILE: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**30, 0.5, -0.0, 1e300, -1e300, 1e-300),
    *("", " ", "a\nb", "a\x1b[2Jb", "\x00", "\u202e", "漢字", "😀", "../..", "/etc/passwd", "nan", LONG),
    *([], {}, [[]], {"": {}}, [None], {"name": []}, {"name": "no such part"}, [1] * 1000, DEEP),
]
RAW = [
    b"",
    b"\n",
    b"{",
    b"[]",
    b"null",
    b"NaN",
    b'{"a": 1e999}',
    b"[" * 50_000,
    b"9" * 6000,
    b"\xff\xfe\x00",
    b'"\\ud800"',
]
KEYS = ["", "schema", "a\nb", "__class__", "name", LONG[:300], "漢字"]


def from_model(model: type[Model]) -> st.SearchStrategy[Any]:
    """Documents that a model describes, from its JSON schema."""
    schema = model.model_json_schema(by_alias=True)
    return _of(schema, schema.get("$defs", {}))


def _of(schema: Any, known: Any) -> st.SearchStrategy[Any]:
    schema = {} if isinstance(schema, bool) else schema
    if "$ref" in schema:
        return st.deferred(lambda: _of(known[schema["$ref"].rpartition("/")[2]], known))
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(_of(one, known) for one in schema["anyOf"]))
    low = schema.get("minimum", schema.get("exclusiveMinimum", -(10**6)))
    high = schema.get("maximum", schema.get("exclusiveMaximum", 10**6))
    match schema.get("type"):
        case "object":
            return _table(schema, known)
        case "array":
            least = schema.get("minItems", 0)
            return st.lists(_of(schema.get("items", {}), known), min_size=least, max_size=least + 2)
        case "integer":
            return st.integers(int(low), int(min(high, 2**53)))
        case "number":
            return st.floats(max(low, -1e9), min(high, 1e9), exclude_min="exclusiveMinimum" in schema)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "string" if "pattern" in schema:
            return st.from_regex(schema["pattern"], fullmatch=True)
        case "string":
            return st.text("abc漢 @/-", min_size=max(1, schema.get("minLength", 1)), max_size=12)
    return st.sampled_from(["a", 1, 0.5, True, {"a": 1}])


def _table(schema: Any, known: Any) -> st.SearchStrategy[Any]:
    needed, every = set(schema.get("required", ())), schema.get("properties", {})
    optional = {name: _of(one, known) for name, one in every.items() if name not in needed}
    made = st.fixed_dictionaries({name: _of(every[name], known) for name in needed}, optional=optional)
    more = schema.get("additionalProperties")
    if not more or every:
        return made
    return st.dictionaries(st.text("ab@/", min_size=1, max_size=8), _of(more, known), max_size=3)


def arrays() -> st.SearchStrategy[bytes]:
    """Files of safetensors under names of ours, with arrays of any shape and kind, or with what is none."""
    kinds = st.sampled_from(["<f4", "<f8", "<f2", "<i8", "<u8", "|b1", "<c8"])
    shapes = st.lists(st.sampled_from([0, 1, 2, 3, 4]), max_size=4).map(tuple)
    array = st.builds(_array, kinds, shapes, st.sampled_from([0.0, 1.0, 1e30, -1e300, math.nan, math.inf]))
    names = ["mu", "true_returns", "step_asked", "multiplicity", "features", "step", "predicted", "true", "x/y", ""]
    plain = st.sampled_from(["{}", "[]", "null", "1", '{"step": {}}', "[" * 50_000, '{"x": 1}', '{"state_sha256": 5}'])
    header = st.none() | st.dictionaries(st.sampled_from(["plain", "logs", "prefrl"]), plain)
    files = st.builds(save, st.dictionaries(st.sampled_from(names), array), header)
    foreign = st.sampled_from(["BF16", "F8_E4M3", "F4", "none"]).map(array_of)
    return st.one_of(files, files, foreign, st.sampled_from(RAW))


def _array(kind: str, shape: tuple[int, ...], value: float) -> np.ndarray:
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.full(shape, value).astype(kind)


def array_of(kind: str) -> bytes:
    """One number of a kind that NumPy does not have."""
    header = json.dumps({"mu": {"dtype": kind, "shape": [1], "data_offsets": [0, 1 + (kind == "BF16")]}}).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + b"\0" * (1 + (kind == "BF16"))


_hostile = st.sampled_from(HOSTILE).map(copy.deepcopy)  # what is spoiled twice must not spoil what others are given


@st.composite
def spoiled(draw: st.DrawFn, document: Any, times: int = 2) -> Any:
    """The document with something in it replaced, removed or added."""
    made = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, times))):
        place, key = draw(st.sampled_from(_places(made) or [(None, None)]))
        if place is None:
            return draw(_hostile)
        what = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add"]))
        if what == "remove":
            del place[key]
        elif what == "add" and isinstance(place, dict):
            place[draw(st.sampled_from(KEYS))] = draw(_hostile)
        else:
            place[key] = draw(_hostile)
    return made


def _places(value: Any, depth: int = 0) -> list[Any]:
    if depth > 6 or not isinstance(value, (dict, list)):
        return []
    members = list(value.items() if isinstance(value, dict) else enumerate(value))[:50]
    return [(value, key) for key, _ in members] + [one for _, inner in members for one in _places(inner, depth + 1)]


def toml(document: dict[str, Any]) -> str:
    """A table as TOML, all of it inline: whatever JSON can say but null, which becomes a text."""
    return "".join(f"{json.dumps(str(key))} = {_inline(value)}\n" for key, value in document.items())


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value) if value is not None else '"null"'


def damage(path: Path, how: str, data: bytes) -> None:
    """Put something else where a file is."""
    whole = path.read_bytes()
    path.unlink()
    match how:
        case "empty":
            path.touch()
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "raw":
            path.write_bytes(data)
        case "flip":
            path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if whole else b"x")
        case "folder":
            path.mkdir()
            (path / "inside").touch()
        case "pipe":
            os.mkfifo(path)
        case "loop":
            path.symlink_to(path.name)
        case "away":
            path.symlink_to("/etc/hostname")
        case "device":
            path.symlink_to("/dev/zero")


DAMAGES = ["gone", "empty", "cut", "raw", "flip", "folder", "pipe", "loop", "away", "device"]
