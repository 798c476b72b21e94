"""The files of a results folder as models: what each may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from bench.parse import Amount, Count, Key, Model, Name, Sha256, Text, plain, refuse

if TYPE_CHECKING:
    import numpy as np

CHECKED = (
    "spec.json",
    "provenance.json",
    "timing.jsonl",
    "comparisons.safetensors",
    "segments.safetensors",
)  # of a finished run
SAMPLES = ("samples.safetensors", "samples.json")  # and of one of the language track
ARRAYS = {  # by file and name, dimensions; all arrays of a file have as many rows
    "comparisons.safetensors": {"mu": 1, "true_returns": 2, "step_asked": 1, "multiplicity": 2, "features": 4},
    "segments.safetensors": {"step": 1, "predicted": 1, "true": 1},
}
_ALWAYS = {"segments.safetensors"}  # has all of its arrays; the comparisons of pixels and of lists have others
_TEXTS = ("phase", "stage")  # columns of a row that are no numbers
_LARGEST = 1e300  # of a metric: what diverges is refused where it is written, not here


def _row(values: Any) -> Any:
    """A row of metrics: a table of numbers, null where there is nothing to tell."""
    if not isinstance(values, dict) or len(values) > 1000:
        raise refuse("a row is a table of at most 1,000 numbers")
    step = values.get("step")
    if type(step) is not int or not 0 <= step <= 2**53:
        raise refuse("a row has a step, a whole number from 0 on")
    for name, value in values.items():
        number = type(value) in (int, float) and -_LARGEST < value < _LARGEST
        if not (number or value is None or (name in _TEXTS and isinstance(value, str))):
            raise refuse(f"{name!r} is no finite number")
    return values


def _timing(values: Any) -> Any:
    row = _row(values)
    if not isinstance(row.get("seconds"), (int, float)) or row["seconds"] < 0:
        raise refuse("a row of timing has seconds, from 0 on")
    return row


Row = Annotated[dict[str, Any], BeforeValidator(_row)]
Timing = Annotated[dict[str, Any], BeforeValidator(_timing)]


class _Part(Model):
    """A part by name, with settings that are the part's own business."""

    model_config = ConfigDict(extra="allow")
    name: Name


_Content = Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]  # no path: it would be followed


class Spec(Model):
    """A run's description, as far as the laboratory reads it without the run's own packages."""

    model_config = ConfigDict(extra="allow")
    task: Name
    seed: Count
    plugins: list[Name] = []
    labeler: _Part
    reward_model: dict[str, Any]
    query: _Part | None = None  # this and what follows: of runs in environments alone
    labels: Count | None = None
    segment: Count | None = None
    total_steps: Annotated[int, Field(ge=1, le=2**53)] | None = None
    known_comparisons: _Content = ""
    known_reward: _Content = ""

    @model_validator(mode="after")
    def _whole(self) -> Spec:
        for name in ("query", "labels", "segment", "total_steps"):
            if getattr(self, name) is None and not self.task.startswith("language/"):
                raise refuse(f"{name} is missing")
        return self


class SpecFile(Model):
    """``spec.json``: what the run is; its key is the hash of the rest."""

    schema_: Literal[1] = Field(alias="schema")
    key: Key
    spec: Annotated[Spec, BeforeValidator(plain)]
    versions: Annotated[dict[Name, int | Name | None], Field(max_length=100)]


class _Git(Model):
    revision: Name | None
    dirty: bool


class Origin(Model):
    """Where, when and with which software a run began or went on."""

    model_config = ConfigDict(extra="allow")
    git: _Git | None = None
    versions: Annotated[dict[Name, Name | None], Field(max_length=100)] = {}
    cpu: Text | None = None
    cores: Count | None = None
    platform: Text | None = None
    started: Name | None = None


class Provenance(Origin):
    """``provenance.json``."""

    resumed: Annotated[list[Origin], Field(max_length=100_000)] = []


class Failed(Model):
    """``failed.json``."""

    error: Text
    fault: bool = False  # nobody foresaw it


class Done(Model):
    """``done.json``. Files are named by a closed list: no name in it leads out of the run's folder."""

    schema_: Literal[1] = Field(alias="schema")
    steps: Count
    labels: Count
    wall_seconds: Amount
    cpu_seconds: Amount
    idle_seconds: Amount
    bare_steps_per_second: Amount | None = None
    peak_memory_bytes: Count
    reward_gradient_steps: Count | None = None  # None where the reward model does not say, and in older runs
    policy_updates: Count | None = None
    metrics_sha256: Sha256
    sha256: dict[Literal[CHECKED + SAMPLES], Sha256 | None]  # type: ignore[valid-type]
    answers_sha256: Sha256 | None = None  # of what people answered, see bench.answers.record


class Texts(Model):
    """``samples.json``: a list of texts by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, list[Text]]


def wrong(file: str, arrays: Mapping[str, np.ndarray]) -> str:
    """What is wrong with the arrays of a file: one that is known by name is not of its form, or is not there."""
    known = ARRAYS.get(file, {})
    found = [(name, array, known[name]) for name, array in arrays.items() if name in known]
    if file in _ALWAYS and len(found) < len(known):
        return f"it lacks {', '.join(sorted(known.keys() - arrays.keys()))}"
    for name, array, dimensions in found:
        if array.ndim != dimensions or array.dtype.kind not in "iuf" or array.shape[:1] != found[0][1].shape[:1]:
            return f"{name} is {array.dtype.name} of shape {array.shape}, {found[0][0]} of {found[0][1].shape}"
    return ""
