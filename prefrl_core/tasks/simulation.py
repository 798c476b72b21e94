"""``n`` MuJoCo simulations of one model, advanced and read together.

MuJoCo's own batch steps them in one call; what a task reads is bound once as arrays over all simulations and gathered
with one concatenation a step, so the cost beyond the physics is a few microseconds for the whole batch. Results equal
those of a loop over single simulations, bit for bit, with any number of threads.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from prefrl_core.errors import UserError
from prefrl_core.tasks import dmcontrol_models
from prefrl_core.tasks.mujoco_tasks import Definition, Floats, Frame

try:
    import mujoco as mujoco
    from mujoco.batch import Batch
except Exception as error:  # it loads what it would draw with, and that fails in ways of its own
    if isinstance(error, ModuleNotFoundError) or "MUJOCO_GL" not in os.environ:
        raise
    raise UserError(
        f"MuJoCo does not import with MUJOCO_GL={os.environ['MUJOCO_GL']}: unset it, or install what it names"
    ) from error

_TOTAL_MASS = re.compile(r'\s+settotalmass="([^"]*)"')


def load_model(xml: str) -> Any:
    """The ``MjModel`` of a definition's ``xml``: one of Gymnasium's asset files, or one of dm_control's.

    HalfCheetah's file sets its mass by an attribute that MuJoCo 4 deprecates with a line on stderr and a
    MUJOCO_LOG.TXT in the current folder; the two calls that it recommends instead give the same model, bit for bit.
    """
    if xml.startswith("dm_control/"):
        text, assets = dmcontrol_models.read(xml.removeprefix("dm_control/"))
    else:
        text, assets = (Path(gymnasium.__file__).parent / "envs/mujoco/assets" / xml).read_text(), {}
    mass = _TOTAL_MASS.search(text)
    model = mujoco.MjModel.from_xml_string(_TOTAL_MASS.sub("", text), assets)
    if mass:
        mujoco.mj_setTotalmass(model, float(mass[1]))
        mujoco.mj_setConst(model, mujoco.MjData(model))
    return model


def log_warnings() -> None:
    """Send MuJoCo's warnings (an unstable simulation, say) to Python's log instead of a file in the current folder.

    MuJoCo has one handler for the whole process; one that is already set stays.
    """
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(logging.getLogger("prefrl_core.mujoco").warning)


class Simulation:
    """Row ``i`` of every array belongs to simulation ``i``."""

    stage = mujoco.mjtStage.mjSTAGE_NONE.value  # what is computed anew at the end of a step; nothing, as in Gymnasium
    persistent = False  # whether every simulation keeps its whole MjData

    def __init__(self, task: Definition, num_envs: int, threads: int) -> None:
        log_warnings()
        self.model = load_model(task.xml)
        self.dt = float(self.model.opt.timestep * task.frame_skip)  # seconds an environment step
        self.qpos0 = self.model.qpos0.copy()
        # Contact forces are read off a whole MjData, which only a persistent batch keeps.
        persistent = self.persistent or task.contact_forces
        self._batch = Batch(self.model, num_envs, min(threads, num_envs), persistent)
        self._begin, self._frame_skip, self._controls = task.start, task.frame_skip, self._batch.bind("ctrl")
        self._qpos, self._qvel = self._batch.bind("qpos"), self._batch.bind("qvel")
        self._columns = self.model.nq, self.model.nq + self.model.nv
        self._forces = np.zeros((num_envs, 6 * self.model.nbody)) if task.contact_forces else None
        self._data = mujoco.MjData(self.model)
        self._wrenches, self._contacts = self._data.cfrc_ext, self._batch.bind("ncon")
        forces = [] if self._forces is None else [self._forces]
        derived = np.empty((num_envs, 0))
        self._derive: Callable[[], None] | None = None
        if task.derive:
            derived, self._derive = task.derive(self._batch)
        self._views = [self._qpos, self._qvel, *forces, *task.extra(self._batch), derived]
        width = sum(view.shape[1] for view in self._views)
        self._frames = [self.split(np.empty((num_envs, width))) for _ in range(2)]

    def step(self, actions: np.ndarray[Any, Any]) -> Frame:
        """Apply ``actions`` (n, nu), unclipped, for one environment step."""
        self._controls[:] = actions
        self._batch.step(nstep=self._frame_skip, stage=self.stage)
        if self._forces is not None:
            self._read_contact_forces(self._forces)
        return self.gather()

    def _read_contact_forces(self, forces: Floats) -> None:
        """What MuJoCo computes on request only: the wrench on each body, from the contacts of the last substep, each
        number clipped to [-1, 1] as Gymnasium's Ant sees it."""
        model, data, read = self.model, self._data, self._batch.get_data
        forces[:] = 0
        for index in np.flatnonzero(self._contacts).tolist():  # copying the rest out would tell nothing
            read(index, data)
            mujoco.mj_rnePostConstraint(model, data)
            forces[index] = self._wrenches.reshape(-1)
        np.maximum(np.minimum(forces, 1.0, out=forces), -1.0, out=forces)

    def start(self, indices: list[int], randoms: list[np.random.Generator]) -> Frame:
        """Put simulations into start states, each drawn from its generator; the frame of these alone."""
        states = [self._begin(random, self.qpos0) for random in randoms]
        return self._start_from(indices, *(np.array(part) for part in zip(*states, strict=True)))

    def _start_from(self, indices: list[int], qpos: Floats, qvel: Floats) -> Frame:
        """Put simulations in the given states (k, nq) and (k, nv) at time 0."""
        self._batch.reset(indices, stage=mujoco.mjtStage.mjSTAGE_NONE.value)
        self._qpos[indices], self._qvel[indices] = qpos, qvel
        self._batch.forward(indices)
        if self._forces is not None:
            self._forces[indices] = 0
        return self.gather(indices)

    def gather(self, indices: list[int] | None = None) -> Frame:
        """A frame of all simulations, which is written over when the one after the next is gathered; or of some."""
        if self._derive:
            self._derive()
        if indices is not None:
            return self.split(np.concatenate([view[indices] for view in self._views], axis=1))
        self._frames.reverse()
        np.concatenate(self._views, axis=1, out=self._frames[0].rows)
        return self._frames[0]

    def scenes(self, frame: Frame) -> Floats:
        """What has to be drawn of each simulation, ``(n, scene)``: the positions of its joints."""
        return frame.qpos.copy()

    def split(self, rows: Floats) -> Frame:
        nq, end = self._columns
        return Frame(rows, rows[:, :nq], rows[:, nq:end], rows[:, end:])

    def get_physics(self) -> Floats:
        """MuJoCo's integration state (n, size): all that the next step depends on, the warm start included."""
        return self._batch.state.copy()

    def set_physics(self, states: Floats) -> None:
        self._batch.state[:] = states
