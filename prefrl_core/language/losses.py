"""The pipeline's losses as pure functions of tensors, exact in float64.

Responses are padded on the right: ``mask (rows, tokens)`` is 1 on real tokens (the end token included), 0 after them.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from prefrl_core.errors import UserError, require


def kway_loss(scores: Tensor, answers: Tensor, denominator: Literal["untied", "nominal"] = "untied") -> Tensor:
    """The ranking loss over all pairs of K completions (Ouyang et al. 2022, equation 1), each scored once.

    Args:
        scores: ``(prompts, K)``.
        answers: ``(prompts, K (K - 1) / 2)``, pairs in the order of ``itertools.combinations``: 1 where the first is
            better, 0 the second, 0.5 a tie, NaN skipped. Only 1 and 0 count.
        denominator: what a prompt's sum is divided by: its untied pairs, or all its pairs. The paper drops ties and
            does not say. A prompt without an untied pair has no part in the mean over prompts.

    Raises:
        UserError: no pair is untied.
    """
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1], 1)
    untied = (answers == 0) | (answers == 1)
    require(
        bool(untied.any()), f"no untied pair in {len(scores)} rankings: a reward model cannot learn from ties alone"
    )
    sign = torch.where(untied, 2 * answers - 1, 0.0)
    losses = functional.softplus(-sign * (scores[:, first] - scores[:, second])) * untied
    count = untied.sum(1)
    divisor = count.clamp(min=1) if denominator == "untied" else torch.full_like(count, answers.shape[1])
    return (losses.sum(1) / divisor)[count > 0].mean()


def kl_rewards(logp: Tensor, reference: Tensor, scores: Tensor, mask: Tensor, beta: float) -> Tensor:
    """``-beta (log pi - log pi_ref)`` a token, ``(rows, tokens)``; the score ``(rows,)`` on the last real one."""
    rewards = -beta * (logp - reference) * mask
    last = mask.sum(1).long() - 1
    rewards[torch.arange(len(scores)), last] += scores
    return rewards


def gae(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, trace: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns ``(rows, tokens)`` (Schulman et al. 2016); the last real token ends the episode."""
    rewards, values = rewards * mask, values * mask
    advantages = torch.zeros_like(rewards)
    running, following = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for step in reversed(range(rewards.shape[1])):
        error = rewards[:, step] + discount * following - values[:, step]
        running = error + discount * trace * running
        advantages[:, step] = running
        following = values[:, step]
    return advantages, advantages + values


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` at mean 0 and standard deviation 1 (unbiased) over real tokens; 0 elsewhere."""
    count = mask.sum()
    require(float(count) > 1, "advantages of one token cannot be whitened: raise the batch")
    mean = (values * mask).sum() / count
    variance = ((values - mean) ** 2 * mask).sum() / (count - 1)
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over real tokens."""
    return (values * mask).sum() / mask.sum()


def ppo_loss(logp: Tensor, old: Tensor, advantages: Tensor, mask: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """The clipped surrogate (Schulman et al. 2017, equation 7), to be minimised, and the share of clipped tokens."""
    ratio = torch.exp(logp - old)
    plain, clipped = -advantages * ratio, -advantages * ratio.clamp(1 - clip, 1 + clip)
    share = masked_mean((clipped > plain).to(mask.dtype), mask)
    return masked_mean(torch.maximum(plain, clipped), mask), share


def value_loss(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Half the squared error of the values, which are clipped around those of the rollout."""
    near = old + (values - old).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - returns) ** 2, (near - returns) ** 2), mask)


def token_loss(logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
    """Cross-entropy in nats, averaged over (real) tokens; ``logits (rows, tokens, words)``."""
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(targets)
    return losses.mean() if mask is None else masked_mean(losses, mask)


def exact_kl(logits: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """KL(pi || pi_ref) ``(rows,)`` in nats: the sum over real tokens of each one's full-vocabulary divergence.

    Given its prefixes this has the expectation of the sampled log-ratio, and less variance.
    """
    logp, other = logits.log_softmax(-1), reference.log_softmax(-1)
    return ((logp.exp() * (logp - other)).sum(-1) * mask).sum(1)


def check_finite(loss: Tensor, stage: str, step: int) -> None:
    """Raise UserError where a loss is no number, before it reaches the weights."""
    if not bool(torch.isfinite(loss)):
        raise UserError(f"{stage} step {step}: the loss is {float(loss)}; lower the learning rate of this stage")
