"""Any other environment that Gymnasium knows, as a task: ``gymnasium/CartPole-v1``.

It needs a time limit, flat ``Box`` observations and ``Box`` or ``Discrete`` actions. Environments are stepped one after
the other by Gymnasium's own ``SyncVectorEnv``; they cannot save themselves, so an interrupted run starts over.
Gymnasium does not say whether an environment may end an episode early. Those in ``TIMED`` never do: their tasks count
as fixed in length. Every other one counts as ending early.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from importlib.metadata import packages_distributions
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from numpy.typing import NDArray

from prefrl_core.errors import UserError
from prefrl_core.tasks.checks import checked_actions, require_finite
from prefrl_core.tasks.task import TaskInfo

_SIMULATORS = {"gymnasium.envs.mujoco": "mujoco", "gymnasium.envs.box2d": "box2d"}  # behind Gymnasium's own modules
_MUJOCO = (
    "half_cheetah:HalfCheetah",
    "humanoidstandup:HumanoidStandup",
    "pusher:Pusher",
    "reacher:Reacher",
    "swimmer:Swimmer",
)
# Entry points of Gymnasium's environments whose only end is their time limit: ``step`` never says terminated.
TIMED = {
    "gymnasium.envs.classic_control.pendulum:PendulumEnv",
    *(f"gymnasium.envs.mujoco.{name.replace(':', f'_v{form}:')}Env" for name in _MUJOCO for form in (4, 5)),
}


class GymnasiumTask:
    """The task ``gymnasium/<id>``.

    Raises:
        UserError: Gymnasium has no such id, or its episodes have no limit.
    """

    def __init__(self, name: str) -> None:
        self._id = name.removeprefix("gymnasium/")
        try:
            self._spec = gym.spec(self._id)
        except gym.error.Error as error:
            raise UserError(
                f"unknown task {name!r}: Gymnasium has no such id ({_line(error)}); a module of yours "
                "that registers it has to be named under plugins"
            ) from error
        limit = self._spec.max_episode_steps
        if limit is None:
            raise UserError(f"task {name!r} has no time limit: register it in Gymnasium with max_episode_steps")
        timed = self._spec.entry_point in TIMED and not self._spec.additional_wrappers
        # version 2 of a timed task: in version 1 it counted as ending early, and policies did not centre its rewards
        self.info = TaskInfo(f"gymnasium/{self._spec.id}@{2 if timed else 1}", limit, min(25, limit), timed)

    @property
    def module(self) -> str:
        """The environment's own."""
        entry = self._spec.entry_point
        return entry.partition(":")[0] if isinstance(entry, str) else str(getattr(entry, "__module__", ""))

    @property
    def packages(self) -> tuple[str, ...]:
        """Distributions of the environment's own module and of the simulator that it is known to use."""
        own = packages_distributions().get(self.module.partition(".")[0], [])
        simulators = [name for prefix, name in _SIMULATORS.items() if self.module.startswith(prefix)]
        if "box2d" in simulators:  # for newer Pythons another distribution has it
            simulators = packages_distributions().get("Box2D", simulators)[:1]
        return tuple(sorted({"gymnasium", *own, *simulators}))

    @property
    def digests(self) -> dict[str, str]:
        """Of what an id was registered with by others than Gymnasium: an edit there changes the environment too."""
        if f'id="{self._id}"' in inspect.getsource(gym.envs):
            return {}
        wrappers = [[one.name, one.entry_point, one.kwargs] for one in self._spec.additional_wrappers]
        told = [self._spec.entry_point, self._spec.max_episode_steps, self._spec.kwargs, wrappers]
        text = json.dumps(
            told, sort_keys=True, default=lambda value: getattr(value, "__qualname__", type(value).__name__)
        )
        return {"registration": hashlib.sha256(text.encode()).hexdigest()[:12]}

    def make(self, num_envs: int, seed: int, threads: int) -> VectorEnv[Any, Any, Any]:
        """``threads`` is ignored: these environments hold Python's lock."""
        if "mujoco" in self.packages:
            from prefrl_core.tasks.simulation import log_warnings

            log_warnings()
        mode = {"autoreset_mode": AutoresetMode.SAME_STEP}
        try:
            envs = gym.make_vec(self._id, num_envs, vectorization_mode="sync", vector_kwargs=mode, wrappers=[_Copied])
        except gym.error.DependencyNotInstalled as error:
            raise UserError(f"task {self.info.id} needs a package: {_line(error)}") from error
        except ModuleNotFoundError:  # named by who asked for the task
            raise
        except ImportError as error:
            raise UserError(f"task {self.info.id} cannot be made with what is installed: {_line(error)}") from error
        _require_flat(self.info.id, envs.single_observation_space, envs.single_action_space)
        return GymnasiumVectorEnv(envs, self.info.id, seed)


class _Copied(gym.ObservationWrapper[Any, Any, Any]):
    """Copies observations. Of an environment that writes each one into the same array, Gymnasium's ``final_obs`` would
    otherwise be the first observation of the next episode (Gymnasium issues 1132, 1680 and 1715)."""

    def observation(self, observation: Any) -> Any:
        return np.array(observation)


class GymnasiumVectorEnv(VectorWrapper[Any, Any, Any, Any, Any]):
    """Starts from the task's seed, hands the last observations out as an array and refuses what is not finite."""

    def __init__(self, env: VectorEnv[Any, Any, Any], task: str, seed: int) -> None:
        super().__init__(env)
        self.task, self._seed = task, seed
        self._first = True
        self._elapsed = np.zeros(env.num_envs, np.int64)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """As in Gymnasium; the first reset without a seed takes the task's: environment i has ``seed + i``."""
        if seed is None and self._first:
            seed = self._seed
        self._first = False
        self._elapsed[:] = 0
        return self.env.reset(seed=seed, options=options)  # type: ignore[arg-type]  # SyncVectorEnv takes lists too

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """As in docs/architecture.md: ``infos["final_obs"]`` is an array, zero where no episode ended.

        Raises:
            UserError: an action, an observation or a reward is not finite.
            ValueError: actions of another shape or no real numbers.
        """
        actions = checked_actions(self.task, actions, self.action_space.shape or (), self._elapsed)
        observations, rewards, terminated, truncated, infos = self.env.step(actions)
        self._elapsed += 1
        if "final_obs" in infos:
            final = np.zeros_like(observations)
            ended = infos["_final_obs"]
            final[ended] = np.stack(list(infos["final_obs"][ended]))
            infos = {**infos, "final_obs": final}
            require_finite(self.task, self._elapsed, observation=final)
        require_finite(self.task, self._elapsed, observation=observations, reward=rewards)
        self._elapsed[terminated | truncated] = 0
        return observations, rewards, terminated, truncated, infos


def _require_flat(task: str, observations: gym.Space[Any], actions: gym.Space[Any]) -> None:
    if not (isinstance(observations, Box) and len(observations.shape) == 1):
        raise UserError(
            f"task {task} has observations {observations}: only a flat Box will do, flatten them in a wrapper"
        )
    flat = isinstance(actions, Box) and len(actions.shape) == 1
    if not flat and not (isinstance(actions, Discrete) and actions.start == 0):
        raise UserError(f"task {task} has actions {actions}: only a flat Box or a Discrete from 0 will do")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
