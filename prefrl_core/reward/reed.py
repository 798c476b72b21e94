"""A reward network whose trunk learns first what an action does (Metcalf et al. 2023, REED, section 4).

Before each fit to comparisons every member predicts from observation and action the embedding of the next observation,
by ``distillation`` (SimSiam: towards it, behind a bottleneck) or ``contrastive`` (SimCLR: it among all others of the
batch). The target has no gradient. Trunk and embeddings are then fitted to comparisons like any other network.
Differs from the release: gradient steps on the loop's schedule, drawn from a uniform sample of all transitions so far,
not 20 epochs over the replay before each session; Adam for all tasks (SGD on its walker and cheetah); no tanh.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from prefrl_core.features import Features
from prefrl_core.feedback.comparisons import Comparisons
from prefrl_core.feedback.segments import Pool
from prefrl_core.reward.module import ModuleReward
from prefrl_core.reward.settings import ReedSettings
from prefrl_core.reward.transitions import Sample, transitions
from prefrl_core.rollout import Turn
from prefrl_core.tensors import Moments


class Network(torch.nn.Module):
    """Embeddings of observation and action, a trunk of both, the reward, and what predicts the next observation."""

    def __init__(self, settings: ReedSettings, observed: int, acted: int) -> None:
        super().__init__()
        self.observed, wide, sizes = observed, settings.projection_width, (*settings.hidden,)
        self.state = torch.nn.Sequential(torch.nn.Linear(observed, settings.state_width), torch.nn.LeakyReLU(0.01))
        joined = settings.state_width
        if acted:  # else all numbers are the observation
            self.action = torch.nn.Sequential(torch.nn.Linear(acted, settings.action_width), torch.nn.LeakyReLU(0.01))
            joined += settings.action_width
        widths = zip((joined, *sizes[:-1]), sizes, strict=True)
        self.trunk = torch.nn.Sequential(
            *(layer for pair in widths for layer in (torch.nn.Linear(*pair), torch.nn.LeakyReLU(0.01)))
        )
        self.reward = torch.nn.Linear(sizes[-1], 1)
        self.following = torch.nn.Linear(sizes[-1], settings.state_width)
        self.projection = torch.nn.Linear(settings.state_width, wide)
        narrow = wide // 8 if wide > 16 else wide  # as released
        self.bottleneck = torch.nn.Sequential(
            torch.nn.Linear(wide, narrow, bias=False),
            torch.nn.BatchNorm1d(narrow),
            torch.nn.ReLU(),
            torch.nn.Linear(narrow, wide),
        )

    def features(self, rows: torch.Tensor) -> Any:
        """The trunk's output ``(rows, hidden[-1])``."""
        parts = [self.state(rows[:, : self.observed])]
        if rows.shape[1] > self.observed:
            parts.append(self.action(rows[:, self.observed :]))
        return self.trunk(torch.cat(parts, dim=1))

    def forward(self, rows: torch.Tensor) -> Any:
        """Rewards ``(rows,)`` of observations and actions."""
        return self.reward(self.features(rows))[:, 0]

    def predicted(self, rows: torch.Tensor) -> Any:
        """The projected embedding ``(rows, projection)`` of what is predicted to follow."""
        return self.projection(self.following(self.features(rows)))

    def target(self, following: torch.Tensor) -> Any:
        """The same of observations that did follow ``(rows, observed)``, without a gradient."""
        with torch.no_grad():
            return self.projection(self.state(following))


def distillation(network: Network, rows: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
    """Minus the mean cosine of prediction and target (section 4.1; Chen and He 2021)."""
    predicted = network.bottleneck(network.predicted(rows))
    return -functional.cosine_similarity(predicted, network.target(following), dim=1).mean()


def contrastive(network: Network, rows: torch.Tensor, following: torch.Tensor, temperature: float) -> torch.Tensor:
    """NT-Xent (section 4.2; Chen et al. 2020): each of the 2n embeddings has to name its partner among all others."""
    both = functional.normalize(torch.cat([network.predicted(rows), network.target(following)]), dim=1)
    count = len(rows)
    logits = (both @ both.T / temperature).fill_diagonal_(-torch.inf)
    return functional.cross_entropy(logits, (torch.arange(2 * count) + count) % (2 * count))


class Reed(ModuleReward):
    """Each member learns the dynamics on batches of its own, then from comparisons."""

    settings: ReedSettings
    needs_run = "unlabelled segments"

    def __init__(self, settings: ReedSettings, features: Features, seed: int, segment: int) -> None:
        self.acted = int(getattr(features, "acted", 0))
        super().__init__(settings, features, seed, segment)
        self.dynamics = Moments(self.parameters.leaves, settings.dynamics_learning_rate)
        self.remembered = Sample(settings.transitions, 2 * self.width - self.acted, seed)
        self.dynamics_before = 0  # steps that were taken before the run

    def begin(self, seed: int) -> None:
        """Begin a run as it is now."""
        super().begin(seed)
        self.remembered.begin(seed)
        self.dynamics_before = self.dynamics.steps

    def network(self) -> torch.nn.Module:
        """A new member."""
        return Network(self.settings, self.width - self.acted, self.acted)

    @property
    def gradient_steps(self) -> int:  # type: ignore[override]  # counted, not set
        """Those of the dynamics among them."""
        return super().gradient_steps + self.dynamics.steps - self.dynamics_before

    def observe(self, turn: Turn) -> None:
        """Take in the scale of the turn's features, and some of its transitions."""
        super().observe(turn)
        self.remembered.add(transitions(turn, self.width - self.acted))

    def prepare(self, comparisons: Comparisons, pool: Pool | None) -> list[NDArray[np.int64]]:
        """Learn the dynamics first."""
        settings = self.settings
        steps = settings.dynamics_updates if self.dynamics.steps else settings.initial_dynamics_updates
        for _ in range(steps if self.remembered.seen else 0):
            self.learn_dynamics([self.remembered.draw(settings.dynamics_batch, self.random) for _ in self.members])
        return super().prepare(comparisons, pool)

    def learn_dynamics(self, batches: list[NDArray[np.float32]]) -> None:
        """One gradient step; a batch ``(rows, width + observed)`` of transitions for each member."""
        for member, batch in zip(self.members, batches, strict=True):
            member.zero_grad()
            after = np.pad(batch[:, self.width :], ((0, 0), (0, self.acted)))
            rows, following = (torch.from_numpy(self.standardize(part)) for part in (batch[:, : self.width], after))
            self.dynamics_loss(member.train(), rows, following[:, : member.observed]).backward()  # type: ignore[no-untyped-call]
        self.dynamics.step()
        for member in self.members:
            member.zero_grad()  # the heads of the dynamics are no part of the fit to comparisons, nor of its penalty

    def dynamics_loss(self, member: Network, rows: torch.Tensor, following: torch.Tensor) -> torch.Tensor:
        """Of standardized rows and the standardized observations that followed."""
        if self.settings.dynamics == "contrastive":
            return contrastive(member, rows, following, self.settings.temperature)
        return distillation(member, rows, following)

    def get_state(self) -> dict[str, Any]:
        """Everything that a later prediction or fit depends on."""
        dynamics = {"dynamics": self.dynamics.get_state(), "before": self.dynamics_before}
        return {**super().get_state(), "reed": {**dynamics, "transitions": self.remembered.get_state()}}

    def set_state(self, state: dict[str, Any]) -> None:
        """The reverse of ``get_state``."""
        super().set_state(state)
        self.dynamics.set_state(state["reed"]["dynamics"])
        self.dynamics_before = int(state["reed"].get("before", 0))
        self.remembered.set_state(state["reed"]["transitions"])
