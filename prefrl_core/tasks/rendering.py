"""Pictures of a task, drawn without a screen from what its ``scenes()`` gave.

Atari's scenes are pictures already. MuJoCo draws by OpenGL: EGL (a graphics card, or Mesa in software) or OSMesa, which
the system has to have.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.frames import SIZE
from prefrl_core.tasks.dmcontrol_tasks import CONTROL

_FIXED = ("reacher", "inverted_pendulum", "inverted_double_pendulum")  # those that stay where they are
_ROAMING = ("ant", "swimmer")  # not bound to a track
_ELEVATIONS = {"reacher": -89.0, "swimmer": -70.0, "ant": -30.0}  # degrees; others are seen from the side
_DISTANCES = {"reacher": 0.75, "swimmer": 4.0, "inverted_pendulum": 2.6, "inverted_double_pendulum": 3.6}  # in lengths


class Painter(Protocol):
    """Draws one task. An OpenGL context belongs to the thread that made it."""

    def draw(self, scene: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """A picture ``(height, width, 3)`` of one environment's row of ``scenes()``."""

    def close(self) -> None:
        """Give the context back."""


def painter(task: str, width: int = 320, height: int = 240) -> Painter:
    """Who draws a task, in pictures of that many pixels.

    Raises:
        UserError: nobody can, or this machine has no OpenGL.
    """
    room, _, name = tasks.describe(task).id.partition("@")[0].partition("/")
    if not tasks.module(task).startswith("prefrl_core."):
        room = ""  # another's, whatever it is called
    if room == "atari":
        return AtariPainter(width, height)
    if room == "dmcontrol" and name in CONTROL:
        return ControlPainter(name, width, height)
    if room not in ("mujoco", "mujoco-v5"):
        raise UserError(f"task {task} cannot be drawn: choose a mujoco/, an atari/ or one of our dmcontrol/ tasks")
    return MujocoPainter(name, width, height)


class AtariPainter:
    """Frames as the learner sees them, grey, 84 x 84 and without the score, as large as they fit in, in the middle."""

    def __init__(self, width: int, height: int) -> None:
        side = min(width, height)
        top, left = (height - side) // 2, (width - side) // 2
        self._canvas = np.zeros((height, width, 3), np.uint8)
        self._place = slice(top, top + side), slice(left, left + side)
        self._pixels = np.arange(side) * SIZE // side

    def draw(self, scene: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """One picture ``(height, width, 3)`` from a frame ``(SIZE * SIZE,)``."""
        frame = scene.reshape(SIZE, SIZE)[self._pixels][:, self._pixels]
        picture = self._canvas.copy()
        picture[self._place] = frame.astype(np.uint8)[..., None]
        return picture

    def close(self) -> None:
        """Nothing to give back."""


class _Simulated:
    """A model of MuJoCo's and what draws it."""

    def __init__(self, name: str, width: int, height: int) -> None:
        import mujoco

        from prefrl_core.tasks.novel import definition
        from prefrl_core.tasks.simulation import load_model

        self._mujoco: Any = mujoco
        self._model = load_model(definition(name).xml)
        self._data = mujoco.MjData(self._model)
        try:
            _without_a_screen()
            self._renderer = mujoco.Renderer(self._model, height, width)
        except Exception as error:  # the bindings raise whatever is missing: ImportError, AttributeError, their own
            raise UserError(
                f"no OpenGL to draw {name} with ({' '.join(str(error).split()) or type(error).__name__}): install it "
                "(apt-get install libegl1 libegl-mesa0, or libosmesa6 and MUJOCO_GL=osmesa)"
            ) from error

    def _seen_by(self, camera: Any) -> NDArray[np.uint8]:
        self._renderer.update_scene(self._data, camera)
        flags = self._mujoco.mjtRndFlag  # two passes over the floor that cost more than the rest, in software
        for flag in (flags.mjRND_REFLECTION, flags.mjRND_SHADOW):
            self._renderer.scene.flags[flag.value] = 0
        picture: NDArray[np.uint8] = self._renderer.render()
        return picture

    def close(self) -> None:
        """Give the context back."""
        self._renderer.close()


class MujocoPainter(_Simulated):
    """A camera that follows the first body, at the side of the track."""

    def __init__(self, name: str, width: int, height: int) -> None:
        super().__init__(name, width, height)
        self._model.vis.headlight.ambient[:], self._model.vis.headlight.diffuse[:] = 0.35, 0.6
        self._camera = self._placed(name)
        self._follows = name not in _FIXED
        self._period = self._pattern()[: 2 if name in _ROAMING else 1] if self._follows else np.ones(0)

    def _placed(self, name: str) -> Any:
        camera = self._mujoco.MjvCamera()
        self._mujoco.mjv_defaultFreeCamera(self._model, camera)
        camera.azimuth, camera.elevation = 90.0, _ELEVATIONS.get(name, -12.0)
        camera.distance = _DISTANCES.get(name, 3.8)
        if name in _FIXED:
            camera.lookat[:] = (0, 0, 0.0 if name == "reacher" else 0.5)
        return camera

    def _pattern(self) -> NDArray[Any]:
        """Metres ``(2,)`` after which the floor looks the same again."""
        model = self._model
        floor = int(np.flatnonzero(model.geom_type == self._mujoco.mjtGeom.mjGEOM_PLANE.value)[0])
        period: NDArray[Any] = 2 * model.geom_size[floor, :2] / model.mat_texrepeat[model.geom_matid[floor]]
        return period

    def draw(self, scene: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """One picture ``(height, width, 3)`` from joint positions ``(nq,)``."""
        self._data.qpos[:] = scene
        # the floor ends, agents do not: go on where its pattern is the same
        self._data.qpos[: len(self._period)] %= self._period
        self._mujoco.mj_forward(self._model, self._data)
        if self._follows:
            where = self._data.body(1).xpos
            self._camera.lookat[:] = (where[0], where[1], 0.7 * where[2])
        return self._seen_by(self._camera)


class ControlPainter(_Simulated):
    """One of the cameras that the DeepMind Control Suite's model has."""

    def __init__(self, name: str, width: int, height: int) -> None:
        super().__init__(name, width, height)
        self._camera = 2 if name.startswith("quadruped") else 0  # what the suite's users film with

    def draw(self, scene: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """One picture ``(height, width, 3)`` from joint positions ``(nq,)`` and, if the task has one, its target."""
        own = len(scene) - self._model.nq
        self._data.qpos[:] = scene[: self._model.nq]
        if own:
            self._model.geom("target").pos[:own] = scene[-own:]
        self._mujoco.mj_forward(self._model, self._data)
        return self._seen_by(self._camera)


def _without_a_screen() -> None:
    """Have MuJoCo draw by EGL where there is no display. It chooses when it is imported, which has been long ago."""
    if os.environ.get("DISPLAY") or "MUJOCO_GL" in os.environ:
        return
    os.environ["MUJOCO_GL"] = os.environ["PYOPENGL_PLATFORM"] = "egl"
    from mujoco.rendering.classic import gl_context

    importlib.reload(gl_context)
