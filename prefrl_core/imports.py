"""Modules of strangers: plug-ins, entry points of installed packages, a part that a command names.

Whatever one does while it is imported (raise, exit, end the process, hang) is told in a line with its name. It is tried
in a process of its own first, because nobody outlives ``os._exit``. What was tried is told to the processes that this
one starts, workers for example, by ``PREFRL_TRIED``: they do not try it again.
"""

from __future__ import annotations

import importlib
import operator
import os
import subprocess
import sys
from typing import Any

from prefrl_core.errors import UserError, located

_SECONDS = 120.0  # for one import
_TRIED = "PREFRL_TRIED"  # in the environment: places, between spaces
_LONGEST = 4000  # bytes of what is told
_TRIAL = (
    "import os, sys\n"
    "sys.path[:] = sys.argv[4:]\n"
    "from prefrl_core import errors, imports\n"
    "told = ''\n"
    "try:\n"
    "    imports.get(sys.argv[2], sys.argv[3])\n"
    "except errors.UserError as error:\n"
    "    told = str(error)\n"
    f"os.write(int(sys.argv[1]), b'.' + told.encode(errors='backslashreplace')[:{_LONGEST}])\n"
    "os._exit(0)\n"  # threads of its own do not keep us
)


def bring(place: str, what: str) -> Any:
    """A module of somebody else's (``package.module``), or an object in it (``package.module:name``).

    Args:
        what: names it in errors.

    Raises:
        UserError: it cannot be imported, ends the process or does not come back.
    """
    tried = os.environ.get(_TRIED, "").split()
    if place.partition(":")[0] not in sys.modules and place not in tried:
        if told := _trial(place, what):
            raise UserError(told)
        os.environ[_TRIED] = " ".join([*tried, place])
    return get(place, what)


def get(place: str, what: str) -> Any:
    """As ``bring``, in this process alone: one that ends it is not told, and one that hangs is waited for."""
    module, _, attribute = place.partition(":")
    try:
        found = importlib.import_module(module)
        return operator.attrgetter(attribute)(found) if attribute else found
    except (UserError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):  # what it imports is missing
            raise UserError(f"{what} does not import: {located(error)}") from error
        remedy = "leave out .py" if module.endswith(".py") else "start from the folder that has it, or install it"
        raise UserError(f"{what}: no module {module!r} in the current folder or on PYTHONPATH: {remedy}") from error
    except BaseException as error:  # sys.exit among it: a stranger may fail in any way
        raise UserError(f"{what} does not import: {located(error)}") from error


def _trial(place: str, what: str) -> str:
    """What is wrong with an import in another process; empty if nothing is."""
    seconds = float(os.environ.get("PREFRL_IMPORT_SECONDS", _SECONDS))
    reading, writing = os.pipe()
    os.set_blocking(reading, False)  # what the trial leaves running may hold the other end
    words = [sys.executable, "-c", _TRIAL, str(writing), place, what, *sys.path]
    try:
        nothing = subprocess.DEVNULL  # neither heard nor asked
        code = subprocess.run(
            words, stdin=nothing, stdout=nothing, stderr=nothing, pass_fds=[writing], timeout=seconds, check=False
        ).returncode
        said = os.read(reading, _LONGEST + 1)
    except BlockingIOError:
        said = b""
    except subprocess.TimeoutExpired:
        return f"{what} does not come back from its import in {seconds:g} s: look at what it does there"
    except (OSError, ValueError) as error:
        return f"{what} cannot be tried: {error}"
    finally:
        os.close(reading)
        os.close(writing)
    if said:
        return said[1:].decode(errors="replace")
    return ends(what, "imports it", code)


def ends(what: str, doing: str, code: int) -> str:
    """Says that a stranger ended the process that does something; ``code`` as ``subprocess`` has it."""
    how = f"signal {-code}" if code < 0 else f"code {code}"
    return f"{what} ends the process that {doing} ({how}): take out what calls os._exit or crashes"
