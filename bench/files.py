"""Reading and writing in folders that may be anybody's.

What is no regular file is named and never waited for. A link is never followed. What is written is there as a whole or
not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench.text import one_line
from prefrl_core.errors import UserError

REMEDY = "restore it, or delete its folder and run again"
LARGEST = 1 << 30  # bytes of a file that is read as a whole
_BLOCK = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def kind(path: Path) -> str:
    """What is there under that name itself: ``"file"``, ``"nothing"``, or in words what else it is."""
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return "nothing"
    return _KINDS.get(stat.S_IFMT(mode), "file")


def present(path: Path) -> bool:
    """Whether something is there under that name, a broken link included."""
    return os.path.lexists(path)


@contextlib.contextmanager
def opened(path: Path, remedy: str = REMEDY) -> Iterator[int]:
    """A descriptor of a regular file, for reading; never waits, follows no link.

    Raises:
        UserError: it is none, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        what = kind(path) if os.path.lexists(path) else "file"
        reason = error.strerror if what == "file" else f"it is {what}, not a file"
        raise UserError(f"{path} cannot be read ({reason}): {remedy}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UserError(f"{path} cannot be read (it is {kind(path)}, not a file): {remedy}")
        yield descriptor
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    finally:
        os.close(descriptor)


def read(path: Path, largest: int = LARGEST, remedy: str = REMEDY) -> bytes:
    """A regular file's content.

    Raises:
        UserError: it is no regular file, cannot be read, or has more than ``largest`` bytes.
    """
    with opened(path, remedy) as descriptor:
        if (size := os.fstat(descriptor).st_size) > largest:
            raise UserError(f"{path} has {size:,} bytes, at most {largest:,} make sense: it is no file of ours")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(largest + 1)


def checksum(path: Path) -> str | None:
    """SHA-256 of a regular file in hexadecimal, whatever its size; None where nothing is.

    Raises:
        UserError: what is there is no regular file, or cannot be read.
    """
    if not present(path):
        return None
    made = hashlib.sha256()
    with opened(path) as descriptor:
        while block := os.read(descriptor, _BLOCK):
            made.update(block)
    return made.hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` as a whole or not at all, power failures included. One writer at a time. A link there is
    replaced, not followed."""
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()  # of a killed writer, or a link that somebody laid
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)  # a full disk should not be kept full by our half a file
        raise
    sync_folder(path.parent)


def write_to(path: Path, data: bytes) -> None:
    """Write where the user said: through a link, into a pipe or a device, and else as ``write_atomic``.

    Raises:
        UserError: the folder is not there.
        OSError: that cannot be; a pipe has nobody who reads it.
    """
    try:
        plain = stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        plain = True
    if plain:
        target = Path(os.path.realpath(path))  # not of a pipe: /dev/stdout is no name then
        if not target.parent.is_dir():
            raise UserError(f"{path} cannot be written: there is no folder {target.parent}; make it first")
        return write_atomic(target, data)
    descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)  # a pipe that nobody reads is not waited for
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:
        file.write(data)
    return None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Waits until no other process is here for this folder; at once where the file system has no locks of folders."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def own(path: Path, flags: int) -> int:
    """A descriptor of a file of ours in a folder that may be anybody's, made if it is not there.

    Raises:
        UserError: it is a link or no regular file.
        OSError: it cannot be opened.
    """
    if (what := kind(path)) not in ("file", "nothing"):
        raise UserError(f"{path} is {what}, not a file of ours: remove it, then run the same command again")
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def locked(path: Path) -> str | None:
    """Who holds this lock, as far as it says; None if nobody does."""
    if not present(path):
        return None
    with open(own(path, os.O_RDONLY), "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return one_line(file.read(300).decode(errors="replace")) or "another process"
    return None


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writable(folder: Path) -> None:
    """Make a folder for results.

    Raises:
        UserError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}): choose another with --out") from error
