"""The one exception that is meant for people: a line that names the thing and the remedy."""

from __future__ import annotations

import difflib
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import CodeType

_OURS = tuple(Path(__file__).resolve().parents[1] / package for package in ("prefrl", "prefrl_core", "bench"))
_LIBRARIES = {"ale_py", "av", "gymnasium", "matplotlib", "mujoco", "numpy", "pandas", "pyarrow", "ray", "safetensors"}
_LIBRARIES |= {"scipy", "tokenizers", "torch", "transformers"}


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


def located(error: BaseException) -> str:
    """An exception of any kind in one line, with the place in the user's own code where it came up.

    That is the innermost frame that is neither ours nor Python's nor a library's that we depend on. Where there is
    none such, it is the innermost one of all.
    """
    text = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
    if isinstance(error, SyntaxError) and error.filename:
        return f"{text.partition(' (')[0]}, at {error.filename}, line {error.lineno}"
    frames = list(traceback.walk_tb(error.__traceback__))
    own = [(frame, line) for frame, line in frames if is_users(frame.f_globals.get("__name__", ""), frame.f_code)]
    for frame, line in reversed(own or frames):
        return f"{text}, at {frame.f_code.co_filename}, line {line}, in {frame.f_code.co_name}"
    return text


def is_users(module: str, code: CodeType) -> bool:
    """Whether a module's code is neither ours nor Python's nor a library's that we depend on."""
    top = module.partition(".")[0]
    known = top in _LIBRARIES or (top in sys.stdlib_module_names and top != "__main__") or code.co_filename[0] == "<"
    return not known and not any(Path(code.co_filename).resolve().is_relative_to(folder) for folder in _OURS)
