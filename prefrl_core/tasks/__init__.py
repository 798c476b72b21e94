"""Tasks by id: what they are (``describe``), and batches of them that can be stepped (``make``).

Ids are ``mujoco/<name>@1`` (the paper's protocol, see protocol.py), ``mujoco-v5/<name>@1`` (Gymnasium's own form),
``atari/<game>@1`` (from pixels, see atari.py), ``dmcontrol/<domain>_<task>@1`` (the DeepMind Control Suite, see
dmcontrol.py), ``gymnasium/<id>@1`` (any other environment that Gymnasium knows) and the names of tasks that users
register; without ``@version`` an id means the present version. Describing a MuJoCo task, or one of the twelve of the
Control Suite that are ours, imports neither MuJoCo nor Gymnasium.

A task of your own is a class or a function that, called without arguments, gives an object with ``info`` and ``make``:

    @register("task", "my/task")
    class MyTask:
        info = TaskInfo("my/task@1", episode_steps=200, segment_steps=25, fixed_length=True)
        packages = ("my-simulator",)  # optional: distributions whose versions its numbers depend on

        def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv: ...

Its environment follows docs/architecture.md: it resets in the step that ends an episode, returns arrays that later
steps leave alone, and may offer ``get_state``, ``set_state``, ``stagger`` and ``shorten``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from prefrl_core import registry
from prefrl_core.errors import UserError, located, require
from prefrl_core.tasks.task import Task, TaskInfo

if TYPE_CHECKING:
    from gymnasium.vector import VectorEnv

__all__ = ["Task", "TaskInfo", "describe", "make", "names", "versions"]


def describe(id: str) -> TaskInfo:
    """The task of that id; the answer's id has its version.

    Raises:
        UserError: there is no such task, or not in that version.
    """
    return _find(id).info


def make(id: str, num_envs: int, seed: int, threads: int = 1) -> VectorEnv[Any, Any, Any]:
    """``num_envs`` environments of a task as one batch that resets in the same step; environment i has ``seed + i``.

    Raises:
        UserError: there is no such task, a package that it needs is missing, or a number is out of range.
    """
    for name, count in (("num_envs", num_envs), ("threads", threads)):
        if count < 1:
            raise UserError(f"{name} = {count}: a task needs at least 1")
    if seed < 0:
        raise UserError(f"seed = {seed}: seeds are 0 or more")
    task = _find(id)
    try:
        return task.make(num_envs, seed, threads)
    except ModuleNotFoundError as error:
        raise UserError(f"task {task.info.id} needs the package {error.name!r}: pip install {error.name}") from error


def names() -> list[str]:
    """Ids of all tasks that have a name of their own: ours, registered ones and those of entry points. One of another
    package that cannot be loaded is left out (``loaded``)."""
    return loaded()[0]


def loaded() -> tuple[list[str], dict[str, str]]:
    """``names``, and why the others cannot be loaded, by name."""
    found, broken = registry.loaded("task")
    ids = []
    for name in found:
        try:
            ids.append(describe(name).id)
        except UserError as error:
            broken[name] = str(error)
    return sorted(ids), broken


def versions(id: str) -> dict[str, str]:
    """Installed versions of the packages that a task's numbers depend on, as ``{"mujoco": "4.0.0", ...}``, and a digest
    of how others registered an id in Gymnasium.

    Raises:
        UserError: there is no such task, or one of its packages is not installed.
    """
    task = _find(id)
    return {package: _installed(package, id) for package in getattr(task, "packages", ())} | getattr(
        task, "digests", {}
    )


def module(id: str) -> str:
    """The module that has the code of a task; of one of Gymnasium's ids, that of the environment.

    Raises:
        UserError: there is no such task.
    """
    found = _find(id)
    if id.partition("@")[0] not in registry.names("task"):  # any id, any game and any task of dm_control's
        return str(getattr(found, "module", type(found).__module__))
    return str(registry.find("task", id.partition("@")[0]).__module__)


def _installed(package: str, id: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise UserError(f"task {id} needs the package {package!r}: pip install {package}") from error


def _made(name: str) -> Task:
    made = registry.find("task", name)
    try:
        task: Task = made()
    except (UserError, KeyboardInterrupt):
        raise
    except BaseException as error:  # a stranger may fail in any way
        raise UserError(f"task {name!r} cannot be made: {located(error)}") from error
    return task


def _find(id: str) -> Task:
    if not isinstance(id, str):
        raise UserError(f"task = {id!r}: a task is named by text, as in 'mujoco/half_cheetah@1'")
    name, _, wanted = id.partition("@")
    task: Task
    if name.startswith("gymnasium/"):
        from prefrl_core.tasks.gymnasium import GymnasiumTask

        task = GymnasiumTask(name)
    elif name.startswith("atari/"):
        from prefrl_core.tasks.atari_task import AtariTask

        task = AtariTask(id)
    elif name.startswith("dmcontrol/") and name not in registry.names("task"):
        from prefrl_core.tasks.dmcontrol_package import PackageTask

        task = PackageTask(name)
    else:
        task = _made(name)
        require(
            task.info.id.partition("@")[0] == name,
            f"task {name!r} has info.id = {task.info.id!r}, which is another task's: give it {name}@1",
        )
    present = task.info.id.partition("@")[2]
    if "@" in id and wanted != present:
        raise UserError(f"task {name!r} has no version {wanted!r}: the present one is {task.info.id!r}")
    return task


class _MujocoTask:
    """One of our MuJoCo tasks, in the paper's form (``mujoco``) or in Gymnasium's (``mujoco-v5``)."""

    packages = ("mujoco", "gymnasium")

    def __init__(self, form: str, name: str) -> None:
        from prefrl_core.tasks import protocol
        from prefrl_core.tasks.novel import definition

        self._form, self._name, self._task, number = form, name, definition(name), 1
        if form == "mujoco":
            steps = protocol.EPISODE_STEPS.get(name, self._task.episode_steps)
            self._task, number = replace(self._task, episode_steps=steps), protocol.VERSIONS.get(name, 1)
        fixed = form == "mujoco" or not self._task.ends
        self.info = TaskInfo(f"{form}/{name}@{number}", self._task.episode_steps, self._task.segment_steps, fixed)

    def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv[Any, Any, Any]:
        from prefrl_core.tasks import mujoco, protocol

        known = self._form == "mujoco" and self._name in protocol.REWARDS
        score = protocol.score(self._name) if known else self._task.score
        return mujoco.MujocoVectorEnv(self.info.id, self._task, score, num_envs, seed, threads)


def _register_mujoco() -> None:
    from prefrl_core.tasks.mujoco_tasks import TASKS
    from prefrl_core.tasks.novel import NOVEL

    def part(form: str, name: str) -> Callable[[], _MujocoTask]:
        return lambda: _MujocoTask(form, name)

    for form in ("mujoco", "mujoco-v5"):
        for name in TASKS:
            registry.register("task", f"{form}/{name}")(part(form, name))
    for name in NOVEL:
        registry.register("task", f"mujoco/{name}")(part("mujoco", name))


_register_mujoco()


def _register_atari() -> None:
    from prefrl_core.tasks.atari_games import GAMES, NOVEL
    from prefrl_core.tasks.atari_task import AtariTask

    def part(name: str) -> Callable[[], AtariTask]:
        return lambda: AtariTask(name)

    for game in (*GAMES, *NOVEL):
        registry.register("task", f"atari/{game}")(part(f"atari/{game}"))


_register_atari()


def _register_control() -> None:
    from prefrl_core.tasks.dmcontrol import ControlTask
    from prefrl_core.tasks.dmcontrol_tasks import CONTROL

    def part(name: str) -> Callable[[], ControlTask]:
        return lambda: ControlTask(name)

    for name in CONTROL:
        registry.register("task", f"dmcontrol/{name}")(part(name))


_register_control()
