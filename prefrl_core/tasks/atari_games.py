"""What is known of each Atari game: which part of the screen tells the score, and what losing costs.

Rows and columns are those of the 84 x 84 picture that the learner sees. They were found by writing other numbers into
the bytes of the console's memory that hold the score and looking which pixels change; tests/unit/test_atari.py does
that again. In the paper's words the score is replaced by a constant black background, in BeamRider the number of enemy
ships too, and in Enduro the speedometer (Christiano et al. 2017, section A.2): there it is the whole instrument panel.
"""

from __future__ import annotations

from dataclasses import dataclass

Area = tuple[int, int, int, int]  # first row, row after the last, first column, column after the last

SEGMENT = 25  # steps of a clip: 1.7 s at 15 observations a second (Christiano et al. 2017, section A.2)
LONGEST = 27_000  # steps of a game: 108,000 frames, half an hour of play
_ALL = 84


@dataclass(frozen=True)
class Rules:
    """What is ours to choose in a game, and differs between versions of its task.

    ``penalty``: what a lost life or game costs in the oracle's eyes, in units of the score. The paper gives no size;
    here it is about that of a common reward or two. ``serve``: after a lost life the next action is FIRE, whatever the
    agent chooses, as it is with the usual wrappers (OpenAI Baselines) where a lost life ends an episode. An agent that
    need not serve can keep its lives by never playing.
    """

    penalty: float
    serve: bool = False


@dataclass(frozen=True)
class Game:
    """``blank``: areas that are painted black. ``rules``: those of each version of the task, the present one last."""

    blank: tuple[Area, ...]
    rules: tuple[Rules, ...]


GAMES = {
    "beam_rider": Game(((0, 12, 0, _ALL), (12, 17, 0, 30)), (Rules(100.0),)),
    "breakout": Game(((0, 6, 0, _ALL),), (Rules(5.0), Rules(5.0, serve=True))),
    "enduro": Game(((63, _ALL, 0, _ALL),), (Rules(10.0),)),
    "pong": Game(((0, 9, 0, _ALL),), (Rules(0.0),)),  # a lost point is a reward of -1 already
    "qbert": Game(((0, 6, 14, 42),), (Rules(100.0), Rules(20.0))),
    "seaquest": Game(((0, 8, 0, _ALL),), (Rules(40.0),)),
    "space_invaders": Game(((0, 8, 0, _ALL),), (Rules(30.0),)),
}

NOVEL = {"enduro_level": "enduro"}  # behaviours that no score rewards, by the game that they are played in

UNKNOWN = Game((), (Rules(1.0),))  # any other game: nothing is blanked, which a run has to ask for
