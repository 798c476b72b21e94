"""A folder of runs on disk. Reading knows neither the learner nor MuJoCo: results can be looked at where nothing could
be run.

A run's folder appears with its spec in it or not at all, every file but the JSON lines is replaced as a whole, and
``done.json`` comes last; so however a run ends, what is on disk is either whole or known not to be. ``bench.schemas``
says what each file may hold, ``bench.files`` how a folder from elsewhere is read and written.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from bench import parse, schemas
from bench.files import REMEDY, checksum, kind, present, read, sync_folder, write_atomic
from bench.schemas import CHECKED, SAMPLES
from prefrl_core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
Status = Literal["not started", "unfinished", "failed", "done"]
STAGES = "stages"  # folder, in a results folder, of the stages that several runs share
_KEY = re.compile(r"[0-9a-f]{16}")


def key_of(spec: Mapping[str, Any], versions: Mapping[str, Any]) -> str:
    """The name of a run: the first 16 hex digits of SHA-256 over its canonical spec and versions.

    Raises:
        UserError: a setting is NaN or infinite.
    """
    try:
        text = json.dumps({"spec": spec, "versions": versions}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        raise UserError("a setting is not a finite number: give a number that is") from error
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def checksums(folder: Path) -> dict[str, str | None]:
    """The checksums of all files of a finished run that have one."""
    names = (*CHECKED, *(name for name in SAMPLES if present(folder / name)))
    return {name: checksum(folder / name) for name in names}


def is_key(name: str) -> bool:
    """Whether a name has the form of a run's key."""
    return bool(_KEY.fullmatch(name))


class Run:
    """One run's folder. Files are read when they are asked for, so a thousand of these cost nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder.name

    @property
    def status(self) -> Status:
        """``not started``: no spec; ``done`` and ``failed``: as their files say; ``unfinished``: anything else."""
        for name, status in (("done.json", "done"), ("failed.json", "failed"), ("spec.json", "unfinished")):
            if present(self.folder / name):
                return status  # type: ignore[return-value]
        return "not started"

    @cached_property
    def identity(self) -> dict[str, Any]:
        """``spec.json``, checked against the folder's name.

        Raises:
            UserError: it is missing, damaged, of another schema, or was changed after the run was named.
        """
        if (what := kind(self.folder)) not in ("a folder", "nothing"):
            raise UserError(f"{self.folder} is {what}, not a run's folder: remove it, or put the folder there")
        path = self.folder / "spec.json"
        values = parse.read_json(path, schemas.SpecFile, REMEDY)
        named = key_of(values["spec"], values["versions"])
        if not named == values["key"] == self.key:
            raise UserError(f"{path} is not the spec that named this folder ({self.key}): restore it, or move it away")
        return values

    @property
    def spec(self) -> dict[str, Any]:
        """The canonical RunSpec as plain values."""
        spec: dict[str, Any] = self.identity["spec"]
        return spec

    @property
    def versions(self) -> dict[str, Any]:
        """The versions that stand in the key."""
        versions: dict[str, Any] = self.identity["versions"]
        return versions

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The metrics recorded so far, parsed anew each time; of an unfinished run without a last, cut-off line.

        Raises:
            UserError: a damaged line, or a finished run whose rows are not those it ended with.
        """
        path, done = self.folder / "metrics.jsonl", self.done
        data = read(path) if done or present(path) else b""
        if done and hashlib.sha256(data).hexdigest() != done["metrics_sha256"]:
            raise UserError(
                f"{path} is not what the run recorded (its sha256 differs): delete {self.folder}, run again"
            )
        return _lines(path, data, schemas.Row)

    def column(self, name: str) -> np.ndarray:
        """One metric over all rows, float64; NaN where there was no value."""
        import numpy as np

        return np.array([np.nan if row.get(name) is None else row[name] for row in self.rows], dtype=np.float64)

    @property
    def timing(self) -> list[dict[str, Any]]:
        """``{"step", "seconds"}`` a row: the time that the run's recorded work took, sessions added up."""
        path = self.folder / "timing.jsonl"
        return _lines(path, read(path), schemas.Timing) if present(path) else []

    @property
    def provenance(self) -> dict[str, Any]:
        """Where, when and with which software the run was made; empty before it began."""
        return self._json("provenance.json", schemas.Provenance)

    @property
    def done(self) -> dict[str, Any]:
        """``done.json``: steps, labels, wall seconds, peak memory, checksum; empty of an unfinished run."""
        return self._json("done.json", schemas.Done)

    @property
    def error(self) -> str | None:
        """The line that a failed run left."""
        if self.status != "failed":
            return None
        return str(self._json("failed.json", schemas.Failed)["error"])

    def comparisons(self) -> dict[str, np.ndarray]:
        """Everything compared, arrays by name; empty before the run has finished.

        Raises:
            UserError: the file is damaged.
        """
        return self._arrays("comparisons.safetensors")

    def segments(self) -> dict[str, np.ndarray]:
        """A sample of segments over the run: ``step``, ``predicted`` and ``true`` return, each ``(segments,)``, of
        length 0 where the true reward was learned from; empty before the run has finished.

        Raises:
            UserError: the file is damaged.
        """
        return self._arrays("segments.safetensors")

    def samples(self) -> tuple[dict[str, np.ndarray], dict[str, list[str]]]:
        """The final responses of a language run: arrays and texts by name, a row a prompt; empty before its end.

        Raises:
            UserError: a file is damaged.
        """
        return self._arrays("samples.safetensors"), self._json("samples.json", schemas.Texts)

    def require_file(self, name: str) -> None:
        """Check that a file of the finished run is still here.

        Raises:
            UserError: it is not.
        """
        if name in (self.done.get("sha256") or {}) and not present(self.folder / name):
            raise UserError(
                f"run {self.key} has no {name} here, as a run out of an archive has none: make it anew by running its "
                "suite with another --out"
            )

    def _json(self, name: str, model: type[parse.Model]) -> dict[str, Any]:
        path = self.folder / name
        return parse.read_json(path, model, REMEDY) if present(path) else {}

    def _arrays(self, name: str) -> dict[str, np.ndarray]:
        from safetensors import SafetensorError
        from safetensors.numpy import load

        path = self.folder / name
        if not present(path):
            return {}
        data, recorded = read(path), (self.done.get("sha256") or {}).get(name)
        if recorded and hashlib.sha256(data).hexdigest() != recorded:
            raise UserError(f"{path} is not what the run recorded (its sha256 differs): {REMEDY}")
        try:
            arrays = load(data)
        except (SafetensorError, KeyError) as error:  # KeyError: numbers of a kind that NumPy does not have
            raise UserError(f"{path} is damaged ({error}): {REMEDY}") from error
        if wrong := schemas.wrong(name, arrays):
            raise UserError(f"{path} is damaged ({wrong}): {REMEDY}")
        return arrays


def load(out: Path) -> list[Run]:
    """All runs in a folder, ordered by key; other things in it are left alone.

    Raises:
        UserError: there is no such folder.
    """
    try:
        with os.scandir(out) as entries:
            keys = [
                entry.name for entry in entries if _KEY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except OSError as error:
        raise UserError(f"no results in {out} ({error.strerror}): name the folder that has them") from error
    return [Run(out / key) for key in sorted(keys)]


def find(out: Path, prefix: str) -> Run:
    """The one run whose key begins with ``prefix``.

    Raises:
        UserError: none has such a key, or several have.
    """
    runs = [run for run in load(out) if run.key.startswith(prefix.lower())]
    if not runs:
        raise UserError(f"no run {prefix!r} in {out}: the table of `run SUITE --dry-run` names them")
    if len(runs) > 1:
        raise UserError(f"{prefix!r} begins the keys of {len(runs)} runs: {_some(run.key for run in runs)}: give more")
    return runs[0]


def create(out: Path, key: str, spec: Mapping[str, Any], versions: Mapping[str, Any]) -> Run:
    """The run's folder, made with its spec in it if it is not there; another process may do the same meanwhile.

    Raises:
        UserError: what is there under that name is not this run.
    """
    run = Run(out / key)
    if run.status == "not started":
        draft = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=out))
        try:
            draft.chmod(0o777 & ~umask())  # mkdtemp's folders are for one user; results are to be shared
            write_json(draft / "spec.json", {"schema": SCHEMA, "key": key, "spec": spec, "versions": versions})
            os.rename(draft, run.folder)
            sync_folder(out)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else somebody else was faster
                raise
    run.identity  # noqa: B018  (raises if this is another run)
    return run


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write one JSON file as a whole."""
    write_atomic(path, (json.dumps(values, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())


def _lines(path: Path, data: bytes, model: Any) -> list[dict[str, Any]]:
    """The whole lines of a file of JSON lines; what follows the last newline was cut off."""
    lines = data.split(b"\n")[:-1]
    try:  # all at once costs half as much as one by one
        rows = parse.json_of(b"[" + b",".join(lines) + b"]", str(path), REMEDY)
        if len(rows) == len(lines):
            checked: list[dict[str, Any]] = parse.parse(list[model], rows, str(path))
            return checked
    except UserError:
        pass
    return [_line(f"{path}:{number}", line, model) for number, line in enumerate(lines, start=1)]


def _line(where: str, line: bytes, model: Any) -> dict[str, Any]:
    row: dict[str, Any] = parse.parse(model, parse.json_of(line, where, REMEDY), f"{where} is damaged", REMEDY)
    return row


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = list(names)
    return ", ".join(listed[:most]) + (", ..." if len(listed) > most else "")
