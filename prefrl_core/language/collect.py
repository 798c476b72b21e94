"""Completions for a labeler to rank, in blocks that every budget shares: a smaller one is the beginning of a larger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prefrl_core import seeding
from prefrl_core.language import labelers, tasks
from prefrl_core.language.model import GPT, generate
from prefrl_core.language.tasks import Floats, Ints, LMTask
from prefrl_core.language.training import tensor

BLOCK = 64  # rankings that are sampled, ranked and cached together
_CLOSE = 1.0  # standard deviations of gold: pairs below this are close


@dataclass
class Rankings:
    """Prompts, K completions each, and the answers to all their pairs."""

    prompts: Ints  # (rankings, prompt tokens), padded on the left
    responses: Ints  # (rankings, K, response tokens)
    gold: Floats  # (rankings, K), standardised
    parts: Floats  # (rankings, K, parts), what each part adds to gold
    answers: Floats  # (rankings, pairs)

    def __len__(self) -> int:
        return len(self.prompts)

    def account(self) -> dict[str, float]:
        """What was asked and answered: columns of a row."""
        gap = labelers.differences(self.gold)
        untied = (self.answers != 0.5) & (gap != 0)
        right = (self.answers == 1) == (gap > 0)
        close = untied & (np.abs(gap) < _CLOSE)
        return {
            "labels.rankings": len(self),
            "labels.pairs": self.answers.size,
            "labels.completions": self.gold.size,
            "labels.ties": int((self.answers == 0.5).sum()),
            "labels.agreement": right[untied].mean() if untied.any() else np.nan,
            "labels.agreement_close": right[close].mean() if close.any() else np.nan,
        }


def standardised(task: LMTask, parts: Floats) -> tuple[Floats, Floats]:
    """Gold and what each part adds to it, in standard deviations: ``(...)`` and ``(..., parts)``."""
    mean, deviation = task.scale
    scaled = parts / deviation
    return np.asarray(scaled.sum(-1) - mean / deviation), np.asarray(scaled)


def candidates(
    task: LMTask, policy: GPT, seed: int, split: str, block: int, sizes: tuple[int, int]
) -> dict[str, NDArray[Any]]:
    """One block of completions: ``prompts``, ``responses`` and the ``parts`` of their gold, with ``sizes`` =
    (k, candidates): of those sampled for a prompt k are shown, distinct ones first."""
    shown, sampled = sizes
    prompts = task.prompts(seeding.generator(seed, f"{split} prompts {block}"), split, BLOCK)
    repeated = [prompt for prompt in prompts for _ in range(sampled)]
    random = seeding.generator(seed, f"{split} candidates {block}")
    drawn = respond(task, policy, repeated, random).reshape(BLOCK, sampled, -1)
    kept = np.stack([row[distinct_first(row)[:shown]] for row in drawn])
    asked = [prompt for prompt in prompts for _ in range(shown)]
    parts = task.gold(asked, kept.reshape(BLOCK * shown, -1)).parts
    ids = tasks.encode_prompts(task.vocabulary, prompts)
    wide = np.pad(ids, ((0, 0), (task.info.prompt_tokens - ids.shape[1], 0)))
    return {
        "prompts": wide.astype(np.int32),
        "responses": kept.astype(np.int32),
        "parts": parts.reshape(BLOCK, shown, -1),
    }


def distinct_first(responses: Ints) -> Ints:
    """An order of the rows ``(rows, tokens)`` in which no row comes before another that is the first of its kind."""
    first = np.unique(responses, axis=0, return_index=True)[1]
    return np.argsort(~np.isin(np.arange(len(responses)), first), kind="stable")


def rank(
    task: LMTask, blocks: Sequence[dict[str, NDArray[Any]]], count: int, labeler: Any, seed: int, name: str
) -> Rankings:
    """Have the first ``count`` rankings of the blocks answered; a labeler's noise is drawn block by block."""
    prompts, responses, gold, parts, answers = [], [], [], [], []
    for index, block in enumerate(blocks):
        value, scaled = standardised(task, block["parts"])
        lengths = (block["responses"] != 0).sum(-1).astype(np.float64)
        answers.append(labeler.rank(value, lengths, seeding.generator(seed, f"{name} {index}"), scaled))
        prompts.append(block["prompts"])
        responses.append(block["responses"])
        gold.append(value)
        parts.append(scaled)
    joined = [np.concatenate(part)[:count] for part in (prompts, responses, gold, parts, answers)]
    return Rankings(joined[0].astype(np.int64), joined[1].astype(np.int64), *joined[2:])


@torch.no_grad()
def respond(
    task: LMTask,
    policy: GPT,
    prompts: Sequence[Any],
    random: np.random.Generator,
    temperature: float = 1.0,
    batch: int = 256,
) -> Ints:
    """A response to each prompt ``(prompts, response tokens)``."""
    made = []
    for start in range(0, len(prompts), batch):
        ids = tensor(tasks.encode_prompts(task.vocabulary, prompts[start : start + batch]))
        made.append(generate(policy, ids, task.info.response_tokens, random, temperature)[0].numpy())
    return np.concatenate(made)
