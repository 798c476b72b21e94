"""Where an error came up, for whoever wrote the code that it came up in."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from prefrl_core.errors import located

MINE = """
import gymnasium as gym
import numpy as np


def inner(rewards):
    return rewards.reshape(7)


def answer(rewards):
    return inner(np.asarray(rewards))


class Env(gym.Env):
    observation_space = action_space = gym.spaces.Box(-1, 1, (1,))

    def reset(self, **kwargs):
        return self.nothing
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "my_code.py"
    path.write_text(MINE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_code", raising=False)
    return path


def test_the_place_is_the_innermost_line_of_the_users_own_code(mine: Path) -> None:
    """NumPy raises it, below the user's function; a vector environment of Gymnasium's lies above it."""
    module = importlib.import_module("my_code")
    with pytest.raises(ValueError) as caught:
        module.answer(np.zeros(3))
    assert located(caught.value).endswith(f"into shape (7,), at {mine}, line 7, in inner")
    with pytest.raises(AttributeError) as missing:
        gym.vector.SyncVectorEnv([module.Env]).reset()
    assert located(missing.value).endswith(f"has no attribute 'nothing', at {mine}, line 18, in reset")


def test_code_that_cannot_be_parsed_is_named_by_its_own_line(mine: Path) -> None:
    mine.write_text("x = 1\ny = = 2\n")
    with pytest.raises(SyntaxError) as caught:
        importlib.import_module("my_code")
    assert located(caught.value) == f"SyntaxError: invalid syntax, at {mine}, line 2"


def test_without_code_of_the_users_it_is_the_innermost_line_of_all() -> None:
    from prefrl_core.tasks import checks

    with pytest.raises(IndexError) as caught:
        checks.require_finite("t", np.zeros(0, int), action=np.full((1, 1), np.nan))
    below = caught.value.__traceback__.tb_next  # type: ignore[union-attr]  # this test is the user's code
    assert "prefrl_core/tasks/checks.py, line " in located(caught.value.with_traceback(below))
    assert located(KeyboardInterrupt()) == "KeyboardInterrupt"
