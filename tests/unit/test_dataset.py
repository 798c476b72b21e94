"""Comparisons as data: what is loaded is what was saved, to the bit, and damage is one line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.feedback import dataset
from prefrl_core.feedback.recorded import ARRAYS, Recorded
from prefrl_core.reward import offline

ABOUT = {"run": "0123456789abcdef", "task": "my/task@1", "seed": 3, "labeler": {"name": "bpref", "mistake": 0.1}}


def recorded(count: int = 40, seed: int = 0, **about: Any) -> Recorded:
    """Answers are right; the reward is linear in what is seen and done."""
    rng = np.random.default_rng(seed)
    seen, done = ((3 * rng.standard_normal((count, 2, 6, width))).astype(np.float32) for width in (3, 2))
    returns = (seen.astype(float) @ (1.0, -2, 0.5)).sum(-1) + done.astype(float)[..., 0].sum(-1)
    mu = (returns[:, 0] > returns[:, 1]).astype(float)
    mu[:4] = 0.5, np.nan, -0.0, 1.0
    seen[0, 0, 0] = np.nan, -0.0, np.inf
    asked, bootstrap = np.sort(rng.integers(0, 10**6, count)), rng.poisson(1.0, (count, 3))
    return Recorded(seen, done, returns, mu, asked, bootstrap, {**ABOUT, **about})


def assert_same(one: Recorded, other: Recorded) -> None:
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes()), name
    assert one.about == other.about


@pytest.mark.parametrize("format", dataset.FORMATS)
@pytest.mark.parametrize("count", [0, 1, 40])
def test_loaded_is_saved_to_the_bit(format: str, count: int, tmp_path: Path) -> None:
    whole = recorded().take(slice(count))
    dataset.save(tmp_path / f"one.{format}", whole)
    [back] = dataset.load(tmp_path / f"one.{format}")
    assert_same(back, whole)


def test_parquet_has_a_row_a_comparison(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    whole = recorded()
    dataset.save(tmp_path / "one.parquet", whole)
    rows = pq.read_table(tmp_path / "one.parquet").to_pylist()
    assert len(rows) == 40 and rows[5]["run"] == ABOUT["run"] and rows[5]["seed"] == 3
    np.testing.assert_array_equal(rows[5]["right_actions"], whole.actions[5, 1])
    np.testing.assert_array_equal(rows[5]["left_observations"], whole.observations[5, 0])
    assert (rows[5]["left_return"], rows[5]["right_return"]) == tuple(whole.true_returns[5])
    assert rows[5]["multiplicity"] == whole.multiplicity[5].tolist()


@pytest.mark.parametrize("format", dataset.FORMATS)
@pytest.mark.parametrize("damage", ["cut", "emptied", "header", "gone", "schema"])
def test_a_damaged_file_is_one_line(format: str, damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / f"one.{format}"
    if damage == "schema":
        monkeypatch.setattr(dataset, "SCHEMA", 7)
    dataset.save(path, recorded())
    monkeypatch.undo()
    data = path.read_bytes()
    broken = {"cut": data[: len(data) // 2], "emptied": b"", "header": b"x" * 20 + data[20:]}
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(broken.get(damage, data))
    if (format, damage) == ("parquet", "header"):  # what Parquet's reader needs stands at the end
        path.write_bytes(data[:-20] + b"x" * 20)
    with pytest.raises(UserError) as caught:
        dataset.load(path)
    said = str(caught.value)
    assert str(path) in said and "\n" not in said and "export" in said


def test_a_flipped_bit_in_a_folder_is_found(tmp_path: Path) -> None:
    dataset.save(tmp_path / "one.safetensors", recorded())
    import hashlib

    checksum = hashlib.sha256((tmp_path / "one.safetensors").read_bytes()).hexdigest()
    index = {"files": [{"name": "one.safetensors", "sha256": checksum}]}
    (tmp_path / "dataset.json").write_text(json.dumps(index))
    assert len(dataset.load(tmp_path)) == 1
    data = bytearray((tmp_path / "one.safetensors").read_bytes())
    data[-5] ^= 1
    (tmp_path / "one.safetensors").write_bytes(data)
    with pytest.raises(UserError, match=r"one\.safetensors is damaged \(its sha256 differs"):
        dataset.load(tmp_path)
    (tmp_path / "one.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be read"):
        dataset.load(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(UserError, match=r"dataset\.json cannot be read"):
        dataset.load(tmp_path)


def test_other_names_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"ends in \.safetensors or \.parquet"):
        dataset.save(tmp_path / "one.npz", recorded())
    with pytest.raises(UserError, match=r"ends in \.safetensors or \.parquet"):
        dataset.load(tmp_path / "one.pkl")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'prefrl-bench\[parquet\]'"):
        dataset.save(tmp_path / "one.parquet", recorded())


def test_comparisons_have_the_runs_own_bootstrap_or_a_new_one() -> None:
    whole = recorded()
    own = whole.comparisons()
    assert own.features.tobytes() == np.concatenate([whole.observations, whole.actions], axis=-1).tobytes()
    for name in ("true_returns", "mu", "step_asked", "multiplicity"):
        assert getattr(own, name).tobytes() == getattr(whole, name).tobytes()
    drawn = whole.comparisons(members=5, seed=1).multiplicity
    assert drawn.shape == (40, 5) and (drawn == whole.comparisons(members=5, seed=1).multiplicity).all()
    assert (drawn != whole.comparisons(members=5, seed=2).multiplicity).any()


def test_runs_of_one_task_are_joined() -> None:
    both = dataset.join([recorded(), recorded(7, seed=1, run="f" * 16, total=1)])
    assert len(both) == 47 and both.about == {name: ABOUT[name] for name in ("task", "seed", "labeler")}
    assert_same(both.take(slice(40)), Recorded(**{n: getattr(recorded(), n) for n in ARRAYS}, about=both.about))
    narrow = recorded()
    narrow = Recorded(narrow.observations[..., :2], *(getattr(narrow, n) for n in ARRAYS[1:]), about={})
    with pytest.raises(UserError, match="2 different shapes"):
        dataset.join([recorded(), narrow])
    with pytest.raises(UserError, match="no files to join"):
        dataset.join([])


def test_runs_of_other_tasks_or_ensembles_are_told_apart_by_name() -> None:
    other = recorded(task="mujoco/walker2d@1")
    with pytest.raises(UserError, match=r"several tasks \(.*mujoco/walker2d@1"):
        dataset.join([recorded(), other])
    alone = recorded()
    alone = Recorded(*(getattr(alone, n) for n in ARRAYS[:-1]), alone.multiplicity[:, :1], about=alone.about)
    with pytest.raises(UserError, match=r"reward models of \[1, 3\] members"):
        dataset.join([recorded(), alone])


def test_a_reward_model_fitted_offline_orders_pairs_it_never_saw() -> None:
    whole = recorded(400).take(slice(4, None))
    held_out, shown = whole.take(slice(100)), whole.take(slice(100, None))
    settings = {"members": 2, "uniform_answer": 0.0}
    before = offline.fit(shown, settings, updates=0)
    fitted = offline.fit(shown, settings, updates=300)
    assert offline.accuracy(before, held_out) < 0.75 < 0.85 < offline.accuracy(fitted, held_out)
    again = offline.fit(shown, settings, updates=300)
    np.testing.assert_array_equal(again.parameters.values, fitted.parameters.values)
    other = offline.fit(shown, settings, updates=300, seed=1)
    assert (other.parameters.values != fitted.parameters.values).any()


def test_nothing_answered_is_nothing_to_fit() -> None:
    with pytest.raises(UserError, match="none of the 1 comparisons was answered"):
        offline.fit(recorded().take([1]))
    assert np.isnan(offline.accuracy(offline.fit(recorded().take([4, 5]), updates=1), recorded().take([])))
