"""The language track's losses against trl's outputs, hand-written loops and closed forms."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from prefrl_core.errors import UserError
from prefrl_core.language import losses

# Rewards, GAE and losses of trl 0.11.4's PPOTrainer, whose methods were run unbound in float64 on a ragged 3 x 5 batch.
ORACLE = json.loads((Path(__file__).parents[1] / "data" / "language_loss_oracle.json").read_text())
NAN = float("nan")


def oracle(name: str) -> torch.Tensor:
    return torch.tensor(ORACLE[name], dtype=torch.float64)


def test_ppo_step_equals_trl() -> None:
    mask, real = oracle("mask"), oracle("mask").bool()
    rewards = losses.kl_rewards(oracle("logprobs"), oracle("ref_logprobs"), oracle("scores"), mask, 0.1)
    torch.testing.assert_close(rewards[real], oracle("rewards")[real], rtol=0, atol=1e-15)
    advantages, returns = losses.gae(rewards, oracle("values"), mask, 1.0, 0.95)
    torch.testing.assert_close(returns, oracle("returns"), rtol=0, atol=1e-12)
    white = losses.whiten(advantages, mask)
    torch.testing.assert_close(white[real], oracle("advantages_whitened")[real], rtol=0, atol=1e-12)
    loss, clipped = losses.ppo_loss(oracle("new_logprobs"), oracle("logprobs"), white, mask, 0.2)
    assert float(loss) == pytest.approx(ORACLE["pg_loss"], abs=1e-12)
    assert float(clipped) == pytest.approx(ORACLE["clipfrac"])
    value = losses.value_loss(oracle("vpreds"), oracle("values"), returns, mask, 0.2)
    assert float(value) * 0.1 == pytest.approx(ORACLE["vf_loss_times_vf_coef"], abs=1e-12)  # trl stores it scaled


def test_gae_equals_the_sum_it_stands_for() -> None:
    """Advantages are sums of discounted one-step errors, row by row (Schulman et al. 2016, equation 16)."""
    random = torch.Generator().manual_seed(0)
    rewards, values = torch.randn(2, 4, 6, generator=random, dtype=torch.float64)
    mask = (torch.arange(6) < torch.tensor([6, 1, 4, 3])[:, None]).double()
    got, _ = losses.gae(rewards, values, mask, 0.9, 0.7)
    for row, length in enumerate((6, 1, 4, 3)):
        v = [*values[row, :length].tolist(), 0.0]
        errors = [float(rewards[row, t]) + 0.9 * v[t + 1] - v[t] for t in range(length)]
        for t in range(length):
            want = sum((0.9 * 0.7) ** (s - t) * errors[s] for s in range(t, length))
            assert float(got[row, t]) == pytest.approx(want, abs=1e-12)


def test_kway_by_hand() -> None:
    scores = torch.tensor([[0.5, -1.0, 2.0, 0.0]], dtype=torch.float64)
    answers = torch.tensor([[1.0, 0.0, 0.5, 0.0, NAN, 1.0]], dtype=torch.float64)
    margins = [0.5 - -1.0, 2.0 - 0.5, 2.0 - -1.0, 2.0 - 0.0]
    total = sum(math.log(1 + math.exp(-m)) for m in margins)
    assert float(losses.kway_loss(scores, answers)) == pytest.approx(total / 4, abs=1e-12)
    assert float(losses.kway_loss(scores, answers, "nominal")) == pytest.approx(total / 6, abs=1e-12)
    assert float(losses.kway_loss(scores + 3, answers)) == pytest.approx(total / 4, abs=1e-12)


def test_kway_is_cross_entropy_of_each_pair_and_ignores_order() -> None:
    random = torch.Generator().manual_seed(1)
    scores = torch.randn(5, 4, generator=random, dtype=torch.float64)
    gold = torch.randn(5, 4, generator=random, dtype=torch.float64)
    pairs = list(itertools.combinations(range(4), 2))

    def answers(order: list[int]) -> torch.Tensor:
        return torch.stack([(gold[:, order[i]] > gold[:, order[j]]).double() for i, j in pairs], 1)

    straight = losses.kway_loss(scores, answers([0, 1, 2, 3]))
    margins = torch.stack([scores[:, i] - scores[:, j] for i, j in pairs], 1)
    bce = torch.nn.functional.binary_cross_entropy_with_logits(margins, answers([0, 1, 2, 3]))
    torch.testing.assert_close(straight, bce)
    torch.testing.assert_close(losses.kway_loss(scores[:, [2, 0, 3, 1]], answers([2, 0, 3, 1])), straight)


def test_kway_gradient_equals_that_of_pairs_scored_twice() -> None:
    random = torch.Generator().manual_seed(2)
    inputs = torch.randn(3, 4, 7, generator=random, dtype=torch.float64)
    weight = torch.randn(7, generator=random, dtype=torch.float64, requires_grad=True)
    answers = torch.tensor([[1.0, 0, 1, 0, 1, 1], [0, 0, 0.5, 1, 1, 0], [0.5] * 6], dtype=torch.float64)
    (once,) = torch.autograd.grad(losses.kway_loss(inputs @ weight, answers), weight)
    total = torch.zeros((), dtype=torch.float64)
    for row in range(2):  # the third has no untied pair and no part
        terms = [
            torch.nn.functional.softplus(
                -(2 * answers[row, n] - 1) * (inputs[row, i] @ weight - inputs[row, j] @ weight)
            )
            for n, (i, j) in enumerate(itertools.combinations(range(4), 2))
            if answers[row, n] != 0.5
        ]
        total = total + torch.stack(terms).mean() / 2
    (twice,) = torch.autograd.grad(total, weight)
    torch.testing.assert_close(once, twice)


def test_only_ties_are_refused() -> None:
    with pytest.raises(UserError, match="no untied pair in 2 rankings"):
        losses.kway_loss(torch.zeros(2, 3), torch.tensor([[0.5, NAN, 0.5]] * 2))


def test_exact_kl_equals_enumeration_of_all_strings_and_the_sampled_mean() -> None:
    """V = 5, length 3, each token's distribution depends on its prefix: sum p(x) log p(x)/q(x) over 125 strings."""
    draw = np.random.default_rng(0)
    p, q = (torch.tensor(draw.normal(size=(31, 5)), dtype=torch.float64) for _ in range(2))  # a row a prefix

    def rows(string: tuple[int, ...]) -> list[int]:
        return [0, 1 + string[0], 6 + 5 * string[0] + string[1]]

    strings = list(itertools.product(range(5), repeat=3))
    index = torch.tensor([rows(s) for s in strings])
    tokens = torch.tensor(strings)[..., None]
    logp, logq = (t.log_softmax(-1)[index].gather(2, tokens).sum((1, 2)) for t in (p, q))
    enumerated = float((logp.exp() * (logp - logq)).sum())
    inner = losses.exact_kl(p[index], q[index], torch.ones(125, 3, dtype=torch.float64))
    assert float((logp.exp() * inner).sum()) == pytest.approx(enumerated, abs=1e-12)
    sample = draw.choice(125, size=200_000, p=(logp.exp() / logp.exp().sum()).numpy())
    k1 = (logp - logq).numpy()[sample]
    assert abs(k1.mean() - enumerated) < 4 * k1.std() / math.sqrt(len(k1))


def test_the_penalty_has_the_policy_gradient_of_the_divergence_which_k3_has_not() -> None:
    """A reward's policy gradient is the sum of pi * reward * grad log pi; the divergence's own is by autograd."""
    logits = torch.tensor([1.5, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64).log()
    (wanted,) = torch.autograd.grad((logits.softmax(0) * (logits.log_softmax(0) - reference)).sum(), logits)

    def policy_gradient(penalty: torch.Tensor) -> torch.Tensor:
        logp = logits.log_softmax(0)
        return torch.autograd.grad((logp.exp().detach() * penalty.detach() * logp).sum(), logits)[0]

    logp, ones = logits.detach().log_softmax(0)[:, None], torch.ones(3, 1, dtype=torch.float64)
    ours = losses.kl_rewards(logp, reference[:, None], torch.zeros(3, dtype=torch.float64), ones, beta=1.0)[:, 0]
    torch.testing.assert_close(policy_gradient(-ours), wanted)
    assert wanted.numpy() == pytest.approx([0.414, -0.233, -0.181], abs=1e-3)
    ratio = (reference - logp[:, 0]).exp()
    assert policy_gradient(ratio - 1 - ratio.log()).numpy() == pytest.approx([-0.152, -0.104, 0.256], abs=1e-3)


def test_a_loss_that_is_no_number_stops_with_its_stage_and_step() -> None:
    with pytest.raises(UserError, match="sft step 7: the loss is nan"):
        losses.check_finite(torch.tensor(NAN), "sft", 7)


def test_ppo_on_a_one_step_bandit_converges_to_the_closed_form() -> None:
    """With ``r - beta KL`` the optimum is pi_ref exp(r / beta), normalised: wrong for a KL of wrong sign or place."""
    draw = np.random.default_rng(0)
    reference = torch.tensor(draw.normal(size=6), dtype=torch.float64).log_softmax(0)
    reward, beta = torch.tensor(draw.normal(size=6), dtype=torch.float64), 0.7
    optimum = (reference + reward / beta).softmax(0)
    assert float((optimum - reference.exp()).abs().sum() / 2) > 0.2
    logits = reference.clone().requires_grad_()
    mask = torch.ones(512, 1, dtype=torch.float64)
    for step in range(400):
        old = logits.detach().log_softmax(0)
        chosen = torch.tensor(draw.choice(6, size=512, p=(old.exp() / old.exp().sum()).numpy()))
        logp = old[chosen, None]
        rewards = losses.kl_rewards(logp, reference[chosen, None], reward[chosen], mask, beta)
        value = (old.exp() * (reward - beta * (old - reference))).sum().expand(512, 1)
        advantages, _ = losses.gae(rewards, value, mask, 1.0, 0.95)
        for part in torch.arange(512).chunk(4):
            now = logits.log_softmax(0)[chosen[part], None]
            loss, clipped = losses.ppo_loss(now, logp[part], advantages[part], mask[part], 0.2)
            if part[0] == 0:
                assert torch.equal(now, logp[part]) and float(clipped) == 0  # the ratio is 1 before the first step
            (slope,) = torch.autograd.grad(loss, logits)
            with torch.no_grad():
                logits -= 0.5 * (1 - step / 400) * slope
    assert float((logits.detach().softmax(0) - optimum).abs().sum() / 2) < 0.02
