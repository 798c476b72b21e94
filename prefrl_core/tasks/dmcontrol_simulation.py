"""Simulations as dm_control steps and starts them.

After a step dm_control has positions, velocities, body frames and sensors of the new state, where Gymnasium has some of
them one simulation step late. MuJoCo's batch gives them without cost: it ends a step with what the next one begins
with, if every simulation keeps its data. A Runge-Kutta step does not go on from there and would pay for it. The one
task that takes such steps, cartpole, reads positions and velocities alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from prefrl_core.tasks.mujoco_tasks import Definition, Floats, Frame
from prefrl_core.tasks.simulation import Simulation, mujoco

_STATE = mujoco.mjtState.mjSTATE_INTEGRATION.value
_NO_ACTUATION = mujoco.mjtDisableBit.mjDSBL_ACTUATION.value
_RUNGE_KUTTA = mujoco.mjtIntegrator.mjINT_RK4.value
_HINGE, _SLIDE, _FREE = (getattr(mujoco.mjtJoint, f"mjJNT_{name}").value for name in ("HINGE", "SLIDE", "FREE"))


class Probe:
    """One simulation aside, in which a start state is built: a task writes into ``data``.

    Attributes:
        free: whether the first joint is free.
        joints: entries of qpos that start states are drawn for: joints with limits, and hinges without.
        low, high: the bounds of each, those of a hinge without limits half a turn.
        limited: which of them have limits.
    """

    def __init__(self, model: Any) -> None:
        self.model, self.data = model, mujoco.MjData(model)
        kinds, limited = model.jnt_type, model.jnt_limited.astype(bool)
        drawn = ((kinds == _HINGE) | (kinds == _SLIDE)) & (limited | (kinds == _HINGE))
        self.free = kinds[0] == _FREE
        self.joints, self.limited = model.jnt_qposadr[drawn], limited[drawn]
        self.low, self.high = np.where(self.limited, model.jnt_range[drawn].T, [[-np.pi], [np.pi]])

    def reset(self) -> None:
        """The model's defaults."""
        mujoco.mj_resetData(self.model, self.data)

    def forward(self) -> None:
        """Compute everything at the present state."""
        mujoco.mj_forward(self.model, self.data)

    def touches(self) -> bool:
        """Whether there is a contact at the present positions."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_collision(self.model, self.data)
        return bool(self.data.ncon)

    def settle(self, steps: int) -> None:
        """Let so many simulation steps pass, the first with the forces that were computed last, and stop the clock."""
        mujoco.mj_step2(self.model, self.data)
        mujoco.mj_step(self.model, self.data, steps - 1)
        self.data.time = 0.0

    def state(self) -> Floats:
        """MuJoCo's integration state ``(size,)``."""
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, state, _STATE)
        return state


class ControlSimulation(Simulation):
    """Steps of the DeepMind Control Suite, equal to those of dm_control 1.0.50 to the bit."""

    stage = mujoco.mjtStage.mjSTAGE_VEL.value
    persistent = True

    def __init__(self, task: Definition, num_envs: int, threads: int) -> None:
        super().__init__(task, num_envs, threads)
        if self.model.opt.integrator == _RUNGE_KUTTA:
            self.stage = mujoco.mjtStage.mjSTAGE_NONE.value
        self._probe = Probe(self.model)
        self._flags = self._batch.expand("opt.disableflags")
        self._own = self._batch.bind("userdata")

    def start(self, indices: list[int], randoms: list[np.random.Generator]) -> Frame:
        """Start states, each drawn from its generator. Sensors feel no actuators, since no action was taken yet."""
        for index, random in zip(indices, randoms, strict=True):
            self._probe.reset()
            self._begin(random, self._probe)
            self._batch.state[index] = self._probe.state()
        self._flags[indices] |= _NO_ACTUATION
        self._batch.forward(indices)
        self._flags[indices] &= ~_NO_ACTUATION
        return self.gather(indices)

    def scenes(self, frame: Frame) -> Floats:
        """Positions of the joints, then what the simulation has of its own: the place of a target."""
        return np.concatenate((frame.qpos, self._own), axis=1)
