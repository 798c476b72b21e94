"""A GPT (Radford et al. 2019) small enough for one core: pre-norm, tied head, ReLU, key-value cache.

ReLU in place of GELU and inverse-CDF sampling in place of ``torch.multinomial`` because those two dominate the time
at this size. Prompts are padded on the left, so all responses of a batch begin in the same column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from prefrl_core.errors import require
from prefrl_core.language.vocab import Vocabulary

PAD, EOS, BOS, SEP = 0, 1, 2, 3
_SHRINK = 0.8  # share of rows still going at which the others are left out of sampling


@dataclass(frozen=True)
class Size:
    """The shape of a network."""

    words: int
    context: int = 48  # tokens, prompt and response together
    width: int = 96
    layers: int = 3
    heads: int = 4
    checkpoint: str = ""  # folder of a Hugging Face model of this shape (hf.py); "" is ours

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, f"width = {self.width}: not a multiple of heads = {self.heads}")


class Cache:
    """Keys and values of each layer, written in place: growing them by concatenation costs more than attention."""

    def __init__(self, size: Size, rows: int, tokens: int) -> None:
        shape = (size.layers, 2, rows, size.heads, tokens, size.width // size.heads)
        self.kept, self.used = torch.empty(shape), 0

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """All keys and values of the layer, these ``(rows, heads, tokens, width)`` the last."""
        end = self.used + key.shape[2]
        self.kept[layer, 0, :, :, self.used : end] = key
        self.kept[layer, 1, :, :, self.used : end] = value
        return self.kept[layer, 0, :, :, :end], self.kept[layer, 1, :, :, :end]

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.kept = self.kept[:, :, rows]


class Block(nn.Module):
    """Attention and a two-layer perceptron, each added to its input."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.heads = size.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(size.width), nn.LayerNorm(size.width)
        self.qkv, self.mix = nn.Linear(size.width, 3 * size.width), nn.Linear(size.width, size.width)
        self.up, self.down = nn.Linear(size.width, 4 * size.width), nn.Linear(4 * size.width, size.width)

    def forward(self, x: Tensor, visible: Tensor, cache: Cache | None, layer: int) -> Tensor:
        """Hidden states after this layer."""
        rows, tokens, width = x.shape
        split = self.qkv(self.before_attention(x)).view(rows, tokens, 3, self.heads, width // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        if cache is not None:
            key, value = cache.extend(layer, key, value)
        seen = attend(query, key, value, visible)
        x = x + self.mix(seen.transpose(1, 2).reshape(rows, tokens, width))
        return x + self.down(functional.relu(self.up(self.before_mlp(x))))


def what_is_seen(valid: Tensor, tokens: int) -> Tensor:
    """Which of all tokens each of the last ``tokens`` attends to: ``(rows, 1, tokens, all)``."""
    if tokens == 1:
        return valid[:, None, None, :]
    total = valid.shape[1]
    visible = torch.ones(tokens, total, dtype=torch.bool).tril(total - tokens) & valid[:, None, None, :]
    visible[..., total - tokens :] |= torch.eye(tokens, dtype=torch.bool)  # padding sees itself: seeing none is NaN
    return visible


def attend(query: Tensor, key: Tensor, value: Tensor, visible: Tensor) -> Tensor:
    """Attention ``(rows, heads, tokens, width)``; for one token plain products take half the fused kernel's time."""
    if query.shape[2] > 1:
        return functional.scaled_dot_product_attention(query, key, value, attn_mask=visible)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    return scores.masked_fill(~visible, -torch.inf).softmax(-1) @ value


class GPT(nn.Module):
    """A causal language model; ``forward`` gives hidden states, ``logits`` what they predict."""

    def __init__(self, size: Size, seed: int) -> None:
        super().__init__()
        self.size = size
        self.token, self.position = nn.Embedding(size.words, size.width), nn.Embedding(size.context, size.width)
        self.blocks = nn.ModuleList(Block(size) for _ in range(size.layers))
        self.last = nn.LayerNorm(size.width)
        random = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # GPT-2's: residual outputs shrink with depth
                depth = (2 * size.layers) ** -0.5 if "mix" in name or "down" in name else 1.0
                nn.init.normal_(weight, std=0.02 * depth, generator=random)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, ids: Tensor, valid: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Hidden states ``(rows, tokens, width)``.

        Args:
            ids: ``(rows, tokens)``, those after what ``cache`` holds.
            valid: bool ``(rows, cached + tokens)``: which tokens are no padding; all, where left out.
            cache: what earlier calls kept, to which this one adds.
        """
        tokens = ids.shape[1]
        total = tokens + (cache.used if cache else 0)
        require(total <= self.size.context, f"{total} tokens do not fit context = {self.size.context}")
        if valid is None:
            valid = torch.ones(ids.shape[0], total, dtype=torch.bool)
        place = (valid.cumsum(1) - 1).clamp(min=0)[:, total - tokens :]
        x, visible = self.token(ids) + self.position(place), what_is_seen(valid, tokens)
        for index, block in enumerate(self.blocks):
            x = block(x, visible, cache, index)
        if cache is not None:
            cache.used = total
        return self.last(x)

    def start_from(self, vocabulary: Vocabulary) -> None:
        """Before the first stage: nothing to do for a network of ours, whose weights are random."""

    def new_cache(self, rows: int, tokens: int) -> Cache:
        """An empty cache for ``rows`` texts of at most ``tokens``."""
        return Cache(self.size, rows, tokens)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores ``(..., words)`` of the next token; padding, which no text holds, has probability 0."""
        scores = functional.linear(hidden, self.token.weight)
        never = torch.zeros(self.size.words)
        never[PAD] = -1e4  # finite, so that divergences stay so
        return scores + never

    def response_logits(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """What predicts each response token: ``(rows, response tokens, words)``."""
        ids = torch.cat([prompts, responses], 1)
        hidden = self(ids, whole(prompts, responses))
        return self.logits(hidden[:, prompts.shape[1] - 1 : -1])


class ScalarHead(nn.Module):
    """A reward model or value network: a GPT body with one output a token."""

    def __init__(self, body: GPT, seed: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(body.size.width, 1)
        random = torch.Generator().manual_seed(seed)
        nn.init.normal_(self.head.weight, std=(body.size.width + 1) ** -0.5, generator=random)
        nn.init.zeros_(self.head.bias)

    def values(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """Values ``(rows, response tokens)`` before each response token is chosen."""
        hidden = self.body(torch.cat([prompts, responses], 1), whole(prompts, responses))
        return self.head(hidden[:, prompts.shape[1] - 1 : -1]).squeeze(-1)

    def score(self, prompts: Tensor, responses: Tensor) -> Tensor:
        """Scores ``(rows,)``, read at the last real token; an empty response is scored at its prompt's end."""
        valid = whole(prompts, responses)
        hidden = self.body(torch.cat([prompts, responses], 1), valid)
        last = prompts.shape[1] - 1 + (responses != PAD).sum(1)
        return self.head(hidden[torch.arange(len(prompts)), last]).squeeze(-1)


def whole(prompts: Tensor, responses: Tensor) -> Tensor:
    """Which tokens of prompt and response together are no padding."""
    return torch.cat([prompts, responses], 1) != PAD


@torch.no_grad()
def generate(
    model: GPT, prompts: Tensor, tokens: int, random: np.random.Generator, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Sample a response to each prompt: ids, log-probabilities and mask, each ``(rows, tokens)``.

    A response ends with EOS and is padded after it. The temperature divides the logits for the log-probabilities
    too. Draws come from ``random`` alone.
    """
    rows, start = len(prompts), prompts.shape[1]
    ids = torch.full((rows, tokens), PAD)
    logp, mask = torch.zeros(rows, tokens), torch.zeros(rows, tokens)
    uniform = random.random((tokens, rows))  # all at once: two models that draw from one seed share them row by row
    valid, cache = torch.ones(rows, start + tokens, dtype=torch.bool), model.new_cache(rows, start + tokens)
    valid[:, :start] = prompts != PAD
    left, hidden = torch.arange(rows), model(prompts, valid[:, :start], cache)  # which rows are still sampled
    going = torch.ones(rows, dtype=torch.bool)
    for step in range(tokens):
        choices = (model.logits(hidden[:, -1]) / temperature).log_softmax(-1)
        chosen = inverse_cdf(choices, uniform[step, left.numpy()])
        logp[left, step] = choices.gather(1, chosen[:, None])[:, 0] * going
        ids[left, step] = chosen = torch.where(going, chosen, PAD)
        mask[left, step] = going.float()
        going = going & (chosen != EOS)
        count = int(going.sum())
        if count == 0 or step == tokens - 1:
            break
        if count < _SHRINK * len(left):
            cache.keep(going)
            left, valid, chosen, going = left[going], valid[going], chosen[going], going[going]
        hidden = model(chosen[:, None], valid[:, : start + step + 1], cache)
    return ids, logp, mask


def inverse_cdf(logp: Tensor, uniform: NDArray[np.float64]) -> Tensor:
    """One draw a row ``(rows,)`` from ``exp(logp) (rows, words)``, made by ``uniform (rows,)``, each in [0, 1)."""
    cdf = logp.exp().cumsum(1)
    below = np.minimum(uniform[:, None], 1 - 2**-24)  # below 1 in float32 too
    at = torch.from_numpy(below.astype(np.float32)) * cdf[:, -1:]
    return torch.searchsorted(cdf, at, right=True).clamp(max=logp.shape[1] - 1)[:, 0]
