"""What one run is: a frozen, validated description whose canonical form names the run.

Everything that can change a run's numbers is a field here, and nothing else is. ``RunSpec.of`` reads a plain
mapping (as a suite file gives it), fills in each part's defaults and refuses unknown keys, so two
spellings of one run have one canonical form.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from prefrl_core import registry
from prefrl_core.errors import UserError, require, unknown

T = TypeVar("T")

# Raised whenever a change to the method alters the numbers of a run; stands in every run's key and in the changelog.
METHOD_VERSION = 4

# What differs where observations are pixels: the paper's fully connected layer, scale and buffer (Christiano et al.
# 2017, section A.2); the others are ours, docs/atari.md says what they were chosen by.
PIXEL_REWARD: dict[str, Any] = {
    "hidden": (64,),
    "learning_rate": 3e-4,
    "batch_pairs": 8,
    "updates": 4,
    "l2": 1e-5,
    "output_std": 0.05,
    "label_buffer": 3000,
}

_DEFAULTS: dict[registry.Kind, str] = {"policy": "ppo", "labeler": "oracle", "query": "disagreement"}


def of_pixels(default: Any) -> Any:
    """A setting that came with the tasks over pixels: elsewhere it stands in the canonical form only where it is not
    the default, so that the runs from before keep their names."""
    return field(default=default, metadata={"pixels": True})


def plain(settings: Any, pixels: bool) -> dict[str, Any]:
    """A settings dataclass as plain values, for a task over pixels or for another one."""
    values = dataclasses.asdict(settings)
    for entry in dataclasses.fields(settings):
        own = getattr(settings, entry.name)
        if dataclasses.is_dataclass(own):
            values[entry.name] = plain(own, pixels)
        elif "pixels" in entry.metadata and not pixels and own == entry.default:
            del values[entry.name]
    return values


@dataclass(frozen=True)
class RewardSettings:
    """The reward ensemble and its fitting (Christiano et al. 2017, sections 2.2.3 and A.1)."""

    members: int = 3  # predictors in the ensemble
    hidden: tuple[int, ...] = (64, 64)  # widths of the leaky ReLU layers
    learning_rate: float = 3e-3  # Adam
    batch_pairs: int = 16  # comparisons a member sees in one gradient step
    initial_updates: int = 200  # gradient steps after the labels of the untrained policy
    updates: int = 6  # gradient steps after each later rollout, however many labels there are
    uniform_answer: float = 0.1  # share of answers that the likelihood takes to be uniformly random
    l2: float = 1e-3  # initial weight of the squared weights; 0 turns regularisation off
    l2_rate: float = 0.01  # relative change of that weight in one gradient step
    output_std: float = 1.0  # standard deviation of the predicted reward over the compared segments
    normalise: bool = True  # bring each member to mean 0 and that standard deviation before they are averaged
    target: str = "preference"  # what is fitted; "return": the true return of each segment shown, by squared error
    label_buffer: int = of_pixels(0)  # the newest labels are kept and fitted to, so many; 0 keeps all
    dropout: float = of_pixels(0.1)  # share of the channels left out of each layer over pixels while fitting

    def __post_init__(self) -> None:
        for name in ("members", "batch_pairs"):
            require(getattr(self, name) >= 1, f"reward_model.{name} = {getattr(self, name)}: at least 1")
        for name in ("initial_updates", "updates", "l2", "l2_rate", "label_buffer"):
            require(getattr(self, name) >= 0, f"reward_model.{name} = {getattr(self, name)}: at least 0")
        for name in ("learning_rate", "output_std"):
            require(getattr(self, name) > 0, f"reward_model.{name} = {getattr(self, name)}: above 0")
        require(0 <= self.dropout < 1, f"reward_model.dropout = {self.dropout}: in [0, 1)")
        require(0 <= self.uniform_answer < 1, f"reward_model.uniform_answer = {self.uniform_answer}: in [0, 1)")
        require(
            self.target in ("preference", "return"),
            f"reward_model.target = {self.target!r}: choose 'preference' or 'return'",
        )
        require(all(width >= 1 for width in self.hidden), f"reward_model.hidden = {self.hidden}: widths of at least 1")


@dataclass(frozen=True)
class RunSpec:
    """One run. ``total_steps`` counts every environment step, those of the untrained policy included;
    ``labels`` counts every question put to the labeler, skipped ones and ties included."""

    task: str  # with its version, as in "mujoco/hopper@1"
    seed: int = 0
    total_steps: int = 1_000_000  # environment steps, over all environments
    reward: Literal["learned", "true"] = "learned"  # "true" is the control: no labels, the task's own reward
    labels: int = 0  # questions that may be put to the labeler
    policy: Mapping[str, Any] = field(default_factory=lambda: {"name": _DEFAULTS["policy"]})  # and its settings
    labeler: Mapping[str, Any] = field(default_factory=lambda: {"name": _DEFAULTS["labeler"]})  # who answers
    query: Mapping[str, Any] = field(default_factory=lambda: {"name": _DEFAULTS["query"]})  # which pairs to ask about
    reward_model: RewardSettings = RewardSettings()  # the ensemble and its fitting
    segment: int = 0  # steps of a clip; 0 takes the task's own
    initial_labels: float = 0.25  # share of the labels asked about the untrained policy
    schedule_constant: float = 0.1  # C / horizon of the label rate C / (T + C)
    variable_length: bool = False  # allow episodes whose end tells the agent what is wanted
    plugins: tuple[str, ...] = ()  # modules that register the parts named above
    score_shown: bool = of_pixels(False)  # allow a task whose picture tells the true return
    device: str = of_pixels("cpu")  # where networks over pixels live; "cuda" is a graphics card
    precision: str = of_pixels("bfloat16")  # in which networks over pixels are evaluated; or "float32"

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> RunSpec:
        """A validated, completed spec from plain values.

        Raises:
            UserError: an unknown key or name, or a value out of range.
        """
        values = dict(values)
        registry.load_plugins(values.get("plugins", ()))
        check_keys("run setting", values, cls)
        if "task" not in values:
            raise UserError("a run needs a task: set task = 'mujoco/half_cheetah@1', for example")
        from prefrl_core import tasks

        task = tasks.describe(values["task"])
        values["task"] = task.id
        for kind in _DEFAULTS:
            values[kind] = _part(kind, values.get(kind, _DEFAULTS[kind]), task)
        if isinstance(model := values.get("reward_model", {}), Mapping):
            model = {**(PIXEL_REWARD if task.pixels else {}), **model}
            values["reward_model"] = build(RewardSettings, model, "reward_model setting")
        values["segment"] = values.get("segment", 0) or task.segment_steps
        spec = build(cls, values, "run setting")
        spec._check(task)
        return spec

    def canonical(self) -> dict[str, Any]:
        """Plain values in a fixed order: the same run always gives the same JSON."""
        from prefrl_core.tasks import describe

        values: dict[str, Any] = json.loads(json.dumps(plain(self, describe(self.task).pixels), sort_keys=True))
        return values

    def _check(self, task: Any) -> None:
        require(self.seed >= 0, f"seed = {self.seed}: seeds are 0 or more")
        require(self.total_steps > 0, f"total_steps = {self.total_steps}: a run needs at least one step")
        require(self.reward in ("learned", "true"), f"reward = {self.reward!r}: choose 'learned' or 'true'")
        require(self.labels >= 0, f"labels = {self.labels}: a budget is 0 or more")
        require(
            self.reward == "learned" or self.labels == 0,
            f"labels = {self.labels} with reward = 'true': the control asks nothing; set labels = 0",
        )
        require(
            1 <= self.segment <= task.episode_steps,
            f"segment = {self.segment}: an episode of {task.id} has {task.episode_steps} steps",
        )
        require(
            2 * self.labels * self.segment <= self.total_steps,
            f"labels = {self.labels}: {2 * self.labels} segments of {self.segment} steps are more than "
            f"total_steps = {self.total_steps} can show; ask at most {self.total_steps // (2 * self.segment)}",
        )
        self._check_parts_agree()
        self._check_pixels(task)
        rollout = self.policy.get("rollout_steps", self.segment) * self.policy.get("rollouts", 1)
        require(
            self.labels == 0 or self.segment <= rollout,
            f"segment = {self.segment}: segments are cut from {rollout} steps between two fits of the reward; "
            "raise policy.rollout_steps",
        )
        environments = self.policy.get("environments", 1)
        require(
            self.total_steps >= environments,
            f"total_steps = {self.total_steps}: one step of the policy's {environments} environments is more than that",
        )
        require(0 < self.initial_labels <= 1, f"initial_labels = {self.initial_labels}: a share above 0, at most 1")
        require(self.schedule_constant > 0, f"schedule_constant = {self.schedule_constant}: must be above 0")
        require(
            self.reward == "true" or task.fixed_length or self.variable_length,
            f"task {task.id} ends episodes early, which tells the agent what is wanted whatever the labels say: "
            "choose its fixed-length form, or set variable_length = true",
        )

    def _check_pixels(self, task: Any) -> None:
        require(self.device in ("cpu", "cuda"), f"device = {self.device!r}: choose 'cpu' or 'cuda'")
        require(
            self.precision in ("bfloat16", "float32"),
            f"precision = {self.precision!r}: choose 'bfloat16' or 'float32'",
        )
        require(
            task.pixels or (self.device, self.precision) == ("cpu", "bfloat16"),
            f"device = {self.device!r}, precision = {self.precision!r}: {task.id} has no pixels, its small networks "
            "know neither; leave both out",
        )
        require(
            self.reward == "true" or self.score_shown or not task.score_shown,
            f"task {task.id} shows its score, and nothing is known of where to blank it: choose another game, or set "
            "score_shown = true",
        )

    def _check_parts_agree(self) -> None:
        """Refuse ablations that contradict one another."""
        strategy, members = self.query["name"], self.reward_model.members
        require(
            self.reward == "true"
            or members > 1
            or not getattr(registry.find("query", strategy), "needs_ensemble", False),
            f"query {strategy!r} with reward_model.members = 1: one member cannot disagree with itself; choose query = "
            "'uniform', or more members",
        )
        require(
            self.reward_model.target == "preference" or self.labeler["name"] == "oracle",
            f"labeler {self.labeler['name']!r} with reward_model.target = 'return': no labeler is heard where the true "
            "return itself is fitted; leave the labeler out",
        )


def build(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """An instance of a settings dataclass; each value is checked against its field's default or annotation.

    Raises:
        UserError: an unknown key, or a value of the wrong type.
    """
    check_keys(what, values, cls)
    made = {}
    for entry in dataclasses.fields(cls):  # type: ignore[arg-type]
        if entry.name in values:
            made[entry.name] = _typed(values[entry.name], str(entry.type), f"{what} {entry.name!r}")
    try:
        return cls(**made)
    except TypeError as error:
        raise UserError(f"{what}: {error}") from error


def check_keys(what: str, values: Mapping[str, Any], cls: Any) -> None:
    """Raise UserError for the first key of ``values`` that is no field of the dataclass ``cls``."""
    known = [entry.name for entry in dataclasses.fields(cls)]
    for key in values:
        if key not in known:
            raise unknown(what, key, known)


def make_part(kind: registry.Kind, settings: Mapping[str, Any]) -> Any:
    """The registered part that ``settings["name"]`` names, built from the other settings."""
    rest = {key: value for key, value in settings.items() if key != "name"}
    return build(registry.find(kind, settings["name"]), rest, f"setting of {kind} {settings['name']!r}:")


def _part(kind: registry.Kind, value: Any, task: Any) -> dict[str, Any]:
    """Name and every setting of a part, its defaults (and for policies the task's own) filled in."""
    settings = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    if not isinstance(settings.get("name"), str):
        raise UserError(f"{kind} = {value!r} needs a name: one of {', '.join(registry.names(kind))}")
    settings["name"] = registry.stands_for(kind, settings["name"], task)
    part = registry.find(kind, settings["name"])
    if kind == "policy" and hasattr(part, "settings_for"):
        settings = {**part.settings_for(task), **settings}
    made = make_part(kind, settings)
    return {"name": settings["name"], **plain(made, task.pixels)}


def _typed(value: Any, annotation: str, what: str) -> Any:
    """``value`` as the annotated type where it fits; ints pass for floats, lists for tuples."""
    wanted = annotation.split("[")[0]
    if wanted == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted == "tuple" and isinstance(value, (list, tuple)):
        return tuple(value)
    expected = {"int": int, "float": float, "bool": bool, "str": str, "tuple": tuple, "Mapping": Mapping}
    fits = isinstance(value, expected.get(wanted, object)) and not (wanted == "int" and isinstance(value, bool))
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{what} = {value!r} is not a finite number")
    if not fits:
        raise UserError(f"{what} = {value!r}: expected {annotation}")
    return value
