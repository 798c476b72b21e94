"""The command has a name of its own, and finds our ``bench`` whatever else is called so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import cli, worker

ROOT = Path(__file__).parents[2]
SUITE = """
name = "tiny"
plugins = ["own_task"]
[run]
total_steps = 3000
policy = { name = "ppo", environments = 4, rollout_steps = 64, minibatch = 64, hidden = [8] }
[sweep]
task = ["own/line"]
[[arm]]
name = "true reward"
reward = "true"
"""


def run(folder: Path, *command: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, **({"PYTHONPATH": path} if path else {})},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(params=["bench.py", "bench/__init__.py"])
def foreign(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with a ``bench`` that is not ours."""
    (tmp_path / request.param).parent.mkdir(exist_ok=True)
    (tmp_path / request.param).write_text("raise SystemExit('not ours')")
    return tmp_path


def prefrl(place: str) -> tuple[str, ...]:
    """What the console script does, without an installation: our folder is put on the path by ``place``."""
    return sys.executable, "-P", "-c", f"import sys; sys.path.{place}; import prefrl; sys.exit(prefrl.main())"


def test_the_command_is_called_prefrl_in_its_help_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.parser().format_usage().startswith("usage: prefrl ")
    assert cli.main(["report", "qick"]) == 2
    assert capsys.readouterr().err.startswith("prefrl: ")
    assert 'prefrl = "prefrl:main"' in (ROOT / "pyproject.toml").read_text()


def test_another_bench_in_the_current_folder_is_not_run_and_workers_are_ours(foreign: Path) -> None:
    (foreign / "own.toml").write_text(SUITE)
    (foreign / "own_task.py").write_text(
        "from bench.conformance.arena import Line\nfrom prefrl_core.registry import register\n"
        "from prefrl_core.tasks import TaskInfo\n\n\n@register('task', 'own/line')\nclass Own(Line):\n"
        "    info = TaskInfo('own/line@1', 40, 8, fixed_length=True)\n"
    )
    done = run(foreign, *prefrl(f"insert(0, {str(ROOT)!r})"), "run", "own.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 run: 1 done." in done.stdout


def test_one_on_the_path_is_named_and_ours_is_run(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    done = run(elsewhere, *prefrl(f"append({str(ROOT)!r})"), "list", path=str(foreign))
    assert done.returncode == 0 and "mujoco/hopper@1" in done.stdout
    assert done.stderr.startswith(f"prefrl: 'bench' is {foreign}/bench") and done.stderr.count("\n") == 1


def test_python_m_prefrl_is_the_same_command(tmp_path: Path) -> None:
    done = run(tmp_path, sys.executable, "-m", "prefrl", "list", path=str(ROOT))
    assert done.returncode == 0 and done.stderr == "" and "mujoco/hopper@1" in done.stdout


def test_a_module_of_ours_is_run_by_its_name(foreign: Path) -> None:
    done = run(foreign, *worker.words_for("bench.worker", "--help"))
    assert done.returncode == 0 and done.stdout.startswith("usage: python -m bench.worker")
