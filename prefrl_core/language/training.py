"""What all stages share: networks and their weights as arrays, Adam with a schedule, batches of rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from prefrl_core import seeding
from prefrl_core.errors import UserError, require
from prefrl_core.language.losses import check_finite
from prefrl_core.language.model import GPT, ScalarHead, Size
from prefrl_core.language.settings import ModelSettings
from prefrl_core.language.tasks import Ints, LMTask

Weights = dict[str, NDArray[Any]]
BETAS = (0.9, 0.95)  # of Adam (Ouyang et al. 2022, appendix C)
_LARGEST_GRADIENT = 1.0


def size_of(task: LMTask, settings: ModelSettings) -> Size:
    """The network's shape for a task."""
    context = settings.context or task.info.tokens
    return Size(len(task.vocabulary), context, settings.width, settings.layers, settings.heads, settings.checkpoint)


def network(size: Size, seed: int) -> GPT:
    """A GPT of that size, or one of the architecture of its checkpoint, with random weights."""
    if not size.checkpoint:
        return GPT(size, seed)
    from prefrl_core.language.hf import HuggingFace

    return HuggingFace(size)


def weights_of(network: nn.Module) -> Weights:
    """All weights by name, copied."""
    return {name: weight.detach().numpy().copy() for name, weight in network.state_dict().items()}


def load(network: nn.Module, weights: Mapping[str, NDArray[Any]]) -> None:
    """Put ``weights`` into ``network``.

    Raises:
        UserError: they are another network's.
    """
    wanted = {name: tuple(weight.shape) for name, weight in network.state_dict().items()}
    given = {name: weight.shape for name, weight in weights.items()}
    if wanted != given:
        name = next(name for name in {**wanted, **given} if wanted.get(name) != given.get(name))
        raise UserError(
            f"weight {name!r} has shape {given.get(name)} where this model has {wanted.get(name)}: the checkpoint is "
            "another model's or another vocabulary's; train the stage anew"
        )
    network.load_state_dict({name: torch.from_numpy(np.array(weight)) for name, weight in weights.items()})


def language_model(size: Size, weights: Weights) -> GPT:
    """A GPT with these weights."""
    model = network(size, 0)
    load(model, weights)
    return model


def scalar_model(size: Size, weights: Weights, seed: int = 0) -> ScalarHead:
    """A reward or value network: with all ``weights``, or with a fresh head on a language model's."""
    made = ScalarHead(network(size, 0), seed)
    if "head.weight" in weights:
        load(made, weights)
    else:
        load(made.body, weights)
    return made


class Optimiser:
    """Adam, its gradient clipped to norm 1."""

    def __init__(self, network: nn.Module, rate: float, stage: str) -> None:
        self.network, self.rate, self.stage, self.count = network, rate, stage, 0
        self.adam = torch.optim.Adam(network.parameters(), lr=rate, betas=BETAS)

    def step(self, loss: Tensor, share: float = 1.0) -> float:
        """One step down the gradient of ``loss`` at ``share`` of the learning rate; returns the loss.

        Raises:
            UserError: the loss is no number.
        """
        check_finite(loss, self.stage, self.count)
        self.adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        for group in self.adam.param_groups:
            group["lr"] = self.rate * share
        self.adam.step()
        self.count += 1
        return float(loss.detach())

    def get_state(self) -> dict[str, Any]:
        """Everything to go on from here, as arrays."""
        state: dict[str, Any] = {"count": self.count}
        for index, slot in self.adam.state_dict()["state"].items():
            state[str(index)] = {name: value.numpy().copy() for name, value in slot.items()}
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on where ``get_state`` was called."""
        whole = self.adam.state_dict()
        whole["state"] = {
            int(index): {name: torch.from_numpy(np.array(value)) for name, value in slot.items()}
            for index, slot in state.items()
            if index != "count"
        }
        self.adam.load_state_dict(whole)
        self.count = state["count"]


def cosine(step: int, steps: int, warmup: int = 0) -> float:
    """Share of the learning rate: a linear rise over ``warmup`` steps, then half a cosine down to 10 %."""
    rise = min(1.0, (step + 1) / (warmup + 1))
    return rise * (0.1 + 0.45 * (1 + math.cos(math.pi * step / max(steps, 1))))


def shuffled(seed: int, name: str, count: int, batch: int) -> Iterable[Ints]:
    """Indices of ``count`` rows in a random order, ``batch`` at a time; the last batch may be smaller."""
    order = seeding.generator(seed, name).permutation(count)
    return [order[start : start + batch] for start in range(0, count, batch)]


def tensor(ids: Ints) -> Tensor:
    """Token ids for a network."""
    return torch.from_numpy(np.asarray(ids, np.int64))


def trim(prompts: Tensor, responses: Tensor) -> tuple[Tensor, Tensor]:
    """Without the columns that are padding in every row, which cost time and change nothing."""
    used = int((prompts != 0).any(0).sum()), max(int((responses != 0).any(0).sum()), 1)
    require(used[0] > 0, "a batch of empty prompts: every prompt has at least its separator")
    return prompts[:, prompts.shape[1] - used[0] :], responses[:, : used[1]]
