"""The same stages on a causal language model of Hugging Face's that the user has as a folder (extra ``hf``).

The task keeps its own vocabulary, so prompts, gold and evaluation stay as they are: each of its words gets the mean of
the embeddings of the pieces that the checkpoint's tokenizer cuts it into, and the output layer has one row a word.
Nothing is downloaded. Pretraining then is going on with pretraining, on the task's text. Dropout is off throughout, as
PPO needs it. Tested with GPT-2's and Llama's architectures.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from prefrl_core.errors import UserError, require
from prefrl_core.language.model import GPT, PAD, Cache, Size
from prefrl_core.language.vocab import SPECIAL, Vocabulary

_NAMES = {"width": ("hidden_size", "n_embd"), "layers": ("num_hidden_layers", "n_layer")}
_HEADS, _CONTEXT = ("num_attention_heads", "n_head"), ("max_position_embeddings", "n_positions")


def shape(folder: str) -> dict[str, int]:
    """``width``, ``layers``, ``heads`` and the longest ``context`` of the checkpoint, from its ``config.json``.

    Raises:
        UserError: there is none, or it does not say.
    """
    path = Path(folder) / "config.json"
    if not os.path.exists(path):  # a name that is too long, too
        raise UserError(f"model.checkpoint = {folder!r}: no config.json there; give the folder of a saved model")
    try:
        config = dict(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise UserError(f"model.checkpoint = {folder!r}: its config.json is damaged: save the model again") from error
    found = {}
    for name, keys in {**_NAMES, "heads": _HEADS, "context": _CONTEXT}.items():
        value = next((config[key] for key in keys if key in config), None)
        if type(value) is not int or not 0 < value < 1 << 24:
            raise UserError(f"model.checkpoint = {folder!r}: its config.json names no {keys[0]}")
        found[name] = value
    return found


def digest(folder: str) -> str:
    """Hash of everything in the folder that can change a run: configuration, tokenizer, weights.

    Raises:
        UserError: its weights are pickled, which can do anything when they are loaded; or a file cannot be read.
    """
    made = hashlib.sha256()
    paths = sorted(path for path in Path(folder).iterdir() if path.is_file())
    if not any(path.suffix == ".safetensors" for path in paths):
        raise UserError(
            f"model.checkpoint = {folder!r}: no weights in safetensors there; load the model and save it with "
            "save_pretrained(folder), which writes them (pickled weights such as pytorch_model.bin are not read)"
        )
    for path in paths:
        if path.suffix in (".json", ".txt", ".model", ".safetensors"):
            made.update(path.name.encode())
            try:
                with open(path, "rb") as file:
                    made.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise UserError(f"model.checkpoint: {path} cannot be read ({error.strerror})") from error
    return made.hexdigest()[:16]


class HuggingFace(GPT):
    """A model of another architecture behind the interface of ours."""

    def __init__(self, size: Size) -> None:
        nn.Module.__init__(self)
        transformers = _transformers()
        self.size = size
        with _in_words(size.checkpoint):
            config = transformers.AutoConfig.from_pretrained(size.checkpoint, local_files_only=True)
            config.vocab_size = size.words
            config.pad_token_id, config.bos_token_id, config.eos_token_id = PAD, 2, 1
            self.inner = transformers.AutoModelForCausalLM.from_config(config).float().eval()

    def train(self, mode: bool = True) -> HuggingFace:
        """Stays in evaluation mode: with dropout the ratio of PPO would not begin at 1."""
        return super().train(False)

    def forward(self, ids: Tensor, valid: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Hidden states ``(rows, tokens, width)``: see ``GPT.forward``."""
        total = ids.shape[1] + (cache.used if cache else 0)
        require(total <= self.size.context, f"{total} tokens do not fit context = {self.size.context}")
        if valid is None:
            valid = torch.ones(ids.shape[0], total, dtype=torch.bool)
        made = self.inner.base_model(
            input_ids=ids,
            attention_mask=valid.long(),
            position_ids=(valid.cumsum(1) - 1).clamp(min=0)[:, total - ids.shape[1] :],
            past_key_values=cache.inner if isinstance(cache, HuggingFaceCache) else None,
            use_cache=cache is not None,
        )
        if cache is not None:
            cache.used = total
        return made.last_hidden_state

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores ``(..., words)`` of the next token; padding has probability 0."""
        never = torch.zeros(self.size.words)
        never[PAD] = -1e4
        return self.inner.get_output_embeddings()(hidden) + never

    def new_cache(self, rows: int, tokens: int) -> Cache:
        """Theirs."""
        return HuggingFaceCache()

    @torch.no_grad()
    def start_from(self, vocabulary: Vocabulary) -> None:
        """Take the checkpoint's weights; a word's embedding is the mean of its pieces', a special token's that of all.

        Raises:
            UserError: the folder holds no whole model with a tokenizer.
        """
        transformers, folder = _transformers(), self.size.checkpoint
        with _in_words(folder):
            theirs, told = transformers.AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
            theirs = theirs.float()
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            words = [word for word in vocabulary.words if word not in SPECIAL]
            pieces = {word: tokenizer.encode(f" {word}", add_special_tokens=False) for word in words}
        if missing := sorted(told["missing_keys"]):  # the library draws them at random
            raise UserError(f"model.checkpoint = {folder!r}: its weights lack {missing[0]}: save the whole model again")
        require(any(pieces.values()), f"model.checkpoint = {folder!r}: its tokenizer knows no word: save it there too")
        taken: set[int] = set()
        for get in ("get_input_embeddings", "get_output_embeddings"):
            for name, source in getattr(theirs, get)().named_parameters():  # some output layers have a bias
                target, everything = getattr(getattr(self.inner, get)(), name), source.mean(0)
                for index, word in enumerate(vocabulary.words):
                    known = pieces.get(word)
                    target[index] = source[known].mean(0) if known else everything
                taken.add(id(source))
        rest = {name: weight for name, weight in theirs.named_parameters() if id(weight) not in taken}
        unexpected = self.inner.load_state_dict(rest, strict=False).unexpected_keys
        assert not unexpected, unexpected


class HuggingFaceCache(Cache):
    """A cache of theirs, with what sampling asks of it."""

    def __init__(self) -> None:
        self.inner: Any = _transformers().DynamicCache()
        self.used = 0

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows only."""
        self.inner.batch_select_indices(rows.nonzero()[:, 0])


@contextlib.contextmanager
def _in_words(folder: str) -> Iterator[None]:
    """What their library says about a folder that it cannot use, in one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        what = " ".join(f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}".split())
        raise UserError(
            f"model.checkpoint = {folder!r} cannot be used ({what}): save a causal model and its tokenizer anew"
        ) from error


def version() -> str:
    """That of the library, whose code a run on a checkpoint depends on.

    Raises:
        UserError: it is not installed.
    """
    require(
        importlib.util.find_spec("transformers") is not None,
        "model.checkpoint needs transformers, which is not installed: pip install 'prefrl-bench[hf]'",
    )
    return importlib.metadata.version("transformers")


def _transformers() -> Any:
    version()  # it is installed
    import transformers

    return transformers
