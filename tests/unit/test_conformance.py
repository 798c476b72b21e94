"""The laws: our parts keep them, and for every law a part that breaks it is caught by its name."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from broken_labelers import LABELERS
from broken_policies import POLICIES
from broken_queries import QUERIES
from broken_rewards import REWARDS
from broken_tasks import TASKS, History

from bench import conformance
from bench.conformance import Subject, laws, reward, short_run, task
from prefrl_core import registry, tasks
from prefrl_core.errors import UserError
from prefrl_core.feedback.labelers import Oracle, Teacher
from prefrl_core.policy.ppo import PPOSettings

BROKEN = {"labeler": LABELERS, "query": QUERIES, "policy": POLICIES, "reward": REWARDS, "task": TASKS}


EVERY_LAW = {
    kind: [law.__name__.replace("_", " ") for law in (short_run.settings, *conformance.LAWS[kind])] for kind in BROKEN
}


FASTER = {"reed": {"members": 2, "dynamics_batch": 32}}


OURS = [
    (kind, name)
    for kind in ("labeler", "query", "policy", "reward")
    for name in registry.names(kind)
    if registry.find(kind, name).__module__.startswith("prefrl_core")
    and name not in ("human", "convolutional", "module")  # people, pixels (below), and a module that has to be named
] + [
    ("task", name)
    for name in ("conformance/line", "conformance/choice", "mujoco/reacher@1", "mujoco-v5/inverted_double_pendulum@1")
]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Parts registered by a test are forgotten after it."""
    for kind, parts in registry._parts.items():
        monkeypatch.setitem(registry._parts, kind, dict(parts))
    yield lambda kind, part, name="broken/task": Subject(kind, registry.register(kind, name)(part) and name)
    sys.modules.pop("contrary", None)  # so that the next test that names it registers its parts again


def judged(subject: Subject, law: str) -> laws.Verdict:
    every = (short_run.settings, *conformance.LAWS[subject.kind])
    return laws.judge(subject, [one for one in every if one.__name__ == law.replace(" ", "_")])[0]


@pytest.mark.parametrize(("kind", "name"), OURS, ids=lambda part: part)
def test_our_own_parts_keep_every_law(kind: Any, name: str) -> None:
    verdicts = conformance.check(Subject(kind, name, FASTER.get(name, {})))
    assert [verdict for verdict in verdicts if verdict.state == "broken"] == []
    given_up = {verdict.law for verdict in verdicts if verdict.state == "not applicable"}
    assert given_up <= ({"stagger", "shorten"} if kind == "task" else set())


def test_a_reward_model_over_pixels_is_tried_on_pictures() -> None:
    pytest.importorskip("torch")
    made = laws.judge(
        Subject("reward", "convolutional", {"members": 2}),
        [short_run.settings, reward.shapes, reward.complement, reward.arguments_unchanged],
    )
    assert [one for one in made if one.state != "kept"] == []
    assert short_run._spec(Subject("reward", "convolutional")).task == "conformance/screen@1"


def test_the_screen_keeps_the_laws_of_a_task() -> None:
    made = laws.judge(Subject("task", "conformance/screen@1"), task.LAWS)
    assert [one for one in made if one.state != "kept"] == [one for one in made if one.law in ("stagger", "shorten")]


def test_a_reward_model_without_a_network_is_refused_in_a_line() -> None:
    with pytest.raises(UserError, match="--set module="):
        conformance.check(Subject("reward", "module"))


def test_a_game_keeps_the_laws_of_a_task_over_pixels() -> None:
    pytest.importorskip("ale_py")
    made = laws.judge(Subject("task", "atari/pong"), [task.description, task.spaces, task.autoreset, task.fixed_length])
    assert [one.state for one in made] == ["kept", "kept", "not applicable", "not applicable"]


@pytest.mark.parametrize(
    ("kind", "law"), [(kind, law) for kind, parts in BROKEN.items() for law in parts], ids=lambda part: part
)
def test_a_part_that_breaks_a_law_is_caught_by_its_name(kind: Any, law: str, registered: Any) -> None:
    verdict = judged(registered(kind, BROKEN[kind][law]), law)
    assert (verdict.law, verdict.state) == (law, "broken")
    assert not verdict.seen.startswith("raised") or verdict.seen.startswith("raised UserError: query strategy Bad has")


def test_every_law_has_a_part_that_breaks_it() -> None:
    caught = {law for parts in BROKEN.values() for law in parts}
    assert {law for every in EVERY_LAW.values() for law in every} == caught


def test_a_view_of_a_trajectory_is_no_array_of_the_callers(registered: Any) -> None:
    TASKS_PART = type(
        "Part", (), {"info": TASKS["state"].info, "make": lambda self, n, seed, threads: History(n, seed)}
    )
    verdict = judged(registered("task", TASKS_PART), "arrays are the callers")
    assert verdict.state == "broken" and "bytes alive" in verdict.seen


def test_the_published_codes_tie_is_not_symmetric() -> None:
    subject = Subject("labeler", "bpref", {"bpref_code": True})
    assert judged(subject, "symmetric").state == "broken"
    assert judged(subject, "prefers the better").state == "kept"


@pytest.mark.parametrize(
    "settings", [{"rationality": 0.3, "mistake": 0.2}, {"discount": 0.8, "skip": 0.3, "equal": 0.2}]
)
def test_a_teacher_states_its_own_frequencies(settings: dict[str, float]) -> None:
    assert judged(Subject("labeler", "bpref", settings), "calibrated").state == "kept"
    asked = conformance.labeler._questions()
    p = Teacher(**settings).probabilities(asked)  # type: ignore[arg-type]
    left, right = (
        (side * settings.get("discount", 1.0) ** np.arange(9, -1, -1.0)).sum(1) for side in (asked.left, asked.right)
    )
    chosen = 1 / (1 + np.exp(0.3 * (right - left))) if "rationality" in settings else np.sign(left - right) / 2 + 0.5
    mistake = settings.get("mistake", 0.0)
    np.testing.assert_allclose(p, (1 - mistake) * chosen + mistake * (1 - chosen), rtol=1e-12)


def test_lawful_coins_are_not_called_crooked() -> None:
    """The stated bound of one false alarm in a million, over as many comparisons as a check makes, a hundred times."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        one, other = rng.binomial(400, 0.15, (2, 60))
        laws.same_shares(one, other, 400, str)
    with pytest.raises(laws.Broken, match="120 of 400 times, mirrored 60 of 400"):
        laws.same_shares(np.array([60, 120]), np.array([60, 60]), 400, str)


def test_checking_leaves_the_global_generators_alone() -> None:
    before = random.getstate(), np.random.get_state()[1].tobytes()  # noqa: NPY002
    conformance.check(Subject("labeler", "stochastic"))
    assert before == (random.getstate(), np.random.get_state()[1].tobytes())  # noqa: NPY002


def test_an_exception_breaks_the_laws_that_meet_it(registered: Any) -> None:
    def answer(self: Any, questions: Any, generator: Any) -> Any:
        raise ZeroDivisionError("of\nmine")

    verdicts = conformance.check(registered("labeler", type("Bad", (Oracle,), {"answer": answer})))
    states = {verdict.law: verdict.state for verdict in verdicts}
    assert states.pop("settings") == "kept" and set(states.values()) == {"broken"}
    place = f"at {__file__}, line {answer.__code__.co_firstlineno + 1}, in answer"
    assert verdicts[1].seen == f"raised ZeroDivisionError: of mine, {place}"
    assert {verdict.seen for verdict in verdicts[2:]} == {"raised the same as 'answers'"}


def test_names_are_found_in_every_spelling() -> None:
    def found(word: str) -> list[tuple[str, str]]:
        return [(one.kind, one.name) for one in conformance.resolve(word, {})]

    assert (
        found("prefrl_core.feedback.labelers:Skip") == found("labeler:skip") == found("skip") == [("labeler", "skip")]
    )
    assert found("mujoco/hopper") == found("task:mujoco/hopper@1") == [("task", tasks.describe("mujoco/hopper").id)]
    assert found("gymnasium/CartPole-v1") == [("task", "gymnasium/CartPole-v1@1")]
    assert set(found("prefrl_core.policy")) == {("policy", name) for name in ("ppo", "trpo", "a2c", "sac", "dqn")}
    with pytest.raises(UserError, match="did you mean"):
        conformance.resolve("query:k_centre", {})


def test_a_part_without_a_name_is_told_by_what_it_offers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registered: Any
) -> None:
    (tmp_path / "contrary.py").write_text(
        "from bench.conformance.arena import Line\n"
        "from prefrl_core.feedback.queries import Uniform\n"
        "from prefrl_core.policy.ppo import PPOSettings\n"
        "from prefrl_core.tasks import TaskInfo\n"
        "class MyQuery(Uniform): pass\n"
        "class MyPolicy(PPOSettings): pass\n"
        "class MyTask(Line):\n"
        "    info = TaskInfo('contrary/line@2', 40, 8, fixed_length=True)\n"
        "class Nameless(Line):\n"
        "    info = TaskInfo('contrary/line', 40, 8, fixed_length=True)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, kind in (("MyQuery", "query"), ("MyPolicy", "policy"), ("MyTask", "task")):
        [found] = conformance.resolve(f"contrary:{name}", {})
        assert (found.kind, found.name) == (kind, f"contrary.{name}" if kind != "task" else "contrary/line@2")
        law = {"query": "factor", "policy": "deterministic", "task": "spaces"}[kind]
        assert judged(found, law).state == "kept"
    assert judged(found, "same run twice").state == "kept"  # a run finds a task again by its id
    with pytest.raises(UserError, match="contrary:Nameless: info.id = 'contrary/line' has no version"):
        conformance.resolve("contrary:Nameless", {})


def test_a_policy_may_refuse_a_kind_of_action(registered: Any) -> None:
    class Continuous(PPOSettings):
        def make(self, env: Any, seed: int) -> Any:
            if getattr(env, "choices", 0):
                raise UserError("discrete actions: choose another policy")
            return super().make(env, seed)

    verdict = judged(registered("policy", Continuous), "shapes and bounds")
    assert (verdict.state, verdict.seen) == ("kept", "continuous")


def test_a_part_that_leaves_or_raises_what_is_no_exception_breaks_the_law() -> None:
    class Odd(BaseException):
        pass

    def leaves(part: Any) -> str:
        sys.exit(0)

    def is_odd(part: Any) -> str:
        raise Odd("hm")

    verdicts = laws.judge(None, [leaves, is_odd])
    assert [one.state for one in verdicts] == ["broken", "broken"]
    assert verdicts[0].seen.startswith("raised SystemExit: 0") and verdicts[1].seen.startswith("raised Odd: hm")
