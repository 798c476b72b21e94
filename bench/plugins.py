"""Plug-ins: modules of strangers that a suite or a command names. Whatever one does while it is imported (raise, exit,
end the process, hang) is told in a line with its name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache

from bench.text import one_line
from prefrl_core import registry
from prefrl_core.errors import UserError

_SECONDS = 120.0  # for the imports of one plug-in
_TRIAL = (
    "import importlib, os, sys\n"
    "sys.path[:] = sys.argv[2:]\n"
    "from bench import plugins\n"
    "told = plugins.attempt(sys.argv[1])\n"
    "os.write(1, b'\\nTOLD ' + told.encode(errors='backslashreplace'))\n"
    "os._exit(0)\n"  # threads of its own do not keep us
)


def load(modules: Sequence[str]) -> None:
    """Import the modules that a suite lists, so that their decorators run; each is tried first in a process of its own.

    Raises:
        UserError: one cannot be imported, ends the process or does not come back.
    """
    for module in modules:
        if module not in sys.modules and (told := _tried(module)):
            raise UserError(told)
    for module in modules:
        if told := attempt(module):
            raise UserError(told)


def attempt(module: str) -> str:
    """Import one module here; what is wrong with it, empty if nothing is."""
    try:
        registry.load_plugins([module])
    except UserError as error:
        return one_line(error)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit among it
        return one_line(f"plug-in {module!r} does not import: {type(error).__name__}: {error}")
    return ""


@cache
def _tried(module: str) -> str:
    """What becomes of an import in another process."""
    seconds = float(os.environ.get("PREFRL_IMPORT_SECONDS", _SECONDS))
    words = [sys.executable, "-c", _TRIAL, module, *sys.path]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return f"plug-in {module!r} does not come back from its import in {seconds:g} s: look at what it does there"
    except (OSError, ValueError) as error:
        return f"plug-in {module!r} cannot be tried: {one_line(error)}"
    said = done.stdout.decode(errors="replace").rpartition("\nTOLD ")
    if said[1]:
        return said[2]
    how = f"signal {-done.returncode}" if done.returncode < 0 else f"code {done.returncode}"
    return f"plug-in {module!r} ends the process that imports it ({how}): take out what calls os._exit or crashes"
