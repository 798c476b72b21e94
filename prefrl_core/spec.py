"""What one run is: a frozen, validated description whose canonical form names the run.

Everything that can change a run's numbers is a field here, and nothing else is. ``RunSpec.of`` reads a plain
mapping (as a suite file gives it), fills in each part's defaults and refuses unknown keys, so two
spellings of one run have one canonical form.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from prefrl_core import registry
from prefrl_core.errors import UserError, require
from prefrl_core.settings import build, check_keys, later, of_pixels, plain
from prefrl_core.tasks import TaskInfo, describe

# The settings that name a part, and which kind it is.
KINDS: dict[str, registry.Kind] = {"policy": "policy", "labeler": "labeler", "query": "query", "reward_model": "reward"}
_DEFAULTS = {"policy": "ppo", "labeler": "oracle", "query": "disagreement"}


def _default_reward(pixels: bool) -> str:
    return "convolutional" if pixels else "ensemble"


@dataclass(frozen=True)
class RunSpec:
    """One run. ``total_steps`` counts every environment step, those of the untrained policy included;
    ``labels`` counts every question put to the labeler, skipped ones and ties included."""

    task: str  # with its version, as in "mujoco/hopper@1"
    seed: int = 0
    total_steps: int = 1_000_000  # environment steps, over all environments
    reward: Literal["learned", "true"] = "learned"  # "true" is the control: no labels, the task's own reward
    labels: int = 0  # questions that may be put to the labeler
    policy: Mapping[str, Any] = field(default_factory=lambda: {"name": _DEFAULTS["policy"]})  # optimiser and settings
    labeler: Mapping[str, Any] = field(default_factory=lambda: {"name": _DEFAULTS["labeler"]})  # who answers
    query: Mapping[str, Any] = field(default_factory=lambda: {"name": _DEFAULTS["query"]})  # which pairs to ask about
    reward_model: Mapping[str, Any] = field(default_factory=dict)  # by default "ensemble", on pixels "convolutional"
    segment: int = 0  # steps of a segment; 0 takes the task's own
    initial_labels: float = 0.25  # share of the labels asked about the untrained policy
    schedule_constant: float = 0.1  # C / horizon of the label rate C / (T + C)
    variable_length: bool = False  # allow episodes whose end tells the agent what is wanted
    plugins: tuple[str, ...] = ()  # modules that register the parts named above
    score_shown: bool = of_pixels(False)  # allow a task whose picture tells the true return
    device: str = of_pixels("cpu")  # where networks over pixels are computed; "cuda" is a graphics card
    precision: str = of_pixels("bfloat16")  # arithmetic of networks over pixels; or "float32"
    interleaved: bool = later(False)  # store a pixel's channels side by side: faster in float32 on a processor
    known_comparisons: str = later("")  # file or folder of recorded comparisons that the run begins with
    known_reward: str = later("")  # file of a fitted reward model, or a run's folder, that the run begins with

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
        task = describe(values["task"])
        values["task"] = task.id
        defaults = {**_DEFAULTS, "reward_model": _default_reward(task.pixels)}
        for setting, kind in KINDS.items():
            values[setting] = _part(setting, kind, values.get(setting, defaults[setting]), defaults[setting], task)
        values["segment"] = values.get("segment", 0) or task.segment_steps
        spec = build(cls, values, "run setting")
        spec._check(task)
        return spec._with_known_named()

    def canonical(self) -> dict[str, Any]:
        """Plain values in a fixed order: the same run always gives the same JSON."""
        pixels = describe(self.task).pixels
        values: dict[str, Any] = plain(self, pixels)
        if values["reward_model"].get("name") == _default_reward(pixels):  # older runs had no other
            values["reward_model"] = {k: v for k, v in values["reward_model"].items() if k != "name"}
        canonical: dict[str, Any] = json.loads(json.dumps(values, sort_keys=True))
        return canonical

    def revisions(self) -> dict[str, int]:
        """Of the parts whose numbers have moved since runs with them were published, such as ``{"query ranked_list
        revision": 2}``. They stand in the key of a run, so that runs without these parts keep their names."""
        named = {(kind, getattr(self, setting)["name"]) for setting, kind in KINDS.items()}
        found = {f"{kind} {name} revision": registry.find(kind, name) for kind, name in sorted(named)}
        revised = {name: getattr(part, "revision", 1) for name, part in found.items() if not _has(part, "revision")}
        return {name: revision for name, revision in revised.items() if revision > 1}

    def _with_known_named(self) -> RunSpec:
        """What the run begins with, named by its content instead of by where it lies."""
        if not (self.known_comparisons or self.known_reward):
            return self
        named = registry.resolve(
            "prefrl_core.known:named"
        )  # it needs NumPy and Gymnasium, which a description does not
        comparisons = named(self.known_comparisons, "comparisons", self.task)
        reward = named(self.known_reward, "reward model", self.task)
        return dataclasses.replace(self, known_comparisons=comparisons, known_reward=reward)

    def _check(self, task: TaskInfo) -> None:
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
        short = self.policy.get("short_episodes", 0)
        require(
            not short or self.segment <= short < task.episode_steps,
            f"policy.short_episodes = {short}: from {self.segment} (a segment) to {task.episode_steps - 1} steps",
        )
        require(
            2 * self.labels * self.segment <= self.total_steps,
            f"labels = {self.labels}: {2 * self.labels} segments of {self.segment} steps are more than "
            f"total_steps = {self.total_steps} can show; ask at most {self.total_steps // (2 * self.segment)}",
        )
        self._check_pixels(task)
        self._check_parts_agree()
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
        turn = self.policy.get("rollout_steps", 0) * self.policy.get("rollouts", 1) * environments
        require(
            turn < self.total_steps,
            f"total_steps = {self.total_steps}: a turn of policy {self.policy['name']!r} takes {turn} steps, and the "
            "first is untrained, so nothing would be learned; raise total_steps, or lower policy.rollout_steps",
        )
        require(0 < self.initial_labels <= 1, f"initial_labels = {self.initial_labels}: a share above 0, at most 1")
        require(self.schedule_constant > 0, f"schedule_constant = {self.schedule_constant}: must be above 0")
        require(
            self.reward == "true" or task.fixed_length or self.variable_length,
            f"task {task.id} {'may end' if task.id.startswith('gymnasium/') else 'ends'} episodes early, which tells "
            "the agent what is wanted whatever the labels say: choose a task of fixed length, or set variable_length = "
            "true",
        )

    def _check_pixels(self, task: TaskInfo) -> None:
        require(self.device in ("cpu", "cuda"), f"device = {self.device!r}: choose 'cpu' or 'cuda'")
        require(
            self.precision in ("bfloat16", "float32"),
            f"precision = {self.precision!r}: choose 'bfloat16' or 'float32'",
        )
        require(
            task.pixels or (self.device, self.precision) == ("cpu", "bfloat16"),
            f"device = {self.device!r}, precision = {self.precision!r}: {task.id} has no pixels, "
            "and its small networks have no such choice; leave out device and precision",
        )
        model = self.reward_model["name"]
        require(
            not task.pixels or self.reward == "true" or getattr(registry.find("reward", model), "sees_pixels", True),
            f"reward_model {model!r} on {task.id}: it sees no pixels; choose 'convolutional'",
        )
        require(
            task.pixels or self.reward == "true" or not getattr(registry.find("reward", model), "pixels_only", False),
            f"reward_model {model!r} on {task.id}: it sees pixels alone; choose 'ensemble'",
        )
        part = registry.find("reward", model)
        for name in () if task.pixels else getattr(part, "of_pixels_alone", ()):
            require(
                name not in self.reward_model,  # its default is left out where there are no pixels
                f"reward_model.{name} on {task.id}: it does nothing without pixels; leave it out",
            )
        require(
            task.pixels or not self.interleaved,
            f"interleaved = true: {task.id} has no pixels; leave it out",
        )
        strategy = self.query["name"]
        require(
            not (task.pixels and getattr(registry.find("query", strategy), "vectors_only", False)),
            f"query {strategy!r} on {task.id}: it compares vectors, not pixels; choose 'disagreement' or 'uniform'",
        )
        require(
            self.reward == "true" or self.score_shown or not task.score_shown,
            f"task {task.id} shows its score, and nothing is known of where to blank it: choose another game, or set "
            "score_shown = true",
        )

    def _check_parts_agree(self) -> None:
        """Refuse ablations that contradict one another."""
        strategy, model = self.query["name"], self.reward_model
        require(
            self.reward == "true"
            or model.get("members") != 1
            or not getattr(registry.find("query", strategy), "needs_ensemble", False),
            f"query {strategy!r} with reward_model.members = 1: one member cannot disagree with itself; choose query = "
            "'uniform', or more members",
        )
        require(
            self.reward == "true"
            or not getattr(registry.find("reward", model["name"]), "asks_critic", False)
            or getattr(registry.find("policy", self.policy["name"]), "looks_ahead", False),
            f"reward_model {model['name']!r} with policy {self.policy['name']!r}: it asks what the critic of a replay "
            "would learn, and this policy cannot tell; choose policy = 'sac'",
        )
        if self.reward == "learned" and getattr(registry.find("query", strategy), "ranks", False):
            self._check_lists(strategy)
        require(
            model.get("target") != "return" or self.labeler["name"] == "oracle",
            f"labeler {self.labeler['name']!r} with reward_model.target = 'return': no labeler is heard where the true "
            "return itself is fitted; leave the labeler out",
        )
        require(
            model.get("target") != "return" or getattr(registry.find("reward", model["name"]), "fits_returns", True),
            f"reward_model {model['name']!r} with target = 'return': what it does is about answers, and none is heard; "
            "choose name = 'ensemble'",
        )
        for name, value in (("known_comparisons", self.known_comparisons), ("known_reward", self.known_reward)):
            require(
                not value or self.reward == "learned",
                f"{name} with reward = 'true': the control learns no reward; leave it out",
            )
        require(
            not (self.known_comparisons and model.get("label_buffer", 0)),
            "known_comparisons with reward_model.label_buffer: older comparisons would be dropped; leave one out",
        )

    def _check_lists(self, strategy: str) -> None:
        """Refuse ranked lists where the next question cannot follow from the answer, or what follows is not kept."""
        labeler = self.labeler["name"]
        require(
            not getattr(registry.find("labeler", labeler), "needs_desk", False),
            f"query {strategy!r} with labeler {labeler!r}: each question follows from the answer before, and people "
            "answer later; choose a query strategy of pairs",
        )
        require(
            not self.reward_model.get("label_buffer", 0),
            f"query {strategy!r} with reward_model.label_buffer: a list keeps its segments; leave one out",
        )


def make_part(kind: registry.Kind, settings: Mapping[str, Any]) -> Any:
    """The registered part that ``settings["name"]`` names, built from the other settings."""
    rest = {key: value for key, value in settings.items() if key != "name"}
    what = "reward_model setting" if kind == "reward" else f"setting of {kind} {settings['name']!r}:"
    return build(registry.find(kind, settings["name"]), rest, what)


def complete(setting: str, value: Any, task: TaskInfo | None = None) -> dict[str, Any]:
    """Name and every setting of the part that a setting of a run (or a kind of part) names; what differs by ``task`` is
    filled in where one is given."""
    kind = KINDS.get(setting, setting)
    default = _default_reward(task is not None and task.pixels) if kind == "reward" else ""
    return _part(setting, kind, value, default, task)  # type: ignore[arg-type]


def _has(part: Any, name: str) -> bool:
    """Whether a part has a setting of that name."""
    return name in {field.name for field in dataclasses.fields(part)}


def _require_settings(kind: str, name: str, part: Any) -> None:
    """Raise UserError unless a part is a dataclass, whose fields are its settings, none of them its name."""
    of = f"{kind} {name!r} ({part.__module__}:{part.__qualname__})"
    require(
        dataclasses.is_dataclass(part),
        f"{of} is no dataclass, whose fields are its settings: add @dataclass(frozen=True)",
    )
    require(
        not _has(part, "name"), f"{of} has a setting 'name', which in a suite is the part's own: give it another name"
    )


def _part(setting: str, kind: registry.Kind, value: Any, default: str, task: TaskInfo | None) -> dict[str, Any]:
    settings = {"name": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    if kind == "reward" and isinstance(value, Mapping):
        settings = {"name": default, **settings}  # most suites set the default one's settings alone
    if not isinstance(settings.get("name"), str):
        raise UserError(f"{setting} = {value!r} needs a name: one of {', '.join(registry.names(kind))}")
    settings = registry.meant(kind, settings, task)
    part = registry.find(kind, settings["name"])
    _require_settings(kind, settings["name"], part)
    of_task = part.settings_for(task) if task is not None and hasattr(part, "settings_for") else {}
    made = make_part(kind, {**of_task, **settings})
    stated = {name: getattr(made, name) for name in of_task}  # also where it is the default: the task's is another
    values = {"name": settings["name"], **stated, **plain(made, task is not None and task.pixels)}
    try:
        json.dumps(values)
    except (TypeError, ValueError) as error:
        raise UserError(f"{kind} {settings['name']!r} has a setting that is no plain value ({error})") from error
    return values
