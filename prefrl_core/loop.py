"""The loop of Christiano et al. 2017 (section 2.2): act, predict the reward, improve the policy, ask, fit the reward.

The paper runs three processes side by side. Here they take turns, so that a run is a function of its spec: each
rollout is labelled by one reward model, and the labels that come due during it are asked at its end. The run begins
with the untrained policy acting for at least an episode; the first share of the labels is about that.
Then episodes of fixed length are staggered over the environments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from prefrl_core import parts
from prefrl_core.errors import UserError
from prefrl_core.feedback.desk import Desk
from prefrl_core.feedback.segments import cut, draw_starts, windows
from prefrl_core.parts import Run
from prefrl_core.policy.protocol import LearnsFromReplay, LooksAhead
from prefrl_core.reward.agreement import agreement
from prefrl_core.reward.protocol import AsksCritic
from prefrl_core.rollout import Rollout, Turn, collect, join
from prefrl_core.spec import RunSpec

Row = dict[str, int | float | str | None]

COLUMNS = (
    *("step", "iteration", "phase", "episodes", "true_return", "predicted_return"),
    *("labels", "answered", "ties", "skipped"),
    *("reward_loss", "reward_validation_loss", "reward_l2", "reward_accuracy", "reward_correlation"),
    *("policy_kl", "policy_clip_fraction", "policy_entropy", "value_loss", "explained_variance", "learning_rate"),
)

MEASURED_BY_RUN = frozenset(COLUMNS[:10]) | {"reward_accuracy", "reward_correlation"}  # no part may measure these

_CHECKPOINT_TURNS = 16
_AGREEMENT_SEGMENTS = 512  # compared pair by pair with the truth; more occur only where segments have a step or two


class Recorder(Protocol):
    """Where a run leaves what it measures."""

    def row(self, row: Row) -> None:
        """One row of metrics, once a turn."""

    def comparisons(self, arrays: dict[str, NDArray[Any]]) -> None:
        """All comparisons, at the end of the run."""

    def segments(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Predicted and true returns of a sample of segments over the run, at its end."""

    def save(self, state: dict[str, Any]) -> None:
        """A checkpoint: hand it to ``learn`` to go on from here."""


def learn(
    spec: RunSpec,
    recorder: Recorder,
    state: dict[str, Any] | None = None,
    people: Desk | None = None,
    inputs: Path | None = None,
) -> dict[str, int | None]:
    """Run ``spec`` to its end, from the beginning or from a checkpoint. ``people`` is where people answer, if they do;
    ``inputs`` the folder that keeps what the run begins from.

    Returns:
        What learning took: ``reward_gradient_steps`` and ``policy_updates``.

    Raises:
        UserError: a part of the run failed in a way that its user can put right.
    """
    run = start(spec, people, inputs, state)
    try:
        while not run.finished:
            recorder.row(turn(run))
            if run.iteration % _CHECKPOINT_TURNS == 0 and run.can_be_saved:
                recorder.save(run.get_state())
        recorder.comparisons(run.comparisons.arrays())
        recorder.segments(run.sample.arrays())
        if run.can_be_saved:
            recorder.save(run.get_state())
        return run.effort
    finally:
        run.env.close()


def start(
    spec: RunSpec, people: Desk | None = None, inputs: Path | None = None, state: dict[str, Any] | None = None
) -> Run:
    """A run at its beginning, or where a checkpoint has it.

    Raises:
        UserError: a part cannot be made, two do not fit each other, or the checkpoint is not one of this run.
    """
    run = parts.build(spec, people, inputs)
    run.restore(state)
    if run.learns_reward and isinstance(run.reward, AsksCritic):
        if not isinstance(run.policy, LooksAhead):
            raise UserError(f"policy {spec.policy['name']!r} has no look_ahead, which the reward model asks for")
        run.reward.consult(run.policy.look_ahead)
    _reward_changed(run)
    run.effort  # noqa: B018  (raises where a part counts its steps by something else than whole numbers)
    return run


def turn(run: Run) -> Row:
    """One turn of the loop, a rollout or, where the policy asks for it, several; returns its row of metrics.

    The numbers in the comments are the processes of section 2.2 of the paper.
    """
    row: Row = dict.fromkeys(COLUMNS)
    row |= {"iteration": run.iteration, "phase": "untrained" if run.untrained else "learning"}
    if run.step == run.untrained_steps:
        run.stagger()
    # 1. The policy interacts with the environment; its parameters are updated to maximise the predicted reward.
    acted, true_rewards, games, measured = act_and_improve(run)
    row |= {"step": run.step, **run.returns.count(true_rewards, games, acted.done), **_mean(measured)}
    if run.learns_reward:
        row |= harvest(run, acted, true_rewards)
        run.reward.observe(acted)
        if not run.untrained:
            # 2. Pairs of segments are selected from the trajectories and sent to the labeler for comparison.
            run.interview.hold(run.due, run.pool, run.reward, run.returns.level, run.iteration, run.step)
            # 3. The reward function is fitted to the comparisons collected so far.
            row |= _own(run.reward.fit(run.comparisons, run.pool), "reward_model", run.spec.reward_model)
            _reward_changed(run)
    run.iteration += 1
    return row | run.comparisons.account()


def act_and_improve(
    run: Run,
) -> tuple[Turn, NDArray[np.float64], NDArray[np.float64], Sequence[Mapping[str, float]]]:
    """Rollouts, each labelled by the reward model and learned from. Returns what was acted; the truth about it, for
    labelers and the log alone: rewards ``(steps, envs)`` and hidden games ``(ended, 4)``; what the policy measured."""
    untrained, acted = run.untrained, []
    measured: list[dict[str, float]] = []
    for steps in run.next_rollouts:
        rollout, truth = collect(run.env, run.policy, run.observations, steps, run.scene)
        run.observations = rollout.last_observations
        features: NDArray[Any] = truth.rewards
        rewards: NDArray[Any] = np.clip(truth.rewards, -run.info.clip, run.info.clip)
        if run.learns_reward:
            features = run.features.of(rollout)
            rewards = run.reward.predict(features, rollout.done)
        progress = run.progress
        run.step += rewards.size
        acted.append((rollout, features, rewards, truth))
        if untrained:
            observe(run, rollout, rewards)
            measured.append({})
        else:
            measured.append(_own(run.policy.improve(rollout, rewards, progress), "policy", run.spec.policy))
    rollouts, seen, predicted, truths = zip(*acted, strict=True)
    done, scenes = join([one.done for one in rollouts]), join([one.scenes for one in rollouts])
    whole = Turn(rollouts, join(seen), join(predicted), done, scenes)
    return whole, join([one.rewards for one in truths]), join([one.games for one in truths]), measured


def observe(run: Run, rollout: Rollout, rewards: NDArray[Any]) -> None:
    """The policy watches itself act; one that stores what it sees is given the true rewards where it learns from them,
    as it predicts all others when it uses them."""
    if isinstance(run.policy, LearnsFromReplay) and not run.learns_reward:
        run.policy.observe(rollout, rewards)
    else:
        run.policy.observe(rollout)


def harvest(run: Run, acted: Turn, true_rewards: NDArray[np.float64]) -> Row:
    """Cut segments from what was acted, for questions to come; returns, for the log, how the reward that was predicted
    for them agrees with the true one."""
    if run.reward.told_returns:  # it is told what the control is told
        true_rewards = np.clip(true_rewards, -run.info.clip, run.info.clip)
    starts, length = draw_starts(acted.done, run.spec.segment, run.cutting), run.spec.segment
    segments = cut(acted, true_rewards, starts, length, run.features)
    some = slice(None, None, -(-len(starts) // _AGREEMENT_SEGMENTS) or 1)
    predicted, true = windows(acted.rewards, starts[some], length).sum(1), segments.true_rewards[some].sum(1)
    run.sample.add(run.iteration, run.step, predicted, true)
    run.pool.add(segments)
    run.pool.turn = acted
    return {"predicted_return": float(acted.rewards.mean()), **agreement(predicted, true)}


def _reward_changed(run: Run) -> None:
    """Tell a policy that learns from a replay."""
    if run.learns_reward and isinstance(run.policy, LearnsFromReplay):
        run.policy.reward_changed(run.reward)


def _own(measured: Mapping[str, Any], setting: str, part: Mapping[str, Any]) -> dict[str, Any]:
    """What a part has measured.

    Raises:
        UserError: under a name by which the run itself measures something, or something that is no number.
    """
    if taken := sorted(MEASURED_BY_RUN & measured.keys()):
        raise UserError(
            f"{setting} {part['name']!r} has measured {taken[0]!r}, which the run measures itself: give it another name"
        )
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in measured.items()}
    for name, value in plain.items():
        if value is not None and type(value) not in (int, float):
            raise UserError(
                f"{setting} {part['name']!r} has measured {name} as {type(value).__name__}: give a number, or None"
            )
    return plain


def _mean(measured: Sequence[Mapping[str, Any]]) -> Row:
    """The mean of each metric over the rollouts of one turn."""
    names = dict.fromkeys(name for one in measured for name in one)
    given = {name: [one[name] for one in measured if one.get(name) is not None] for name in names}
    return {name: float(np.mean(values)) if values else None for name, values in given.items()}
