"""Runs packed into one file and put back: the same bytes, and nothing that is not a run."""

from __future__ import annotations

import hashlib
import json
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import language_runs
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save
from test_report import plan, write_run

from bench import cli, store, suite
from bench.archive import parts, runs, table
from bench.suite import Planned
from prefrl_core.errors import UserError

PUBLISHED = Path(__file__).parents[2] / "results"


def content(out: Path) -> dict[str, str]:
    """SHA-256 of each file of the runs in a folder."""
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in out.glob("*/*")}


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, list[Planned]]:
    """Made-up runs of two tasks, each finished but for the last."""
    out, planned = tmp_path / "runs", plan(2, arms=["true reward", "60 labels"])
    out.mkdir()
    for run in planned:
        write_run(out, run, until=0.5 if run is planned[-1] else 1.0)
    return out, planned


def test_what_is_put_back_is_what_was_packed(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    out, planned = whole
    assert runs.pack(store.load(out), tmp_path / "x.parquet") == sorted(run.key for run in planned[:-1])
    assert runs.unpack(tmp_path / "x.parquet", tmp_path / "back") == (len(planned) - 1, 0)
    before, after = content(out), content(tmp_path / "back")
    assert after.items() <= before.items()
    left = {name for name in before.keys() - after.keys() if planned[-1].key not in name}
    assert {Path(name).name for name in left} == {"segments.safetensors"} and len(left) == 1  # hopper's second seed
    again = tmp_path / "again.parquet"
    runs.pack(store.load(tmp_path / "back"), again)
    assert again.read_bytes() == (tmp_path / "x.parquet").read_bytes()


@pytest.mark.parametrize("name", ["metrics.jsonl", "done.json"])
def test_a_run_that_lost_something_is_not_packed(whole: tuple[Path, list[Planned]], tmp_path: Path, name: str) -> None:
    out, planned = whole
    file = out / planned[0].key / name
    file.unlink() if name == "metrics.jsonl" else file.write_text("[]")
    with pytest.raises(UserError, match=f"{planned[0].key}.*damaged"):
        runs.pack(store.load(out), tmp_path / "x.parquet")


def test_a_file_in_which_any_bit_has_changed_is_refused(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    runs.pack(store.load(whole[0]), path := tmp_path / "x.parquet")
    sound, random = path.read_bytes(), np.random.default_rng(0)
    for place in random.integers(4, len(sound), 150):
        path.write_bytes(sound[:place] + bytes([sound[place] ^ (1 << random.integers(8))]) + sound[place + 1 :])
        try:
            runs.unpack(path, tmp_path / "back")
        except UserError:
            continue
        assert content(tmp_path / "back").items() <= content(whole[0]).items()  # it was of no matter


def test_language_runs_with_their_samples_come_back(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    out.mkdir()
    for run in language_runs.plan(2, language_runs.arms((64,))):
        language_runs.write_run(out, run)
    runs.pack(store.load(out), tmp_path / "x.parquet")
    runs.unpack(tmp_path / "x.parquet", tmp_path / "back")
    assert content(out) == content(tmp_path / "back")


def test_published_runs_are_those_that_were_recorded(tmp_path: Path) -> None:
    """``unpack`` compares every file with the checksum that its run recorded when it ended."""
    new, _ = runs.unpack(PUBLISHED / "atari/runs.parquet", tmp_path)
    assert new == len(store.load(tmp_path)) == 3 and all(run.rows for run in store.load(tmp_path))


@pytest.mark.parametrize(
    "rows",
    [
        [{"step": 1, "a": 0.1, "b": None}, {"step": 2, "a": -0.0, "b": "x"}],
        [{"step": 1, "a": 0, "b": 1e-300}, {"step": 2, "a": 0.5, "b": True}],  # one field of several types
        [{"step": 2**62, "a": 1e22, "b": 0.123456}, {"step": 1, "a": 1e-7, "b": 123456.5}],
        [{"step": 1, "a": None}, {"step": 2, "a": None}],
        [{"a": 2**70}],
        [{"a": 1.0}, {"b": 1.0}],
        [],
    ],
)
def test_any_rows_come_back(rows: list[dict[str, Any]]) -> None:
    returned("metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())


@pytest.mark.parametrize("text", [b"", b"{}\n", b"[1]\n", b"nonsense", b'{"a":1}\n', b'{"a": 1.50}\n', b'{"a": 1}'])
def test_a_file_that_is_written_otherwise_stays_as_it_is(text: bytes) -> None:
    layout, columns = parts.split("metrics.jsonl", text)
    assert layout is None and columns == {"metrics.jsonl": text}


@pytest.mark.parametrize(
    "arrays",
    [
        {"true": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.arange(3), "flag": np.array([True, False])},
        {"gold": np.array([np.nan, -np.inf, -0.0]), "none": np.zeros((0, 2), np.float32)},
        {"half": np.ones(3, np.float16)},
    ],
)
def test_any_tensors_come_back(arrays: Mapping[str, np.ndarray]) -> None:
    returned("samples.safetensors", save(dict(arrays)))


def returned(name: str, data: bytes) -> None:
    """A file, beside a row without it, is the same after it was in a table."""
    layout, columns = parts.split(name, data)
    found, other = table.read(table.write([{"key": b"1", **columns}, {"key": b"2"}]))
    assert parts.join(name, layout, found) == data and other == {"key": b"2"}


def test_measured_numbers_take_less_than_as_text(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    """A column of floats is readable by any tool, and takes little more than its mantissas."""
    runs.pack(store.load(whole[0]), tmp_path / "x.parquet")
    read = pq.read_table(tmp_path / "x.parquet")
    assert read.schema.field("metrics.jsonl/true_return").type == pa.list_(pa.float64())
    assert read.column("metrics.jsonl/step").to_pylist()[0][:2] == [2048, 4096]


def test_what_is_there_is_left_alone(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    out, planned = whole
    runs.pack(store.load(out), tmp_path / "x.parquet")
    key = planned[0].key
    (out / key / "timing.jsonl").unlink(missing_ok=True)
    before = content(out)
    assert runs.unpack(tmp_path / "x.parquet", out) == (0, len(planned) - 1)
    assert before.items() <= content(out).items()
    (out / key / "provenance.json").write_text("{}")
    with pytest.raises(UserError, match=r"provenance\.json is not the one in the file.*--out"):
        runs.unpack(tmp_path / "x.parquet", out)


def test_two_that_are_unpacked_at_once_are_both_there(
    whole: tuple[Path, list[Planned]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, back = tmp_path / "x.parquet", tmp_path / "back"
    count = len(runs.pack(store.load(whole[0]), packed))
    make, told = tempfile.mkdtemp, []
    other = threading.Thread(target=lambda: told.append(runs.unpack(packed, back)))

    def meanwhile(**where: Any) -> str:  # the first run is about to be put there
        monkeypatch.setattr(tempfile, "mkdtemp", make)
        other.start()
        other.join(timeout=1)  # it waits
        return make(**where)

    monkeypatch.setattr(tempfile, "mkdtemp", meanwhile)
    assert runs.unpack(packed, back) == (count, 0)
    other.join()
    assert told == [(0, count)] and content(back).items() <= content(whole[0]).items()


def test_a_changed_run_is_not_packed(whole: tuple[Path, list[Planned]], tmp_path: Path) -> None:
    out, planned = whole
    (out / planned[0].key / "provenance.json").write_text("{}")
    with pytest.raises(UserError, match="is damaged"):
        runs.pack(store.load(out), tmp_path / "x.parquet")
    with pytest.raises(UserError, match="no finished run"):
        runs.pack([store.Run(out / planned[-1].key)], tmp_path / "x.parquet")


def test_what_is_no_file_of_runs_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(b"nonsense")
    refused(path, "no file of runs")
    pq.write_table(pa.table({"a": [1]}), path)
    refused(path, "its schema is None")
    escaping = {"key": b"../../../../etc", "layout": b"{}"}
    path.write_bytes(table.write([escaping]))
    refused(path, "is no run")
    path.write_bytes(table.write([{"key": b"0" * 16, "layout": b'{"../x": null}', "../x": b""}]))
    refused(path, "is no run")
    done = json.dumps({"sha256": {"spec.json": "0"}, "metrics_sha256": "0"}).encode()
    row = {"key": b"0" * 16, "layout": b'{"spec.json": null, "done.json": null}', "spec.json": b"{}", "done.json": done}
    path.write_bytes(table.write([row]))
    refused(path, "metrics.jsonl is not there")
    row["done.json"] = json.dumps({"sha256": {"spec.json": "0"}, "metrics_sha256": ""}).encode()
    path.write_bytes(table.write([row]))
    refused(path, "is not what the run recorded")
    assert not (tmp_path / "out").exists()


def refused(path: Path, said: str) -> None:
    with pytest.raises(UserError, match=said) as error:
        runs.unpack(path, path.parent / "out")
    assert "\n" not in str(error.value)


def test_what_an_archive_leaves_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs.unpack(PUBLISHED / "beyond/runs.parquet", tmp_path / "runs")
    run = next(run for run in store.load(tmp_path / "runs") if run.spec["reward"] == "learned")
    (run.folder / "segments.safetensors").unlink(missing_ok=True)  # some archives have them, the larger ones do not
    for command, file in (
        (["export", run.key, "--to", str(tmp_path / "data")], "comparisons"),
        (["show", run.key, "--picture", str(tmp_path / "a.png")], "segments"),
    ):
        assert cli.main([*command, "--out", str(tmp_path / "runs")]) == 2
        assert f"has no {file}.safetensors here, as a run out of an archive has none" in capsys.readouterr().err


def test_the_commands_name_what_they_did(
    whole: tuple[Path, list[Planned]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, planned = whole
    monkeypatch.setattr(suite.Suite, "runs", lambda self, *_: planned)
    first, rest = tmp_path / "first.parquet", tmp_path / "rest.parquet"
    runs.pack([store.Run(out / planned[0].key)], tmp_path / "there.parquet")
    first.symlink_to("there.parquet")  # the user's own links are followed
    rest.symlink_to("others.parquet")
    for _ in range(2):  # a new file, and in its place
        assert (
            cli.main(["archive", "pack", "quick", "--out", str(out), "--to", str(rest), "--without", str(first)]) == 0
        )
        assert f"{len(planned) - 2} of {len(planned)} runs" in capsys.readouterr().out
    assert rest.is_symlink() and (tmp_path / "others.parquet").is_file()
    assert cli.main(["archive", "unpack", str(first), str(rest), "--out", str(tmp_path / "new")]) == 0
    assert "1 run put into" in capsys.readouterr().out and len(store.load(tmp_path / "new")) == len(planned) - 1
