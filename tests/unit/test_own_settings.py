"""Settings of parts of one's own are checked by their types, whether these are text (``from __future__``) or not."""

from dataclasses import dataclass, field  # no `from __future__ import annotations`: here the types are types
from typing import Any

import pytest

from bench import store
from prefrl_core import registry
from prefrl_core.errors import UserError
from prefrl_core.feedback.labelers import Oracle
from prefrl_core.registry import register
from prefrl_core.spec import RunSpec


@dataclass(frozen=True)
class Hurried(Oracle):
    """As in the tutorial, with settings of more types."""

    watched: int = 5
    absent: float = 0.1
    sizes: tuple[int, ...] = (8, 8)
    names: list[str] = field(default_factory=list)
    limit: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.absent > 1:
            raise ValueError("absent is a probability")


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._parts, "labeler", dict(registry._parts["labeler"]))
    register("labeler", "hurried-here")(Hurried)


def spec(**settings: Any) -> RunSpec:
    return RunSpec.of({"task": "mujoco/hopper", "labeler": {"name": "hurried-here", **settings}})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"watched": "x"}, "'watched' = 'x': expected int"),
        ({"watched": 2.5}, "'watched' = 2.5: expected int"),
        ({"watched": True}, "'watched' = True: expected int"),
        ({"absent": "0.1"}, "'absent' = '0.1': expected float"),
        ({"absent": float("nan")}, "'absent' = nan is not a finite number"),
        ({"sizes": [8, "a"]}, "'sizes' = [8, 'a']: expected tuple[int, ...]"),
        ({"names": [1]}, "'names' = [1]: expected list[str]"),
        ({"limit": "none"}, "'limit' = 'none': expected float | None"),
        ({"absent": 2.0}, "ValueError: absent is a probability, at "),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        spec(**settings)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_two_spellings_of_one_number_are_one_run() -> None:
    keys = {store.key_of(spec(absent=value, limit=value).canonical(), {}) for value in (0, 0.0)}
    assert len(keys) == 1
