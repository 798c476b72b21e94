"""``n`` MuJoCo simulations of one model, advanced and read together.

All that a task reads of a simulation is bound once as views of its memory and gathered with one concatenation a
step, so the cost beyond MuJoCo's own is a few microseconds for the whole batch. Threads share the simulations out in
fixed portions; each simulation is independent, so results do not depend on their number.
"""

from __future__ import annotations

import logging
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np

from prefrl_core.tasks.mujoco_tasks import Definition, Floats, Frame

_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)  # all that the next step depends on, the warm start included
_TOTAL_MASS = re.compile(r'\s+settotalmass="([^"]*)"')


def load_model(xml: str) -> Any:
    """The ``MjModel`` of one of Gymnasium's asset files.

    HalfCheetah's file sets its mass by an attribute that MuJoCo 4 deprecates with a line on stderr and a
    MUJOCO_LOG.TXT in the current folder; the two calls that it recommends instead give the same model, bit for bit.
    """
    text = (Path(gymnasium.__file__).parent / "envs/mujoco/assets" / xml).read_text()
    mass = _TOTAL_MASS.search(text)
    model = mujoco.MjModel.from_xml_string(_TOTAL_MASS.sub("", text))
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

    def __init__(self, task: Definition, num_envs: int, threads: int) -> None:
        log_warnings()
        self.model = load_model(task.xml)
        self.dt = float(self.model.opt.timestep * task.frame_skip)  # seconds an environment step
        self.qpos0 = self.model.qpos0.copy()
        self._columns = self.model.nq, self.model.nq + self.model.nv
        self.data = [mujoco.MjData(self.model) for _ in range(num_envs)]
        self._frame_skip, self._contact_forces = task.frame_skip, task.contact_forces
        self._views = [[data.qpos, data.qvel, *task.extra(data)] for data in self.data]
        self._all_views = [view for views in self._views for view in views]
        self._controls = np.zeros((num_envs, self.model.nu))
        self._share_out(min(threads, num_envs))

    def _share_out(self, threads: int) -> None:
        parts = [(data, data.ctrl, row) for data, row in zip(self.data, self._controls, strict=True)]
        bounds = [len(parts) * i // threads for i in range(threads + 1)]
        self._portions = [parts[low:high] for low, high in pairwise(bounds)]
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None

    def step(self, actions: np.ndarray[Any, Any]) -> Frame:
        """Apply ``actions`` (n, nu), unclipped, for one environment step."""
        np.copyto(self._controls, actions)
        others = [self._pool.submit(self._advance, part) for part in self._portions[1:]] if self._pool else []
        self._advance(self._portions[0])
        for other in others:
            other.result()
        return self.gather()

    def _advance(self, portion: list[tuple[Any, Floats, Floats]]) -> None:
        step, model, frame_skip = mujoco.mj_step, self.model, self._frame_skip
        for data, ctrl, row in portion:
            ctrl[:] = row
            step(model, data, frame_skip)
        if self._contact_forces:
            for data, _, _ in portion:
                mujoco.mj_rnePostConstraint(model, data)

    def start(self, index: int, qpos: Floats, qvel: Floats) -> Floats:
        """Put one simulation in the given state at time 0; its row of a frame."""
        data = self.data[index]
        mujoco.mj_resetData(self.model, data)
        data.qpos[:], data.qvel[:] = qpos, qvel
        mujoco.mj_forward(self.model, data)
        row: Floats = np.concatenate(self._views[index])
        return row

    def gather(self) -> Frame:
        """A new frame of all simulations."""
        return self.split(np.concatenate(self._all_views).reshape(len(self.data), -1))

    def split(self, rows: Floats) -> Frame:
        nq, end = self._columns
        return Frame(rows, rows[:, :nq], rows[:, nq:end], rows[:, end:])

    def get_physics(self) -> Floats:
        """MuJoCo's integration state (n, size)."""
        states = np.empty((len(self.data), mujoco.mj_stateSize(self.model, _STATE)))
        for data, row in zip(self.data, states, strict=True):
            mujoco.mj_getState(self.model, data, row, _STATE)
        return states

    def set_physics(self, states: Floats) -> None:
        for data, row in zip(self.data, states, strict=True):
            mujoco.mj_setState(self.model, data, row, _STATE)

    def close(self) -> None:
        if self._pool:
            self._pool.shutdown()
