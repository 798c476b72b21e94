"""Text that goes to a terminal, a log or a file of errors: one line, nothing that steers a terminal."""

from __future__ import annotations

import re

# C0 and C1 controls, marks that reorder what is read, separators of lines, and halves of surrogate pairs
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def printable(text: str) -> str:
    """``text`` with what a terminal would obey written out, as in ``\\x1b``; newlines stay."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] == "\n" else found[0].encode("unicode_escape").decode(), text)


def one_line(text: object) -> str:
    """``text`` in one printable line."""
    return printable(" ".join(str(text).split()))


def is_plain(text: str) -> bool:
    """Whether a name can be shown as it is, in one line."""
    return not _UNSAFE.search(text)


def counted(number: int, what: str) -> str:
    """A number and what it counts: "1 run", "1,200 runs"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def short(value: object, most: int = 60) -> str:
    """A value as a message quotes it, cut where it is long."""
    if isinstance(value, int) and abs(value) >= 1 << 256:  # Python refuses to write very long ones out
        return "a number of very many digits"
    text = repr(value[: most + 1] if isinstance(value, (str, list)) else value)
    return text if len(text) <= most else f"{text[: most - 3]}..."
