"""The main track: an agent in an environment learns from comparisons of clips (``prefrl_core.loop``)."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrl_core import METHOD_VERSION
from prefrl_core.errors import UserError
from prefrl_core.spec import RunSpec

if TYPE_CHECKING:
    from bench.costs import Costs
    from bench.recorder import FolderRecorder
    from prefrl_core.feedback.desk import Desk
    from prefrl_core.sources import Source

SAVED_EVERY = 16  # turns


class Environments:
    """See ``bench.tracks.Track``."""

    name = "environments"
    settings = tuple(entry.name for entry in dataclasses.fields(RunSpec))
    outcome = "true_return"
    labels = "labels"
    packages = ("mujoco", "gymnasium")

    def spec(self, values: Mapping[str, Any]) -> RunSpec:
        return RunSpec.of(values)

    def shortened(self, values: Mapping[str, Any], steps: int) -> dict[str, Any]:
        return {**values, "total_steps": steps}

    def asking(self, values: Mapping[str, Any], labels: int) -> dict[str, Any]:
        return {**values, **({"labels": labels} if values.get("labels") else {})}

    def task(self, name: str) -> str:
        from prefrl_core import tasks

        return tasks.describe(name).id

    def require_data(self, task: str) -> None:
        """Environments need none."""

    def tasks(self) -> list[str]:
        from prefrl_core import tasks

        return tasks.names()

    def versions(self, spec: RunSpec) -> dict[str, Any]:
        from prefrl_core import tasks

        plugins = {name: str(source) for name, source in self.plugins(spec).items()}
        return {"method": METHOD_VERSION, **tasks.versions(spec.task), **spec.revisions(), **plugins}

    def plugins(self, spec: RunSpec) -> Mapping[str, Source]:
        from prefrl_core import sources

        return sources.of(spec)

    def shares(self, spec: RunSpec) -> str:
        return ""

    def kind(self, spec: RunSpec) -> tuple[str, str, str]:
        settings = {**spec.canonical(), "seed": 0, "labels": min(spec.labels, 1), "total_steps": 0}
        return spec.reward, spec.policy["name"], json.dumps(settings)

    def learn(
        self, spec: RunSpec, recorder: FolderRecorder, state: dict[str, Any] | None, folder: Path, people: bool
    ) -> None:
        from prefrl_core.hardware import Hardware
        from prefrl_core.loop import learn
        from prefrl_core.tasks import describe

        if describe(spec.task).pixels and (remark := Hardware(spec.device, spec.precision).remark()):
            recorder.warn(remark)
        recorder.effort = learn(spec, recorder, state, _desk(folder, spec, people), folder)

    def place(self, spec: RunSpec, folder: Path) -> None:
        if spec.known_comparisons or spec.known_reward:
            from prefrl_core import known

            known.place(spec, folder)

    def measure(self, spec: RunSpec, seconds: float) -> Costs:
        from bench.probe import of_learner

        return of_learner(spec, seconds)

    def seconds(self, spec: RunSpec, costs: Costs) -> tuple[float, dict[str, float]]:
        turns = spec.total_steps / costs.round_steps
        acting = min(turns, costs.untrained_steps / costs.round_steps)
        rest = max(0.0, acting - 1) * costs.untrained + (turns - acting) * costs.learning
        return costs.first + rest + turns / SAVED_EVERY * costs.saving, {}

    def bare_speed(self, spec: RunSpec) -> float | None:
        from bench.physics import bare_speed

        return bare_speed(spec.task)


def _desk(folder: Path, spec: RunSpec, people: bool) -> Desk | None:
    """Where people answer: the ledger in the run's folder. Without them, answers that were heard are heard again."""
    if spec.labeler["name"] != "human":
        return None
    from bench.answers.desk import LedgerDesk
    from bench.answers.ledger import NAME, Ledger

    if not people and not (folder / NAME).exists():
        raise UserError(f"run {folder.name} is taught by people: python -m bench label {folder.name}")
    return LedgerDesk(Ledger(folder / NAME), live=people)
