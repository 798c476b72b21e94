"""``prefrl``, or ``python -m bench``: the commands of ``bench.commands``.

What a command needs is imported when it is run, so that asking for help costs nothing.

Exit codes: 0, done; 1, something is not as it should be (a run failed, a build is worse, a folder is not sound); 2, a
``UserError``, one line on stderr; 70, a fault of ours, one line and a trace in a file; 130, interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence

from bench import fault
from bench.commands import (
    archive,
    check,
    compare,
    export,
    gate,
    label,
    listing,
    power,
    report,
    run,
    show,
    validate,
    verify,
)
from bench.commands.shared import Parser, Shared
from bench.text import one_line
from prefrl_core import __version__
from prefrl_core.errors import UserError

_LONGEST = 1500  # characters of what is said
# in the order of the help
_COMMANDS = (listing, run, label, report, compare, power, show, verify, check, gate, validate, export, archive)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  (None where whoever started us closed it)
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no encoding of a terminal ends a command
    os.environ["MPLBACKEND"] = "agg"  # figures go to files; a backend for windows may not be there
    words = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        try:
            options = parser().parse_args(words)
        except SystemExit:  # argparse's, after its help; any other is somebody else's
            return 0
        options.words = words
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        return _complain(fault.of_system(error))
    except MemoryError as error:
        return _complain(fault.of_memory(error))
    except BaseException as error:
        return _fault(error)


def parser() -> Parser:
    """The commands and their options."""
    made = Parser(prog="prefrl", description="Run suites of experiments, and show their results.")
    made.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    shared = Shared.make()
    for one in _COMMANDS:
        one.add(commands, shared)
    return made


def _complain(text: str, code: int = 2) -> int:
    text = text if len(text) < _LONGEST else f"{text[:_LONGEST]}..."
    with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
        print(f"prefrl: {one_line(text)}", file=sys.stderr, flush=True)
    return code


def _fault(error: BaseException) -> int:
    return _complain(fault.told(error), fault.CODE)
