"""The stages of one run of the language track, made when they are first asked for: upstream ones from the cache."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from prefrl_core import seeding
from prefrl_core.language import collect, hf, labelers, rows, tasks
from prefrl_core.language.cache import Cache, State, digest
from prefrl_core.language.collect import Rankings
from prefrl_core.language.model import GPT, Size
from prefrl_core.language.reward import RewardModel, train_reward_model
from prefrl_core.language.rows import Recorder, Row
from prefrl_core.language.settings import ModelSettings
from prefrl_core.language.spec import METHOD_VERSION, LanguageSpec
from prefrl_core.language.stages import Artifact, pretrain, sft
from prefrl_core.language.training import Weights, language_model, size_of

HELD_OUT_RANKINGS = 256  # of the validation split, which measure a reward model
_HELD_OUT_K = 4


class Run:
    """One run: its stages, made when they are first asked for, and how far its rows have come."""

    def __init__(self, spec: LanguageSpec, recorder: Recorder, cache: Cache, quiet: bool = False) -> None:
        self.spec, self.recorder, self.cache, self.quiet = spec, recorder, cache, quiet
        self.task = tasks.make(spec.task)
        self.size = size_of(self.task, spec.model)
        self.step, self.labels = 0, dict.fromkeys(("labels.rankings", "labels.pairs", "labels.completions"), 0.0)
        self._reported: set[str] = set()

    def pretrained(self) -> Weights:
        """Weights of the pretrained model."""
        return self._report(*self._pretrained(self.spec.model))

    def fine_tuned(self) -> Weights:
        """Weights of SFT, or of the pretrained model where nothing more is wanted."""
        return self._report(*self._fine_tuned(self.spec.model))

    def reference(self) -> GPT:
        """SFT, which PPO starts from and is held to."""
        return language_model(self.size, self._fine_tuned(self.spec.model)[1])

    def reward_size(self) -> Size:
        """The shape of the reward model's network."""
        return size_of(self.task, self._reward_settings())

    def rankings(self) -> Rankings:
        """Everything that was asked, answered."""
        spec = self.spec
        blocks = [self._block("rankings", index, (spec.k, spec.candidates)) for index in range(-(-spec.rankings // 64))]
        made = collect.rank(self.task, blocks, spec.rankings, labelers.make(spec.labeler), spec.seed, "labeler")
        account = made.account()
        self.labels = {name: account[name] for name in self.labels}
        gold = {"gold_mean": made.gold.mean()}
        self._report("collect", {}, [rows.row("collect", stage_step=spec.rankings, **account, **gold)])
        return made

    def reward_model(self) -> RewardModel:
        """The reward model, from its cache or trained."""
        spec, shape = self.spec, self._reward_settings()
        start_name, start, _ = self._fine_tuned(shape)
        name = digest(
            "reward",
            {
                "start": start_name,
                "policy": self._fine_tuned(spec.model)[0],
                "asked": [spec.rankings, spec.k, spec.candidates, spec.labeler, spec.seed],
                "settings": dataclasses.asdict(spec.reward_model),
                "judges": [spec.evaluation.persons, spec.evaluation.spread, spec.evaluation.rationality],
                "held_out": self._held_out_rankings,  # its rows have accuracies on so many
            },
        )

        def make() -> State:
            return _state(
                train_reward_model(
                    self.reward_size(),
                    spec.reward_model,
                    spec.seed,
                    start,
                    self.rankings(),
                    self.held_out(),
                    self._demos(),
                )
            )

        found = self.cache.get(name, make)
        return RewardModel.of(self._report(name, found["arrays"], found["rows"]), self.reward_size(), spec.reward_model)

    def held_out(self) -> dict[str, Rankings]:
        """The same new rankings, answered by who teaches and by the two halves of the judging panel."""
        spec = self.spec
        count = self._held_out_rankings
        blocks = [self._block("validation", index, (_HELD_OUT_K, _HELD_OUT_K)) for index in range(-(-count // 64))]
        judging = spec.evaluation
        panel = labelers.Panel(judging.persons, judging.spread, judging.rationality)
        teacher = labelers.make(spec.labeler)
        who = {"teacher": teacher, "train": panel, "held_out": dataclasses.replace(panel, held_out=True)}
        if isinstance(teacher, labelers.Panel):
            who |= {"train": teacher, "held_out": dataclasses.replace(teacher, held_out=True)}
        return {
            name: collect.rank(self.task, blocks, count, person, spec.seed, f"held-out answers of {name}")
            for name, person in who.items()
        }

    @property
    def _held_out_rankings(self) -> int:
        return min(HELD_OUT_RANKINGS, max(64, self.spec.evaluation.prompts))

    def emit(self, row: Row, steps_before: int = 0) -> None:
        """Report a row of the stage that is under way, which began after ``steps_before`` steps."""
        row = {name: row[name] for name in rows.COLUMNS}  # a checkpoint's header sorts them
        for name, value in self.labels.items():
            row[name] = row[name] if row[name] is not None else rows.plain(value)
        row["step"] = steps_before + int(row["stage_step"] or 0)
        row["episodes"] = row["episodes"] or 0
        self.recorder.row(row)

    def _report(self, name: str, arrays: Weights, reported: Sequence[Row]) -> Weights:
        """Report a stage's rows the first time that it is asked for."""
        if name not in self._reported:
            self._reported.add(name)
            before = self.step
            for row in reported:
                if not self.quiet:
                    self.emit(row, before)
            self.step = before + int(reported[-1]["stage_step"] or 0)
        return arrays

    def _pretrained(self, shape: ModelSettings) -> tuple[str, Weights, list[Row]]:
        spec, size = self.spec, size_of(self.task, shape)
        name = digest(
            "pretrain",
            {
                "method": METHOD_VERSION,
                "task": spec.task,
                "vocabulary": self.task.vocabulary.digest,
                "seed": spec.seed,
                "model": {**dataclasses.asdict(size), "checkpoint": shape.checkpoint_hash},  # what is in it, not where
                "settings": dataclasses.asdict(spec.pretrain),
                **({"transformers": hf.version()} if size.checkpoint else {}),
            },
        )
        found = self.cache.get(name, lambda: _state(pretrain(self.task, size, spec.pretrain, spec.seed)))
        return name, found["arrays"], found["rows"]

    def _fine_tuned(self, shape: ModelSettings) -> tuple[str, Weights, list[Row]]:
        spec, size = self.spec, size_of(self.task, shape)
        before, start, _ = self._pretrained(shape)
        name = digest("sft", {"start": before, "settings": dataclasses.asdict(spec.sft), "seed": spec.seed})
        found = self.cache.get(name, lambda: _state(sft(self.task, size, spec.sft, spec.seed, start)))
        return name, found["arrays"], found["rows"]

    def _block(self, split: str, index: int, sizes: tuple[int, int]) -> State:
        name = digest(
            "candidates", {"policy": self._fine_tuned(self.spec.model)[0], "of": [split, index, sizes, self.spec.seed]}
        )
        return self.cache.get(
            name, lambda: collect.candidates(self.task, self.reference(), self.spec.seed, split, index, sizes)
        )

    def _reward_settings(self) -> ModelSettings:
        reward = self.spec.reward_model
        return dataclasses.replace(self.spec.model, width=reward.width, layers=reward.layers)

    def _demos(self) -> tuple[np.ndarray, np.ndarray]:
        prompts, responses = self.task.demonstrations(
            seeding.generator(self.spec.seed, "demonstrations"), self.spec.sft.demos
        )
        return tasks.encode_prompts(self.task.vocabulary, prompts), responses


def _state(artifact: Artifact) -> State:
    return {"arrays": artifact.arrays, "rows": artifact.rows}
