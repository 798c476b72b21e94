"""The tasks ``atari/<game>``: what each is, known without its emulator, which ``make`` alone imports (atari.py)."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from prefrl_core.errors import UserError, unknown
from prefrl_core.tasks.atari_games import GAMES, LONGEST, NOVEL, SEGMENT, UNKNOWN
from prefrl_core.tasks.task import TaskInfo

if TYPE_CHECKING:
    from prefrl_core.tasks.atari import AtariVectorEnv


class AtariTask:
    """The task ``atari/<game>``, or an older version of it, ``atari/<game>@<version>``.

    Raises:
        UserError: ale_py has no such game, or is not installed and the game is not one of the paper's.
    """

    packages = ("ale-py",)

    def __init__(self, name: str) -> None:
        self._game, _, version = name.removeprefix("atari/").partition("@")
        self._program = NOVEL.get(self._game, self._game)
        if self._program not in GAMES and self._program not in games():
            raise unknown("game", self._game, (*games(), *NOVEL))
        rules = GAMES.get(self._program, UNKNOWN).rules
        older = version in map(str, range(1, len(rules)))
        self._rules = rules[(int(version) if older else len(rules)) - 1]
        # version 2 of other behaviours: in version 1 their return was the game's score
        number = version if older else len(rules) + (self._game in NOVEL)
        self.info = TaskInfo(
            f"atari/{self._game}@{number}",
            LONGEST,
            SEGMENT,
            fixed_length=True,
            endless=True,
            pixels=True,
            clip=1.0,
            score_shown=self._program not in GAMES,
        )

    def make(self, num_envs: int, seed: int, threads: int) -> AtariVectorEnv:
        """``num_envs`` games, stepped by so many threads; the same for any number of them.

        Raises:
            UserError: the game's program (its ROM) is missing or damaged.
        """
        _require_program(self._program)
        from prefrl_core.tasks.atari import AtariVectorEnv

        return AtariVectorEnv(self._game, num_envs, seed, threads, self._rules)


def _require_program(game: str) -> None:
    from ale_py import roms

    try:
        roms.get_rom_path(game)
    except OSError as error:
        why = error.strerror or str(error).splitlines()[0]
        place = ", or correct ALE_ROMS_DIR" if "ALE_ROMS_DIR" in os.environ else ""
        raise UserError(
            f"the ROM of the game {game!r} cannot be read ({why}): pip install --force-reinstall ale-py{place}"
        ) from error


@functools.cache
def games() -> tuple[str, ...]:
    """All games that ale_py has the program of.

    Raises:
        UserError: it is not installed.
    """
    try:
        from ale_py import roms
    except ModuleNotFoundError as error:
        raise UserError("Atari games need the package 'ale-py': pip install ale-py") from error
    return tuple(sorted(roms.get_all_rom_ids()))
