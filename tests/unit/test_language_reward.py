"""The reward model on rankings whose rule is known, its calibration by hand, and who wins."""

import dataclasses

import numpy as np
import pytest

from prefrl_core.errors import UserError
from prefrl_core.language import tasks
from prefrl_core.language.collect import Rankings, distinct_first
from prefrl_core.language.evaluate import Answers, distinct_pairs, wins
from prefrl_core.language.model import GPT, Size
from prefrl_core.language.reward import RewardModel, accuracy, calibration_error, train_reward_model
from prefrl_core.language.settings import EvaluationSettings, RewardModelSettings
from prefrl_core.language.training import weights_of

SIZE = Size(words=40, context=16, width=32, layers=1, heads=2)
TASK = tasks.make("language/tinyinstruct")


def rankings(seed: int, count: int, flip: float = 0.0) -> Rankings:
    """Completions of five random words and an end: better is what holds word 7 more often."""
    random = np.random.default_rng(seed)
    responses = random.integers(4, 12, size=(count, 4, 6))
    responses[:, :, 5] = 1
    gold = (responses == 7).sum(-1).astype(float)
    first, second = np.triu_indices(4, 1)
    gap = gold[:, first] - gold[:, second]
    right = np.where(random.random(gap.shape) < flip, -gap, gap)
    prompts = np.tile([2, 5, 3], (count, 1))
    return Rankings(prompts, responses, gold, gold[..., None], np.where(gap == 0, 0.5, (right > 0) * 1.0))


def trained(settings: RewardModelSettings, count: int = 256) -> tuple[RewardModel, dict]:
    taught, new = rankings(0, count), rankings(1, 100)
    held_out = {"teacher": new, "train": new, "held_out": rankings(1, 100, flip=0.3)}
    start = weights_of(GPT(SIZE, 3))
    artifact = train_reward_model(SIZE, settings, 0, start, taught, held_out, (taught.prompts, taught.responses[:, 0]))
    return RewardModel.of(artifact.arrays, SIZE, settings), artifact.rows[-1]


@pytest.mark.parametrize("batching", ["grouped", "shuffled"])
def test_a_simple_rule_is_learned(batching: str) -> None:
    settings = RewardModelSettings(epochs=6, learning_rate=3e-3, batching=batching)  # type: ignore[arg-type]
    model, row = trained(settings)
    assert row["rm_accuracy"] > 0.95 and row["rm_accuracy_train_labelers"] > 0.95
    assert 0.6 < row["rm_accuracy_heldout_labelers"] < 0.8  # of whom three in ten are wrong
    seven, none = np.array([[7, 7, 5, 5, 5, 1]]), np.array([[5, 5, 5, 5, 5, 1]])
    prompt = np.array([[2, 5, 3]])
    assert model.score(prompt, seven)[0] > model.score(prompt, none)[0] + 1


def test_scores_are_normalised_over_samples_or_over_demonstrations() -> None:
    taught = rankings(0, 256)
    prompts, responses = np.repeat(taught.prompts, 4, 0), taught.responses.reshape(1024, 6)
    by_samples = trained(RewardModelSettings())[0].score(prompts, responses)
    assert by_samples.mean() == pytest.approx(0, abs=1e-5) and by_samples.std() == pytest.approx(1, abs=1e-5)
    by_demos, _ = trained(RewardModelSettings(normalisation="demo_bias"))
    assert by_demos.score(taught.prompts, taught.responses[:, 0]).mean() == pytest.approx(0, abs=1e-5)


def test_a_reward_model_that_diverges_names_its_learning_rate() -> None:
    with pytest.raises(UserError, match=r"no finite number; lower reward_model.learning_rate"):
        trained(RewardModelSettings(batch=128, learning_rate=1e30), count=128)


def test_members_differ_and_the_worst_is_at_most_their_mean() -> None:
    settings = RewardModelSettings(members=3)
    model, _ = trained(settings)
    taught = rankings(2, 50)
    raw = model.raw(taught.prompts, taught.responses[:, 0])
    assert raw.shape == (3, 50) and np.corrcoef(raw)[0, 1] < 0.9999
    worst = RewardModel(model.members, dataclasses.replace(settings, combine="min"))
    worst.mean, worst.deviation = model.mean, model.deviation
    pair = taught.prompts, taught.responses[:, 0]
    assert (worst.score(*pair) <= model.score(*pair) + 1e-12).all()


def test_accuracy_and_calibration_by_hand() -> None:
    gap = np.array([[2.0, -1.0, 0.0, 3.0]])
    assert accuracy(gap, np.array([[1.0, 1.0, 0.0, 0.5]])) == pytest.approx((1 + 0 + 0.5) / 3)
    sure = 1 / (1 + np.exp(-2.0))
    assert calibration_error(np.full((1, 4), 2.0), np.array([[1.0, 1, 1, 0]])) == pytest.approx(abs(sure - 0.75))
    draw = np.random.default_rng(0)
    gaps = draw.normal(0, 2, 40_000)
    honest = (draw.random(40_000) < 1 / (1 + np.exp(-gaps))) * 1.0
    assert calibration_error(gaps, honest) < 0.02 < 0.1 < calibration_error(4 * gaps, honest)


def test_distinct_rows_come_first() -> None:
    rows = np.array([[1, 2], [1, 2], [3, 4], [1, 2], [5, 6]])
    assert distinct_first(rows).tolist() == [0, 2, 4, 1, 3]
    assert distinct_pairs(np.array([[5, 6, 5, 6, 1, 0]])) == pytest.approx(2 / 3)


def test_wins_are_symmetric_and_the_better_wins_more_often() -> None:
    random = np.random.default_rng(0)

    def answers(gold: np.ndarray, word: int) -> Answers:
        parts = np.stack([gold, np.zeros_like(gold)], 1)
        empty: list = []
        return Answers(empty, np.full((len(gold), 3), word), parts, gold, parts, None, gold)  # type: ignore[arg-type]

    base = random.normal(size=4000)
    better = answers(base + 1, 5)
    judged, by_gold = wins(better, answers(base, 6), EvaluationSettings(spread=0.0, rationality=2.0), 0)
    assert judged.mean() == pytest.approx(1 / (1 + np.exp(-2.0)), abs=0.03) and by_gold.mean() == 1
    worse, _ = wins(answers(base, 6), better, EvaluationSettings(spread=0.0, rationality=2.0), 0)
    assert worse.mean() == pytest.approx(1 - judged.mean(), abs=0.03)
    same, _ = wins(better, better, EvaluationSettings(), 0)
    assert (same == 0.5).all()
