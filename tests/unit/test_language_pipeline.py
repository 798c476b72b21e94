"""Whole runs in small: every method reports what it promises, the same spec gives the same bytes, and a run that is
cut off goes on as if nothing had happened."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefrl_core import checkpoint, seeding
from prefrl_core.errors import UserError
from prefrl_core.language import cache, collect, rows, tasks, training
from prefrl_core.language.model import EOS, GPT, ScalarHead
from prefrl_core.language.pipeline import learn
from prefrl_core.language.ppo import Ppo, policy_loss
from prefrl_core.language.run import Run
from prefrl_core.language.settings import PpoSettings
from prefrl_core.language.spec import LanguageSpec
from prefrl_core.language.stages import text_loss

TASK = tasks.make("language/tinyinstruct")


class Memory:
    """A recorder that keeps everything; it can be cut off at its n-th checkpoint."""

    def __init__(self, stop: int = 0) -> None:
        self.rows: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.arrays: dict[str, np.ndarray] = {}
        self.texts: dict[str, list[str]] = {}
        self.stop = stop

    def row(self, row: rows.Row) -> None:
        assert tuple(row) == rows.COLUMNS
        json.dumps(row, allow_nan=False)
        self.rows.append(row)

    def samples(self, arrays: dict[str, np.ndarray], texts: dict[str, list[str]]) -> None:
        self.arrays, self.texts = arrays, texts

    def save(self, state: dict[str, Any]) -> None:
        self.states.append(state)
        if len(self.states) == self.stop:
            raise KeyboardInterrupt


def run(folder: Path | None, **values: Any) -> Memory:
    memory = Memory()
    spec = {"task": "language/tinyinstruct", "preset": "smoke", **values}
    learn(LanguageSpec.of(spec), memory, folder)
    return memory


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stages")


@pytest.mark.parametrize(
    ("values", "stages"),
    [
        ({"method": "base"}, ["pretrain", "final"]),
        ({"method": "sft"}, ["pretrain", "sft", "final"]),
        ({"method": "best_of_n"}, ["pretrain", "sft", "collect", "reward_model", "final"]),
        ({"reward": "gold", "ppo": {"gamma": 0.5}}, ["pretrain", "sft", "ppo", "final"]),
        ({"labeler": "panel"}, ["pretrain", "sft", "collect", "reward_model", "ppo", "final"]),
    ],
)
def test_every_method_reports_its_stages_and_samples(folder: Path, values: dict, stages: list[str]) -> None:
    memory = run(folder, **values)
    assert list(dict.fromkeys(row["stage"] for row in memory.rows)) == stages
    steps = [row["step"] for row in memory.rows]
    assert steps == sorted(steps)
    final = memory.rows[-1]
    for name in ("gold_mean", "gold_gain", "length", "win_rate", "kl_exact", "gold.grammar"):
        assert final[name] is not None, name
    assert set(memory.arrays) == set(rows.SAMPLES) and set(memory.texts) == set(rows.TEXTS)
    for name, array in memory.arrays.items():
        assert len(array) == 16 and str(array.dtype) == rows.SAMPLES[name].split()[0]
    assert all(len(texts) == 16 for texts in memory.texts.values())
    gold = memory.arrays["gold"] if memory.arrays["gold"].ndim == 1 else memory.arrays["gold"][:, -1]
    assert final["gold_gain"] == pytest.approx((gold - memory.arrays["gold_sft"]).mean())
    assert (final["labels.rankings"], final["labels.pairs"]) == ((16, 96) if "collect" in stages else (0, 0))


def test_sft_ties_with_itself(folder: Path) -> None:
    final = run(folder, method="sft").rows[-1]
    assert (final["win_rate"], final["win_rate_gold"], final["gold_gain"], final["kl_exact"]) == (0.5, 0.5, 0, 0)


def test_the_same_spec_gives_the_same_bytes_with_and_without_a_cache(folder: Path) -> None:
    first, second = run(folder, seed=3), run(None, seed=3)
    assert json.dumps(first.rows) == json.dumps(second.rows)
    assert all(np.array_equal(first.arrays[name], second.arrays[name], equal_nan=True) for name in first.arrays)
    assert first.texts == second.texts and first.texts != run(folder, seed=4).texts


def test_a_run_that_is_cut_off_ends_with_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    spec = LanguageSpec.of(
        {"task": "language/tinyinstruct", "preset": "smoke", "ppo": {"episodes": 128, "gamma": 0.1}, "seed": 1}
    )
    straight, cut = Memory(), Memory(stop=2)
    learn(spec, straight, folder)
    with pytest.raises(KeyboardInterrupt):
        learn(spec, cut, folder)
    checkpoint.save(tmp_path / "state", cut.states[-1])
    rest = Memory()
    learn(spec, rest, folder, checkpoint.load(tmp_path / "state"))
    assert json.dumps(cut.rows + rest.rows) == json.dumps(straight.rows)
    assert all(np.array_equal(rest.arrays[name], straight.arrays[name]) for name in straight.arrays)
    assert rest.texts == straight.texts


def test_gamma_of_zero_is_ppo_bit_by_bit_whatever_the_ratio(folder: Path) -> None:
    plain = run(folder, ppo={"gamma": 0.0})
    other = run(folder, ppo={"gamma": 0.0, "ptx_ratio": 4.0})
    assert json.dumps(plain.rows) == json.dumps(other.rows)
    assert json.dumps(plain.rows) != json.dumps(run(folder, ppo={"gamma": 1.0}).rows)


def test_a_smaller_budget_is_the_beginning_of_a_larger_one(folder: Path) -> None:
    from prefrl_core.language.run import Run

    def asked(count: int) -> collect.Rankings:
        spec = LanguageSpec.of(
            {"task": "language/tinyinstruct", "preset": "smoke", "rankings": count, "labeler": "stochastic"}
        )
        return Run(spec, Memory(), cache.Cache(folder)).rankings()

    few, many = asked(20), asked(100)
    assert (len(few), len(many)) == (20, 100)
    np.testing.assert_array_equal(few.answers, many.answers[:20])
    np.testing.assert_array_equal(few.responses, many.responses[:20])


def ppo(settings: PpoSettings, reward: Any = None) -> Ppo:
    size = training.size_of(TASK, LanguageSpec.of({"task": TASK.info.id, "preset": "smoke"}).model)
    value = ScalarHead(GPT(size, 1), 2)
    return Ppo(TASK, settings, 0, GPT(size, 1), GPT(size, 1), value, reward or (lambda p, i, r: np.zeros(len(p))))


def test_before_the_first_step_the_ratio_is_one_and_nothing_is_clipped() -> None:
    learner = ppo(PpoSettings(episodes=32, batch=32, minibatches=4))
    rollout = learner.sample()
    _, measured = policy_loss(learner.policy, rollout, torch.arange(8), 0.2)
    assert float(measured["ratio_max"]) == pytest.approx(1, abs=2e-5) and float(measured["clip_fraction"]) == 0


def test_the_gradient_of_a_step_is_that_of_ppo_plus_gamma_times_that_of_the_text() -> None:
    learner = ppo(PpoSettings(episodes=32, batch=32, minibatches=1, gamma=0.7))
    rollout, text = learner.sample(), learner._pretraining()
    parts = [policy_loss(learner.policy, rollout, torch.arange(32), 0.2)[0], text_loss(learner.policy, text)]
    weights = list(learner.policy.parameters())
    ppo_part, ptx_part = (torch.autograd.grad(part, weights) for part in parts)
    seen: list[torch.Tensor] = []
    original = learner.policy_step.step

    def spy(loss: torch.Tensor, share: float) -> float:
        seen.extend(torch.autograd.grad(loss, weights, retain_graph=True))
        return original(loss, share)

    learner.policy_step.step = spy  # type: ignore[method-assign]
    learner.improve(rollout)
    for whole, first, second in zip(seen, ppo_part, ptx_part, strict=True):
        torch.testing.assert_close(whole, first + 0.7 * second, rtol=1e-4, atol=1e-6)


def test_ppo_learns_a_word_that_is_rewarded() -> None:
    """The whole loop: a reward for one word raises its frequency, and a strong KL penalty forbids it."""
    (word,) = TASK.vocabulary.encode("dog")

    def count(prompts: Any, ids: Any, responses: Any) -> Any:
        return (responses == word).sum(1).astype(float)

    def frequency(beta: float) -> float:
        settings = PpoSettings(
            episodes=1280, batch=64, minibatches=4, beta=beta, learning_rate=3e-3, warmup=0, end_penalty=0, ema=0
        )
        learner = ppo(settings, count)
        while not learner.finished:
            learner.iterate()
        rollout = learner.sample()
        return float((rollout.responses == word).sum() / rollout.mask.sum())

    assert frequency(0.0) > 0.3 > 0.02 > frequency(50.0)


def test_a_response_without_an_end_is_penalised_and_an_empty_one_is_scored() -> None:
    learner = ppo(PpoSettings(episodes=32, batch=32, minibatches=4, end_penalty=2.5))
    prompts = TASK.prompts(seeding.generator(0, "x"), "ppo", 2)
    responses = np.array([[EOS, 0, 0], [5, 6, 7]])
    scores = learner.scores(prompts, tasks.encode_prompts(TASK.vocabulary, prompts), responses)
    assert scores.tolist() == [0.0, -2.5]


def test_a_reward_that_is_no_number_stops_the_run_and_names_the_iteration() -> None:
    learner = ppo(PpoSettings(episodes=32, batch=32, minibatches=4), lambda p, i, r: np.full(len(p), np.nan))
    with pytest.raises(UserError, match="ppo iteration 0: a reward is no finite number"):
        learner.sample()


def test_a_checkpoint_of_another_vocabulary_or_model_is_refused() -> None:
    learner = ppo(PpoSettings(episodes=32, batch=32, minibatches=4))
    state = learner.get_state()
    with pytest.raises(UserError, match="vocabulary beef is not the task's"):
        learner.set_state({**state, "vocabulary": "beef"})
    with pytest.raises(UserError, match=r"'token.weight' has shape \(9, 32\) where this model has \(249, 32\)"):
        learner.set_state({**state, "policy": {**state["policy"], "token.weight": np.zeros((9, 32))}})


def test_rankings_of_ties_alone_teach_no_reward_model(folder: Path) -> None:
    with pytest.raises(UserError, match="no untied pair in 16 rankings"):
        run(folder, labeler={"name": "equal", "equal": 99.0})


def test_a_damaged_stage_is_made_anew(tmp_path: Path) -> None:
    def made() -> dict[str, Any]:
        return {"arrays": {"x": np.arange(3)}, "rows": []}

    stages = cache.Cache(tmp_path)
    stages.get("a", made)
    (tmp_path / "a.safetensors").write_bytes(b"cut off")
    np.testing.assert_array_equal(cache.Cache(tmp_path).get("a", made)["arrays"]["x"], np.arange(3))
    assert cache.digest("s", {"a": 1}) != cache.digest("s", {"a": 2})


def test_a_reward_model_is_shared_only_where_it_is_measured_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows have accuracies on so many held-out rankings as ``evaluation.prompts`` asks for, up to 256."""

    class Asked(Exception):
        """The name under which a stage is looked for."""

    class Empty:
        def get(self, name: str, make: Any) -> Any:
            raise Asked(name)

    monkeypatch.setattr(Run, "_fine_tuned", lambda self, shape: ("sft", {}, []))

    def name(prompts: int) -> str:
        spec = LanguageSpec.of({"task": "language/tinyinstruct", "preset": "smoke", "evaluation": {"prompts": prompts}})
        with pytest.raises(Asked) as asked:
            Run(spec, None, Empty()).reward_model()  # type: ignore[arg-type]
        return str(asked.value)

    assert name(16) == name(64) != name(128) != name(256) == name(1000)
