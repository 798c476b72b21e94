"""Comparisons as data: what one run asked, in one file that can be read without the run, its task or its simulator.

A file is safetensors (the arrays of ``Recorded`` by name) or Parquet (a row a comparison; needs ``pyarrow``). Either
has what is known about the run as JSON in its header. A folder of them, as ``python -m bench export`` writes it, has a
``dataset.json`` with a checksum for each. What is read is equal to the bit to what was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl_core.errors import UserError, require
from prefrl_core.feedback.recorded import ARRAYS, Recorded

SCHEMA = 1
FORMATS = ("safetensors", "parquet")


def join(several: Sequence[Recorded]) -> Recorded:
    """All comparisons of several runs on one task; of what is known about them, that in which they agree.

    Raises:
        UserError: nothing to join, or they are of several tasks, or of reward models with several numbers of members.
    """
    require(len(several) > 0, "no files to join: name some")
    of_tasks = sorted({str(one.about["task"]) for one in several if "task" in one.about})
    require(len(of_tasks) < 2, f"comparisons of several tasks ({', '.join(of_tasks)}): join those of one task")
    shapes = {tuple(getattr(one, name).shape[1:] for name in ARRAYS[:2]) for one in several}
    if len(shapes) > 1:
        raise UserError(f"{len(several)} files with segments of {len(shapes)} different shapes: join those of one task")
    members = sorted({one.multiplicity.shape[1] for one in several})
    require(
        len(members) == 1, f"comparisons of reward models of {members} members: join those of one number of members"
    )
    first = several[0].about
    about = {name: value for name, value in first.items() if all(one.about.get(name) == value for one in several)}
    arrays = {name: np.concatenate([getattr(one, name) for one in several]) for name in ARRAYS}
    return Recorded(**arrays, about=about)


def save(path: Path, recorded: Recorded) -> None:
    """Write one file, in the format that its suffix names.

    Raises:
        UserError: a suffix that is neither ``.safetensors`` nor ``.parquet``, or no pyarrow for the latter.
    """
    header = json.dumps({"schema": SCHEMA, **recorded.about}, sort_keys=True, allow_nan=False)
    if path.suffix == ".parquet":
        from prefrl_core.feedback import parquet

        parquet.save(path, recorded, header)
    else:
        from safetensors.numpy import save

        _known(path)
        arrays = {name: np.ascontiguousarray(getattr(recorded, name)) for name in ARRAYS}
        path.write_bytes(save(arrays, metadata={"prefrl": header}))


def load(path: Path | str) -> list[Recorded]:
    """What one file has, or each of an exported folder's, whose checksums are compared.

    Raises:
        UserError: nothing there, a damaged file, one of another schema, or no pyarrow for a Parquet file.
    """
    path = Path(path)
    if not path.is_dir():
        return [_load(path)]
    try:
        index = json.loads(_read(path / "dataset.json"))
        listed = [(path / _inside(file["name"]), file["sha256"]) for file in index["files"]]
    except UserError:
        raise
    except Exception as error:  # JSON that makes no sense may fail in any way
        raise UserError(f"{path / 'dataset.json'} cannot be read ({_line(error)}): export the runs again") from error
    for file, checksum in listed:
        if hashlib.sha256(_read(file)).hexdigest() != checksum:
            raise UserError(f"{file} is damaged (its sha256 differs from dataset.json's): export the runs again")
    return [_load(file) for file, _ in listed]


def _read(path: Path) -> bytes:
    """A regular file's content; a pipe or a device is not waited for."""
    try:
        require(path.is_file() or not path.exists(), f"{path} cannot be read (it is no file): export the runs again")
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): export the runs again") from error


def _inside(name: str) -> str:
    """A name in an index, which leads nowhere else."""
    if not re.fullmatch(r"(data/)?\w[\w.-]*", name):
        raise ValueError(f"{name!r} does not name a file of this folder")
    return name


def _load(path: Path) -> Recorded:
    _known(path)
    require(path.is_file() or not path.exists(), f"{path} is no file: name a file or a folder of comparisons")
    try:
        if path.suffix == ".parquet":
            from prefrl_core.feedback import parquet

            arrays, header = parquet.load(path)
        else:
            from safetensors import safe_open

            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in ARRAYS}
                header = file.metadata()["prefrl"]
        about = json.loads(header)
        schema = about.pop("schema")
        return _of_schema(path, schema, arrays, about)
    except UserError:
        raise
    except Exception as error:  # each library has its own exceptions for bytes that make no sense
        raise UserError(f"{path} is damaged or no file of comparisons ({_line(error)}): export it again") from error


def _of_schema(path: Path, schema: Any, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> Recorded:
    require(schema == SCHEMA, f"{path} has schema {schema!r}, this version reads {SCHEMA}: export it again")
    return Recorded(**arrays, about=about)


def _known(path: Path) -> None:
    if path.suffix.removeprefix(".") not in FORMATS:
        raise UserError(f"{path}: comparisons are in a folder, or in a file that ends in .safetensors or .parquet")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
