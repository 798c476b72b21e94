"""What a reward model over pixels attends to: where covering a part of the picture changes the predicted reward.

Occlusion (Zeiler and Fergus 2014, section 4): a small grey square is moved over the picture, and at each place the
change of the prediction is noted. It needs no gradients, so it holds for any reward model that sees pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench import store, tracks, video
from bench.report.figures import Image, render
from bench.report.style import styled
from prefrl_core import tasks
from prefrl_core.errors import UserError
from prefrl_core.rollout import collect

Predict = Callable[[NDArray[np.uint8]], NDArray[Any]]  # (rows, STACK, height, width) -> (rows,)

_PATCH, _STRIDE = 8, 4  # pixels: of the square's side, and between two of its places
_STEPS = 600  # of play, among which frames are chosen
_OF_EACH = 2  # frames
_APART = 20  # steps between two chosen frames, at least, so that they do not show the same moment
_WIDTH, _HEIGHT = 1.35, 3.1  # inches of a frame with its map, and of the strip


@dataclass(frozen=True)
class Moment:
    """One frame of the strip."""

    why: str
    step: int
    reward: float  # predicted
    frame: NDArray[np.uint8]  # (height, width), the newest of the observation
    map: NDArray[np.float64]  # (height, width): change of the predicted reward when the place is covered


def of_run(run: store.Run) -> tuple[Image, str]:
    """The strip of a run's trained agent, and what it shows, in a line.

    Raises:
        UserError: the task has no pixels, the run learned from the true reward, or it has no checkpoint.
    """
    tracks.require_environment(run.spec["task"], "bench show --saliency")
    if not tasks.describe(run.spec["task"]).pixels:
        raise UserError(f"--saliency: {run.spec['task']} has no pixels; choose a run on an atari/ task")
    if run.spec.get("reward") == "true":
        raise UserError(f"--saliency: run {run.key} learned from the true reward and has no reward model")
    moments = watched(run, _STEPS)
    largest = max(float(moment.map.max()) for moment in moments)
    told = f"{len(moments)} of {_STEPS} steps; covering a part changes the predicted reward by at most {largest:.3g}"
    return strip(moments, run.spec["task"]), told


def watched(run: store.Run, steps: int) -> list[Moment]:
    """Moments of ``steps`` steps that the trained agent plays: highest, lowest and most changing predicted reward."""
    with video.playing(run, "bench show --saliency") as acting:
        observations, _ = acting.env.reset()
        rollout, _ = collect(acting.env, acting.policy, observations, steps)
        seen = acting.features.of(rollout)
        rewards = np.asarray(acting.reward.predict(seen, rollout.done), np.float64)[:, 0]

        def predict(rows: NDArray[np.uint8]) -> NDArray[Any]:
            return np.asarray(acting.reward.predict(rows[:, None], np.zeros((len(rows), 1), np.bool_)))[:, 0]

        return [
            Moment(why, step, float(rewards[step]), seen[step, 0, -1].copy(), occlusion(predict, seen[step, 0]))
            for why, step in choose(rewards, _OF_EACH)
        ]


def choose(rewards: NDArray[np.float64], of_each: int) -> list[tuple[str, int]]:
    """Steps ``(why, step)`` of the highest, the lowest and the most changing predicted reward ``(steps,)``, ``_APART``
    steps apart where there are so many."""
    changes = np.abs(np.diff(rewards, prepend=rewards[0]))
    found: list[tuple[str, int]] = []
    for why, merit in (("highest", rewards), ("lowest", -rewards), ("changes most", changes)):
        for _ in range(of_each):
            free = np.ones(len(rewards), np.bool_)
            for _, step in found:
                free[max(0, step - _APART + 1) : step + _APART] = False
            if free.any():
                found.append((why, int(np.where(free, merit, -np.inf).argmax())))
    return found


def occlusion(predict: Predict, observation: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How much the prediction changes when a place is covered, ``(height, width)``: the mean of the absolute changes
    over all squares that cover a pixel.

    The square has the frame's median grey, most often that of the background, and covers the same place in all frames
    of the observation ``(STACK, height, width)``.
    """
    height, width = observation.shape[1:]
    corners = [(y, x) for y in _places(height) for x in _places(width)]
    rows = np.repeat(observation[None], len(corners), axis=0)
    grey = np.median(observation, axis=(1, 2)).astype(np.uint8)[:, None, None]
    for row, (y, x) in zip(rows, corners, strict=True):
        row[:, y : y + _PATCH, x : x + _PATCH] = grey
    changes = np.abs(predict(rows) - predict(observation[None]))
    total, count = np.zeros((2, height, width))
    for change, (y, x) in zip(changes, corners, strict=True):
        total[y : y + _PATCH, x : x + _PATCH] += change
        count[y : y + _PATCH, x : x + _PATCH] += 1
    return total / count


def _places(size: int) -> list[int]:
    """Corners of squares along a side, the last one flush with the edge."""
    return sorted({*range(0, size - _PATCH, _STRIDE), size - _PATCH})


def strip(moments: list[Moment], task: str) -> Image:
    """Frames side by side, and under each its map over the darkened frame. All maps have one scale."""
    largest = max(float(moment.map.max()) for moment in moments) or 1.0
    with styled():
        figure = Figure(figsize=(_WIDTH * len(moments) + 0.7, _HEIGHT), layout="constrained")
        axes = figure.subplots(2, len(moments), squeeze=False)
        for (above, below), moment in zip(axes.T, moments, strict=True):
            above.set_title(f"{moment.why}\nstep {moment.step}: {moment.reward:+.2f}".replace("-", "−"), loc="left")
            above.imshow(moment.frame, cmap="gray", vmin=0, vmax=255)
            below.imshow(moment.frame, cmap="gray", vmin=0, vmax=510)
            strength = moment.map / largest
            shown = below.imshow(moment.map, cmap="inferno", vmin=0, vmax=largest, alpha=np.sqrt(strength))
        for axis in axes.flat:
            axis.set_axis_off()
        figure.colorbar(shown, ax=axes[1].tolist(), label="change of the predicted\nreward when covered", alpha=1.0)
        alt = (
            f"frames of {task} with the highest, the lowest and the most changing predicted reward; under each, where "
            "covering a part of the picture changes that reward"
        )
        return Image("saliency", alt, *render(figure))
