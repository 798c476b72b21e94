"""What is known of each Atari game: which part of the screen tells the score, and what losing costs.

Rows and columns are those of the 84 x 84 picture that the learner sees. They were found by writing other numbers into
the bytes of the console's memory that hold the score and looking which pixels change; tests/unit/test_atari.py does
that again. In the paper's words the score is replaced by a constant black background, in BeamRider the number of enemy
ships too, and in Enduro the speedometer (Christiano et al. 2017, section A.2): there it is the whole instrument panel.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from prefrl_core.errors import UserError, unknown
from prefrl_core.tasks import TaskInfo

if TYPE_CHECKING:
    from prefrl_core.tasks.atari import AtariVectorEnv

Area = tuple[int, int, int, int]  # first row, row after the last, first column, column after the last

SEGMENT = 25  # steps of a clip: 1.7 s at 15 observations a second (Christiano et al. 2017, section A.2)
LONGEST = 27_000  # steps of a game: 108,000 frames, half an hour of play
_ALL = 84


@dataclass(frozen=True)
class Game:
    """``blank``: areas that are painted black. ``penalty``: what a lost life or game costs in the oracle's eyes, in
    units of the score; the paper gives no size, here it is that of a common reward or two."""

    blank: tuple[Area, ...]
    penalty: float


GAMES = {
    "beam_rider": Game(((0, 12, 0, _ALL), (12, 17, 0, 30)), 100.0),
    "breakout": Game(((0, 6, 0, _ALL),), 5.0),
    "enduro": Game(((63, _ALL, 0, _ALL),), 10.0),
    "pong": Game(((0, 9, 0, _ALL),), 0.0),  # a lost point is a reward of -1 already
    "qbert": Game(((0, 6, 14, 42),), 100.0),
    "seaquest": Game(((0, 8, 0, _ALL),), 40.0),
    "space_invaders": Game(((0, 8, 0, _ALL),), 30.0),
}

NOVEL = {"enduro_level": "enduro"}  # behaviours that no score rewards, by the game that they are played in

UNKNOWN = Game((), 1.0)  # any other game: nothing is blanked, which a run has to ask for


class AtariTask:
    """The task ``atari/<game>``.

    Raises:
        UserError: ale_py has no such game, or is not installed and the game is not one of the paper's.
    """

    packages = ("ale-py",)

    def __init__(self, name: str) -> None:
        self._game = name.removeprefix("atari/")
        self._program = NOVEL.get(self._game, self._game)
        if self._program not in GAMES and self._program not in games():
            raise unknown("game", self._game, (*games(), *NOVEL))
        self.info = TaskInfo(
            f"atari/{self._game}@1",
            LONGEST,
            SEGMENT,
            fixed_length=True,
            endless=True,
            pixels=True,
            clip=1.0,
            score_shown=self._program not in GAMES,
        )

    def make(self, num_envs: int, seed: int, threads: int) -> AtariVectorEnv:
        """``num_envs`` games, stepped by so many threads; the same for any number of them."""
        from prefrl_core.tasks.atari import AtariVectorEnv

        return AtariVectorEnv(self._game, num_envs, seed, threads)


@functools.cache
def games() -> tuple[str, ...]:
    """All games that ale_py has the program of.

    Raises:
        UserError: it is not installed.
    """
    try:
        from ale_py import roms
    except ModuleNotFoundError as error:
        raise UserError("Atari games need the package 'ale-py': pip install 'prefrl-bench[atari]'") from error
    return tuple(sorted(roms.get_all_rom_ids()))
