"""The comparisons of finished runs as a folder that can be shared: data, a card for people, an index for machines."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import store, tracks
from bench.files import checksum, present, write_atomic
from bench.text import counted
from prefrl_core import registry, tasks
from prefrl_core.errors import UserError
from prefrl_core.feedback import dataset
from prefrl_core.feedback.recorded import ARRAYS, Recorded

COLUMNS = {
    "observations": ("float32", "(comparisons, 2, steps, obs)", "raw observations of the left and the right segment"),
    "actions": ("float32", "(comparisons, 2, steps, act)", "actions as executed; a discrete one as a unit vector"),
    "true_returns": ("float64", "(comparisons, 2)", "undiscounted sum of the task's true reward over each segment"),
    "mu": ("float64", "(comparisons,)", "the answer: 1 left, 0 right, 0.5 a tie, NaN skipped or never answered"),
    "step_asked": ("int64", "(comparisons,)", "environment steps the run had taken when it asked"),
    "multiplicity": ("int64", "(comparisons, members)", "how often each member of the run's ensemble was shown it"),
}


def recorded(run: store.Run) -> Recorded:
    """A finished run's comparisons, observation and action apart, to the bit as it recorded them.

    Raises:
        UserError: the run is not finished, asked nothing, is damaged, or its task is not installed here.
    """
    if run.status != "done":
        raise UserError(f"run {run.key} is {run.status}: only finished runs are exported; run its suite to the end")
    tracks.require_environment(run.spec["task"], "bench export")
    run.require_file("comparisons.safetensors")
    arrays, spec = run.comparisons(), run.spec
    if "features" not in arrays:
        raise UserError(
            f"the comparisons of {run.key} are of pixels, which have no form to export: its comparisons.safetensors "
            "has their frames, prefrl_core.frames.unpack reads them"
        )
    if not len(arrays.get("mu", ())):
        raise UserError(f"run {run.key} asked no questions: there is nothing to export")
    if missing := [name for name in ("true_returns", "step_asked", "multiplicity") if name not in arrays]:
        raise UserError(f"the comparisons of {run.key} have no {missing[0]}: they are of other software; run it again")
    if checksum(run.folder / "comparisons.safetensors") != run.done.get("sha256", {}).get("comparisons.safetensors"):
        raise UserError(f"{run.folder / 'comparisons.safetensors'} is not what the run recorded: run it again")
    features = arrays.pop("features")
    seen = _observed(spec)
    about = {"run": run.key, **{name: spec[name] for name in ("task", "seed", "labeler", "query", "segment", "labels")}}
    about |= {"total_steps": spec["total_steps"], "versions": run.versions}
    about["software"] = run.provenance.get("versions", {})
    sides = {"observations": features[..., :seen], "actions": features[..., seen:]}
    arrays |= {name: np.ascontiguousarray(side) for name, side in sides.items()}
    try:
        return Recorded(**{name: arrays[name] for name in ARRAYS}, about=about)
    except ValueError as error:
        raise UserError(f"{run.folder / 'comparisons.safetensors'} is damaged ({error}): run it again") from error


def write(runs: Sequence[store.Run], to: Path, format: str = "safetensors") -> Path:
    """Write the runs' comparisons to the new folder ``to``, whole or not at all.

    Raises:
        UserError: ``to`` has something in it, there is no run to export, or as ``recorded`` does.
    """
    to = Path(os.path.realpath(to))  # the user's own link is followed
    taken = UserError(f"{to} is not an empty folder: choose another with --to")
    if present(to) and (not to.is_dir() or any(to.iterdir())):
        raise taken
    if not runs:
        raise UserError("no finished run with comparisons: run the suite first, or name its folder with --out")
    to.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{to.name}.", dir=to.parent))
    try:
        draft.chmod(0o755)
        (draft / "data").mkdir()
        files = [_write(run, draft, format) for run in runs]
        _describe(draft, files, format)
        os.replace(draft, to)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # another export was there first
            raise taken from error
        raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return to


def _write(run: store.Run, folder: Path, format: str) -> dict[str, Any]:
    """One run's file; its line of the index."""
    made, name = recorded(run), f"data/{run.key}.{format}"
    dataset.save(folder / name, made)
    sizes = {"comparisons": len(made), "steps": made.actions.shape[2]}
    sizes |= {"obs": made.observations.shape[3], "act": made.actions.shape[3], "members": made.multiplicity.shape[1]}
    return {"name": name, "sha256": checksum(folder / name), **sizes, **made.about}


def _describe(folder: Path, files: list[dict[str, Any]], format: str) -> None:
    """``dataset.json`` and the card."""
    from importlib.metadata import version

    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    keys = ("name", "dtype", "shape", "meaning")
    columns = [dict(zip(keys, (name, *rest), strict=True)) for name, rest in COLUMNS.items()]
    index = {"schema": dataset.SCHEMA, "format": format, "made_by": f"prefrl-bench {version('prefrl-bench')}"}
    store.write_json(folder / "dataset.json", {**index, "columns": columns, "files": files})
    total = sum(file["comparisons"] for file in files)
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    told = {"size": _size(total), "tasks": sorted({file["task"] for file in files})}
    told["people"] = sum(getattr(registry.find("labeler", f["labeler"]["name"]), "needs_desk", False) for f in files)
    text = templates.get_template("card.md.j2").render(index, columns=columns, files=files, total=total, **told)
    write_atomic(folder / "README.md", text.encode())


def _size(total: int) -> str:
    """The data card's category of size."""
    for limit, name in ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M")):
        if total < limit:
            return name
    return "1M<n<10M"


def _observed(spec: dict[str, Any]) -> int:
    """Width of the task's observations, which a segment's features begin with."""
    registry.load_plugins(spec.get("plugins", ()))
    env = tasks.make(spec["task"], 1, 0)
    try:
        return int(np.prod(env.single_observation_space.shape or ()))
    finally:
        env.close()


def summary(to: Path) -> str:
    """One line about an exported folder."""
    index = json.loads((to / "dataset.json").read_bytes())
    total = sum(file["comparisons"] for file in index["files"])
    return f"{to}: {total:,} comparisons of {counted(len(index['files']), 'run')}, as {index['format']}"
