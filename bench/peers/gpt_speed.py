"""Tokens a second of one GPT on one core, generated and trained: ours, or the peer's where transformers is installed.

    python gpt_speed.py '{"library": "ours", "words": 249, "width": 96, "layers": 3, "heads": 4, "rows": 128, ...}'

Run by ``compare_language``; prints one JSON object. Both networks have random weights and generate from prompts of the
same length: once responses that never end before the limit, once such as end with probability ``end`` at each token,
where only tokens up to the end count. Timed in processor time, best of the repetitions.
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

Job = dict[str, Any]


def main(job: Job) -> None:
    """Time one library."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    made: dict[str, float] = {}
    for name, end in (("generated", 0.0), ("generated_uneven", job["end"])):
        generate, train = (ours if job["library"] == "ours" else peer)(job, end)
        seconds, tokens = best(generate, job["repetitions"])
        made[name] = tokens / seconds
    made["trained"] = job["rows"] * (job["prompt"] + job["new"]) / best(train, job["repetitions"])[0]
    print(json.dumps(made))


def best(work: Callable[[], int], repetitions: int) -> tuple[float, float]:
    """The least processor time of one call, in seconds, after one that warms up; and the mean of its tokens."""
    work()
    seconds, tokens = [], []
    for _ in range(repetitions):
        start = time.process_time()
        tokens.append(work())
        seconds.append(time.process_time() - start)
    return min(seconds), sum(tokens) / len(tokens)


def never_or_often(norm: Any, embedding: torch.Tensor, end: float) -> None:
    """Have a tied network end a response with about probability ``end`` at each token; 0 is never."""
    with torch.no_grad():
        norm.bias[0] = 30.0  # adds 30 times the embedding's first number to a word's score
        odds = end / (1 - end) * len(embedding)
        embedding[:, 0] = 0.0
        embedding[1, 0] = math.log(odds) / 30 if end else -3.0


Works = tuple[Callable[[], int], Callable[[], int]]


def ours(job: Job, end: float) -> Works:
    """Our GPT."""
    import numpy as np

    from prefrl_core.language.model import GPT, Size, generate
    from prefrl_core.language.stages import text_loss

    model = GPT(Size(job["words"], job["prompt"] + job["new"], job["width"], job["layers"], job["heads"]), 0)
    never_or_often(model.last, model.token.weight, end)
    prompts, text = prompts_and_text(job)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)

    def train() -> int:
        adam.zero_grad()
        text_loss(model, text).backward()  # type: ignore[no-untyped-call]
        adam.step()
        return text.numel()

    random = np.random.default_rng(0)
    return lambda: int(generate(model, prompts, job["new"], random)[2].sum()), train


def peer(job: Job, end: float) -> Works:
    """Hugging Face's GPT-2 of the same shape, without dropout, sampling from the whole distribution."""
    transformers: Any = importlib.import_module("transformers")
    config = transformers.GPT2Config(
        vocab_size=job["words"],
        n_positions=job["prompt"] + job["new"],
        n_embd=job["width"],
        n_layer=job["layers"],
        n_head=job["heads"],
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=2,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = transformers.GPT2LMHeadModel(config)
    prompts, text = prompts_and_text(job)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)

    never_or_often(model.transformer.ln_f, model.transformer.wte.weight, end)

    def generate() -> int:
        mask = torch.ones_like(prompts)
        made = model.generate(prompts, attention_mask=mask, do_sample=True, top_k=0, max_new_tokens=job["new"])
        return int((made[:, job["prompt"] :] != 0).sum())

    def train() -> int:
        adam.zero_grad()
        model(text, labels=text).loss.backward()
        adam.step()
        return text.numel()

    return generate, train


def prompts_and_text(job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids above the special ones."""
    prompts = torch.randint(4, job["words"], (job["rows"], job["prompt"]))
    return prompts, torch.randint(4, job["words"], (job["rows"], job["prompt"] + job["new"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
