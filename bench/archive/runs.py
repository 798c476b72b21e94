"""Folders of finished runs <-> a file: ``pack`` and ``unpack`` (``prefrl archive``)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import files, store
from bench.archive import parts, table
from prefrl_core.errors import UserError

FILES = (
    "spec.json",
    "provenance.json",
    "metrics.jsonl",
    "timing.jsonl",
    "samples.safetensors",
    "samples.json",
    "segments.safetensors",
    "done.json",
)  # of a run, in the order in which they are written
_LARGE = "segments.safetensors"  # kept of one seed alone: the report draws one
_REMEDY = "fetch it again, or name a file of `prefrl archive pack`"


def pack(runs: Sequence[store.Run], to: Path) -> list[str]:
    """Write these finished runs into the file ``to``; the keys of those in it, in order.

    Of runs that differ in their seed alone the first that has segments keeps them. Checkpoints, comparisons and what
    people answered are left out.

    Raises:
        UserError: none is finished, one is not what it recorded, or pyarrow is not installed.
    """
    whole = [run for run in runs if run.status == "done"]
    if not whole:
        raise UserError("no finished run to pack: run the suite first, or name its folder with --out")
    contents = _lightened([(run, _sound(run)) for run in whole])
    made = table.write([_row(run.key, content) for run, content in contents])
    if dict(contents_of(made)) != {run.key: content for run, content in contents}:
        raise AssertionError("the file does not give back what went into it")
    files.write_to(to, made)
    return [run.key for run in whole]


def unpack(path: Path, out: Path) -> tuple[int, int]:
    """Put the runs of a file into the folder ``out``: how many are new there, how many lay there before.

    Raises:
        UserError: the file is damaged or of something else, or a run there is not the one in the file.
    """
    found = _sound_in(path)
    files.writable(out)
    with files.alone(out):  # two that are unpacked at once, whose runs may be the same
        here = {key for key in found if files.present(out / key)}
        for key in here:
            _require_same(out / key, found[key])
        for key, content in found.items():
            _add(out, key, content)
    return len(found) - len(here), len(here)


def keys(path: Path) -> list[str]:
    """Of the runs in a file."""
    return list(_sound_in(path))


def _sound_in(path: Path) -> dict[str, dict[str, bytes]]:
    """Key and files of each run in a file, each as the run recorded it."""
    data = files.read(Path(os.path.realpath(path)), remedy=_REMEDY)  # the user's own link is followed
    try:
        found = dict(contents_of(data))
        for key, content in found.items():
            _require_recorded(key, content)
    except UserError:
        raise
    except Exception as error:  # bytes that make no sense may fail in any way
        raise UserError(f"{path} is damaged or no file of runs ({error}): {_REMEDY}") from error
    return found


def contents_of(data: bytes) -> Iterable[tuple[str, dict[str, bytes]]]:
    """Key and files of each run, the files by name.

    Raises:
        ValueError, KeyError: it is no such file.
    """
    for row in table.read(data):
        key, layouts = row["key"].decode(), json.loads(row["layout"])
        if not store.is_key(key) or not set(layouts) <= set(FILES):
            raise ValueError(f"{key!r} with {', '.join(layouts)} is no run")
        yield key, {name: parts.join(name, layout, row) for name, layout in layouts.items()}


def _row(key: str, content: Mapping[str, bytes]) -> parts.Columns:
    split = {name: parts.split(name, data) for name, data in content.items()}
    layouts = {name: layout for name, (layout, _) in split.items()}
    columns: dict[str, Any] = {"key": key.encode(), "layout": json.dumps(layouts).encode()}
    for _, found in split.values():
        columns |= found
    return columns


def _sound(run: store.Run) -> dict[str, bytes]:
    """The files of a finished run, each as the run recorded it."""
    run.identity  # noqa: B018  (raises if the spec is not the one that named the folder)
    content = {name: files.read(run.folder / name) for name in FILES if files.present(run.folder / name)}
    try:
        _require_recorded(run.key, content)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"run {run.key} is damaged ({error}): delete {run.folder} and run again") from error
    return content


def _require_recorded(key: str, content: Mapping[str, bytes]) -> None:
    """Raise ValueError where a file is not the one whose checksum the run recorded, or is gone."""
    done = json.loads(content["done.json"])
    recorded = {**done["sha256"], "metrics.jsonl": done["metrics_sha256"]}
    written = {name for name in FILES if recorded.get(name)}  # the segments are kept of some runs alone
    if gone := sorted(written - content.keys() - {_LARGE}):
        raise ValueError(f"{key}/{gone[0]} is not there")
    for name, data in content.items():
        if name != "done.json" and hashlib.sha256(data).hexdigest() != recorded.get(name):
            raise ValueError(f"{key}/{name} is not what the run recorded")


def _lightened(
    contents: Sequence[tuple[store.Run, dict[str, bytes]]],
) -> list[tuple[store.Run, dict[str, bytes]]]:
    """Without the segments of all seeds but the first."""
    seen: set[str] = set()
    for run, content in sorted(contents, key=lambda one: one[0].spec["seed"]):
        alike = json.dumps({**run.spec, "seed": None}, sort_keys=True)
        if _LARGE in content and alike in seen:
            del content[_LARGE]
        seen |= {alike} if _LARGE in content else set()
    return list(contents)


def _require_same(folder: Path, content: Mapping[str, bytes]) -> None:
    for name, data in content.items():
        if files.present(folder / name) and files.read(folder / name) != data:
            raise UserError(f"{folder / name} is not the one in the file: unpack into another folder with --out")


def _add(out: Path, key: str, content: Mapping[str, bytes]) -> None:
    """A run's files that are not there yet; a new folder appears as a whole."""
    if files.present(out / key):
        for name, data in content.items():
            if not files.present(out / key / name):
                files.write_atomic(out / key / name, data)
        return
    draft = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=out))
    try:
        draft.chmod(0o777 & ~store.umask())  # mkdtemp's folders are for one user; results are to be shared
        for name, data in content.items():
            files.write_atomic(draft / name, data)
        os.rename(draft, out / key)
        files.sync_folder(out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
