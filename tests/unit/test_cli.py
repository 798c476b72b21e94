"""The command line: quick to answer, and one line for each mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from bench import cli, fault, progress, report, store, suite
from bench.commands import show
from prefrl_core import __version__
from prefrl_core.errors import UserError
from prefrl_core.spec import RunSpec

REPOSITORY = Path(__file__).parents[2]
SUITE = 'name = "s"\n[sweep]\ntask = ["mujoco/reacher@1"]\n[[arm]]\nname = "{}"\n'


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, timeout=60)


def recorded(out: Path) -> store.Run:
    """A run in the middle of its work, with a curve and some comparisons."""
    planned = suite.load("quick").runs(seeds=1, only=["arm=30 labels"])[0]
    run = store.create(out, planned.key, planned.spec.canonical(), suite.versions_of(planned.spec))
    rows = [f'{{"step": {step}, "true_return": {step / 100}}}\n' for step in range(1000, 20000, 1000)]
    (run.folder / "metrics.jsonl").write_text("".join(rows))
    return run


def test_help_loads_nothing_heavy() -> None:
    code = "import sys, bench.cli; bench.cli.parser().format_help(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "bench.cli" in loaded
    assert not {"numpy", "rich", "mujoco", "gymnasium", "torch", "safetensors", "prefrl_core.tasks"} & set(loaded)


def test_help_names_every_command() -> None:
    done = bench("--help")
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("list", "run", "report", "show"))


def test_list_names_every_part(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out.split()
    for name in ("quick", "30", "mujoco/hopper@1", "mujoco-v5/ant@1", "ppo", "oracle", "bpref", "disagreement"):
        assert name in shown


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["run", "quick", "--only", "task=hoper"], "matches nothing: there is 'mujoco/reacher@1'"),
        (["run", "quick", "--steps", "4000"], "arm '400 labels' on mujoco/reacher@1: labels = 400"),
        (["run", "quick", "--steps", "0"], "'0' is not a whole number from 1 to 1,000,000,000,000"),
        (["run", "quick", "--workers", "two"], "'two' is not a whole number from 1 to 4,096"),
        (["run", "quick", "--seeds", "100000000000"], "from 1 to 10,000"),
        (["gate", "quick", "--margin", "nan"], "'nan' is not a number from 0 to 2"),
        (["run", "quick", "--out", "/dev/null/runs"], "/dev/null/runs cannot be written to (Not a directory)"),
        (["show", "abc", "--out", "/no/such/folder"], "no results in /no/such/folder"),
        (["compare", "mine:oracle", "x"], "'mine' is no suite: write suite:arm"),
        (["run", "quick", "--steps", "4_000"], "arm '400 labels' on mujoco/reacher@1: labels = 400"),
        (["report", "quick", "--out", ""], "argument --out: the name of the folder is empty"),
        (["verify", "mine.tml"], "unknown suite 'mine.tml'"),
        (["rnu", "quick"], "invalid choice: 'rnu'"),
        ([], "required: COMMAND"),
    ],
)
def test_a_mistake_is_exit_code_2_and_no_traceback(words: list[str], says: str) -> None:
    done = bench(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and "Traceback" not in done.stderr
    assert done.stderr.startswith("prefrl: ") and done.stderr.count("\n") == 1


def test_a_dry_run_shows_the_state_of_each_run_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    filters = ["--seeds", "1", "--only", "task=reacher", "--no-probe", "--out", str(out)]
    assert cli.main(["run", "quick", "--dry-run", *filters]) == 0
    assert not out.exists()
    *table, last = capsys.readouterr().out.splitlines()
    assert len(table) == 5 and all(line.endswith("not started") for line in table[1:])
    assert last == "4 runs, 4 to do: 160,000 steps"
    out.mkdir()
    run = recorded(out)
    cli.main(["run", "quick", "--dry-run", *filters])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if run.key in line]
    assert "30 labels" in line and "40,000" in line and line.endswith("unfinished")


def test_show_tells_spec_state_and_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded(tmp_path)
    assert cli.main(["show", run.key[:6], "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert run.key in shown and "unfinished" in shown and "mujoco/reacher@1" in shown
    assert "190.0 |" in shown and "10.0 |" in shown and "19,000 steps" in shown


def test_show_says_why_a_run_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded(tmp_path)
    store.write_json(run.folder / "failed.json", {"error": "the reward is NaN"})
    cli.main(["show", run.key, "--out", str(tmp_path)])
    assert "the reward is NaN" in capsys.readouterr().out


def predicted(run: store.Run) -> None:
    """Give the run a sample of segments whose prediction is right in the second half of training alone."""
    true = np.random.default_rng(0).normal(size=400).astype(np.float32)
    wrong = np.concatenate([-true[:200], true[200:]])
    arrays = {"step": np.linspace(1, 40_000, 400).astype(np.int64), "true": true, "predicted": wrong}
    save_file(arrays, run.folder / "segments.safetensors")


def test_show_tells_and_draws_how_prediction_agrees_with_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded(tmp_path)
    predicted(run)
    for name in ("it.png", "it.svg"):
        assert cli.main(["show", run.key, "--out", str(tmp_path), "--picture", str(tmp_path / name)]) == 0
        assert (tmp_path / name).stat().st_size > 1000
    shown = " ".join(capsys.readouterr().out.split())
    assert "0% to 25% -1.00" in shown and "75% to 100% 1.00" in shown


def test_show_draws_nothing_where_there_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded(tmp_path)
    assert cli.main(["show", run.key, "--out", str(tmp_path), "--picture", str(tmp_path / "it.png")]) == 2
    assert "no predictions to draw" in capsys.readouterr().err
    assert cli.main(["show", run.key, "--out", str(tmp_path), "--picture", str(tmp_path / "it.gif")]) == 2
    assert "ends in .png or .svg" in capsys.readouterr().err


def test_the_curve_rises_where_the_returns_do() -> None:
    drawn = show.curve([(step, step) for step in range(1, 61)]).splitlines()[1:-2]
    columns = [line.index("*") for line in drawn]
    assert columns == sorted(columns, reverse=True) and len(set(columns)) == len(drawn)


def test_the_curve_of_one_point_is_drawn() -> None:
    assert show.curve([(500, -3.0)]).count("*") == 1


def test_report_gets_the_filtered_runs_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def write_report(
        one: suite.Suite, planned: list[suite.Planned], out: Path, to: Path, command: str, asked: report.Asked
    ) -> Path:
        assert asked == report.Asked()
        calls.append((one.name, {run.arm for run in planned}, out, to, command))
        return to / "index.html"

    monkeypatch.setattr(report, "write_report", write_report)
    assert cli.main(["report", "quick", "--only", "arm=30 labels", "--out", str(tmp_path)]) == 0
    to = tmp_path / "report-quick-arm-30-labels"  # beside the page of the whole suite
    command = f"python -m bench report quick --only 'arm=30 labels' --out {tmp_path}"
    assert calls == [("quick", {"30 labels"}, tmp_path, to, command)]
    assert capsys.readouterr().out == f"{to}/index.html\n"


def test_an_error_of_many_lines_is_told_in_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(name: str) -> None:
        raise UserError("first\n  second")

    monkeypatch.setattr(suite, "load", fail)
    assert cli.main(["run", "quick"]) == 2
    assert capsys.readouterr().err == "prefrl: first second\n"


def test_a_reader_that_went_away_ends_the_command_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bench", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=REPOSITORY, check=False, timeout=60)
    os.close(writing)
    assert done.stderr == b"" and done.returncode == 1


def test_a_command_works_where_nobody_listens_and_says_where_there_is_no_folder(tmp_path: Path) -> None:
    def ended(script: str) -> tuple[int, str]:
        words = ["bash", "-c", script, "bash", sys.executable, str(tmp_path / "gone")]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, done.stdout + done.stderr

    assert ended('"$1" -m prefrl list >&-') == (0, "")
    assert ended('"$1" -m prefrl list >&- 2>&-') == (0, "")
    code, said = ended(
        'mkdir "$2" && cd "$2" && rmdir "$2" && "$1" -P -c "import prefrl, sys; sys.exit(prefrl.main())"'
    )
    assert (code, said.splitlines()[-1]) == (2, "prefrl: the current folder was deleted: go to another one")


def test_an_interrupted_verification_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench import runner, verify

    run = store.Run(tmp_path / "0123456789abcdef")
    monkeypatch.setattr(store.Run, "rows", [])
    monkeypatch.setattr(verify, "_planned", lambda run: run)
    monkeypatch.setattr(verify, "_take_inputs", lambda run, folder: None)
    monkeypatch.setattr(runner, "execute", lambda *_: runner.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        list(verify.verify([run], 1, progress.Plain))


def test_a_fault_of_ours_is_one_line_with_a_trace_and_exit_code_70(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(fault, "blamed", lambda error: "")  # else it would be this test's
    for error in (KeyError("x\x1b[2J"), RecursionError(), GeneratorExit(), SystemExit(3)):

        def fail(name: str, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(suite, "load", fail)
        assert cli.main(["run", "quick"]) == 70
        said = capsys.readouterr().err
        assert said.startswith(f"prefrl: a fault of ours, not yours ({type(error).__name__}") and said.count("\n") == 1
        assert "report it with that file at" in said and "\x1b" not in said
    assert len(list(tmp_path.iterdir())) == 4
    monkeypatch.setattr(suite, "load", lambda name: sys.exit(0))  # a plug-in that leaves is not success
    monkeypatch.setattr(fault, "blamed", lambda error: "the module 'lab'")
    assert cli.main(["run", "quick"]) == 70
    assert "raised by the module 'lab', not by this software" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_encoding_of_a_terminal_ends_a_command(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(SUITE.format("漢字 é"), "utf-8")
    command = [sys.executable, "-m", "bench", "run", str(tmp_path / "s.toml"), "--dry-run", "--no-probe"]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(command, capture_output=True, cwd=REPOSITORY, env=environment, check=False, timeout=60)
    assert done.returncode == 0 and done.stderr == b"" and b"mujoco/reacher@1" in done.stdout


def test_names_with_newlines_are_refused(tmp_path: Path) -> None:
    for name in ("a\\nb", "a\\u001b[2J"):
        (tmp_path / "s.toml").write_text(SUITE.format(name))
        with pytest.raises(UserError, match="no newlines or other control characters"):
            suite.load(str(tmp_path / "s.toml"))


@pytest.mark.parametrize("package", ["av", "fastapi", "uvicorn", "h11"])
def test_the_labeling_page_refuses_to_begin_without_what_it_shows_clips_with(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert cli.main(["label", "mujoco/reacher", "--out", str(tmp_path / "runs"), "--no-open"]) == 2
    said = capsys.readouterr()
    assert said.err == f"prefrl: the labeling page needs the package {package!r}: pip install 'prefrl-bench[label]'\n"
    assert said.out == "" and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("option", [["--steps", "5000"], ["--seed", "0"], ["--set", "segment=5"], ["--no-wait"]])
def test_a_run_that_people_have_begun_takes_no_other_settings(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = RunSpec.of({"task": "mujoco/reacher", "labels": 20, "total_steps": 6000, "labeler": "human"})
    versions = suite.versions_of(spec)
    run = store.create(tmp_path, store.key_of(spec.canonical(), versions), spec.canonical(), versions)
    assert cli.main(["label", run.key, "--out", str(tmp_path), *option]) == 2
    said = capsys.readouterr().err
    assert f"{option[0]}: run {run.key} has begun with settings of its own: leave it out" in said


def test_a_report_needs_no_screen_and_a_date_that_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MPLBACKEND", "one that is not there")
    assert cli.main(["list"]) == 0 and os.environ["MPLBACKEND"] == "agg"
    for date in ("", "yesterday", "9" * 20):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", date)
        assert cli.main(["report", "quick", "--out", str(tmp_path)]) == 2
        assert "give a whole number of seconds since 1970" in capsys.readouterr().err


def test_the_version_is_told() -> None:
    assert bench("--version").stdout == f"prefrl {__version__}\n"
