"""Atari games as tasks, ``atari/<game>``, on ale_py's own vector environment, in the form of Christiano et al. 2017
(section A.2).

The usual preprocessing: up to 30 no-ops at the start, every action held for 4 frames, the brighter of the last two,
84 x 84 grey pixels, a stack of 4. The learner sees one endless episode: neither a lost life nor a lost game is told,
and the frames of a new game follow those of the old one. What it loses is a penalty in the reward of the oracle, except
in Pong. The part of the screen that shows the score is black. ``docs/atari.md`` says more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ale_py import Action
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.errors import UserError
from prefrl_core.frames import SIZE, STACK, Frames
from prefrl_core.tasks.atari_games import GAMES, NOVEL, UNKNOWN, Rules

_PERIOD = 10_000  # steps of each environment between two starts from a seed of their own, see ``AtariVectorEnv``


class AtariVectorEnv(VectorEnv[Frames, NDArray[Any], NDArray[Any]]):
    """``num_envs`` endless episodes of one game.

    ale_py cannot give the state of its games away, but it is exact: the same seeds and the same actions give the same
    frames. So the actions are kept, and a saved state is taken up by playing them again. That this never takes long,
    all games are started anew every ``_PERIOD`` steps, from seeds that are derived from the run's and the number of the
    start; a run that is never interrupted does the same. The learner is not told of that either.

    ``step`` tells of real games that ended in ``infos["games"]``: ``(ended, 4)``, environment, score (of a behaviour
    that no score rewards the sum of its rewards), steps, and the sum of rewards.
    """

    def __init__(self, game: str, num_envs: int, seed: int, threads: int, rules: Rules) -> None:
        from ale_py.vector_env import AtariVectorEnv as Games

        self.task, self.num_envs, self._seed = f"atari/{game}", num_envs, seed
        program = NOVEL.get(game, game)
        self._blank, self._level = GAMES.get(program, UNKNOWN).blank, game in NOVEL
        self._rules = rules
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self._games: Any = Games(
            program,
            num_envs,
            num_threads=threads,
            stack_num=1,
            reward_clipping=False,
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        self.single_action_space = self._games.single_action_space
        choices = self._games.ale.get_action_set()
        self._choices, self._fire = len(choices), choices.index(Action.FIRE) if rules.serve else 0
        self.single_observation_space = Box(0, 255, (STACK, SIZE, SIZE), np.uint8)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._stack: Frames = np.zeros((num_envs, STACK, SIZE, SIZE), np.uint8)
        self._played = np.zeros((_PERIOD, num_envs), np.uint8)  # actions since the latest start
        self._start = self._elapsed = -1  # number of the latest start, and steps since
        self._scores, self._paid, self._steps = np.zeros(num_envs), np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self._lives, self._serving = np.zeros(num_envs, np.int64), np.zeros(num_envs, np.bool_)
        self._before: Frames = self._stack  # the stack as it was at the latest start

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frames, dict[str, Any]]:
        """Begin everywhere: observations ``(num_envs, STACK, SIZE, SIZE)`` and an empty dictionary.

        Args:
            seed: all games' starts follow from it; None goes on with that of before.

        Raises:
            ValueError: options, or a list of seeds.
        """
        if options or not (seed is None or isinstance(seed, (int, np.integer))):
            raise ValueError(f"{self.task} takes no options at reset, and one seed for all environments")
        if seed is not None:
            self._seed, self._start = int(seed), -1
        self._begin()
        self._stack = np.repeat(self._stack[:, -1:], STACK, axis=1)
        self._before = self._stack
        return self._stack.copy(), {}

    def _begin(self) -> None:
        """Start all games anew, from seeds of their own; the stack goes on."""
        self._start, self._elapsed = self._start + 1, 0
        first = seeding.integer(self._seed, f"start {self._start}")
        seeds = (first + np.arange(self.num_envs)) % 2**31
        frames, infos = self._games.reset(seed=seeds.astype(np.int64))
        self._see(frames)
        self._before = self._stack
        self._lives = infos["lives"].astype(np.int64)
        self._serving[:] = False
        self._scores[:], self._paid[:], self._steps[:] = 0, 0, 0

    def _see(self, frames: Frames) -> None:
        """Blank the newest frames ``(num_envs, 1, SIZE, SIZE)`` and put them behind those of before."""
        for top, bottom, left, right in self._blank:
            frames[:, :, top:bottom, left:right] = 0
        self._stack = np.concatenate([self._stack[:, 1:], frames], axis=1)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Frames, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """One step of every environment, as in docs/architecture.md.

        Returns:
            Observations ``(num_envs, STACK, SIZE, SIZE)``; the score gained less the penalties, ``(num_envs,)``; that
            nothing ended, twice; infos, see above.

        Raises:
            ValueError: actions of another shape, not whole or out of range, or no reset so far.
        """
        actions = np.asarray(actions)
        whole = actions.shape == (self.num_envs,) and actions.dtype.kind in "iu"
        if not whole or actions.min() < 0 or actions.max() >= self._choices:
            raise ValueError(f"{self.task} takes {self.num_envs} actions of {self.single_action_space}")
        if self._start < 0:
            raise ValueError(f"{self.task}: call reset() before the first step")
        if self._rules.serve:
            actions = np.where(self._serving, self._fire, actions)
        self._played[self._elapsed] = actions
        rewards, ended = self._play(actions)
        if self._elapsed == _PERIOD:
            self._begin()
        never = np.zeros(self.num_envs, np.bool_)
        return self._stack.copy(), rewards, never, never.copy(), {"games": ended} if len(ended) else {}

    def _play(self, actions: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        frames, gained, terminated, truncated, infos = self._games.step(actions.astype(np.int64))
        self._see(frames)
        lives, over = infos["lives"].astype(np.int64), terminated | truncated
        lost = (lives < self._lives) | terminated
        self._lives, self._serving = lives, lost & ~over  # a new game is served by the emulator's wrapper
        self._elapsed += 1
        rewards = level(self._scores, gained) if self._level else gained - self._rules.penalty * lost
        self._scores += gained
        self._paid += rewards
        self._steps += 1
        which = np.flatnonzero(over)
        returns = self._paid if self._level else self._scores  # a score says nothing of another behaviour
        ended = np.stack([which, returns[which], self._steps[which], self._paid[which]], axis=1, dtype=np.float64)
        self._scores[over], self._paid[over], self._steps[over] = 0, 0, 0
        return rewards, ended

    def get_state(self) -> dict[str, Any]:
        """All that later steps depend on: arrays and values that JSON can hold."""
        return {
            "task": self.task,
            "num_envs": self.num_envs,
            "seed": self._seed,
            "start": self._start,
            "before": self._before.copy(),
            "played": self._played[: max(0, self._elapsed)].copy(),
        }

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where ``get_state`` was called, by playing what was played since the latest start.

        Raises:
            UserError: the state is of another game or another number of environments.
        """
        if (state.get("task"), state.get("num_envs")) != (self.task, self.num_envs):
            raise UserError(
                f"saved state is of {state.get('task')} with {state.get('num_envs')} environments, "
                f"but this is {self.task} with {self.num_envs}"
            )
        self._seed, self._start = int(state["seed"]), int(state["start"])
        if self._start < 0:  # it was saved before the first reset
            return
        self._start -= 1
        self._begin()
        self._stack = self._before = np.array(state["before"], np.uint8)
        self._played[: len(state["played"])] = state["played"]
        for actions in state["played"]:
            self._play(actions)

    def scenes(self) -> Frames:
        """What is to be drawn of each environment, ``(num_envs, SIZE * SIZE)``: the newest frame, as it is seen."""
        return self._stack[:, -1].reshape(self.num_envs, -1)

    def close_extras(self, **kwargs: Any) -> None:
        """Nothing to give back."""


def level(ahead: NDArray[np.float64], gained: NDArray[Any]) -> NDArray[np.float64]:
    """How level with the traffic of Enduro: the oracle of ``enduro_level``, in the place of the people who taught it in
    Christiano et al. 2017 (section 3.2).

    1 for every car that passes or is passed, less 2 for every one by which that leads away from the field, plus 2 for
    one that leads back. To drive ahead of all is a loss, to stand still is worth nothing, to pass and be passed pays.

    Args:
        ahead: ``(num_envs,)``, cars passed so far less those that passed: the game's score, never below 0.
        gained: ``(num_envs,)``, the score of this step.
    """
    away: NDArray[np.float64] = np.abs(ahead + gained) - np.abs(ahead)
    return np.abs(gained) - 2 * away
