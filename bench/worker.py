"""One run in one process: ``python -m bench.worker FOLDER`` executes what the folder's ``spec.json`` says.

It goes on from the last checkpoint, and may be killed at any moment: rows behind the checkpoint are cut off on the
next start and computed again, to the same bytes. What happens is told on stdout, one JSON object a line; whatever
else wants to print there (a plug-in, MuJoCo) is sent to stderr. Exit code 0: done; 1: failed, ``failed.json`` says
why; 2: this folder cannot be run; 3: another process runs it; 70: failed by a fault of ours.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import fcntl
import os
import signal
import socket
import sqlite3
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import fault, files, provenance, store, tracks
from bench.answers import record
from bench.recorder import FolderRecorder, Kept, encode
from bench.text import one_line
from prefrl_core.errors import UserError, require

if TYPE_CHECKING:
    from bench.tracks import Spec

# More threads would change the order of sums, and with it the numbers; a run uses one core.
_LIBRARIES = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "BLIS_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM")
ONE_THREAD = {f"{library}_THREADS": "1" for library in _LIBRARIES}
DONE, FAILED, REFUSED, HELD = 0, 1, 2, 3
_LAUNCHER = Path(__file__).resolve().parents[1] / "prefrl" / "__main__.py"
_KILLED_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
FAULT = fault.CODE
_told = 1  # the descriptor that `tell` writes to; after prepare_process one that nobody else knows


def words_for(module: str, *words: str) -> list[str]:
    """The command that runs a module of ours in a new process, whatever is called ``bench`` in the current folder."""
    return [sys.executable, "-P", str(_LAUNCHER), module, *words]


class GivenBack(UserError):
    """An error that nobody foresaw, in a run with parts of somebody else's: what one gave back may be the cause."""

    def __init__(self, error: BaseException, parts: Sequence[str], plugins: Sequence[str] = ()) -> None:
        what = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        super().__init__(
            f"{what}: most likely {' or '.join(parts)} gave back something else than it should, which python -m bench "
            f"validate {' '.join(plugins) or parts[0]} tells; else it is a fault of ours (traceback.txt in the run's "
            "folder)"
        )
        self.__cause__ = error


class ParentGone(SystemExit):
    """Nobody hears us any more."""


class OtherSoftware(UserError):
    """The run is sound, but its numbers are those of other versions."""


class OtherDefaults(OtherSoftware):
    """The run is sound and of these versions, but its spec is completed by other settings here."""


def execute(folder: Path, spec: Spec, people: bool = False) -> None:
    """Do the run, or what is left of it; ``people`` answer its questions now, where it is they who teach it.

    Raises:
        UserError: as the learner or a part of the run does.
    """
    track = tracks.of(spec.task)
    state, kept = resume(folder)
    record_provenance(folder, track.packages, track.plugins(spec), resumed=state is not None)
    before = track.bare_speed(spec)
    recorder = FolderRecorder(folder, kept, tell, track.outcome, track.labels)
    track.learn(spec, recorder, state, folder, people)
    # a processor's clock drifts: the mean of both ends stands for the run
    recorder.finish(
        spec.total_steps,
        lambda: before and (before + (track.bare_speed(spec) or before)) / 2,
        lambda: record.digest(folder),
    )


def resume(folder: Path) -> tuple[dict[str, Any] | None, Kept]:
    """The last checkpoint's state and our part of it; without a sound one the run starts over."""
    from prefrl_core import checkpoint

    path = folder / "checkpoint.safetensors"
    if not files.present(path):
        return None, Kept()
    try:
        if (what := files.kind(path)) != "file":
            raise UserError(f"{path} is {what}, no checkpoint")
        state = checkpoint.load(path)
        return state, Kept.taken_from(state, folder)
    except UserError as error:
        tell("warning", message=f"run {folder.name} starts over: {error}")
        checkpoint.remove(path)
        return None, Kept()


def record_provenance(
    folder: Path, packages: Sequence[str], plugins: Mapping[str, provenance.Source], resumed: bool
) -> None:
    """Write where the run begins, or add where it went on."""
    path, now = folder / "provenance.json", provenance.collect(packages, plugins)
    if resumed and (first := store.Run(folder).provenance):
        now = {**first, "resumed": [*first.get("resumed", []), now]}
    store.write_json(path, now)


def own_spec(run: store.Run) -> Spec:
    """The folder's spec, if this version of the software gives it the same key.

    Raises:
        OtherSoftware: it does not; OtherDefaults where the versions are the same.
        UserError: the spec cannot be run.
    """
    track = tracks.of(run.spec["task"])
    spec = track.spec(run.spec)
    here = track.versions(spec)
    if store.key_of(spec.canonical(), here) == run.key:
        return spec
    theirs = {name: version for name, version in run.versions.items() if here.get(name) != version}
    if theirs or here.keys() != run.versions.keys():
        raise OtherSoftware(f"{run.folder} belongs to other software ({theirs}, here {here}): run it with that")
    raise OtherDefaults(
        f"{run.folder} was made with other defaults ({_changed(run.spec, spec.canonical())}): a setting that is added "
        "to a part gives its runs new names; run the suite again"
    )


def _changed(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str:
    """Settings that differ, as ``policy.clip: 0.1 -> 0.2``."""
    said = []
    for name in sorted({*old, *new}):
        one, other = old.get(name), new.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            said += [_changed(one, other, f"{prefix}{name}.")]
        elif one != other:
            said += [f"{prefix}{name}: {'none' if one is None else one} -> {'none' if other is None else other}"]
    return ", ".join(part for part in said if part)


def hold(folder: Path) -> int | None:
    """Take the folder for this process until it ends; None if another has it. The descriptor must stay open."""
    lock = files.own(folder / ".lock", os.O_RDWR)
    for _ in range(5):  # a runner that asks for the holder has the lock for a moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.05)
            continue
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
        return lock
    os.close(lock)
    return None


def holder(folder: Path) -> str | None:
    """Who runs the folder now; None if nobody does."""
    return files.locked(folder / ".lock")


def tell(event: str, **values: Any) -> None:
    """One line for the parent. Nobody to read it means that the parent is gone: the run ends where it is."""
    try:
        os.write(_told, encode({"event": event, **values}))
    except BrokenPipeError:
        raise ParentGone(DONE) from None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.worker", description="Execute the run in FOLDER.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--parent", type=int, help="process id of a parent to die with")
    parser.add_argument("--people", action="store_true", help="people answer now")
    options = parser.parse_args(arguments)
    prepare_process(options.parent)
    run = store.Run(options.folder.resolve())
    try:
        run.identity  # noqa: B018  (raises if this folder is not what it says)
        if hold(run.folder) is None:
            who = holder(run.folder) or "another process"
            tell("held", by=who)
            print(f"bench.worker: {run.folder} is being run by {who}: wait for it", file=sys.stderr)
            return HELD
        if run.done:
            tell("done")
            return DONE
    except (UserError, OSError) as error:
        return _fail(run.folder, error, REFUSED)
    return _attempt(run, options.people)


def _attempt(run: store.Run, people: bool) -> int:
    try:
        for left in (run.folder / "failed.json", run.folder / "traceback.txt", *run.folder.glob("*.tmp")):
            if files.kind(left) != "a folder":
                left.unlink(missing_ok=True)
        _refuse_links(run.folder)
        execute(run.folder, own_spec(run), people)
    except OtherSoftware as error:  # not this run's failure: leave no trace in its folder
        return _fail(run.folder, error, REFUSED)
    except ParentGone:
        raise
    except BaseException as error:  # sys.exit of a plug-in among it
        if is_fault(error) and (parts := _plugins(run)):
            error = GivenBack(error, parts, run.spec.get("plugins", ()))
        code = _fail(run.folder, error, FAULT if is_fault(error) else FAILED)
        _leave(run.folder, error)
        return code
    tell("done")
    return DONE


def _plugins(run: store.Run) -> list[str]:
    """The run's parts that are somebody else's, as ``validate`` names them."""
    found = [part.partition(" ") for part in sorted(tracks.of(run.spec["task"]).plugins(own_spec(run)))]
    named = [f"{kind}:{name}" for kind, _, name in found if kind not in ("module", "learner")]
    return named + [f"reward:module --set module={name}" for kind, _, name in found if kind == "module"]


def _refuse_links(folder: Path) -> None:
    """Nothing of a run is a link: one that somebody laid would have its target overwritten."""
    for name in sorted(os.listdir(folder)):
        require(files.kind(folder / name) != "a link", f"{folder / name} is a link: remove it, then run again")


def _fail(folder: Path, error: BaseException, code: int) -> int:
    line = in_words(folder, error)
    tell("failed", error=line, fault=code == FAULT)
    print(f"bench.worker: {line}", file=sys.stderr)
    return code


def _leave(folder: Path, error: BaseException) -> None:
    """``failed.json`` and the traceback, as far as the disk takes them."""
    try:
        store.write_json(folder / "failed.json", {"error": in_words(folder, error), "fault": is_fault(error)})
        files.write_atomic(
            folder / "traceback.txt", "".join(traceback.format_exception(error)).encode(errors="backslashreplace")
        )
    except OSError as second:
        print(f"bench.worker: {in_words(folder, second)}", file=sys.stderr)


def is_fault(error: BaseException) -> bool:
    """Whether it is ours: nobody foresaw it, and no plug-in raised it."""
    known = isinstance(error, (UserError, OSError, MemoryError, sqlite3.DatabaseError))
    return not known and not fault.of_card(error) and not fault.blamed(error)


def in_words(folder: Path, error: BaseException) -> str:
    """What went wrong in one line: for people where it is theirs to mend, else whose fault it is."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {folder}: free some, then run the same command again"
    if isinstance(error, OSError):
        return fault.of_system(error)
    if isinstance(error, UserError):
        return one_line(error)
    if isinstance(error, sqlite3.DatabaseError):
        return f"people's answers in {folder} cannot be used ({one_line(error)}): free some space, or restore the file"
    return fault.of_card(error) or fault.of_memory(error) or fault.told(error, folder / "traceback.txt")


def prepare_process(parent: int | None) -> None:
    """A process of ours on one core: it dies with its parent, and nothing but ``tell`` writes to its stdout."""
    global _told
    os.environ.update(ONE_THREAD)  # for a worker started by hand: NumPy is not imported yet
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # to stop at once is always safe
    _told = os.dup(1)
    os.dup2(2, 1)
    if parent is not None:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_KILLED_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before we could ask to be told
            raise SystemExit(DONE)


if __name__ == "__main__":
    sys.exit(main())
