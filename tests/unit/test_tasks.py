"""Ids, descriptions and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

from prefrl_core import registry, tasks
from prefrl_core.errors import UserError
from prefrl_core.tasks import TaskInfo

SEGMENTS = {
    "hopper": 60,
    "walker2d": 45,
    "swimmer": 60,
    "half_cheetah": 30,
    "ant": 30,
    "reacher": 15,
    "inverted_double_pendulum": 15,
    "inverted_pendulum": 15,
}


@pytest.mark.parametrize("name", SEGMENTS)
def test_the_paper_form_has_the_papers_lengths(name: str) -> None:
    info, version = tasks.describe(f"mujoco/{name}"), 2 if name == "inverted_pendulum" else 1
    steps = {"reacher": 50, "inverted_pendulum": 25}.get(name, 1000)
    assert info == TaskInfo(f"mujoco/{name}@{version}", steps, SEGMENTS[name], True)
    assert tasks.describe(f"mujoco/{name}@{version}") == info


@pytest.mark.parametrize("name", SEGMENTS)
def test_the_v5_form_is_fixed_in_length_only_where_nothing_terminates(name: str) -> None:
    info = tasks.describe(f"mujoco-v5/{name}@1")
    assert info.fixed_length == (name in ("swimmer", "half_cheetah", "reacher"))
    assert info.segment_steps == SEGMENTS[name]


def test_names_have_versions_and_can_be_described() -> None:
    names = tasks.names()
    ours = {f"{form}/{name}@1" for form in ("mujoco", "mujoco-v5") for name in SEGMENTS}
    assert ours - {"mujoco/inverted_pendulum@1"} | {"mujoco/inverted_pendulum@2"} <= set(names)
    assert [tasks.describe(name).id for name in names] == names


@pytest.mark.parametrize(
    ("id", "words"),
    [
        ("mujoco/half_cheeta", "did you mean 'mujoco/half_cheetah"),
        ("mujoco/hopper@2", "'mujoco/hopper@1'"),
        ("mujoco/hopper@", "'mujoco/hopper@1'"),
        ("gymnasium/NoSuchThing-v1", "NoSuchThing"),
        ("gymnasium/CartPole-v1@3", "'gymnasium/CartPole-v1@1'"),
        ("", "unknown task ''"),
        (3, "task = 3"),
    ],
)
def test_an_id_that_is_not_there_is_refused_in_one_line(id: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        tasks.describe(id)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("num_envs", "seed", "threads"), [(0, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_numbers_out_of_range_are_refused(num_envs: int, seed: int, threads: int) -> None:
    with pytest.raises(UserError):
        tasks.make("mujoco/hopper", num_envs, seed, threads)


def test_describing_imports_neither_mujoco_nor_gymnasium() -> None:
    code = (
        "import sys; from prefrl_core import tasks; tasks.describe('mujoco/ant'); tasks.names(); "
        "tasks.versions('mujoco/ant'); print({'mujoco', 'gymnasium'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_versions_are_those_of_the_installed_packages() -> None:
    expected = {"mujoco": version("mujoco"), "gymnasium": version("gymnasium")}
    assert tasks.versions("mujoco-v5/ant@1") == expected
    assert tasks.versions("gymnasium/Humanoid-v5") == expected
    assert tasks.versions("gymnasium/CartPole-v1") == {"gymnasium": version("gymnasium")}


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mujoco", None)
    for module in ("mujoco", "simulation"):  # both as a module and as what the package remembers of it
        monkeypatch.delitem(sys.modules, f"prefrl_core.tasks.{module}", raising=False)
        monkeypatch.delattr(tasks, module, raising=False)
    with pytest.raises(UserError, match=r"'mujoco'.*pip install"):
        tasks.make("mujoco/hopper", 1, 0)


@pytest.mark.parametrize("library", ["osmesa", "nope"])
def test_a_drawing_library_that_is_not_there_is_named(library: str) -> None:
    """MuJoCo loads it when it is imported, whatever is asked of it."""
    code = "from prefrl_core import tasks; tasks.make('mujoco/hopper', 1, 0)"
    made = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "MUJOCO_GL": library}, capture_output=True, text=True
    )
    if library == "osmesa" and made.returncode == 0:
        pytest.skip("it is installed here")
    assert f"UserError: MuJoCo does not import with MUJOCO_GL={library}: unset it" in made.stderr


def test_a_registered_task_takes_part_under_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_parts", {kind: dict(parts) for kind, parts in registry._parts.items()})
    calls = []

    @registry.register("task", "my/task")
    class MyTask:
        info = TaskInfo("my/task@4", 200, 25, True)
        packages = ("no-such-package",)

        def make(self, num_envs: int, seed: int, threads: int) -> Any:
            calls.append((num_envs, seed, threads))
            return "environments"

    assert tasks.describe("my/task") == MyTask.info
    assert "my/task@4" in tasks.names()
    made: Any = tasks.make("my/task@4", 2, 3, threads=4)
    assert made == "environments"
    assert calls == [(2, 3, 4)]
    with pytest.raises(UserError, match="my/task@4"):
        tasks.describe("my/task@1")
    with pytest.raises(UserError, match="pip install no-such-package"):
        tasks.versions("my/task")
