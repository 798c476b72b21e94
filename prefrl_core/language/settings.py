"""The settings of each stage, validated; their defaults are those of the ``cpu`` preset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from prefrl_core.errors import require, unknown

_LARGEST = 1e30  # of numbers that PyTorch takes as float32


@dataclass(frozen=True)
class ModelSettings:
    """The shape of the policy and, where ``reward_model`` gives none of its own, of all other networks."""

    width: int = 96
    layers: int = 3
    heads: int = 4
    context: int = 0  # tokens of prompt and response together; 0 takes the task's own
    checkpoint: str = ""  # folder of a Hugging Face causal model that is used instead (extra hf)
    checkpoint_hash: str = ""  # hash of its contents; filled in, and if given it has to match

    def __post_init__(self) -> None:
        _at_least(self, "model", 1, ("width", "layers", "heads"))
        _at_least(self, "model", 0, ("context",))
        require(
            self.width % self.heads == 0,
            f"model.width = {self.width}: not a multiple of model.heads = {self.heads}",
        )
        require(
            bool(self.checkpoint) or not self.checkpoint_hash,
            f"model.checkpoint_hash = {self.checkpoint_hash!r}: of no model; set model.checkpoint to its folder",
        )


@dataclass(frozen=True)
class PretrainSettings:
    """Language modelling of text that holds no instruction."""

    steps: int = 800
    batch: int = 64  # rows of text in one gradient step
    learning_rate: float = 3e-3  # Adam; linear warm-up over the first twentieth, then cosine to 10 %

    def __post_init__(self) -> None:
        _at_least(self, "pretrain", 1, ("steps", "batch"))
        _above_zero(self, "pretrain", ("learning_rate",))


@dataclass(frozen=True)
class SftSettings:
    """Supervised fine-tuning on demonstrations (Ouyang et al. 2022, sections 3.5 and E.8)."""

    demos: int = 2000
    epochs: int = 4
    batch: int = 32  # demonstrations in one gradient step
    learning_rate: float = 1e-3  # Adam, cosine to 10 %
    mix: float = 0.1  # rows of pretraining text in a batch, as a share of its demonstrations

    def __post_init__(self) -> None:
        _at_least(self, "sft", 1, ("demos", "epochs", "batch"))
        _above_zero(self, "sft", ("learning_rate",))
        require(0 <= self.mix <= 1, f"sft.mix = {self.mix}: a share in [0, 1]")


@dataclass(frozen=True)
class RewardModelSettings:
    """The reward model, from rankings (Ouyang et al. 2022, equation 1)."""

    epochs: int = 1
    batch: int = 16  # rankings in one gradient step; with "shuffled" as many pairs as those hold
    learning_rate: float = 1e-3  # Adam, cosine to 10 %
    batching: Literal["grouped", "shuffled"] = (
        "grouped"  # all pairs of a prompt together; or "shuffled": each by itself
    )
    denominator: Literal["untied", "nominal"] = "untied"  # pairs that a prompt's loss is divided by; or "nominal"
    normalisation: Literal["mean_sd", "demo_bias"] = "mean_sd"  # SFT samples at mean 0 and SD 1; demonstrations at 0
    width: int = 0  # 0 takes the policy's; a network of another shape is pretrained and fine-tuned itself
    layers: int = 0
    members: int = 1  # networks of an ensemble (Coste et al. 2023)
    combine: Literal["mean", "min"] = "mean"  # how the members' scores are combined; or "min"

    def __post_init__(self) -> None:
        _at_least(self, "reward_model", 1, ("epochs", "batch", "members"))
        _at_least(self, "reward_model", 0, ("width", "layers"))
        _above_zero(self, "reward_model", ("learning_rate",))
        _one_of(self, "reward_model", "batching", ("grouped", "shuffled"))
        _one_of(self, "reward_model", "denominator", ("untied", "nominal"))
        _one_of(self, "reward_model", "normalisation", ("mean_sd", "demo_bias"))
        _one_of(self, "reward_model", "combine", ("mean", "min"))


@dataclass(frozen=True)
class PpoSettings:
    """PPO with a KL penalty and a pretraining mix (Ouyang et al. 2022, equation 2 and C.4)."""

    episodes: int = 8192
    batch: int = 128  # episodes in one iteration
    minibatches: int = 8  # gradient steps in one iteration; each episode is used once
    beta: float = 0.1  # weight of the KL penalty, in SD of reward per nat (docs/language.md says why not 0.02)
    gamma: float = 0.0  # weight of the pretraining loss: above 0 it is PPO-ptx
    ptx_ratio: float = 1.0  # rows of pretraining text for each episode
    learning_rate: float = 3e-4
    value_learning_rate: float = 5e-4
    warmup: int = 10  # iterations of linear warm-up from a tenth
    clip: float = 0.2
    value_clip: float = 0.2
    discount: float = 1.0
    trace: float = 0.95  # lambda of GAE
    whitening: bool = True  # advantages at mean 0 and SD 1 over the batch
    kl: Literal["k1"] = "k1"  # the estimate of the KL divergence that the reward subtracts (Schulman 2020)
    value_init: Literal["reward_model", "sft"] = "reward_model"  # or "sft": its body and a head of zeros
    end_penalty: float = 1.0  # subtracted from the score of a response without an end
    ema: float = 0.9  # decay per iteration of the averaged weights that are evaluated; 0: the last ones

    def __post_init__(self) -> None:
        _at_least(self, "ppo", 1, ("episodes", "batch", "minibatches"))
        _at_least(self, "ppo", 0, ("beta", "gamma", "ptx_ratio", "warmup", "end_penalty"))
        _above_zero(self, "ppo", ("learning_rate", "value_learning_rate", "clip", "value_clip"))
        require(self.ptx_ratio > 0 or self.gamma == 0, "ppo.ptx_ratio = 0: for no pretraining text set ppo.gamma = 0")
        for name in ("discount", "trace"):
            require(0 <= getattr(self, name) <= 1, f"ppo.{name} = {getattr(self, name)}: in [0, 1]")
        require(0 <= self.ema < 1, f"ppo.ema = {self.ema}: in [0, 1)")
        require(
            str(self.kl) != "k3",
            "ppo.kl = 'k3': its value estimates the KL divergence, but as a reward its policy gradient vanishes to "
            "first order near the reference, where the divergence's does not; choose 'k1'",
        )
        _one_of(self, "ppo", "kl", ("k1",))
        _one_of(self, "ppo", "value_init", ("reward_model", "sft"))
        self._check_batch()

    def _check_batch(self) -> None:
        require(
            self.batch % self.minibatches == 0,
            f"ppo.batch = {self.batch}: not a multiple of ppo.minibatches = {self.minibatches}",
        )
        require(
            self.batch >= 8 or not self.whitening,
            f"ppo.batch = {self.batch}: whitening needs at least 8 episodes; raise it, or set ppo.whitening = false",
        )
        require(
            self.episodes % self.batch == 0,
            f"ppo.episodes = {self.episodes}: not a multiple of ppo.batch = {self.batch}",
        )


@dataclass(frozen=True)
class BestOfNSettings:
    """Best of n by the reward model, no training (Gao et al. 2022)."""

    n: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    samples: int = 64  # drawn for each prompt; expectations over all subsets of n of them are exact

    def __post_init__(self) -> None:
        require(len(self.n) > 0 and all(n >= 1 for n in self.n), f"best_of_n.n = {list(self.n)}: numbers of at least 1")
        require(
            max(self.n) <= self.samples,
            f"best_of_n.n = {list(self.n)}: at most best_of_n.samples = {self.samples} can be chosen from",
        )
        require(len(set(self.n)) == len(self.n), f"best_of_n.n = {list(self.n)}: one number twice; remove one of them")


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured, and how often."""

    prompts: int = 256  # prompts of the test split, at the end
    curve_prompts: int = 128  # prompts of the validation split, during PPO
    every: int = 8  # PPO iterations between two points of the curve
    persons: int = 10  # size of the judging panel, whose second half is held out of all training
    spread: float = 0.3  # standard deviation of the persons' weights, relative to gold's
    rationality: float = 2.0  # a judge is right with probability sigmoid(rationality * gap in SD)

    def __post_init__(self) -> None:
        _at_least(self, "evaluation", 1, ("prompts", "curve_prompts", "every"))
        _at_least(self, "evaluation", 2, ("persons",))
        _at_least(self, "evaluation", 0, ("spread",))
        _above_zero(self, "evaluation", ("rationality",))


def _at_least(settings: Any, table: str, least: int, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        require(value >= least, f"{table}.{name} = {value}: at least {least}")


def _above_zero(settings: Any, table: str, names: Iterable[str]) -> None:
    for name in names:
        value = getattr(settings, name)
        require(value > 0, f"{table}.{name} = {value}: above 0")
        require(value <= _LARGEST, f"{table}.{name} = {value}: at most {_LARGEST:g}, what networks compute with")


def _one_of(settings: Any, table: str, name: str, choices: tuple[str, ...]) -> None:
    value = getattr(settings, name)
    if value not in choices:
        raise unknown(f"{table}.{name}", value, choices)
