"""``prefrl``, or ``python -m bench``: the commands of ``bench.commands``.

What a command needs is imported when it is run, so that asking for help costs nothing. A ``UserError`` is one line
on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from bench.commands import check, compare, export, gate, label, listing, power, report, run, show, validate, verify
from bench.commands.shared import Shared
from prefrl_core.errors import UserError

# in the order of the help
_COMMANDS = (listing, run, label, report, compare, power, show, verify, check, gate, validate, export)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    options = parser().parse_args(arguments)
    options.words = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        code: int = options.command(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        return _complain(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _complain(f"{error.strerror or error}: {error.filename or 'no file named'}")
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    made = argparse.ArgumentParser(prog="prefrl", description="Run suites of experiments, and show what came out.")
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    shared = Shared.make()
    for one in _COMMANDS:
        one.add(commands, shared)
    return made


def _complain(text: str) -> int:
    print(f"prefrl: {' '.join(text.split())}", file=sys.stderr)
    return 2
