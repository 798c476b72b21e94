"""The first two stages, each a pure function of its settings, what it builds on and the seed: pretraining on text
that holds no instruction, and supervised fine-tuning on demonstrations with some of that text mixed in."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from prefrl_core import seeding
from prefrl_core.language import rows, tasks
from prefrl_core.language.losses import token_loss
from prefrl_core.language.model import EOS, GPT, PAD, Size
from prefrl_core.language.rows import Row
from prefrl_core.language.settings import PretrainSettings, SftSettings
from prefrl_core.language.tasks import Ints, LMTask
from prefrl_core.language.training import (
    Optimiser,
    Weights,
    cosine,
    language_model,
    network,
    shuffled,
    tensor,
    trim,
    weights_of,
)

HELD_OUT_ROWS = 128  # of pretraining text, on which the alignment tax is measured
_ROWS = 10  # points of a stage's curve
_HELD_OUT_DEMOS = 256


@dataclass
class Artifact:
    """What a stage leaves: weights (or other arrays) and the rows it reported."""

    arrays: Weights
    rows: list[Row] = field(default_factory=list)


def pretrain(task: LMTask, size: Size, settings: PretrainSettings, seed: int) -> Artifact:
    """Train a new network, or the checkpoint's, on the task's text."""
    model = network(size, seeding.integer(seed, "network"))
    model.start_from(task.vocabulary)
    optimiser, random = Optimiser(model, settings.learning_rate, "pretrain"), seeding.generator(seed, "pretraining")
    curve = Curve("pretrain", settings.steps)
    for step in range(settings.steps):
        ids = tensor(task.pretraining(random, settings.batch, size.context))
        loss = optimiser.step(text_loss(model, ids), cosine(step, settings.steps, settings.steps // 20))
        if curve.due(loss):
            curve.add(ptx_nll=held_out_loss(model, task, seed))
    return Artifact(weights_of(model), curve.rows)


def sft(task: LMTask, size: Size, settings: SftSettings, seed: int, start: Weights) -> Artifact:
    """Train on demonstrations; each batch holds ``settings.mix`` of pretraining text besides."""
    model = language_model(size, start)
    optimiser = Optimiser(model, settings.learning_rate, "sft")
    prompts, responses = task.demonstrations(seeding.generator(seed, "demonstrations"), settings.demos)
    asked = tasks.encode_prompts(task.vocabulary, prompts)
    held_out = _held_out_demos(task, seed)
    batches = [
        batch
        for epoch in range(settings.epochs)
        for batch in shuffled(seed, f"sft epoch {epoch}", settings.demos, settings.batch)
    ]
    random, curve = seeding.generator(seed, "sft mix"), Curve("sft", len(batches))
    for step, batch in enumerate(batches):
        loss = response_loss(model, asked[batch], responses[batch])
        if text := round(settings.mix * settings.batch):
            mixed = text_loss(model, tensor(task.pretraining(random, text, size.context)))
            loss = (loss * len(batch) + mixed * text) / (len(batch) + text)
        if curve.due(optimiser.step(loss, cosine(step, len(batches)))):
            with torch.no_grad():
                measured = response_loss(model, *held_out)
            curve.add(ptx_nll=held_out_loss(model, task, seed), validation_loss=float(measured))
    return Artifact(weights_of(model), curve.rows)


class Curve:
    """A stage's rows: some points over its steps, each with the mean loss since the one before."""

    def __init__(self, stage: str, steps: int, points: int = _ROWS) -> None:
        self.stage, self.every, self.steps = stage, max(1, -(-steps // points)), steps
        self.rows: list[Row] = []
        self.losses: list[float] = []
        self.done = 0

    def due(self, loss: float) -> bool:
        """Count a step; whether a row is to be added now."""
        self.losses.append(loss)
        self.done += 1
        return self.done % self.every == 0 or self.done == self.steps

    def add(self, **values: float) -> None:
        """Add a row."""
        self.rows.append(rows.row(self.stage, stage_step=self.done, loss=rows.mean(self.losses), **values))
        self.losses = []


def text_loss(model: GPT, ids: Tensor) -> Tensor:
    """Cross-entropy of each next token of ``ids (rows, tokens)``, nats."""
    return token_loss(model.logits(model(ids[:, :-1])), ids[:, 1:])


def response_loss(model: GPT, prompts: Ints, responses: Ints) -> Tensor:
    """Cross-entropy of the responses given the prompts, nats a token."""
    asked, said = trim(tensor(prompts), tensor(responses))
    return token_loss(model.response_logits(asked, said), said, (said != PAD).float())


@torch.no_grad()
def held_out_loss(model: GPT, task: LMTask, seed: int) -> float:
    """Nats a token on pretraining text that is never trained on: its rise is the alignment tax."""
    ids = task.pretraining(seeding.generator(seed, "held-out text"), HELD_OUT_ROWS, model.size.context, held_out=True)
    return float(text_loss(model, tensor(ids)))


def _held_out_demos(task: LMTask, seed: int) -> tuple[Ints, Ints]:
    """More demonstrations, to prompts of the same split: how well people are predicted."""
    prompts, responses = task.demonstrations(seeding.generator(seed, "held-out demonstrations"), _HELD_OUT_DEMOS)
    assert (responses == EOS).any(1).all()
    return tasks.encode_prompts(task.vocabulary, prompts), responses
