"""A checkpoint gives back what was put in, and says so when it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prefrl_core import checkpoint, seeding
from prefrl_core.errors import UserError


def test_round_trip(tmp_path: Path) -> None:
    random = seeding.generator(0, "test")
    state = {
        "inner": {
            "array": np.arange(6.0).reshape(2, 3),
            "scalar": np.array(3.5),
            "empty": np.zeros((0, 4), np.float32),
        },
        "random": seeding.state_of(random),  # holds integers of 128 bits
        "plain": [1, "two", None, 0.1 + 0.2],
        "nothing": {},
        "flags": np.array([True, False]),
    }
    checkpoint.save(tmp_path / "c", state)
    loaded = checkpoint.load(tmp_path / "c")
    assert loaded["plain"] == state["plain"] and loaded["nothing"] == {} and loaded["random"] == state["random"]
    for name, array in state["inner"].items():
        assert loaded["inner"][name].dtype == array.dtype and loaded["inner"][name].shape == array.shape
        np.testing.assert_array_equal(loaded["inner"][name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"a": np.arange(100)})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match=r"checkpoint\.safetensors is damaged"):
        checkpoint.load(path)


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "c"
    checkpoint.save(path, {"a": 1})
    with pytest.raises(UserError, match="the state's a is of type object"):
        checkpoint.save(path, {"a": object()})
    with pytest.raises(UserError, match="slash|without"):
        checkpoint.save(path, {"a/b": 1})
    assert checkpoint.load(path) == {"a": 1}


def test_streams_depend_on_seed_and_name_only() -> None:
    draw = lambda seed, name: seeding.generator(seed, name).random(4).tolist()  # noqa: E731
    assert draw(0, "acting") == draw(0, "acting")
    assert draw(0, "acting") != draw(1, "acting") and draw(0, "acting") != draw(0, "labeler")
    assert seeding.integer(0, "task") != seeding.integer(1, "task")
    assert draw(0, "acting")[0] == pytest.approx(0.64686572, abs=1e-8)  # on every machine


@pytest.mark.parametrize(
    ("state", "place"),
    [
        ({"policy": {"layers": [np.zeros(2), np.ones(2)]}}, r"policy/layers\[0\] is of type ndarray"),
        ({"task": {"seen": {1, 2}}}, "task/seen is of type set"),
        ({"policy": {"last": float("nan")}}, "policy/last is nan: keep a number"),
        ({"policy": {3: 1}}, "key 3 in 'policy/'"),
    ],
)
def test_what_cannot_be_kept_is_named_by_its_place(tmp_path: Path, state: dict, place: str) -> None:
    with pytest.raises(UserError, match=place):
        checkpoint.save(tmp_path / "c", state)
