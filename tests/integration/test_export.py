"""Comparisons of a real run as a data set, read back, and a reward model fitted to it by the example."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from bench import cli, store
from prefrl_core.feedback import dataset

EXAMPLES = Path(__file__).parents[2] / "examples"
SUITE = str(EXAMPLES / "my_suite.toml")


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES))
        patch.setenv("PYTHONPATH", f"{EXAMPLES}:{EXAMPLES.parent}")
        assert cli.main(["run", SUITE, "--seeds", "1", "--steps", "20000", "--out", str(made)]) == 0
    return made


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def asked(out: Path) -> store.Run:
    return next(run for run in store.load(out) if run.spec["labels"])


@pytest.mark.parametrize("format", dataset.FORMATS)
def test_what_is_exported_is_what_the_run_recorded(out: Path, tmp_path: Path, format: str) -> None:
    run = asked(out)
    to = tmp_path / "data set"
    assert cli.main(["export", run.key[:6], "--out", str(out), "--to", str(to), "--format", format]) == 0
    [loaded] = dataset.load(to)
    original = run.comparisons()
    assert loaded.observations.shape == (100, 2, 10, 1) and loaded.actions.shape == (100, 2, 10, 1)
    for name, array in loaded.comparisons().arrays().items():
        assert (array.dtype, array.tobytes()) == (original[name].dtype, original[name].tobytes()), name
    assert loaded.about["labeler"] == {"name": "unsure", "margin": 0.3}
    assert (loaded.about["task"], loaded.about["run"], loaded.about["seed"]) == ("my/point@1", run.key, 0)
    assert loaded.about["versions"] == run.versions and loaded.about["software"]["numpy"] == np.__version__
    index = json.loads((to / "dataset.json").read_bytes())
    data = (to / index["files"][0]["name"]).read_bytes()
    assert index["files"][0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert sorted(path.name for path in to.iterdir()) == ["README.md", "data", "dataset.json"]


def test_the_card_has_the_form_of_the_hub(out: Path, tmp_path: Path) -> None:
    assert (
        cli.main(
            [
                "export",
                "--suite",
                SUITE,
                "--steps",
                "20000",
                "--out",
                str(out),
                "--to",
                str(tmp_path / "d"),
                "--format",
                "parquet",
            ]
        )
        == 0
    )
    text = (tmp_path / "d" / "README.md").read_text()
    header = yaml.safe_load(re.fullmatch(r"---\n(.*?)\n---\n.*", text, re.DOTALL)[1])
    assert header["task_categories"] == ["reinforcement-learning"] and header["size_categories"] == ["n<1K"]
    assert header["configs"][0]["data_files"] == [{"split": "train", "path": "data/*.parquet"}]
    assert "100 comparisons" in text and asked(out).key in text
    names = {"observations", "actions", "true_returns", "mu", "step_asked", "multiplicity"}
    assert {column["name"] for column in json.loads((tmp_path / "d" / "dataset.json").read_bytes())["columns"]} == names
    assert all(f"`{name}`" in text for name in names)


def test_the_example_fits_a_reward_model_to_it(out: Path, tmp_path: Path) -> None:
    assert cli.main(["export", asked(out).key, "--out", str(out), "--to", str(tmp_path / "d")]) == 0
    command = [sys.executable, str(EXAMPLES / "offline_reward.py"), str(tmp_path / "d"), "--updates", "200"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent, env={"PYTHONPATH": "."})
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(
        r"my/point@1: 80 comparisons shown, right about (\d+)% of them and about (\d+)% of 20 held out\n", done.stdout
    )
    assert found and int(found[1]) > 80 and int(found[2]) > 70


def test_what_cannot_be_exported_is_one_line(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*words: str) -> str:
        assert cli.main(["export", *words]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        return said

    to = str(tmp_path / "to")
    control = next(run for run in store.load(out) if not run.spec["labels"]).key
    assert "asked no questions" in refused(control, "--out", str(out), "--to", to)
    assert "either the key of a RUN or --suite" in refused("--to", to)
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    run = store.Run(copy / asked(out).key)
    path = run.folder / "comparisons.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert "is not what the run recorded" in refused(run.key, "--out", str(copy), "--to", to)
    (run.folder / "done.json").unlink()
    assert "is unfinished: only finished runs" in refused(run.key, "--out", str(copy), "--to", to)
    assert "no finished run with comparisons" in refused(
        "--suite", SUITE, "--steps", "20000", "--out", str(copy), "--to", to
    )
    assert not (tmp_path / "to").exists() and not list(tmp_path.glob(".to*"))
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "mine").touch()
    assert "is not an empty folder" in refused(control, "--out", str(out), "--to", to)
