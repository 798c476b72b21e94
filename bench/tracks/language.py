"""The language track: a run of the InstructGPT pipeline (``prefrl_core.language``), whose first stages lie beside the
runs in ``<out>/stages`` and are shared by them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.store import STAGES
from prefrl_core.language import spec as core
from prefrl_core.language import tasks
from prefrl_core.language.spec import LanguageSpec

if TYPE_CHECKING:
    from bench.costs import Costs
    from bench.recorder import FolderRecorder
    from prefrl_core.sources import Source


class Language:
    """See ``bench.tracks.Track``."""

    name = "language"
    settings = tuple(entry.name for entry in dataclasses.fields(LanguageSpec))
    outcome = "gold_gain"
    labels = "labels.rankings"
    packages = ("torch",)

    def spec(self, values: Mapping[str, Any]) -> LanguageSpec:
        return LanguageSpec.of(values)

    def shortened(self, values: Mapping[str, Any], steps: int) -> dict[str, Any]:
        table = values.get("ppo", {})  # what is no table is refused with all other settings
        return {**values, "ppo": {**table, "episodes": steps}} if isinstance(table, Mapping) else dict(values)

    def asking(self, values: Mapping[str, Any], labels: int) -> dict[str, Any]:
        return {**values, **({"rankings": labels} if self.spec(values).learns_reward else {})}

    def task(self, name: str) -> str:
        return tasks.describe(name).id

    def require_data(self, task: str) -> None:
        tasks.require_data(task)

    def tasks(self) -> list[str]:
        return sorted(tasks.TASKS)

    def plugins(self, spec: LanguageSpec) -> Mapping[str, Source]:
        return {}  # its parts are not registered

    def versions(self, spec: LanguageSpec) -> dict[str, Any]:
        # without what says how it was built ("+cpu"), which stands in the provenance
        made = {"language": core.METHOD_VERSION, "torch": metadata.version("torch").partition("+")[0]}
        if spec.model.checkpoint:
            from prefrl_core.language import hf

            made["transformers"] = hf.version()
        return made

    def shares(self, spec: LanguageSpec) -> str:
        return f"{spec.task} seed {spec.seed}"

    def kind(self, spec: LanguageSpec) -> tuple[str, str, str]:
        return "any", "the pipeline", json.dumps(spec.canonical()["model"])  # all of its work is timed at once

    def learn(
        self, spec: LanguageSpec, recorder: FolderRecorder, state: dict[str, Any] | None, folder: Path, people: bool
    ) -> None:
        from prefrl_core.language.pipeline import learn

        learn(spec, recorder, (folder.parent / STAGES).resolve(), state)  # on a node a link to what its runs share

    def place(self, spec: LanguageSpec, folder: Path) -> None:
        """A run begins with nothing of its own."""

    def measure(self, spec: LanguageSpec, seconds: float) -> Costs:
        from bench.tracks.language_costs import measure

        return measure(spec, seconds)

    def seconds(self, spec: LanguageSpec, costs: Costs) -> tuple[float, dict[str, float]]:
        from bench.tracks.language_costs import own, seconds, shared

        stages = {name: seconds(work, costs.units) for name, work in shared(spec).items()}
        return seconds(own(spec), costs.units), stages

    def bare_speed(self, spec: LanguageSpec) -> None:
        return None
