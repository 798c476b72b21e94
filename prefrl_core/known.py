"""What a run may begin from: comparisons that were recorded before, and a reward model that was fitted before.

A setting names a file or folder. Its content is read once, kept in one form, and named by that content's hash; the hash
stands in the run's description, so the same content under another path is the same run. The laboratory puts the content
into the run's folder, from where a later session or another machine reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from prefrl_core import METHOD_VERSION, checkpoint, seeding
from prefrl_core.errors import UserError, require
from prefrl_core.features import Features
from prefrl_core.reward.protocol import RewardLearner

COMPARISONS, REWARD = "known-comparisons.safetensors", "known-reward.safetensors"  # in a run's folder
_ARRAYS = ("features", "true_returns", "mu", "step_asked", "multiplicity")
_contents: dict[str, bytes] = {}  # what this process has read, by name


class Beginning(Protocol):
    """What is read of a run's description here."""

    @property
    def task(self) -> str: ...
    @property
    def seed(self) -> int: ...
    @property
    def segment(self) -> int: ...
    @property
    def reward_model(self) -> Mapping[str, Any]: ...
    @property
    def known_comparisons(self) -> str: ...
    @property
    def known_reward(self) -> str: ...


@dataclass(frozen=True, eq=False)
class Known:
    """Recorded comparisons of one task."""

    about: dict[str, Any]  # task, segment: plain values
    values: dict[str, NDArray[Any]]  # features (asked, 2, steps, width), true_returns, mu, step_asked, multiplicity

    def __len__(self) -> int:
        return len(self.values["mu"])

    def arrays(self, members: int, seed: int) -> dict[str, NDArray[Any]]:
        """As ``Comparisons`` takes them; the bootstrap is drawn anew from ``seed`` for another number of members."""
        drawn = self.values["multiplicity"]
        if drawn.shape[1] != members:
            drawn = seeding.generator(seed, "bootstrap of known comparisons").poisson(1.0, (len(self), members))
        return {**self.values, "multiplicity": drawn.astype(np.int64)}


def named(value: str, kind: str, task: str) -> str:
    """The name by content, ``sha256:...``, of what lies at the path ``value``; a name stays as it is.

    Args:
        kind: "comparisons" or "reward model".
        task: of the run that begins from it.

    Raises:
        UserError: nothing there, a damaged file, or one of another task.
    """
    if not value or value.startswith("sha256:"):
        return value
    try:
        content = (_read_comparisons if kind == "comparisons" else _read_reward)(Path(value))
        of = _parse(content, value)[0].get("task")
    except UserError:
        raise
    except Exception as error:  # what makes no sense may fail in any way
        raise UserError(f"{value} has no {kind} that can be read ({error!r}): give what a run wrote") from error
    name = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _contents[name] = content
    require(of == task, f"{value} is of task {of}, but the run's is {task}: give one of the same task")
    return name


def place(spec: Beginning, folder: Path) -> None:
    """Put what the run begins from into its folder, unless it is there as a whole.

    Raises:
        UserError: it is known by name alone, and not there yet.
    """
    for name, file in ((spec.known_comparisons, COMPARISONS), (spec.known_reward, REWARD)):
        if name and not _is_there(folder / file, name):
            _write(folder / file, _content(name, None, file))


def comparisons(spec: Beginning, form: Features, folder: Path | None) -> Known | None:
    """The recorded comparisons that the run begins from, if there are any.

    Raises:
        UserError: they are missing, damaged, or do not fit the run.
    """
    if not spec.known_comparisons:
        return None
    about, arrays = _parse(_content(spec.known_comparisons, folder, COMPARISONS), COMPARISONS)
    features = arrays["features"]
    require(
        features.shape[2] == spec.segment,
        f"known_comparisons have segments of {features.shape[2]} steps, the run's have {spec.segment}: set segment = "
        f"{features.shape[2]}, or give comparisons of the same length",
    )
    require(
        features.shape[3:] == form.shape,
        f"known_comparisons have steps of shape {features.shape[3:]}, those of {spec.task} have {form.shape}: give "
        "comparisons of the same task",
    )
    return Known(about, {name: arrays[name] for name in _ARRAYS})


def restore_reward(spec: Beginning, reward: RewardLearner, form: Features, folder: Path | None) -> None:
    """Begin with the fitted reward model that the run names, if it names one.

    Raises:
        UserError: it is missing, damaged, of another version, or does not fit the run.
    """
    if not spec.known_reward:
        return
    about, state = _parse(_content(spec.known_reward, folder, REWARD), REWARD)
    require(
        about.get("method") == METHOD_VERSION,
        f"known_reward is of version {about.get('method')} of the method, this is {METHOD_VERSION}: fit it again",
    )
    shape = tuple(about.get("shape") or ())
    require(
        shape == form.shape,
        f"known_reward sees steps of shape {shape}, those of {spec.task} have {form.shape}: fit one to comparisons of "
        "this task",
    )
    mine, theirs = dict(spec.reward_model), about.get("reward_model", {})
    differs = [name for name in sorted({*mine, *theirs}) if json.dumps(mine.get(name)) != json.dumps(theirs.get(name))]
    require(
        not differs,
        f"known_reward has other settings than the run's reward_model ({', '.join(differs)}): set reward_model = "
        f"{json.dumps(theirs)}",
    )
    try:
        reward.set_state(state)
        if hasattr(reward, "begin"):  # who keeps the protocol without inheriting from it may leave it out
            reward.begin(spec.seed)
    except Exception as error:
        raise UserError(f"known_reward does not fit the run's reward model ({error!r}): fit it again") from error


def _read_comparisons(path: Path) -> bytes:
    """From an exported file or folder, or from a run's folder."""
    if (path / "comparisons.safetensors").exists():
        spec = _json(path / "spec.json").get("spec", {})
        arrays = _arrays(path / "comparisons.safetensors")
        require("features" in arrays, f"{path}: its comparisons are of pixels, which a run cannot begin from")
        about = {"task": spec.get("task"), "segment": spec.get("segment")}
    else:
        from prefrl_core.feedback import dataset

        recorded = dataset.join(dataset.load(path))
        features = np.concatenate([recorded.observations, recorded.actions], axis=-1)
        arrays = {"features": features, **{name: getattr(recorded, name) for name in _ARRAYS[1:]}}
        about = {"task": recorded.about.get("task"), "segment": features.shape[2]}
    require(len(arrays["mu"]) > 0, f"{path} has no comparisons: there is nothing to begin from")
    return _packed({"about": about, "state": {name: arrays[name] for name in _ARRAYS}})


def _read_reward(path: Path) -> bytes:
    """From a file of ``prefrl_core.reward.offline.save``, or from the folder of a run that was saved."""
    if not path.is_dir():
        remedy = "give a file that prefrl_core.reward.offline.save wrote, or a run's folder"
        require(path.is_file(), f"{path} is no file{'' if path.exists() else ', nothing is there'}: {remedy}")
        try:
            return _packed(checkpoint.load(path))
        except UserError as error:
            raise UserError(f"{path} has no reward model that can be read: {remedy}") from error
    identity = _json(path / "spec.json")
    saved = path / "checkpoint.safetensors"
    require(saved.exists(), f"{path} has no checkpoint.safetensors (archives leave it out): give a run's own folder")
    spec, state = identity.get("spec", {}), checkpoint.load(saved, logs=False)  # a finished run keeps no replay
    learned = "reward" in state and spec.get("reward") == "learned" and not isinstance(state["pool"]["features"], dict)
    require(learned, f"{path} has no reward model over vectors: give a run that learned its reward")
    about = {
        "method": identity.get("versions", {}).get("method"),
        "task": spec.get("task"),
        "shape": list(state["pool"]["features"].shape[2:]),
        "reward_model": {"name": "ensemble", **spec.get("reward_model", {})},
    }
    return _packed({"about": about, "state": state["reward"]})


def _content(name: str, folder: Path | None, file: str) -> bytes:
    """What has this name: from the run's folder, or read by this process before."""
    found = _contents.get(name)
    if found is None and folder is not None:
        try:
            found = (folder / file).read_bytes()
        except OSError as error:
            raise UserError(f"{folder / file} cannot be read ({error.strerror}): begin the run anew") from error
    if found is None or f"sha256:{hashlib.sha256(found).hexdigest()}" != name:
        raise UserError(f"{file} is not what the run begins from ({name[:15]}...): give its path again")
    return found


def _parse(content: bytes, what: str) -> tuple[dict[str, Any], dict[str, Any]]:
    values = _unpacked(content, what)
    if not {"about", "state"} <= values.keys():
        raise UserError(f"{what} has neither a reward model nor comparisons: give what bench export or a run wrote")
    return values["about"], values["state"]


def _packed(values: dict[str, Any]) -> bytes:
    """A nested state as the bytes of one checkpoint file."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Path(folder) / "packed.safetensors", values)
        return (Path(folder) / "packed.safetensors").read_bytes()


def _unpacked(content: bytes, what: str) -> dict[str, Any]:
    """The reverse of ``_packed``.

    Raises:
        UserError: the bytes make no sense.
    """
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "packed.safetensors").write_bytes(content)
        try:
            return checkpoint.load(Path(folder) / "packed.safetensors")
        except UserError as error:
            raise UserError(f"{what} is damaged: write it again") from error


def _is_there(path: Path, name: str) -> bool:
    try:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" == name
    except FileNotFoundError:
        return False


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, power failures included, and whoever else writes the same."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}): run it again") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): give the folder of a run") from error
    return values
