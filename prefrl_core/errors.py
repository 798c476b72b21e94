"""The one exception that is meant for people: a line that names the thing and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can put right. ``str(error)`` is one line; a command prints it and exits with 2."""


def require(condition: bool, message: str) -> None:
    """Raise UserError with ``message`` unless ``condition``."""
    if not condition:
        raise UserError(message)


def unknown(kind: str, name: object, known: Iterable[str]) -> UserError:
    """The error for a name that is not among ``known``, with the nearest match where there is one."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, n=1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names) or 'none'}"
    return UserError(f"unknown {kind} {str(name)!r}: {remedy}")
