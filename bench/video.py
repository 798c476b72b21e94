"""A clip of a trained agent, with its predicted reward under it (bench show --video)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bench import store, tracks
from prefrl_core.errors import UserError

if TYPE_CHECKING:
    from prefrl_core.parts import Run

Frames = NDArray[np.uint8]  # (frames, height, width, 3)

_SIZE = 480, 360  # pixels
_STRIP = 72  # pixels under the picture, for the trace
_MARGIN = 8
_PAPER, _INK, _PASSED, _CURSOR = 24, 90, (109, 179, 255), (255, 255, 255)


def encode(frames: Frames, seconds: float) -> bytes:
    """An MP4 file (H.264, which every browser plays) that lasts that long; height and width are even.

    Raises:
        UserError: PyAV is missing.
    """
    try:
        import av
    except ModuleNotFoundError as error:
        raise UserError("clips need the package 'av': pip install 'prefrl-bench[label]'") from error
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=max(1, round(len(frames) / seconds)))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt, stream.options = "yuv420p", {"preset": "veryfast", "crf": "26"}
        stream.thread_count = 1
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def of_run(run: store.Run, steps: int = 300) -> tuple[bytes, str]:
    """The agent of a run's last checkpoint from the start of an episode on, as MP4, and what it did, in a line.

    Raises:
        UserError: there is no checkpoint, or the task cannot be drawn here.
    """
    from prefrl_core.tasks.rendering import painter

    scenes, predicted, true = acted(run, steps)
    who = painter(run.spec["task"], *_SIZE)
    pictures = np.stack([who.draw(scene) for scene in scenes])
    who.close()
    seconds = len(scenes) * 1.5 / max(1, run.spec["segment"])  # at the pace at which people see segments
    frames = np.concatenate([pictures, trace(predicted, _SIZE[0])], axis=1)
    told = f"{len(scenes)} steps, true reward {true.sum():.4g}, predicted {predicted.sum():.4g}"
    return encode(frames, seconds), told


def acted(run: store.Run, steps: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Scenes ``(steps, scene)``, predicted and true rewards ``(steps,)`` of the trained policy in one environment."""
    from prefrl_core.environment import Shown
    from prefrl_core.rollout import collect

    with playing(run, "bench show --video") as acting:
        if not isinstance(acting.env, Shown):
            raise UserError(
                f"task {run.spec['task']} cannot be drawn: choose a run on a mujoco/, an atari/ or one of "
                "our dmcontrol/ tasks"
            )
        observations, _ = acting.env.reset()
        scene = acting.env.scenes().shape[1]
        rollout, truth = collect(acting.env, acting.policy, observations, steps, scene)
        true = truth.rewards
        rewards = acting.reward.predict(acting.features.of(rollout), rollout.done) if acting.learns_reward else true
        return rollout.scenes[:, 0], rewards[:, 0], true[:, 0]


@contextmanager
def playing(run: store.Run, what: str) -> Iterator[Run]:
    """A run as its last checkpoint has it, to act with, its environments not reset; ``what`` asks for it.

    Raises:
        UserError: there is no checkpoint, or the run is not one in an environment.
    """
    from prefrl_core import checkpoint, parts
    from prefrl_core.environment import Saveable
    from prefrl_core.feedback.desk import EmptyDesk
    from prefrl_core.spec import RunSpec

    tracks.require_environment(run.spec["task"], what)
    path = run.folder / "checkpoint.safetensors"
    if not path.exists():
        raise UserError(
            f"run {run.key} has no checkpoint here to act from: make it anew by running its suite with another --out"
        )
    spec = RunSpec.of({**run.spec, "device": "cpu"})  # a card is not needed to play
    acting = parts.build(spec, EmptyDesk(), run.folder)  # people's answers are in the checkpoint already
    try:
        state = checkpoint.load(path, logs=False)
        if acting.info.endless and isinstance(acting.env, Saveable):  # a new game is shown: the old one is not replayed
            state["task"] = acting.env.get_state()
        acting.restore(state)
        yield acting
    finally:
        acting.env.close()


def trace(values: NDArray[Any], width: int) -> Frames:
    """A strip for each frame, ``(frames, _STRIP, width, 3)``: the whole curve, what has passed of it in colour."""
    low, high = float(values.min()), float(values.max())
    heights = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    columns = np.linspace(_MARGIN, width - 1 - _MARGIN, len(values))
    x = np.arange(_MARGIN, width - _MARGIN)
    rows = np.interp(x, columns, _STRIP - 1 - _MARGIN - heights * (_STRIP - 1 - 2 * _MARGIN)).round().astype(int)
    strips = np.full((len(values), _STRIP, width, 3), _PAPER, np.uint8)
    before = np.r_[rows[0], rows[:-1]]
    for column, one, other in zip(x, rows, before, strict=True):  # a stroke from each height to the next
        strips[:, min(one, other) : max(one, other) + 2, column] = _INK
    for frame, (strip, at) in enumerate(zip(strips, columns, strict=True)):
        drawn = strip[:, : int(at)]
        drawn[drawn[..., 0] == _INK] = _PASSED
        strips[frame, :, int(at)] = _CURSOR
    return strips
