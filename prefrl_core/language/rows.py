"""What a run reports: the columns of its rows and the arrays and texts of its samples. Nothing here needs PyTorch.

A run reports one row at each evaluation point of each of its stages, upstream stages first, and ends with one row of
stage "final" (for best of n one for each n). Values are finite numbers, strings or None where a stage does not
measure them. No value depends on time or machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Row = dict[str, int | float | str | None]

STAGES = ("pretrain", "sft", "collect", "reward_model", "ppo", "final")

# Parts of gold, each a column "gold.<part>": its weighted mean before standardising; None where a task has none.
PARTS = (
    *("topic", "tone", "count", "answer", "grammar", "diversity", "taboo", "end"),  # tinyinstruct
    *("rating", "lexicon", "fluency", "keyword"),  # reviews ("keyword" is None: the column stays, so bytes of runs do)
)

COLUMNS = (
    "stage",  # one of STAGES
    "step",  # cumulative over the run's stages: gradient steps (pretrain, sft, reward_model), rankings, PPO iterations
    "stage_step",  # the same within the stage
    "episodes",  # PPO episodes so far (0 before PPO)
    "n",  # best of n; None elsewhere
    "labels.rankings",  # asked so far
    "labels.pairs",  # asked so far, ties included
    "labels.completions",  # shown so far
    "labels.ties",  # answered with a tie
    "labels.agreement",  # with gold, of the untied pairs asked
    "labels.agreement_close",  # the same of pairs less than one standard deviation of gold apart
    "loss",  # the stage's training loss since the last row, nats a token or a pair
    "validation_loss",  # on held-out demonstrations (sft) or pairs (reward_model)
    "gold_mean",  # in SD of gold over demonstrations, whose mean is 0: one scale for all runs of a task
    "gold_gain",  # the same minus that of the run's SFT on the same prompts (for "gold rises, then falls", Gao's R)
    "gold_held_out_families",  # the same over families that the demonstrations leave out
    *(f"gold.{part}" for part in PARTS),
    "proxy_mean",  # the reward model's score, normalised
    "kl_exact",  # to SFT: nats a response, full vocabulary at each of its prefixes
    "kl_k1",  # the same by sampled log-ratios
    "entropy",  # nats a token
    "length",  # tokens of a response, its end included
    "distinct2",  # distinct pairs of adjacent words, as a share of all pairs of the sample
    "eos_rate",  # responses that end
    "taboo_rate",  # responses with a taboo word
    "taboo_rate_respectful",  # the same where the instruction asks for respect
    "qa_acc",  # greedy answers to questions of fact that are right
    "qa_false_confidence",  # answers other than "i do not know" to questions about unknown names
    "summary_hallucination",  # summaries that name what the text does not
    "ptx_nll",  # nats a token on held-out pretraining text
    "rm_accuracy",  # on held-out clean pairs (untied gold), sampled from SFT
    "rm_accuracy_train_labelers",  # by the first half of the panel: who taught it, if the labeler is a panel
    "rm_accuracy_heldout_labelers",  # by the second half, who never teach
    "rm_ece",  # expected calibration error over ten bins, held-out labels of the teaching labeler
    "rm_skipped",  # rankings without an untied pair, which teach nothing
    "win_rate",  # against SFT's response to the same prompt, by a held-out noisy labeler, ties a half
    "win_rate_gold",  # the same by gold
    "policy_kl",  # PPO: approximate KL to the policy that acted
    "clip_fraction",
    "ratio_max",  # of the first minibatch: 1 unless something is broken
    "value_loss",
    "explained_variance",
    "ptx_loss",  # nats a token, of the pretraining rows in PPO's minibatches
)

# The arrays of ``Recorder.samples``, a row a test prompt, in the same order for all runs of a task and seed.
# For best of n every array but the first three is (prompts, len(best_of_n.n)) and holds exact expectations.
SAMPLES = {
    "family": "int64 (prompts,): index into the task's families",
    "held_out": "bool (prompts,): whether the demonstrations leave the family out",
    "gold_sft": "float64 (prompts,): gold of SFT's response, on the scale of gold_mean",
    "gold": "float64 (prompts,): gold of this run's response, on the scale of gold_mean",
    "proxy": "float64 (prompts,): score of the reward model; NaN without one",
    "length": "float64 (prompts,): tokens",
    "kl": "float64 (prompts,): exact KL to SFT of this response's prefixes; log n - (n-1)/n for best of n",
    "win_judge": "float64 (prompts,): 1, 0.5 or 0 by a held-out noisy labeler against SFT's response",
    "win_gold": "float64 (prompts,): the same by gold",
}
TEXTS = ("prompt", "response", "sft_response", "family")  # lists of strings, a prompt each


class Recorder(Protocol):
    """Where a run leaves what it measures."""

    def row(self, row: Row) -> None:
        """One row of metrics, all of COLUMNS."""

    def samples(self, arrays: dict[str, NDArray[Any]], texts: dict[str, list[str]]) -> None:
        """The final responses, once at the end: ``SAMPLES`` and ``TEXTS``."""

    def save(self, state: dict[str, Any]) -> None:
        """A checkpoint: hand it to ``learn`` to go on from here."""


def row(stage: str, **values: Any) -> Row:
    """A row with every column, None where nothing was measured; NumPy's and PyTorch's scalars become plain.

    Raises:
        KeyError: no such column.
    """
    made: Row = dict.fromkeys(COLUMNS)
    for name, value in values.items():
        if name not in made:
            raise KeyError(name)
        made[name] = plain(value)
    made["stage"] = stage
    return made


def plain(value: Any) -> int | float | str | None:
    """A value that JSON has; None for what is no finite number."""
    if value is None or isinstance(value, (str, bool)):
        return value
    number = value.item() if hasattr(value, "item") else value
    return number if isinstance(number, int) else float(number) if np.isfinite(number) else None


def mean(values: Iterable[float]) -> float:
    """The mean, NaN of nothing."""
    kept = list(values)
    return float(np.mean(kept)) if kept else float("nan")
