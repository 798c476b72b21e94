"""What one run of the language track is: a frozen, validated description whose canonical form names the run.

A run has a method: ``base`` (the pretrained model), ``sft``, ``best_of_n`` or ``ppo`` (PPO-ptx where ``ppo.gamma`` is
above 0), and does the stages that the method needs. A preset gives every number; each can be overridden.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from prefrl_core.errors import UserError, require, unknown
from prefrl_core.language import labelers, presets, settings, tasks
from prefrl_core.settings import build, check_keys

# Raised whenever a change to the track alters the numbers of a run; stands in every run's key and every stage's hash.
METHOD_VERSION = 1

Method = Literal["base", "sft", "best_of_n", "ppo"]
METHODS: tuple[Method, ...] = get_args(Method)
TABLES = {
    "model": settings.ModelSettings,
    "pretrain": settings.PretrainSettings,
    "sft": settings.SftSettings,
    "reward_model": settings.RewardModelSettings,
    "ppo": settings.PpoSettings,
    "best_of_n": settings.BestOfNSettings,
    "evaluation": settings.EvaluationSettings,
}
MOST_CANDIDATES = 16  # completions that a labeler can be shown at once


@dataclass(frozen=True)
class LanguageSpec:
    """One run. ``rankings`` counts every ranking asked for, those whose pairs are all ties included."""

    task: str  # with its version, as in "language/tinyinstruct@1"
    seed: int = 0
    preset: str = "cpu"  # smoke, cpu or gpu
    method: Method = "ppo"
    reward: Literal["learned", "gold"] = "learned"  # "gold" is the upper bound: nothing is asked
    rankings: int = -1  # budget of the reward model; -1 takes the preset's, or 0 where no reward model is needed
    k: int = 4  # completions in one ranking
    candidates: int = 0  # completions sampled for a ranking, of which k are shown, distinct ones first; 0: k
    labeler: Mapping[str, Any] = field(default_factory=lambda: {"name": "oracle"})  # who ranks, and its settings
    model: settings.ModelSettings = field(default_factory=settings.ModelSettings)
    pretrain: settings.PretrainSettings = field(default_factory=settings.PretrainSettings)
    sft: settings.SftSettings = field(default_factory=settings.SftSettings)
    reward_model: settings.RewardModelSettings = field(default_factory=settings.RewardModelSettings)
    ppo: settings.PpoSettings = field(default_factory=settings.PpoSettings)
    best_of_n: settings.BestOfNSettings = field(default_factory=settings.BestOfNSettings)
    evaluation: settings.EvaluationSettings = field(default_factory=settings.EvaluationSettings)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> LanguageSpec:
        """A validated, completed spec from plain values; tables override the preset key by key.

        Raises:
            UserError: an unknown key or name, or a value out of range.
        """
        check_keys("run setting", values, cls)
        if "task" not in values:
            raise UserError("a run needs a task: set task = 'language/tinyinstruct@1', for example")
        values, own = presets.complete(values), values.get("model", {})
        values["task"] = tasks.describe(values["task"]).id
        values["model"] = _of_checkpoint(values["model"], own, tasks.describe(values["task"]).tokens)
        values["labeler"] = labelers.complete(values.get("labeler", "oracle"))
        for name, kind in TABLES.items():
            if not isinstance(values[name], kind):
                values[name] = build(kind, values[name], f"{name} setting")
        spec = build(cls, values, "run setting")
        spec._check()
        return spec._completed()

    def canonical(self) -> dict[str, Any]:
        """Plain values in a fixed order: the same run always gives the same JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), sort_keys=True))
        return plain

    @property
    def learns_reward(self) -> bool:
        """Whether rankings are asked for and a reward model is trained."""
        return self.method in ("best_of_n", "ppo") and self.reward == "learned"

    @property
    def labels(self) -> int:
        """What the run may ask for, in rankings."""
        return self.rankings

    @property
    def total_steps(self) -> int:
        """What the column ``step`` ends with where every stage is done in this run."""
        sft = self.sft.epochs * -(-self.sft.demos // self.sft.batch) if self.method != "base" else 0
        model = self.reward_model.epochs * -(-self.rankings // self.reward_model.batch) if self.learns_reward else 0
        ppo = self.ppo.episodes // self.ppo.batch if self.method == "ppo" else 0
        return self.pretrain.steps + sft + self.rankings + model + ppo

    def _completed(self) -> LanguageSpec:
        """With the values that stand for others put in, so that one run has one canonical form."""
        rankings = presets.rankings(self.preset) if self.rankings == -1 else self.rankings
        shape = {name: getattr(self.reward_model, name) or getattr(self.model, name) for name in ("width", "layers")}
        return dataclasses.replace(
            self,
            rankings=rankings if self.learns_reward else 0,
            candidates=self.candidates or self.k,
            reward_model=dataclasses.replace(self.reward_model, **shape),
            model=dataclasses.replace(self.model, context=self.model.context or tasks.describe(self.task).tokens),
        )

    def _check(self) -> None:
        require(self.seed >= 0, f"seed = {self.seed}: seeds are 0 or more")
        if self.method not in METHODS:
            raise unknown("method", self.method, METHODS)
        if self.reward not in ("learned", "gold"):
            raise unknown("reward", self.reward, ("learned", "gold"))
        self._check_rankings()
        self._check_panel()
        info = tasks.describe(self.task)
        require(
            self.model.context in (0, *range(info.tokens, 2**20)),
            f"model.context = {self.model.context}: prompts of {info.prompt_tokens} and responses of "
            f"{info.response_tokens} tokens of {info.id} need {info.tokens}",
        )
        shape = (self.reward_model.width or self.model.width, self.reward_model.layers or self.model.layers)
        require(
            not self.model.checkpoint or shape == (self.model.width, self.model.layers),
            f"reward_model.width, layers = {shape}: with model.checkpoint all networks have its shape; leave them out",
        )
        heads, width = self.model.heads, self.reward_model.width
        require(width % heads == 0, f"reward_model.width = {width}: not a multiple of model.heads = {heads}")

    def _check_panel(self) -> None:
        """Those who judge teach nobody: the second half of the evaluation's panel."""
        labeler, judging = self.labeler, self.evaluation.persons
        if labeler["name"] != "panel" or not self.learns_reward:
            return
        require(
            not labeler["held_out"], "labeler setting held_out = true: the second half of a panel judges; leave it out"
        )
        require(
            labeler["persona"] != labelers.JUDGES or labeler["persons"] // 2 <= judging // 2,
            f"labeler setting persons = {labeler['persons']} with evaluation.persons = {judging}: some of those who "
            "judge would teach; make the two equal, or take another persona",
        )

    def _check_rankings(self) -> None:
        require(self.k >= 2, f"k = {self.k}: a ranking needs at least 2 completions")
        require(self.k <= MOST_CANDIDATES, f"k = {self.k}: a labeler is shown at most {MOST_CANDIDATES} completions")
        require(
            self.candidates == 0 or self.candidates >= self.k,
            f"k = {self.k}: more than candidates = {self.candidates} that are sampled for a ranking",
        )
        require(self.candidates >= 0, f"candidates = {self.candidates}: 0 or more")
        require(
            not self.learns_reward or self.rankings == -1 or self.rankings >= 1,
            f"rankings = {self.rankings}: a reward model needs at least 1 ranking; set reward = 'gold' to ask nothing",
        )
        require(
            self.learns_reward or self.rankings in (-1, 0),
            f"rankings = {self.rankings} with method = {self.method!r}, reward = {self.reward!r}: nothing is asked "
            "there; set rankings = 0",
        )


def _of_checkpoint(table: Mapping[str, Any], own: Mapping[str, Any], tokens: int) -> dict[str, Any]:
    """The model's table with the shape and the hash of its checkpoint, where it has one; a task has ``tokens``, and
    ``own`` is what is set beside the preset.

    Raises:
        UserError: no model is there, another than the hash or the settings say, or one for shorter texts.
    """
    made = dict(table)
    folder = made.get("checkpoint")
    if not folder or not isinstance(folder, str):  # what is no text is refused with all other settings
        return made
    from prefrl_core.language import hf  # PyTorch, which a spec else does not need

    found, known = hf.digest(folder) if hf.shape(folder) else "", made.get("checkpoint_hash")
    require(known in (None, "", found), f"model.checkpoint = {folder!r} has hash {found}, not {known}: it was changed")
    shape = hf.shape(folder)
    has = shape.pop("context")
    for name, value in shape.items():
        given = own.get(name, value)
        told = f"model.{name} = {given!r}: that of {folder!r}, model.checkpoint, is {value}; leave it out"
        require(given == value, told)
    needed = made.get("context") or tokens
    require(
        not isinstance(needed, int) or needed <= has,  # what is no number is refused with all other settings
        f"model.checkpoint = {folder!r} knows {has} positions, and the run needs {needed}: take one that knows more",
    )
    return {**made, **shape, "checkpoint_hash": found}
