"""A batch of MuJoCo environments as one ``gymnasium.vector.VectorEnv``.

Faster than one Python environment per simulation because observations, rewards and ends are computed for the whole
batch, and equal to Gymnasium's v5 environments bit for bit in the ``mujoco-v5/`` form: environment ``i`` is seeded with
``seed + i``, actions are not clipped. Left out: rendering, and the terms that Gymnasium reports in ``info``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from gymnasium.utils.seeding import np_random
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.tasks.checks import checked_actions, require_finite
from prefrl_core.tasks.mujoco_tasks import Bools, Definition, Floats, Frame, Score
from prefrl_core.tasks.simulation import Simulation


class MujocoVectorEnv(VectorEnv[Floats, NDArray[Any], NDArray[Any]]):
    """``num_envs`` environments of one task that reset in the step that ends an episode.

    Args:
        task: id, for messages and saved states.
        definition: the task as Gymnasium or the DeepMind Control Suite has it.
        score: rewards and ends that take the place of the definition's own.
        threads: simulations are stepped by so many threads; results are the same for any number.
        simulate: the class of simulation, which says how an episode begins and what is current after a step.
    """

    def __init__(
        self,
        task: str,
        definition: Definition,
        score: Score,
        num_envs: int,
        seed: int,
        threads: int = 1,
        simulate: type[Simulation] = Simulation,
    ) -> None:
        self.task, self.num_envs, self._definition, self._score = task, num_envs, definition, score
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self._simulation = simulate(definition, num_envs, threads)
        self._rngs = [np_random(seed + i)[0] for i in range(num_envs)]
        self._elapsed = np.zeros(num_envs, np.int64)  # steps of the episodes under way
        self._limits = np.full(num_envs, definition.episode_steps)  # after which they are truncated
        self._frame = self._simulation.gather()
        self._started = False
        self._make_spaces()

    def _make_spaces(self) -> None:
        low, high = self._simulation.model.actuator_ctrlrange.astype(np.float32).T
        size = self._definition.observe(self._frame).shape[1]
        self.single_action_space = Box(low, high, dtype=np.float32)
        self.single_observation_space = Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self._actions = (self.num_envs, len(low))  # shape of a batch of them

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Floats, dict[str, Any]]:
        """Start an episode everywhere: observations ``(num_envs, obs)`` and an empty dictionary.

        Args:
            seed: environment ``i`` gets ``seed + i``, or the ``i``-th of a list; None goes on with its generator.

        Raises:
            ValueError: options, or a list of seeds of another length.
        """
        if options:
            raise ValueError(f"{self.task} has no options at reset, got {sorted(options)}")
        if isinstance(seed, (int, np.integer)):
            seed = [int(seed) + i for i in range(self.num_envs)]
        for i, own in zip(range(self.num_envs), seed or [None] * self.num_envs, strict=True):
            if own is not None:
                self._rngs[i] = np_random(own)[0]
        self._begin(list(range(self.num_envs)))
        self._started = True
        return self._definition.observe(self._frame), {}

    def _begin(self, indices: list[int]) -> Frame:
        """Start an episode in some environments; their frame."""
        frame = self._simulation.start(indices, [self._rngs[i] for i in indices])
        self._frame.rows[indices] = frame.rows
        self._elapsed[indices] = 0
        return frame

    def step(self, actions: NDArray[Any]) -> tuple[Floats, Floats, Bools, Bools, dict[str, Any]]:
        """One step of every environment.

        Args:
            actions: ``(num_envs, nu)``; their precision is that of the control cost, as in Gymnasium.

        Returns:
            Observations ``(num_envs, obs)``, rewards, terminated and truncated ``(num_envs,)``, and infos: empty, or
            ``final_obs`` (zero where no episode ended) and ``_final_obs`` as in docs/architecture.md.

        Raises:
            UserError: an action, a state or a reward is not finite.
            ValueError: actions of another shape or no real numbers, or no reset so far.
        """
        if not self._started:
            raise ValueError(f"{self.task}: call reset() before the first step")
        actions = checked_actions(self.task, actions, self._actions, self._elapsed)
        before, after = self._frame, self._simulation.step(actions)
        self._frame = after
        rewards, terminated = self._score(before, after, actions, self._simulation.dt)
        self._elapsed += 1
        require_finite(self.task, self._elapsed, state=after.rows, reward=rewards)
        observations = self._definition.observe(after)
        truncated = self._elapsed >= self._limits
        if terminated is None:
            terminated, ended = np.zeros(self.num_envs, np.bool_), truncated
        else:
            ended = terminated | truncated
        infos = self._restart(ended, observations) if np.count_nonzero(ended) else {}
        return observations, rewards, terminated, truncated, infos

    def stagger(self) -> Floats:
        """Start an episode in every environment, in environment ``i`` one that is ``i / num_envs`` of the length
        shorter, so that from then on episodes end at different times.

        Returns:
            Observations ``(num_envs, obs)``.
        """
        self._begin(list(range(self.num_envs)))
        self._elapsed = np.arange(self.num_envs) * self._limits // self.num_envs
        return self._definition.observe(self._frame)

    def shorten(self, steps: int, which: Bools) -> None:
        """From now on truncate episodes after ``steps`` steps in the environments ``which`` ``(num_envs,)``."""
        self._limits[which] = steps

    def _restart(self, ended: Bools, observations: Floats) -> dict[str, Any]:
        """Begin new episodes where one has ended, writing over ``observations``; infos with what the old ended with."""
        final = np.where(ended[:, None], observations, 0.0)
        observations[ended] = self._definition.observe(self._begin(np.flatnonzero(ended).tolist()))
        return {"final_obs": final, "_final_obs": ended.copy()}

    def scenes(self) -> Floats:
        """What has to be drawn of each environment, ``(num_envs, scene)``, for rendering.py."""
        return self._simulation.scenes(self._frame)

    def get_state(self) -> dict[str, Any]:
        """All that later steps depend on, exact to the bit: arrays and values that JSON can hold."""
        return {
            "task": self.task,
            "num_envs": self.num_envs,
            "started": self._started,
            "elapsed": self._elapsed.copy(),
            "physics": self._simulation.get_physics(),
            "frame": self._frame.rows.copy(),  # some of it lags the physics, so it cannot be computed from them
            "generators": [rng.bit_generator.state for rng in self._rngs],
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``get_state`` was called.

        Raises:
            UserError: the state is of another task, another number of environments or another model.
        """
        mine = self.get_state()
        for key, value in mine.items():
            if key not in state or np.shape(state[key]) != np.shape(value):
                raise UserError(
                    f"saved state does not fit {self.task} with {self.num_envs} environments: check {key!r}"
                )
        for key in ("task", "num_envs"):
            if state[key] != mine[key]:
                raise UserError(f"saved state has {key} = {state[key]!r}, but this is {mine[key]!r}")
        self._started, self._elapsed = bool(state["started"]), np.array(state["elapsed"], np.int64)
        self._simulation.set_physics(np.array(state["physics"], np.float64))
        self._frame = self._simulation.split(np.array(state["frame"], np.float64))
        for rng, saved in zip(self._rngs, state["generators"], strict=True):
            rng.bit_generator.state = saved
