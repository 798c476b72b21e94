"""Whatever a module of a stranger does while it is imported is a line with its name, by every way in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import cli
from prefrl_core import imports, registry
from prefrl_core.errors import UserError
from prefrl_core.spec import RunSpec

ODD = {
    "raises": ("raise RuntimeError('two\\nlines')", "does not import: RuntimeError: two lines"),
    "needs_another": ("import no_such_module_of_mine", "does not import: ModuleNotFoundError: No module named"),
    "leaves": ("import sys; sys.exit(0)", "does not import: SystemExit"),
    "says_bye": ("import sys; sys.exit('bye')", "does not import: SystemExit: bye"),
    "is_odd": ("class Odd(BaseException): pass\nraise Odd('hm')", "does not import: Odd: hm"),
    "ends_well": ("import os; os._exit(0)", "ends the process that imports it (code 0)"),
    "ends_ill": ("import os; os._exit(9)", "ends the process that imports it (code 9)"),
    "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "imports it (signal 11)"),
    "sleeps": ("import time; time.sleep(60)", "does not come back from its import in 1 s"),
}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All of them, importable, and installed as entry points of labelers."""
    for name, (source, _) in ODD.items():
        (tmp_path / f"{name}.py").write_text(source)
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[prefrl.labeler]\n" + "".join(f"{name} = {name}:Labeler\n" for name in ODD))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PREFRL_TRIED", "")
    registry._entry_points.cache_clear()
    yield
    registry._entry_points.cache_clear()


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("door", ["plug-in", "entry point", "validate"])
def test_it_is_named(
    modules: None, name: str, door: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PREFRL_IMPORT_SECONDS", "1" if name == "sleeps" else "60")
    if door == "validate":
        assert cli.main(["validate", f"{name}:Labeler"]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"prefrl: plug-in {name!r}") and said.count("\n") == 1
    else:
        values = {"plugins": [name]} if door == "plug-in" else {"labeler": name}
        with pytest.raises(UserError) as caught:
            RunSpec.of({"task": "mujoco/hopper@1", **values})
        said = str(caught.value)
        assert said.startswith(f"plug-in {name!r}" if door == "plug-in" else f"labeler {name!r} ({name}:Labeler)")
    assert ODD[name][1] in said
    assert name not in sys.modules


def test_list_tells_of_all_that_can_be_loaded_and_why_the_others_cannot(
    modules: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unmade.py").write_text(
        "class Task:\n    def __init__(self):\n        raise OSError('no robot here')\n"
    )
    with (tmp_path / "odd-1.0.dist-info" / "entry_points.txt").open("a") as file:
        file.write("[prefrl.task]\nunmade = unmade:Task\nabsent = nowhere:Task\n")
    monkeypatch.setenv("PREFRL_IMPORT_SECONDS", "1")
    assert cli.main(["list"]) == 0
    said = capsys.readouterr()
    lines = {line.split()[0]: line for line in said.out.splitlines()}
    for name, (_, why) in ODD.items():
        assert why in lines[name]
    assert "no robot here" in lines["unmade"] and "no module 'nowhere'" in lines["absent"]
    assert {"mujoco/hopper@1", "oracle", "sac", "uniform"} <= set(lines) and not said.err


def test_what_it_prints_and_leaves_running_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "noisy.py").write_text(
        "import os, subprocess, sys\nprint('chatter' * 99999)\n"
        "if 'pytest' not in sys.modules:\n    subprocess.Popen(['sleep', '5'], close_fds=False)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PREFRL_TRIED", "")
    monkeypatch.setenv("PREFRL_IMPORT_SECONDS", "4")
    assert imports.bring("noisy", "it") is sys.modules["noisy"]
    assert os.environ["PREFRL_TRIED"] == "noisy"


def test_processes_of_ours_do_not_try_it_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "counted.py").write_text(f"open({str(tmp_path / 'log')!r}, 'a').write('.')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PREFRL_TRIED", "")
    registry.load_plugins(["counted"])  # the trial, and here
    words = [sys.executable, "-c", "import sys; sys.path[:] = sys.argv[1:]\n"]
    words[2] += "from prefrl_core import registry; registry.load_plugins(['counted'])"
    subprocess.run([*words, *sys.path], check=True)
    assert (tmp_path / "log").read_text() == "..."
