"""Tokens a second of one GPT on one core, generated and trained: ours, or the peer's where transformers is installed.

    python gpt_speed.py '{"library": "ours", "words": 249, "width": 96, "layers": 3, "heads": 4, "rows": 128, ...}'

Run by ``compare_language``; prints one JSON object. Both networks have random weights and generate the same number
of tokens from prompts of the same length; both are timed in processor time, best of the repetitions.
"""

from __future__ import annotations

import importlib
import json
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
    generate, train = (ours if job["library"] == "ours" else peer)(job)
    tokens = job["rows"] * job["new"]
    print(
        json.dumps(
            {
                "generated": tokens / best(generate, job["repetitions"]),
                "trained": job["rows"] * (job["prompt"] + job["new"]) / best(train, job["repetitions"]),
            }
        )
    )


def best(work: Callable[[], object], repetitions: int) -> float:
    """The least processor time of one call, in seconds, after one that warms up."""
    work()
    seconds = []
    for _ in range(repetitions):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds)


def ours(job: Job) -> tuple[Callable[[], object], Callable[[], object]]:
    """Our GPT."""
    import numpy as np

    from prefrl_core.language.model import GPT, Size, generate
    from prefrl_core.language.stages import text_loss

    model = GPT(Size(job["words"], job["prompt"] + job["new"], job["width"], job["layers"], job["heads"]), 0)
    with torch.no_grad():
        model.last.bias[0] = 30.0  # with the end token's embedding below: it is never sampled, as at the peer
        model.token.weight[1, 0] = -3.0
    prompts, text = prompts_and_text(job)
    adam = torch.optim.Adam(model.parameters(), lr=1e-4)

    def train() -> None:
        adam.zero_grad()
        text_loss(model, text).backward()  # type: ignore[no-untyped-call]
        adam.step()

    made = generate(model, prompts, job["new"], np.random.default_rng(0))[2]
    assert made.sum() == job["rows"] * job["new"], "a response ended early"
    return lambda: generate(model, prompts, job["new"], np.random.default_rng(0)), train


def peer(job: Job) -> tuple[Callable[[], object], Callable[[], object]]:
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

    def generate() -> None:
        mask, new = torch.ones_like(prompts), job["new"]
        made = model.generate(
            prompts, attention_mask=mask, do_sample=True, top_k=0, min_new_tokens=new, max_new_tokens=new
        )
        assert made.shape[1] == job["prompt"] + new

    def train() -> None:
        adam.zero_grad()
        model(text, labels=text).loss.backward()
        adam.step()

    return generate, train


def prompts_and_text(job: Job) -> tuple[torch.Tensor, torch.Tensor]:
    """Random ids above the special ones."""
    prompts = torch.randint(4, job["words"], (job["rows"], job["prompt"]))
    return prompts, torch.randint(4, job["words"], (job["rows"], job["prompt"] + job["new"]))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
