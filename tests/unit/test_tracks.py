"""The task decides what kind of run it is, and everything else follows from that."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from language_runs import TASK, plan, write_run

from bench import cli, store, suite, tracks
from bench.executors import node
from bench.tracks.environments import Environments
from bench.tracks.language import Language
from prefrl_core.errors import UserError
from prefrl_core.language import tasks as language_tasks
from prefrl_core.language.spec import LanguageSpec

NAMES = ("language", "language-quick", "language-ablations", "language-labelers", "language-reviews")
SMALL = """
name = "small"
[run]
preset = "smoke"
[sweep]
task = ["language/tinyinstruct"]
seed = 2
[[arm]]
name = "SFT"
method = "sft"
[[arm]]
name = "PPO, 8 rankings"
rankings = 8
"""


@pytest.mark.parametrize(
    ("task", "track"),
    [(TASK, Language), ("mujoco/hopper@1", Environments), ("gymnasium/CartPole-v1", Environments), ("x", Environments)],
)
def test_the_room_of_a_task_decides(task: str, track: type) -> None:
    assert isinstance(tracks.of(task), track) and tracks.of(task) is tracks.of(task)


def test_a_language_suite_expands_as_any_other(tmp_path: Path) -> None:
    (path := tmp_path / "small.toml").write_text(SMALL)
    runs = suite.load(str(path)).runs()
    assert [(run.seed, run.arm) for run in runs] == [(s, a) for s in (0, 1) for a in ("SFT", "PPO, 8 rankings")]
    assert isinstance(runs[1].spec, LanguageSpec) and runs[1].spec.labels == 8 and runs[0].spec.labels == 0
    assert runs[0].task == language_tasks.describe(TASK).id and len({run.key for run in runs}) == 4
    assert runs[0].shares == runs[1].shares != runs[2].shares
    versions = suite.versions_of(runs[0].spec)
    assert set(versions) == {"language", "torch"} and "+" not in versions["torch"]
    assert store.key_of(LanguageSpec.of(runs[1].spec.canonical()).canonical(), versions) == runs[1].key


def test_steps_are_episodes_of_ppo(tmp_path: Path) -> None:
    (path := tmp_path / "small.toml").write_text(SMALL.replace("rankings = 8", "rankings = 8\nppo = { beta = 0.1 }"))
    spec = suite.load(str(path)).runs(seeds=1, steps=96)[1].spec
    assert isinstance(spec, LanguageSpec) and (spec.ppo.episodes, spec.ppo.beta) == (96, 0.1)
    path.write_text(SMALL.replace("rankings = 8", "rankings = 8\nppo = 3"))
    with pytest.raises(UserError, match="'ppo' = 3: expected a table"):
        suite.load(str(path)).runs(steps=96)


@pytest.mark.parametrize(
    ("change", "to", "says"),
    [
        ('["language/tinyinstruct"]', '["language/nothing"]', "unknown task 'language/nothing'"),
        ('["language/tinyinstruct"]', '["language/tinyinstruct", "mujoco/hopper@1"]', "runs of different kinds"),
        ("rankings = 8", "labels = 8", "'labels'"),
        ("rankings = 8", "rankings = 0", "needs at least 1 ranking"),
        ('preset = "smoke"', 'preset = "smoke"\nppo = { beta = -1.0 }', "ppo.beta = -1.0: at least 0"),
    ],
)
def test_a_mistake_in_a_language_suite_is_one_line(tmp_path: Path, change: str, to: str, says: str) -> None:
    (path := tmp_path / "small.toml").write_text(SMALL.replace(change, to))
    with pytest.raises(UserError) as error:
        suite.load(str(path)).runs()
    assert says in str(error.value) and "\n" not in str(error.value) and "small.toml" in str(error.value)


@pytest.mark.parametrize("name", NAMES)
def test_shipped_language_suites_expand_and_begin_with_what_they_are(name: str) -> None:
    loaded = suite.load(name)
    runs = loaded.runs()
    text = (Path(suite.__file__).parent / "suites" / f"{name}.toml").read_text()
    comment = text[: text.index("\nname = ")]
    assert f"= {len(runs)} runs" in comment and all(line.startswith("#") for line in comment.strip().splitlines())
    assert {"SFT", "PPO on gold"} <= {run.arm for run in runs}


def test_ablations_at_equal_pairs_have_as_many_as_the_baseline() -> None:
    specs = {run.arm: run.spec for run in suite.load("language-ablations").runs(seeds=1)}
    pairs = {arm: spec.labels * spec.canonical()["k"] * (spec.canonical()["k"] - 1) // 2 for arm, spec in specs.items()}
    for arm in ("K 2, equal pairs", "K 9, equal pairs"):
        assert pairs[arm] == pytest.approx(pairs["PPO"], rel=0.003)
    for arm in ("K 2, equal rankings", "K 9, equal rankings"):
        assert specs[arm].labels == specs["PPO"].labels


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["export", "KEY", "--to", "data"], "bench export knows runs in environments alone"),
        (["show", "KEY", "--video", "a.mp4"], "bench show --video knows runs in environments alone"),
        (["show", "KEY", "--picture", "a.png"], "bench show --picture knows runs in environments alone"),
        (["show", "KEY", "--saliency", "a.png"], "bench show --saliency knows runs in environments alone"),
        (["gate", "language", "--write-baseline", "b.json"], "bench gate knows runs in environments alone"),
    ],
)
def test_what_only_runs_in_environments_have_is_refused(
    tmp_path: Path, words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    run = plan(1)[1]
    write_run(tmp_path / "runs", run)
    assert cli.main([run.key if word == "KEY" else word for word in words]) == 2
    assert says in capsys.readouterr().err


def test_a_finished_language_run_is_checked_by_its_own_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = next(run for run in plan(1) if run.arm == "PPO, 64 rankings")
    folder = write_run(tmp_path, run)
    cli.main(["check", str(tmp_path)])
    assert "damaged" not in capsys.readouterr().out
    (folder / "samples.json").write_text("{}")
    assert cli.main(["check", str(tmp_path)]) == 1
    assert "samples.json is not what the run wrote" in capsys.readouterr().out


def test_without_torch_the_rest_works_and_says_what_is_missing(tmp_path: Path) -> None:
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "from bench import cli; sys.exit(cli.main(sys.argv[1:]))"
    )
    done = [
        subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path)
        for words in (["list"], ["run", "quick", "--dry-run", "--no-probe"], ["run", "language", "--dry-run"])
    ]
    assert [one.returncode for one in done] == [0, 0, 2], [one.stderr for one in done]
    assert "mujoco/hopper@1" in done[0].stdout and "pip install torch" in done[0].stdout
    assert "pip install torch" in done[2].stderr and "Traceback" not in done[2].stderr


def test_runs_on_a_nodes_own_disk_share_their_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Started:
        def __init__(self, folder: Path) -> None:
            (stages := (folder.parent / store.STAGES).resolve()).mkdir(exist_ok=True)
            (stages / "sft-1.safetensors").write_bytes(b"made")
            self.ends = os.pipe()

        def fileno(self) -> int:
            return self.ends[0]

    monkeypatch.setattr(node, "WorkerProcess", Started)
    monkeypatch.setattr(node.tempfile, "tempdir", str(tmp_path))
    for key in ("a", "b"):
        worker = node.NodeWorker()
        worker.begin(f"/elsewhere/runs/{key}", {"spec.json": b"{}"})
        worker._process = None
        worker.stop({})
    assert (node.node_stages() / "sft-1.safetensors").read_bytes() == b"made"
    assert [path.name for path in tmp_path.iterdir()] == [node.node_stages().name]  # nothing else is left


def test_main_suites_import_nothing_of_the_language_track() -> None:
    code = "import sys; from bench import suite; suite.load('quick').runs(); print('torch' in sys.modules, "
    code += "'prefrl_core.language' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "False"], done.stderr


def test_keys_do_not_depend_on_the_process() -> None:
    code = "from bench import suite; print(' '.join(run.key for run in suite.load('language').runs()))"
    keys = [
        hashlib.sha256(subprocess.run([sys.executable, "-c", code], capture_output=True).stdout).hexdigest()
        for _ in range(2)
    ]
    here = " ".join(run.key for run in suite.load("language").runs()) + "\n"
    assert keys == [hashlib.sha256(here.encode()).hexdigest()] * 2
