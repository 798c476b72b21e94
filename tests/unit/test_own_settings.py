"""Settings of parts of one's own are checked by their types, whether these are text (``from __future__``) or not."""

from dataclasses import dataclass, field, replace  # no `from __future__ import annotations`: here the types are types
from functools import partial
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from bench import store
from prefrl_core import parts, registry, tasks
from prefrl_core.errors import UserError
from prefrl_core.feedback.labelers import Oracle
from prefrl_core.policy import hyperparameters
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


def test_revision_and_target_may_be_settings_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass(frozen=True)
    class Revised(Oracle):
        revision: str = "main"

    register("labeler", "revised-here")(Revised)
    made = RunSpec.of({"task": "mujoco/hopper", "labeler": "revised-here"})
    assert made.labeler["revision"] == "main" and made.revisions() == {}


def test_names_that_nobody_can_take_are_refused() -> None:
    with pytest.raises(UserError, match="policy 'tuned' stands for others"):
        register("policy", "tuned")(Hurried)
    with pytest.raises(UserError, match="register it without its version"):
        register("task", "mine/three@1")(Hurried)
    with pytest.raises(UserError, match="is partial: register a class or a function"):
        register("labeler", "partly")(partial(Hurried))


def test_an_entry_point_with_a_name_of_ours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("skip", "theirs:Skip", "prefrl.labeler")
    monkeypatch.setattr(registry, "_entry_points", lambda kind: {"skip": point})
    with pytest.raises(UserError, match="labeler 'skip' of theirs has a name of ours"):
        registry.find("labeler", "skip")


def test_a_task_with_another_tasks_id_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Copied:
        info = tasks.describe("mujoco/reacher")

    monkeypatch.setitem(registry._parts, "task", {**registry._parts["task"], "mine/copied": Copied})
    with pytest.raises(UserError, match="task 'mine/copied' has info.id = 'mujoco/reacher@1', which is another task's"):
        tasks.describe("mine/copied")


def test_anothers_task_takes_no_settings_of_ours_by_its_last_name() -> None:
    swimmer = replace(tasks.describe("mujoco/swimmer"), id="lab/swimmer@1")
    assert hyperparameters.of("sac", swimmer) == {"center_rewards": False}
    assert hyperparameters.of("sac", tasks.describe("mujoco/swimmer"))["n_step"] == 5


@pytest.mark.parametrize("updates", [2.5, "many", lambda: 3])
def test_counts_of_steps_are_whole_numbers(updates: Any) -> None:
    with pytest.raises(UserError, match=r"policy 'mine' has updates = .*: make it a whole number, or leave it out"):
        parts._whole(updates, "policy", {"name": "mine"}, "updates")
    assert type(parts._whole(np.int64(3), "policy", {"name": "mine"}, "updates")) is int
