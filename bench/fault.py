"""The one way out for what nobody expected: a line that says whose fault it is, a trace in a file, exit code 70."""

from __future__ import annotations

import errno
import os
import tempfile
import traceback
from pathlib import Path

from bench.text import one_line
from prefrl_core.errors import is_users, located

CODE = 70  # EX_SOFTWARE of sysexits.h
_OURS = ("bench", "prefrl_core", "prefrl")
_OUR_MISTAKES = ("misaligned address", "illegal memory access", "device-side assert triggered")  # a card says
_STANDARD = os.path.dirname(os.__file__)  # Python's own modules
_SOURCE = Path(__file__).resolve().parent.parent
_REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EMFILE: "allow more open files (ulimit -n), or use fewer --workers",
    errno.ENFILE: "close other programs, or use fewer --workers",
    errno.EACCES: "see that you may write there",
    errno.EPERM: "see that you may write there",
    errno.EROFS: "choose another folder",
    errno.ENOENT: "see that nothing there was moved or deleted",
    errno.ENOTDIR: "see what stands in its way",
    errno.EISDIR: "remove the folder that stands in its way",
    errno.ELOOP: "remove the link that stands in its way",
    errno.ENXIO: "remove what stands in its way",
    errno.EAGAIN: "use fewer --workers",
    errno.ENOMEM: "use fewer --workers",
    errno.EIO: "see whether the disk is sound",
}


def of_system(error: OSError) -> str:
    """An error of the operating system in one line: what, where, and what to do."""
    reason = error.strerror or str(error) or type(error).__name__
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
    remedy = _REMEDIES.get(error.errno or 0, "put that right")
    return one_line(f"{where}{reason}: {remedy}, then run the same command again")


def of_memory(error: BaseException) -> str:
    """What too little memory comes to, in one line; empty for any other error."""
    if not isinstance(error, MemoryError):
        return ""
    what = f" ({one_line(str(error))[:200]})" if str(error) else ""
    return f"too little memory{what}: use fewer --workers, or smaller networks, batches or buffers"


def of_card(error: BaseException) -> str:
    """What a graphics card that failed or went away comes to, in one line; empty for any other error, and where the
    card only found our own fault (an address that nobody may read). PyTorch is not imported for it."""
    text = next(iter(str(error).splitlines()), "")  # the lines behind it are PyTorch's advice
    failed = any(sign in text for sign in ("CUDA error", "CUDA out of memory", "CUDNN_STATUS", "CUBLAS_STATUS", "NVML"))
    if not isinstance(error, RuntimeError) or not failed or any(sign in text for sign in _OUR_MISTAKES):
        return ""
    full = any(sign in text for sign in ("out of memory", "ALLOC_FAILED"))
    remedy = "use fewer --workers, or leave the card to this alone" if full else "see whether it works (nvidia-smi)"
    failure = f"the graphics card failed ({text[:120]})"
    what = "the graphics card has no memory left" if full else failure
    return one_line(f"{what}: {remedy}, then run the same command again; it goes on from the last checkpoint")


def told(error: BaseException, trace: Path | None = None) -> str:
    """Whose fault it is, where the trace is (written now if no file is given), and how to report it."""
    author = blamed(error)
    what = one_line(f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__)
    where = trace or write_trace(error)
    trace_told = f"the trace is in {where}" if where else "its trace could not be written"
    if author:
        return f"{located(error)}: raised by {author}, not by this software; {trace_told}"
    return f"a fault of ours, not yours ({what}): {trace_told}; report it with that file at {_address()}"


def blamed(error: BaseException) -> str:
    """The module of somebody else's that raised it where nothing of ours was called from there; empty for ours."""
    last = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        name, file = frame.f_globals.get("__name__", ""), frame.f_code.co_filename
        if name.partition(".")[0] in _OURS or name == "__main__":
            last = ""
        elif "site-packages" not in file and not file.startswith(_STANDARD) and is_users(name, frame.f_code):
            last = last or name
    return f"the module {last!r}" if last else ""


def write_trace(error: BaseException) -> Path | None:
    """The whole trace in a new file of the system's folder for such; None if that cannot be."""
    try:
        descriptor, path = tempfile.mkstemp(prefix="prefrl-bench-", suffix=".txt")
        with open(descriptor, "wb") as file:
            file.write("".join(traceback.format_exception(error)).encode(errors="backslashreplace"))
    except OSError:
        return None
    return Path(path)


def _address() -> str:
    """Where faults are reported, from the package's own record."""
    from importlib import metadata

    try:
        urls = metadata.metadata("prefrl-bench").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        urls = []
    issues = [url.partition(",")[2].strip() for url in urls if url.lower().startswith(("issues", "repository"))]
    return issues[0] if issues else "the project's issue tracker"
