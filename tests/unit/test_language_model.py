"""The GPT and its sampler against full forward passes and known distributions."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy import stats

import prefrl_core.language
from prefrl_core.errors import UserError
from prefrl_core.language import model as gpt

SIZE = gpt.Size(words=30, context=20, width=32, layers=2, heads=4)
PROMPTS = torch.tensor([[0, 0, 5, 6, 3], [7, 8, 9, 10, 3], [0, 11, 12, 13, 3]])


def lively(seed: int = 0) -> gpt.GPT:
    """A model whose predictions are far from uniform."""
    model = gpt.GPT(SIZE, seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(5)
    return model


def test_sampling_with_a_cache_equals_the_full_forward_pass() -> None:
    model = lively()
    ids, logp, mask = gpt.generate(model, PROMPTS.repeat(20, 1), 12, np.random.default_rng(0))
    full = model.response_logits(PROMPTS.repeat(20, 1), ids).log_softmax(-1).gather(2, ids[..., None])[..., 0]
    torch.testing.assert_close((full * mask).detach(), logp, rtol=0, atol=2e-5)
    assert len(set(mask.sum(1).tolist())) > 1  # some ended early
    assert float(logp.std()) > 0.1


def test_padding_on_the_left_changes_nothing() -> None:
    model = lively()
    padded = model(PROMPTS[:1], PROMPTS[:1] != gpt.PAD)[:, 2:]
    torch.testing.assert_close(padded, model(PROMPTS[:1, 2:]), rtol=0, atol=1e-5)


def test_the_end_token_freezes_a_row() -> None:
    ids, logp, mask = gpt.generate(lively(), PROMPTS.repeat(50, 1), 12, np.random.default_rng(1))
    ended = (ids == gpt.EOS).any(1)
    assert ended.any()
    for row in torch.nonzero(ended)[:, 0]:
        at = int((ids[row] == gpt.EOS).nonzero()[0, 0])
        assert (ids[row, at + 1 :] == gpt.PAD).all() and mask[row].sum() == at + 1 and (logp[row, at + 1 :] == 0).all()
    assert not ((ids == gpt.PAD) & (mask == 1)).any()


def test_sampling_is_causal_and_repeats_from_its_seed() -> None:
    model = lively()
    first, second = (gpt.generate(model, PROMPTS, 8, np.random.default_rng(3))[0] for _ in range(2))
    assert torch.equal(first, second)
    changed = torch.tensor([[5, 6, 7, 8]]), torch.tensor([[5, 6, 7, 20]])
    torch.testing.assert_close(model(changed[0])[:, :3], model(changed[1])[:, :3])


def test_inverse_cdf_draws_the_distribution() -> None:
    weights = torch.tensor([0.0, 0.5, 0.25, 0.15, 0.1])
    drawn = gpt.inverse_cdf(weights.log().expand(20_000, 5), np.random.default_rng(0).random(20_000)).numpy()
    counts = np.bincount(drawn, minlength=5)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:], 20_000 * weights[1:].double().numpy()).pvalue > 1e-3


def test_too_long_a_text_is_refused() -> None:
    with pytest.raises(UserError, match="21 tokens do not fit context = 20"):
        lively()(torch.full((1, 21), 5))


def test_scores_are_read_at_the_last_real_token() -> None:
    scorer = gpt.ScalarHead(lively(), 0)
    short = torch.tensor([[5, 1, 0, 0]])
    torch.testing.assert_close(scorer.score(PROMPTS[1:2], short), scorer.score(PROMPTS[1:2], short[:, :2]))
    assert not torch.equal(scorer.score(PROMPTS[1:2], short), scorer.score(PROMPTS[1:2], torch.tensor([[5, 7, 1, 0]])))


def test_the_place_of_a_word_counts() -> None:
    """Without positions one word repeated looks the same everywhere."""
    hidden = lively()(torch.full((1, 4), 5))[0]
    assert all(not torch.allclose(hidden[0], hidden[n], atol=1e-2) for n in (1, 2, 3))


def test_without_torch_the_language_track_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install torch"):
        importlib.reload(prefrl_core.language)


def test_the_main_track_imports_no_torch() -> None:
    code = "import sys, bench.cli, prefrl_core.loop, prefrl_core.feedback.labelers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
