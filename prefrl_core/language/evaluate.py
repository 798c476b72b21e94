"""What a policy is worth: gold, proxy, divergence from SFT, facts, manners, and who wins against SFT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from prefrl_core import seeding
from prefrl_core.language import losses, tasks
from prefrl_core.language.collect import respond, standardised
from prefrl_core.language.labelers import Panel
from prefrl_core.language.model import EOS, GPT, PAD
from prefrl_core.language.reward import RewardModel
from prefrl_core.language.settings import EvaluationSettings
from prefrl_core.language.stages import held_out_loss
from prefrl_core.language.tasks import Floats, Gold, Ints, LMTask
from prefrl_core.language.training import tensor, trim

GREEDY = 1e-3  # temperature
_UNSURE = "i do not know"


@dataclass
class Answers:
    """Responses to a list of prompts, and what they are worth, a row each."""

    prompts: list[Any]
    responses: Ints
    parts: Floats  # raw
    gold: Floats  # standardised
    scaled: Floats  # parts of it
    scores: Gold
    proxy: Floats  # NaN without a reward model

    @property
    def lengths(self) -> Floats:
        """Tokens, the end included."""
        return (self.responses != PAD).sum(1).astype(np.float64)


class Evaluator:
    """Measures policies on the same prompts with the same random numbers."""

    def __init__(
        self, task: LMTask, seed: int, split: str, count: int, reference: GPT, reward: RewardModel | None = None
    ) -> None:
        self.task, self.seed, self.split, self.reference, self.reward = task, seed, split, reference, reward
        self.prompts = task.prompts(seeding.generator(seed, f"{split} evaluation"), split, count)
        self.base: Answers | None = None

    def answers(self, policy: GPT) -> Answers:
        """One response of ``policy`` to each prompt. All policies draw the same numbers, so SFT gains 0 on itself, and
        the difference of two policies is not that of their luck."""
        random = seeding.generator(self.seed, f"{self.split} answers")
        return self.judge(respond(self.task, policy, self.prompts, random))

    def judge(self, responses: Ints, prompts: list[Any] | None = None) -> Answers:
        """Responses with their worth."""
        prompts = prompts or self.prompts
        scores = self.task.gold(prompts, responses)
        gold, scaled = standardised(self.task, scores.parts)
        proxy = np.full(len(responses), np.nan)
        if self.reward is not None:
            proxy = self.reward.score(tasks.encode_prompts(self.task.vocabulary, prompts), responses)
        return Answers(prompts, responses, scores.parts, gold, scaled, scores, proxy)

    def measure(self, policy: GPT) -> tuple[dict[str, Any], Answers, Floats]:
        """Columns of a row, the responses, and each one's exact KL to SFT ``(prompts,)``."""
        if self.base is None:
            self.base = self.answers(self.reference)
        answers = self.answers(policy)
        divergences, kl = divergence(self.task, policy, self.reference, answers)
        row = {**summary(self.task, answers), **divergences, **facts(self.task, policy)}
        row["gold_gain"] = (answers.gold - self.base.gold).mean()
        row["ptx_nll"] = held_out_loss(policy, self.task, self.seed)
        return row, answers, kl


def summary(task: LMTask, answers: Answers) -> dict[str, Any]:
    """What responses alone tell: columns of a row."""
    families = np.array([prompt.family for prompt in answers.prompts])
    return {
        "gold_mean": answers.gold.mean(),
        "gold_held_out_families": mean(answers.gold[np.isin(families, task.info.held_out)]),
        **{f"gold.{name}": answers.parts[:, index].mean() for index, name in enumerate(task.parts)},
        "proxy_mean": answers.proxy.mean(),
        "length": answers.lengths.mean(),
        "distinct2": distinct_pairs(answers.responses),
        "eos_rate": answers.scores.ended.mean(),
        "taboo_rate": answers.scores.taboo.mean(),
        "taboo_rate_respectful": mean(answers.scores.taboo[families == "respectful"]),
        "summary_hallucination": mean(answers.scores.hallucinated[~np.isnan(answers.scores.hallucinated)]),
    }


@torch.no_grad()
def divergence(
    task: LMTask, policy: GPT, reference: GPT, answers: Answers, batch: int = 256
) -> tuple[dict[str, float], Floats]:
    """KL to ``reference`` over ``answers`` of ``policy``, exact and sampled, entropy, and the exact KL of each row."""
    ids = tasks.encode_prompts(task.vocabulary, answers.prompts)
    exact, sampled, entropy, tokens = [], [], 0.0, 0.0
    for start in range(0, len(ids), batch):
        pair = trim(tensor(ids[start : start + batch]), tensor(answers.responses[start : start + batch]))
        mask = (pair[1] != PAD).float()
        ours, theirs = policy.response_logits(*pair), reference.response_logits(*pair)
        exact.append(losses.exact_kl(ours, theirs, mask))
        logp, other = ours.log_softmax(-1), theirs.log_softmax(-1)
        chosen = pair[1].unsqueeze(-1)
        sampled.append(((logp - other).gather(2, chosen).squeeze(-1) * mask).sum(1))
        entropy += float((-(logp.exp() * logp).sum(-1) * mask).sum())
        tokens += float(mask.sum())
    kl = torch.cat(exact).double().numpy()
    return {"kl_exact": kl.mean(), "kl_k1": float(torch.cat(sampled).mean()), "entropy": entropy / tokens}, kl


def facts(task: LMTask, policy: GPT) -> dict[str, float]:
    """Greedy answers to all questions of fact, and to those that nobody can answer."""
    known, unknown = task.probes()
    if not known:
        return {}
    random = seeding.generator(0, "greedy")  # decides nothing at this temperature
    said = [" ".join(task.vocabulary.decode(row)) for row in respond(task, policy, unknown, random, GREEDY).tolist()]
    right = task.gold(known, respond(task, policy, known, random, GREEDY)).parts[:, task.parts.index("answer")] > 0
    return {"qa_acc": right.mean(), "qa_false_confidence": mean(np.array([not s.startswith(_UNSURE) for s in said]))}


def wins(answers: Answers, base: Answers, settings: EvaluationSettings, seed: int) -> tuple[Floats, Floats]:
    """1, 0.5 or 0 for each prompt by a held-out noisy person and by gold; the same words are a tie."""
    judge = Panel(settings.persons, settings.spread, settings.rationality, held_out=True)
    gold = np.stack([answers.gold, base.gold], 1)
    lengths, parts = np.stack([answers.lengths, base.lengths], 1), np.stack([answers.scaled, base.scaled], 1)
    voted = judge.rank(gold, lengths, seeding.generator(seed, "judge"), parts)[:, 0]
    same = (answers.responses == base.responses).all(1)
    by_gold = np.where(np.isclose(gold[:, 0], gold[:, 1]), 0.5, gold[:, 0] > gold[:, 1])
    return np.where(same, 0.5, voted), by_gold


def distinct_pairs(responses: Ints) -> float:
    """Distinct pairs of adjacent words, as a share of all pairs of the sample."""
    left, right = responses[:, :-1], responses[:, 1:]
    pairs = np.stack([left, right], -1)[(right != PAD) & (right != EOS)]
    return len(np.unique(pairs, axis=0)) / len(pairs) if len(pairs) else 0.0


def mean(values: Floats | Sequence[float]) -> float:
    """The mean, NaN of nothing."""
    return float(np.mean(values)) if len(values) else float("nan")
