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


ROW = np.dtype([("number", np.int64), ("pair", np.float32, (2,))])


def numbered(start: int, stop: int) -> np.ndarray:
    rows = np.zeros(stop - start, ROW)
    rows["number"] = np.arange(start, stop)
    return rows


def log(total: int, first: int = 0) -> checkpoint.Log:
    return checkpoint.Log(ROW, total, first, numbered)


def numbers(state: dict[str, object]) -> list[int]:
    kept = state["part"]["log"]  # type: ignore[index]
    return list(kept.rows(kept.first, kept.total)["number"])


def test_a_log_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    for total in (3, 3, 10):
        checkpoint.save(path, {"part": {"log": log(total)}, "other": np.arange(total)})
        loaded = checkpoint.load(path)
        assert numbers(loaded) == list(range(total)) and len(loaded["other"]) == total
    (side,) = checkpoint.sides(path)
    assert side.name == "checkpoint.part.log.rows" and side.stat().st_size == 10 * ROW.itemsize
    assert "log" not in checkpoint.load(path, logs=False)["part"]


def test_a_log_whose_oldest_rows_are_gone_still_grows(tmp_path: Path) -> None:
    path = tmp_path / "c"
    for total, first in ((4, 0), (8, 3), (20, 18)):  # between the last two, rows were lost that no checkpoint has
        checkpoint.save(path, {"part": {"log": log(total, first)}})
        assert numbers(checkpoint.load(path))[-1] == total - 1
    assert numbers(checkpoint.load(path)) == [18, 19]


def test_what_was_appended_after_the_last_whole_checkpoint_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"part": {"log": log(5)}})
    whole = path.read_bytes()
    checkpoint.save(path, {"part": {"log": log(9)}})
    path.write_bytes(whole)  # killed between the side file and the checkpoint
    assert numbers(checkpoint.load(path)) == [0, 1, 2, 3, 4]
    checkpoint.save(path, {"part": {"log": log(6)}})
    assert numbers(checkpoint.load(path)) == [0, 1, 2, 3, 4, 5]
    assert checkpoint.sides(path)[0].stat().st_size == 6 * ROW.itemsize


def test_another_runs_log_is_not_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"part": {"log": log(5)}})
    other = checkpoint.Log(ROW, 7, 0, lambda start, stop: numbered(start + 100, stop + 100))
    checkpoint.save(path, {"part": {"log": other}})
    assert numbers(checkpoint.load(path)) == list(range(100, 107))


@pytest.mark.parametrize("changed", [100, 0])
def test_a_log_that_cannot_be_gone_on_with_is_left_to_its_checkpoint(tmp_path: Path, changed: int) -> None:
    """Killed between the new side file and the checkpoint: what the old checkpoint says is still there. Other rows, or
    the same of which so many are gone that nothing joins."""
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"part": {"log": log(5)}})
    whole = path.read_bytes()
    for total in (50, 60):
        later = checkpoint.Log(ROW, total, total - 5, lambda start, stop: numbered(start + changed, stop + changed))
        old = checkpoint.sides(path)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(checkpoint.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                checkpoint.save(path, {"part": {"log": later}})
        assert path.read_bytes() == whole and numbers(checkpoint.load(path))[-1] in (4, 49 + changed)
        checkpoint.save(path, {"part": {"log": later}})
        assert numbers(checkpoint.load(path)) == list(range(total - 5 + changed, total + changed))
        assert len(checkpoint.sides(path)) == 1 and checkpoint.sides(path) != old  # the other one is gone
        whole = path.read_bytes()


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"x" + data[1:], None])
def test_a_damaged_log_is_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, {"part": {"log": log(5)}})
    (side,) = checkpoint.sides(path)
    side.write_bytes(damage(side.read_bytes())) if callable(damage) else side.unlink()
    with pytest.raises(UserError, match=r"checkpoint\.safetensors is damaged .*checkpoint\.part\.log\.rows.*delete it"):
        checkpoint.load(path)
