"""The third stage: a reward model from rankings (Ouyang et al. 2022, section 3.5), and how well it orders new ones."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from prefrl_core import seeding
from prefrl_core.errors import require
from prefrl_core.language import labelers
from prefrl_core.language.collect import Rankings
from prefrl_core.language.losses import kway_loss
from prefrl_core.language.model import ScalarHead, Size
from prefrl_core.language.settings import RewardModelSettings
from prefrl_core.language.stages import Artifact, Curve
from prefrl_core.language.tasks import Floats, Ints
from prefrl_core.language.training import Optimiser, Weights, cosine, scalar_model, shuffled, tensor, trim, weights_of

_BINS = 10
_POINTS = 5  # of the curve


class RewardModel:
    """One network or several, whose normalised scores are combined."""

    def __init__(self, members: list[ScalarHead], settings: RewardModelSettings) -> None:
        self.members, self.settings = members, settings
        self.mean, self.deviation = np.zeros(len(members)), np.ones(len(members))

    @torch.no_grad()
    def raw(self, prompts: Ints, responses: Ints, batch: int = 256) -> Floats:
        """Each member's score, not normalised: ``(members, rows)``."""
        made = []
        for start in range(0, len(prompts), batch):
            pair = trim(tensor(prompts[start : start + batch]), tensor(responses[start : start + batch]))
            made.append(torch.stack([member.score(*pair) for member in self.members]).double().numpy())
        return np.concatenate(made, 1)

    def score(self, prompts: Ints, responses: Ints) -> Floats:
        """The reward ``(rows,)``."""
        each = (self.raw(prompts, responses) - self.mean[:, None]) / self.deviation[:, None]
        return np.asarray(each.min(0) if self.settings.combine == "min" else each.mean(0))

    def normalise(self, sampled: tuple[Ints, Ints], demonstrated: tuple[Ints, Ints]) -> None:
        """Bring the score to mean 0 and SD 1 over SFT's samples, or to mean 0 over demonstrations."""
        by_demos = self.settings.normalisation == "demo_bias"
        scores = self.raw(*(demonstrated if by_demos else sampled))
        self.mean = scores.mean(1)
        self.deviation = np.ones(len(self.members)) if by_demos else np.maximum(scores.std(1), 1e-6)

    def arrays(self) -> Weights:
        """Everything to make it again."""
        weights = {
            f"{index}.{name}": weight
            for index, member in enumerate(self.members)
            for name, weight in weights_of(member).items()
        }
        return {**weights, "mean": self.mean, "deviation": self.deviation}

    @classmethod
    def of(cls, arrays: Weights, size: Size, settings: RewardModelSettings) -> RewardModel:
        """The model whose ``arrays()`` these are."""
        members = []
        for index in range(settings.members):
            start = f"{index}."
            weights = {name[len(start) :]: weight for name, weight in arrays.items() if name.startswith(start)}
            members.append(scalar_model(size, weights))
        made = cls(members, settings)
        made.mean, made.deviation = arrays["mean"], arrays["deviation"]
        return made


def train_reward_model(
    size: Size,
    settings: RewardModelSettings,
    seed: int,
    start: Weights,
    taught: Rankings,
    held_out: dict[str, Rankings],
    demonstrated: tuple[Ints, Ints],
) -> Artifact:
    """Fit a network for each member to the rankings, beginning at the weights of SFT.

    ``held_out`` has the same new rankings answered by "teacher" (who taught), "train" and "held_out" (the halves of
    the judging panel); its gold is what accuracy is measured by.

    Raises:
        UserError: no pair is untied.
    """
    untied = (taught.answers == 0) | (taught.answers == 1)
    require(
        bool(untied.any()), f"no untied pair in {len(taught)} rankings: a reward model cannot learn from ties alone"
    )
    members, reported = [], []
    for index in range(settings.members):
        network = scalar_model(size, start, seeding.integer(seed, f"reward head {index}"))
        reported.append(_fit(network, settings, seed, index, taught, held_out))
        members.append(network)
    model = RewardModel(members, settings)
    rows_of_each = len(taught.responses[0])
    model.normalise(
        (np.repeat(taught.prompts, rows_of_each, 0), taught.responses.reshape(len(taught) * rows_of_each, -1)),
        demonstrated,
    )
    rows = reported[0]
    rows[-1] |= {name: float(value) for name, value in measure(model, held_out).items()}
    rows[-1] |= {"rm_skipped": int((~untied.any(1)).sum())}
    return Artifact(model.arrays(), rows)


def _fit(
    network: ScalarHead,
    settings: RewardModelSettings,
    seed: int,
    member: int,
    taught: Rankings,
    held_out: dict[str, Rankings],
) -> list[Any]:
    optimiser = Optimiser(network, settings.learning_rate, "reward model")
    batches = list(_batches(settings, seed, member, taught))
    curve = Curve("reward_model", len(batches), _POINTS)
    for step, (which, answers) in enumerate(batches):
        if not ((answers == 0) | (answers == 1)).any():
            loss = curve.losses[-1] if curve.losses else 0.0  # a batch of ties teaches nothing
        else:
            scores = scores_of(network, taught.prompts[which[0]], taught.responses[which])
            target = torch.from_numpy(answers).float()
            loss = optimiser.step(kway_loss(scores, target, settings.denominator), cosine(step, len(batches)))
        if curve.due(loss):
            accuracy = measure(RewardModel([network], settings), held_out)["rm_accuracy"]
            curve.add(rm_accuracy=accuracy)
    return curve.rows


Batch = tuple[tuple[Any, ...], Floats]


def _batches(settings: RewardModelSettings, seed: int, member: int, taught: Rankings) -> Iterator[Batch]:
    """Indices (rankings and completions, ``(batch, K)`` or ``(batch, 2)``) and answers of each gradient step."""
    k = taught.gold.shape[1]
    first, second = np.triu_indices(k, 1)
    for epoch in range(settings.epochs):
        name = f"reward batches {member} {epoch}"
        if settings.batching == "grouped":
            for chosen in shuffled(seed, name, len(taught), settings.batch):
                yield (chosen[:, None], np.arange(k)[None]), taught.answers[chosen]
        else:
            for chosen in shuffled(seed, name, taught.answers.size, settings.batch * len(first)):
                ranking, pair = np.divmod(chosen, len(first))
                both = np.stack([first[pair], second[pair]], 1)
                yield (ranking[:, None], both), taught.answers[ranking, pair][:, None]


def scores_of(network: ScalarHead, prompts: Ints, responses: Ints) -> Tensor:
    """Scores ``(rankings, K)`` of completions ``(rankings, K, tokens)``, each in one forward pass."""
    rankings, k, _ = responses.shape
    asked = np.broadcast_to(prompts.reshape(rankings, 1, -1), (rankings, k, prompts.shape[-1]))
    pair = trim(tensor(asked.reshape(rankings * k, -1)), tensor(responses.reshape(rankings * k, -1)))
    return network.score(*pair).view(rankings, k)


def measure(model: RewardModel, held_out: dict[str, Rankings]) -> dict[str, float]:
    """Accuracy by gold and by each kind of person, and calibration, on rankings that taught nothing."""
    rankings = held_out["teacher"]
    k = rankings.gold.shape[1]
    asked = np.repeat(rankings.prompts, k, 0)
    scores = model.raw(asked, rankings.responses.reshape(len(asked), -1)).mean(0).reshape(-1, k)
    finite = bool(np.isfinite(scores).all())
    require(finite, "reward model: a score is no finite number; lower reward_model.learning_rate")
    gap = labelers.differences(scores)
    clean = np.where((difference := labelers.differences(rankings.gold)) == 0, 0.5, (difference > 0) * 1.0)
    return {
        "rm_accuracy": accuracy(gap, clean),
        "rm_accuracy_train_labelers": accuracy(gap, held_out["train"].answers),
        "rm_accuracy_heldout_labelers": accuracy(gap, held_out["held_out"].answers),
        "validation_loss": float(
            np.logaddexp(0, np.where(rankings.answers == 1, -gap, gap))[_untied(rankings.answers)].mean()
        ),
        "rm_ece": calibration_error(gap, rankings.answers),
    }


def accuracy(gap: Floats, answers: Floats) -> float:
    """Share of untied answers that the sign of ``gap`` agrees with; a gap of zero is half right."""
    untied = _untied(answers)
    right = np.where(gap == 0, 0.5, (gap > 0) == (answers == 1))
    return float(right[untied].mean()) if untied.any() else float("nan")


def calibration_error(gap: Floats, answers: Floats) -> float:
    """Expected calibration error: the mean over confidence bins of |confidence - accuracy|, by their sizes."""
    untied = _untied(answers)
    sure = 1 / (1 + np.exp(-np.abs(gap[untied])))
    right = ((gap > 0) == (answers == 1))[untied]
    place = np.minimum(((sure - 0.5) * 2 * _BINS).astype(int), _BINS - 1)
    terms = [abs(sure[place == b].mean() - right[place == b].mean()) * (place == b).mean() for b in np.unique(place)]
    return float(np.sum(terms)) if len(terms) else float("nan")


def _untied(answers: Floats) -> Any:
    return (answers == 0) | (answers == 1)
