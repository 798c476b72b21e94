"""A reward model from a module of one's own: against the default one, per segment, in rollouts, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import STEPS, WANTED, WIDTH, acted, asked, behaviour, frozen

from prefrl_core.errors import UserError
from prefrl_core.features import Frames, Vectors
from prefrl_core.reward.module import ModuleReward, ModuleSettings, pieces
from prefrl_core.spec import RunSpec

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
from my_reward import TransformerSettings

HERE = __name__


class PerStep(torch.nn.Sequential):
    """Small layers over a step, with dropout, which has to keep to the run's own random numbers."""

    def __init__(self, width: int) -> None:
        layers = [torch.nn.Linear(width, 16), torch.nn.Tanh(), torch.nn.Dropout(0.1), torch.nn.Linear(16, 1)]
        super().__init__(*layers, torch.nn.Flatten(0))


class Halved(torch.nn.Module):
    """Per segment: the whole score falls on the last step."""

    per_segment = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = torch.nn.Linear(width, 1)

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        shares = torch.zeros(segments.shape[:2])
        shares[:, -1] = self.read(segments)[..., 0].sum(1)
        return shares


class Wrong(PerStep):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return super().forward(rows)[:, None]


class NotFinite(PerStep):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return super().forward(rows) / 0


class Remembers(PerStep):
    calls = 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().forward(rows) + self.calls


class Fails(PerStep):
    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("two\nlines")


def model(module: str = "PerStep", seed: int = 0, **settings: Any) -> ModuleReward:
    made = ModuleSettings(module=f"{HERE}:{module}", **settings).make(Vectors(WIDTH), seed, STEPS)
    assert isinstance(made, ModuleReward)
    made.observe(acted(behaviour(50, 99).features))
    return made


def transformer(seed: int = 0) -> ModuleReward:
    made = TransformerSettings().make(Vectors(WIDTH), seed, STEPS)
    assert isinstance(made, ModuleReward)
    made.observe(acted(behaviour(50, 99).features))
    return made


@pytest.mark.parametrize(
    "made", [model, lambda: model("Halved", learning_rate=1e-2), transformer], ids=["step", "segment", "transformer"]
)
def test_it_learns_a_linear_reward(made: Any) -> None:
    """Over four seeds 0.944 to 0.964, 0.974 to 0.988 and 0.942 to 0.968."""
    reward = made()
    reward.take_steps(asked(200), 300)
    fresh = behaviour(1000, 55)
    pairs = np.arange(1000).reshape(500, 2)
    preferred = reward.preferences(fresh.features, pairs).mean(0) > 0.5
    returns = fresh.true_rewards.sum(1)[pairs]
    assert np.mean(preferred == (returns[:, 0] > returns[:, 1])) > 0.9


def test_rewards_of_a_step_have_the_right_sign_and_scale() -> None:
    reward = model()
    comparisons = asked(200)
    reward.take_steps(comparisons, 300)
    rows = behaviour(500, 70).features[:, 0]
    assert np.corrcoef(reward.predict(rows), rows @ WANTED)[0, 1] > 0.9
    assert reward.predict(comparisons.features).std() == pytest.approx(1.0, rel=0.2)


def test_a_segment_is_scored_as_a_whole_in_a_rollout_too() -> None:
    """Of a rollout of whole segments, the sums of the predicted shares are the segments' scores."""
    reward = model("Halved", normalise=False)
    segments = behaviour(12, 3).features  # 3 pieces after one another in 4 environments
    rollout = segments.reshape(3, 4, STEPS, WIDTH).transpose(0, 2, 1, 3).reshape(3 * STEPS, 4, WIDTH)
    predicted = reward.predict(rollout).reshape(3, STEPS, 4).sum(1).reshape(-1)
    np.testing.assert_allclose(predicted, reward.segment_sums(segments).mean(0), atol=1e-4)
    done = np.zeros((3 * STEPS, 4), bool)
    done[2, 0] = True  # an episode ends: what follows is scored apart
    parted = reward.predict(rollout, done)
    alone = reward.predict(rollout[3 : 3 + STEPS, :1])
    np.testing.assert_allclose(parted[3 : 3 + STEPS, :1], alone, atol=1e-5)
    np.testing.assert_allclose(parted[:, 1:], reward.predict(rollout)[:, 1:], atol=1e-5)


@pytest.mark.parametrize("seed", range(20))
def test_pieces_cover_a_rollout_once_and_cross_no_end(seed: int) -> None:
    random = np.random.default_rng(seed)
    steps, envs, most = random.integers(1, 40), random.integers(1, 5), random.integers(1, 9)
    done = random.random((steps, envs)) < 0.15
    seen = np.zeros((steps, envs), int)
    for length, starts in pieces((steps, envs), done, most).items():
        assert length <= most
        for step, env in starts:
            seen[step : step + length, env] += 1
            assert not done[step : step + length - 1, env].any()
    assert (seen == 1).all()


def test_its_random_numbers_are_its_own_and_resumable() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, other = model(), model(seed=3)
    one.take_steps(asked(60), 20)
    assert torch.equal(torch.random.get_rng_state(), before)
    other.set_state(one.get_state())
    for _ in range(2):
        measured = [(each.take_steps(asked(60), 5), each.get_state()) for each in (one, other)]
        assert frozen(measured[0][1]) == frozen(measured[1][1]) and measured[0][0] == measured[1][0]


def test_gradients_go_to_one_member_each() -> None:
    reward = model(l2=0.0)
    clips = behaviour(8, 1).features.reshape(4, 2, STEPS, WIDTH)
    reward.pair_sums(reward.members[1], clips, fitting=True)
    reward.backward(reward.members[1], np.ones((4, 2), np.float32), 0.0)
    assert [any(p.grad is not None for p in member.parameters()) for member in reward.members] == [False, True, False]


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (f"{HERE}:Wrong", r"gives \(4, 1\) for features of shape \(4, 4\): \(4,\) is needed"),
        (f"{HERE}:NotFinite", "not finite"),
        (f"{HERE}:Remembers", "keep no state between calls"),
        (f"{HERE}:Fails", "RuntimeError: two lines"),
        (f"{HERE}:Absent", "cannot be made for 4 features"),
        ("nothing.there:At", "cannot be made for 4 features: ModuleNotFoundError"),
        ("", "name the class as 'package.module:Class'"),
    ],
)
def test_each_unfit_module_is_one_line(module: str, says: str) -> None:
    with pytest.raises(UserError, match=says) as caught:
        ModuleSettings(module=module).make(Vectors(WIDTH), 0, STEPS)
    assert "\n" not in str(caught.value)


class Reading(torch.nn.Module):
    """Per segment, and what it says of a step depends on the steps before."""

    per_segment = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.read = torch.nn.GRU(width, 4, batch_first=True)

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.read(segments)[0].sum(-1))


def test_of_segments_of_one_step_no_step_depends_on_others() -> None:
    made = ModuleSettings(module=f"{HERE}:Reading", members=2).make(Vectors(WIDTH), 0, 1)
    rows = np.random.default_rng(0).standard_normal((7, 3, WIDTH)).astype(np.float32)
    whole, one = (
        made.outputs(rows, np.zeros((7, 3), np.bool_)),
        made.outputs(rows[4:5, 1:2], np.zeros((1, 1), np.bool_)),
    )
    np.testing.assert_allclose(whole[:, 4, 1], one[:, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(made.segment_sums(rows[:, 1][:, None]), whole[:, :, 1], rtol=1e-5)


def test_it_sees_no_pixels() -> None:
    with pytest.raises(UserError, match="sees no pixels"):
        ModuleSettings(module=f"{HERE}:PerStep").make(Frames(84, 84), 0, STEPS)


def test_a_run_names_it_and_the_default_keeps_its_old_name() -> None:
    plain = {"task": "mujoco/reacher", "labels": 10}
    named = RunSpec.of({**plain, "reward_model": {"name": "module", "module": "my:Net"}})
    assert named.canonical()["reward_model"]["name"] == "module"
    assert "name" not in RunSpec.of({**plain, "reward_model": "ensemble"}).canonical()["reward_model"]
    assert RunSpec.of(named.canonical()) == named
    with pytest.raises(UserError, match="unknown reward 'ensembel': did you mean 'ensemble'"):
        RunSpec.of({**plain, "reward_model": "ensembel"})
