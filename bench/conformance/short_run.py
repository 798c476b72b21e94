"""A real run of a few thousand steps with the part in it, and the laws that only a run can show."""

from __future__ import annotations

import dataclasses
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.conformance import arena
from bench.conformance.laws import NotApplicable, as_bytes, hold, poisoned
from bench.conformance.lesson import sees_pixels_alone
from bench.conformance.subject import BRIEF, Subject
from prefrl_core import checkpoint, loop, registry, tasks
from prefrl_core.feedback.interview import Program
from prefrl_core.feedback.labelers import Questions
from prefrl_core.spec import RunSpec

_ENVIRONMENTS, _ROLLOUT = 4, 64
_SHORT_SEGMENT = 2
_STEPS, _LABELS = 6_007, 41  # odd, so that rounding to whole rollouts or batches of questions would show
_PIXEL_STEPS, _PIXEL_FITS = 2_007, {"initial_updates": 8, "updates": 1}  # over pixels, where all of it is dearer


def _spec(subject: Subject) -> RunSpec:
    """A run that has the part and is otherwise small."""
    task = tasks.describe(_task(subject))
    rollout = max(_ROLLOUT, task.segment_steps)
    small = {"name": "ppo", "environments": _ENVIRONMENTS, "rollout_steps": rollout, "epochs": 2, "minibatch": 128}
    if subject.asks_critic:
        small = {"name": "sac", "environments": _ENVIRONMENTS, "rollout_steps": rollout, "rollouts": 1, "batch": 32}
    values: dict[str, Any] = {"task": task.id, "seed": 3, "total_steps": _STEPS, "labels": _LABELS, "policy": small}
    if task.pixels:  # a game that the package knows nothing of is tried all the same
        values |= {"total_steps": _PIXEL_STEPS, "reward_model": _PIXEL_FITS, "score_shown": True}
        values |= {"precision": "float32", "interleaved": True}  # which every processor knows
    else:
        values["reward_model"] = {"initial_updates": BRIEF["initial_updates"], "updates": BRIEF["updates"]}
    if subject.kind != "task":
        values[subject.setting] = subject.plain(task.id)
    if subject.kind == "reward":
        own = values["reward_model"]
        values["reward_model"] = {**own, **{k: v for k, v in BRIEF.items() if k in own and k not in subject.settings}}
    if subject.kind == "policy":
        made = registry.find("policy", subject.name)(**{k: v for k, v in values["policy"].items() if k != "name"})
        turn = made.environments * made.rollout_steps * getattr(made, "rollouts", 1)
        values["total_steps"] = max(_STEPS, 6 * turn + made.environments - 1)
    # an untrained policy's episodes may end within a few steps, and a segment never crosses an end
    segment = task.segment_steps if task.fixed_length else min(task.segment_steps, _SHORT_SEGMENT)
    values |= {"segment": segment, "labels": min(_LABELS, values["total_steps"] // (4 * segment))}
    return RunSpec.of({**values, "variable_length": not task.fixed_length})


def _task(subject: Subject) -> str:
    """Where a part is tried: a task by itself, other parts on the line, on pictures of it, or where one chooses."""
    if subject.kind == "task":
        return subject.name
    if subject.kind == "policy" and subject.choices:
        return arena.Choice.info.id
    pixels = subject.kind == "reward" and sees_pixels_alone(subject.make())
    return (arena.Screen if pixels else arena.Line).info.id


class _Counted:
    """A run whose environment's steps and whose labeler's questions are counted apart from its own accounts."""

    def __init__(self, spec: RunSpec, state: dict[str, Any] | None = None) -> None:
        self.run, self.steps, self.questions = loop.start(spec, state=state), 0, 0
        answers = self.run.interview.answers
        assert isinstance(answers, Program)
        self._step, self._labeler = self.run.env.step, answers.labeler
        self.run.env.step = self.step  # type: ignore[method-assign]
        answers.labeler = self

    def step(self, actions: NDArray[Any]) -> Any:
        self.steps += self.run.env.num_envs
        return self._step(actions)

    def answer(self, questions: Questions, generator: np.random.Generator) -> NDArray[np.float64]:
        self.questions += len(questions.left)
        answers: NDArray[np.float64] = self._labeler.answer(questions, generator)
        return answers

    def go_on(self, rows: int | None = None) -> list[dict[str, Any]]:
        """Iterate to the end, or for so many rows."""
        done: list[dict[str, Any]] = []
        while not self.run.finished and (rows is None or len(done) < rows):
            done.append(dict(loop.turn(self.run)))
        return done


class ShortRun:
    """One run to its end, once more under other global seeds, and once cut off half-way and resumed."""

    def __init__(self, subject: Subject) -> None:
        self.spec = _spec(subject)
        whole = _Counted(self.spec)
        self.rows = whole.go_on()
        self.steps, self.questions = whole.steps, whole.questions
        self.comparisons = whole.run.comparisons.arrays()
        self.features = np.array(whole.run.comparisons.features)
        self.can_be_saved = whole.run.can_be_saved
        self.again, self.half, self.resumed = self._repeat(len(self.rows) // 2)

    def _repeat(self, half: int) -> tuple[bytes, list[dict[str, Any]], bytes]:
        with poisoned(99):
            once_more = _Counted(self.spec)
            rows = once_more.go_on(half)
            state = through_a_file(once_more.run.get_state()) if self.can_be_saved else None
            again = as_bytes([rows + once_more.go_on(), once_more.run.comparisons.arrays()])
            if state is None:
                return again, rows, b""
            resumed = _Counted(self.spec, state)
            return again, rows, as_bytes([rows + resumed.go_on(), resumed.run.comparisons.arrays()])

    @property
    def whole(self) -> bytes:
        """Everything measured and compared."""
        return as_bytes([self.rows, self.comparisons])


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    """The state as a resumed run has it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "checkpoint.safetensors"
        checkpoint.save(path, state)
        return checkpoint.load(path)


def settings(subject: Subject) -> str:
    """The component is a dataclass with fields of plain values. Nothing else distinguishes two of its kind."""
    part = registry.find(subject.kind, subject.name)
    hold(dataclasses.is_dataclass(part), f"{part} is no dataclass: its fields are what a suite file can set")
    found = subject.plain()
    again = Subject(subject.kind, subject.name, {name: value for name, value in found.items() if name != "name"})
    hold(again.plain() == found, f"its settings {found} do not make the same part again")
    return ", ".join(f"{name} = {value}" for name, value in found.items() if name != "name") or "none"


@cache
def _attempt(subject: Subject) -> ShortRun | BaseException:
    """A real run with the part, or the exception that ended it; laws share it."""
    try:
        return ShortRun(subject)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # somebody else's code may fail in any way
        return error


def _run(subject: Subject) -> ShortRun:
    """The subject's run; an exception in it breaks each law that needs one."""
    run = _attempt(subject)
    if isinstance(run, BaseException):
        raise run
    return run


def budget_exact(subject: Subject) -> str:
    """A run asks exactly the labels of its spec. It takes no step too many, and fewer than one step of all environments
    too few."""
    run = _run(subject)
    spec, steps, labels = run.spec, run.rows[-1]["step"], run.rows[-1]["labels"]
    environments = spec.policy["environments"]
    hold(steps == run.steps, f"{run.steps} steps taken, {steps} accounted for")
    hold(spec.total_steps - environments < steps <= spec.total_steps, f"{steps} of {spec.total_steps} steps taken")
    hold(labels == run.questions == spec.labels, f"{run.questions} of {spec.labels} labels asked, {labels} accounted")
    return f"{steps} of {spec.total_steps} steps in {environments} environments, {labels} of {spec.labels} labels"


def finite_rows(subject: Subject) -> str:
    """All measurements of a run are finite."""
    for row in _run(subject).rows:
        bad = [name for name, value in row.items() if isinstance(value, float) and not np.isfinite(value)]
        hold(not bad, f"{bad} at step {row['step']}")
    return f"{len(_run(subject).rows)} rows of metrics"


def different_segments_compared(subject: Subject) -> str:
    """No comparison of a run compares a segment with itself."""
    features = _run(subject).features
    sides = features.reshape(len(features), 2, -1)
    same = int((sides[:, 0] == sides[:, 1]).all(axis=1).sum())
    hold(not same, f"{same} of {len(features)} comparisons are of a segment with itself")
    return f"{len(features)} comparisons"


def same_run_twice(subject: Subject) -> str:
    """The same spec gives the same metrics and comparisons, whatever the global generators hold."""
    run = _run(subject)
    hold(run.again == run.whole, "a second run of the same spec measured something else")
    return "equal to the bit, under other global seeds"


def resumed_is_uninterrupted(subject: Subject) -> str:
    """A run that is cut off half-way and resumed from its checkpoint gives the same as an undisturbed one."""
    run = _run(subject)
    if not run.can_be_saved:
        raise NotApplicable("the task has no get_state: a run that is cut off starts over")
    hold(
        run.resumed == run.whole, f"resumed after {len(run.half)} of {len(run.rows)} rows, the rest came out otherwise"
    )
    return f"equal to the bit, cut after {len(run.half)} of {len(run.rows)} rows"


LAWS = (budget_exact, finite_rows, different_segments_compared, same_run_twice, resumed_is_uninterrupted)
