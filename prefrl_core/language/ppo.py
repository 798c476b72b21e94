"""The fourth stage: PPO on a reward with a KL penalty, and with gamma above 0 the pretraining mix (PPO-ptx).

The objective is equation 2 of Ouyang et al. (2022): the expectation of ``r - beta log(pi / pi_SFT)``, plus gamma times
the log-likelihood of pretraining text, the gradients of both in one step. An iteration samples a batch of episodes,
each of which is used once, in minibatches. All its draws come from generators named by the iteration, so a checkpoint
needs no state of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefrl_core import seeding
from prefrl_core.errors import require
from prefrl_core.language import losses, tasks
from prefrl_core.language.model import EOS, GPT, ScalarHead, generate
from prefrl_core.language.settings import PpoSettings
from prefrl_core.language.stages import text_loss
from prefrl_core.language.tasks import Floats, Ints, LMTask
from prefrl_core.language.training import Optimiser, Weights, load, tensor, trim, weights_of

# The score ``(rows,)`` of responses: prompts, their ids, the responses' ids.
Score = Callable[[Sequence[Any], Ints, Ints], Floats]


@dataclass
class Rollout:
    """A batch of episodes; all but the first two ``(rows, tokens)``, padded on the right where ``mask`` is 0."""

    prompts: Tensor
    responses: Tensor
    mask: Tensor
    logp: Tensor  # of the policy that acted
    reference: Tensor  # of SFT
    values: Tensor
    advantages: Tensor
    returns: Tensor


class Ppo:
    """A policy and its value network in training."""

    def __init__(
        self,
        task: LMTask,
        settings: PpoSettings,
        seed: int,
        policy: GPT,
        reference: GPT,
        value: ScalarHead,
        score: Score,
    ) -> None:
        self.task, self.settings, self.seed = task, settings, seed
        self.policy, self.reference, self.value, self.score = policy, reference, value, score
        self.policy_step = Optimiser(policy, settings.learning_rate, "ppo")
        self.value_step = Optimiser(value, settings.value_learning_rate, "ppo value")
        self.iteration = 0
        self.average = weights_of(policy)

    @property
    def finished(self) -> bool:
        """All episodes were sampled."""
        return self.iteration * self.settings.batch >= self.settings.episodes

    @property
    def evaluated(self) -> Weights:
        """The weights that are measured: the moving average (Ouyang et al. 2022, C.4), or with ``ema`` = 0 the last."""
        return self.average if self.settings.ema else weights_of(self.policy)

    def iterate(self) -> dict[str, float]:
        """Sample a batch and learn from it; returns what it measured."""
        rollout = self.sample()
        measured = self.improve(rollout)
        self.iteration += 1
        if self.settings.ema:
            keep = min(self.settings.ema, self.iteration / (self.iteration + 1))
            for name, weight in self.policy.state_dict().items():
                self.average[name] = (keep * self.average[name] + (1 - keep) * weight.numpy()).astype(np.float32)
        return measured

    @torch.no_grad()
    def sample(self) -> Rollout:
        """A batch of episodes, scored, with advantages.

        Raises:
            UserError: a score is no number.
        """
        settings = self.settings
        prompts = self.task.prompts(self._random("prompts"), "ppo", settings.batch)
        ids = tensor(tasks.encode_prompts(self.task.vocabulary, prompts))
        responses, logp, mask = generate(self.policy, ids, self.task.info.response_tokens, self._random("sampling"))
        scores = self.scores(prompts, ids.numpy(), responses.numpy())
        ids, responses = trim(ids, responses)
        logp, mask = logp[:, : responses.shape[1]], mask[:, : responses.shape[1]]
        reference = log_probabilities(self.reference, ids, responses) * mask
        values = self.value.values(ids, responses) * mask
        rewards = losses.kl_rewards(logp, reference, scores, mask, settings.beta)
        advantages, returns = losses.gae(rewards, values, mask, settings.discount, settings.trace)
        if settings.whitening:
            advantages = losses.whiten(advantages, mask)
        return Rollout(ids, responses, mask, logp, reference, values, advantages, returns)

    def scores(self, prompts: Sequence[Any], ids: Ints, responses: Ints) -> Tensor:
        """The reward of each response, less the penalty where it has no end."""
        scores = self.score(prompts, ids, responses) - self.settings.end_penalty * ~(responses == EOS).any(1)
        remedy = "lower reward_model.learning_rate"
        finite = bool(np.isfinite(scores).all())
        require(finite, f"ppo iteration {self.iteration}: a reward is no finite number; {remedy}")
        return torch.from_numpy(scores).float()

    def improve(self, rollout: Rollout) -> dict[str, float]:
        """One pass over the batch in minibatches, a step of each network for each."""
        settings = self.settings
        order = self._random("minibatches").permutation(settings.batch)
        text = self._pretraining() if settings.gamma else None
        share = min(1.0, 0.1 + 0.9 * self.iteration / max(settings.warmup, 1)) if settings.warmup else 1.0
        kept: dict[str, list[float]] = {}
        for index, rows in enumerate(np.split(order, settings.minibatches)):
            chosen = torch.from_numpy(rows)
            loss, measured = policy_loss(self.policy, rollout, chosen, settings.clip)
            if text is not None:
                measured["ptx_loss"] = ptx = text_loss(self.policy, text[index :: settings.minibatches])
                loss = loss + settings.gamma * ptx
            self.policy_step.step(loss, share)
            loss = value_loss(self.value, rollout, chosen, settings.value_clip)
            measured["value_loss"] = torch.tensor(self.value_step.step(loss, share))
            if index == 0:
                kept["ratio_max"] = [float(measured["ratio_max"])]
            for name in measured.keys() - {"ratio_max"}:
                kept.setdefault(name, []).append(float(measured[name].detach()))
        real = rollout.mask.bool()
        left = (rollout.returns - rollout.values)[real].var() / rollout.returns[real].var().clamp(min=1e-8)
        return {name: float(np.mean(values)) for name, values in kept.items()} | {"explained_variance": 1 - float(left)}

    def get_state(self) -> dict[str, Any]:
        """Everything to go on as if nothing had happened."""
        return {
            "iteration": self.iteration,
            "vocabulary": self.task.vocabulary.digest,
            "policy": weights_of(self.policy),
            "value": weights_of(self.value),
            "average": dict(self.average),
            "policy_step": self.policy_step.get_state(),
            "value_step": self.value_step.get_state(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where ``get_state`` was called.

        Raises:
            UserError: the checkpoint was made with another vocabulary or another model.
        """
        require(
            state["vocabulary"] == self.task.vocabulary.digest,
            f"the checkpoint's vocabulary {state['vocabulary']} is not the task's {self.task.vocabulary.digest}: "
            "delete the checkpoint, and the run starts over",
        )
        self.iteration, self.average = state["iteration"], dict(state["average"])
        load(self.policy, state["policy"])
        load(self.value, state["value"])
        self.policy_step.set_state(state["policy_step"])
        self.value_step.set_state(state["value_step"])

    def _pretraining(self) -> Tensor:
        count = max(round(self.settings.ptx_ratio * self.settings.batch), self.settings.minibatches)
        return tensor(self.task.pretraining(self._random("text"), count, self.policy.size.context))

    def _random(self, purpose: str) -> np.random.Generator:
        return seeding.generator(self.seed, f"ppo {purpose} {self.iteration}")


def log_probabilities(model: GPT, prompts: Tensor, responses: Tensor) -> Tensor:
    """Log-probability of each response token ``(rows, tokens)``."""
    chosen = responses.unsqueeze(-1)
    return model.response_logits(prompts, responses).log_softmax(-1).gather(2, chosen).squeeze(-1)


def policy_loss(policy: GPT, rollout: Rollout, rows: Tensor, clip: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate on these rows, and what it measured."""
    mask, old = rollout.mask[rows], rollout.logp[rows]
    now = log_probabilities(policy, rollout.prompts[rows], rollout.responses[rows]) * mask
    loss, share = losses.ppo_loss(now, old, rollout.advantages[rows], mask, clip)
    with torch.no_grad():
        change = (now - old) * mask
        kl = losses.masked_mean(torch.exp(change) - 1 - change, mask)
        largest = torch.exp(change).max()
    return loss, {"clip_fraction": share, "policy_kl": kl, "ratio_max": largest}


def value_loss(value: ScalarHead, rollout: Rollout, rows: Tensor, clip: float) -> Tensor:
    """The clipped squared error on these rows."""
    mask = rollout.mask[rows]
    values = value.values(rollout.prompts[rows], rollout.responses[rows]) * mask
    return losses.value_loss(values, rollout.values[rows], rollout.returns[rows], mask, clip)
