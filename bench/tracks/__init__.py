"""Kinds of runs. The task of a run decides which kind it is, here and nowhere else: one whose name begins with
``language/`` is a run of the InstructGPT pipeline, every other an agent that acts in an environment.

Whatever in the laboratory depends on the kind asks its track; the rest works with what ``Spec`` and ``Track`` promise.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from prefrl_core.errors import UserError, require

if TYPE_CHECKING:
    from bench.costs import Costs
    from bench.recorder import FolderRecorder
    from prefrl_core.sources import Source


class Spec(Protocol):
    """What the laboratory knows of any run's description: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def task(self) -> str:
        """With its version."""

    @property
    def seed(self) -> int: ...
    @property
    def reward(self) -> str:
        """``"true"`` where it learns from what other runs are judged by: the control."""

    @property
    def labels(self) -> int:
        """What the run may ask for, in the unit of its track."""

    @property
    def total_steps(self) -> int:
        """What the column ``step`` of its rows ends with, at most."""

    def canonical(self) -> dict[str, Any]: ...


class Track(Protocol):
    """What differs between the kinds of runs."""

    @property
    def settings(self) -> Sequence[str]:
        """What a suite file may set, task, seed and plugins among it."""

    @property
    def packages(self) -> Sequence[str]:
        """Those whose versions stand in a run's provenance."""

    name: str  # of the kind of run
    outcome: str  # the column that tells how well a run does: progress and ``show`` follow it
    labels: str  # the column that counts what was asked so far

    def spec(self, values: Mapping[str, Any]) -> Spec:
        """The validated description of a run.

        Raises:
            UserError: something in it is wrong.
        """

    def shortened(self, values: Mapping[str, Any], steps: int) -> dict[str, Any]:
        """The settings of a run with so many steps of training (``--steps``)."""

    def asking(self, values: Mapping[str, Any], labels: int) -> dict[str, Any]:
        """The settings of a run with a budget of so many (``--labels``); as they are where it asks for none."""

    def task(self, name: str) -> str:
        """The task's id, with its version.

        Raises:
            UserError: there is no such task.
        """

    def require_data(self, task: str) -> None:
        """Refuse a task whose data is not on this machine, before any run of it begins.

        Raises:
            UserError: it is not there; says how to get it.
        """

    def tasks(self) -> list[str]:
        """Ids of all tasks that have a name of their own."""

    def versions(self, spec: Any) -> dict[str, Any]:
        """The versions that stand in the key of a run: numbers of two of them are never averaged. The code of parts
        that do not come with the project is among them."""

    def plugins(self, spec: Any) -> Mapping[str, Source]:
        """The code of a run's parts that do not come with the project, by kind and name."""

    def shares(self, spec: Any) -> str:
        """A name in common to runs that begin with the same stages; empty where each begins with nothing."""

    def kind(self, spec: Any) -> tuple[str, str, str]:
        """What a run's cost depends on besides its task: reward, optimiser, and every other setting as JSON."""

    def place(self, spec: Any, folder: Path) -> None:
        """Put what the run begins from into its new folder, where a spec names files."""

    def learn(
        self, spec: Any, recorder: FolderRecorder, state: dict[str, Any] | None, folder: Path, people: bool
    ) -> None:
        """Do the run whose folder this is, or what is left of it."""

    def measure(self, spec: Any, seconds: float) -> Costs:
        """What a run costs on this machine, by some turns of it."""

    def seconds(self, spec: Any, costs: Costs) -> tuple[float, dict[str, float]]:
        """Wall time of a run by these costs: of its own work, and of each stage that runs of equal ``shares`` share."""

    def bare_speed(self, spec: Any) -> float | None:
        """Steps a second of the run's yardstick in this process; None where it has none."""


def of(task: str) -> Track:
    """The track of a task, by its name alone."""
    return _track(_is_language(task))


def labels_of(task: Any) -> str:
    """The column that counts labels in runs on a task, known without the packages that such runs need."""
    return "labels.rankings" if _is_language(task) else "labels"


def _is_language(task: str) -> bool:
    return str(task).startswith("language/")


@cache
def _track(language: bool) -> Track:
    if language:
        from bench.tracks.language import Language

        return Language()
    from bench.tracks.environments import Environments

    return Environments()


def require_environment(task: str, what: str) -> None:
    """Refuse what only a run in an environment has.

    Raises:
        UserError: the task is of another kind.
    """
    require(not _is_language(task), f"{what} knows runs in environments alone, and {task} is a language task")


def every() -> list[Track]:
    """All tracks that can run here; one whose packages are not installed cannot."""
    found = []
    for language in (False, True):
        with contextlib.suppress(UserError):
            found.append(_track(language))
    return found


def common(tasks: Iterable[str]) -> Track:
    """The track of a suite's tasks.

    Raises:
        UserError: they are of several.
    """
    first, *rest = tasks
    for other in rest:
        if of(other) is not of(first):
            raise UserError(f"[sweep] task: {first!r} and {other!r} are runs of different kinds: give each a suite")
    return of(first)
