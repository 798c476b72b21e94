"""Settings: frozen dataclasses made from plain values, and back.

A suite file, a command line or a stored description gives plain values. ``build`` checks each against the type of its
field and gives the dataclass; ``plain`` is the way back. Two spellings of one value (2 and 2.0 for a float) give one
dataclass, hence one canonical form.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from prefrl_core.errors import UserError, located, unknown

T = TypeVar("T")


def of_pixels(default: Any) -> Any:
    """A setting that came with the tasks over pixels: on other tasks it stands in the canonical form only where it is
    not the default, so that older runs keep their names."""
    return field(default=default, metadata={"pixels": True})


def later(default: Any) -> Any:
    """A setting that came after runs were published: it stands in the canonical form only where it is not the default,
    so that older runs keep their names."""
    return field(default=default, metadata={"later": True})


def plain(settings: Any, pixels: bool) -> dict[str, Any]:
    """A settings dataclass as plain values, for a task over pixels or for another one."""
    values = dataclasses.asdict(settings)
    for entry in dataclasses.fields(settings):
        own = getattr(settings, entry.name)
        if dataclasses.is_dataclass(own):
            values[entry.name] = plain(own, pixels)
        elif own == entry.default and ("later" in entry.metadata or ("pixels" in entry.metadata and not pixels)):
            del values[entry.name]
    return values


def build(cls: type[T], values: Mapping[str, Any], what: str) -> T:
    """An instance of a settings dataclass; each value is checked against the type of its field.

    Raises:
        UserError: an unknown key, a value of the wrong type, or one that the dataclass refuses.
    """
    check_keys(what, values, cls)
    of_cls: Any = cls  # a dataclass's class is hashable
    wanted = _types(of_cls)
    checked = {name: _typed(value, wanted[name], f"{what} {name!r}") for name, value in values.items()}
    try:
        return cls(**checked)
    except UserError:
        raise
    except TypeError as error:
        raise UserError(f"{what}: {error}") from error
    except Exception as error:  # what a part of somebody else's says of its settings
        raise UserError(f"{what}: {located(error)}") from error


def check_keys(what: str, values: Mapping[str, Any], cls: Any) -> None:
    """Raise UserError for the first key of ``values`` that is no field of the dataclass ``cls``."""
    known = [entry.name for entry in dataclasses.fields(cls) if entry.init]
    for key in values:
        if key not in known:
            raise unknown(what, key, known)


@functools.cache
def _types(cls: Any) -> dict[str, Any]:
    """The type of each field. An annotation that does not resolve (a name that is imported for type checkers alone)
    accepts anything: the dataclass itself may check it."""
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):
        return {entry.name: entry.type if isinstance(entry.type, type) else Any for entry in dataclasses.fields(cls)}


def _typed(value: Any, wanted: Any, what: str) -> Any:
    """``value`` as the wanted type where it fits; ints pass for floats, lists for tuples."""
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{what} = {value!r} is not a finite number")
    fits, made = _fit(value, wanted)
    if not fits:
        told = repr(value)
        raise UserError(f"{what} = {told if len(told) < 300 else told[:297] + '...'}: expected {_spelled(wanted)}")
    return made


def _fit(value: Any, wanted: Any) -> tuple[bool, Any]:
    """Whether ``value`` is of the wanted type, and the value in that type."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        tried = [_fit(value, one) for one in inner]
        return next((one for one in tried if one[0]), (False, value))
    if origin is Literal:  # which values there are is said by the dataclass, in its own words
        return isinstance(value, tuple({type(one) for one in inner})) and not _is_bool_for_int(
            value, type(inner[0])
        ), value
    if origin is tuple or wanted is tuple:
        return _fit_tuple(value, inner)
    kind = origin or wanted
    if kind is list and inner and isinstance(value, (list, tuple)):
        each = [_fit(one, inner[0]) for one in value]
        return all(fits for fits, _ in each), [made for _, made in each]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return True, float(value)
    if not isinstance(kind, type) or kind is object:
        return True, value
    return isinstance(value, kind) and not _is_bool_for_int(value, kind), value


def _fit_tuple(value: Any, inner: tuple[Any, ...]) -> tuple[bool, Any]:
    if not isinstance(value, (list, tuple)):
        return False, value
    each = [inner[0]] * len(value) if len(inner) == 2 and inner[1] is ... else list(inner) or [Any] * len(value)
    if len(each) != len(value):
        return False, value
    fitted = [_fit(one, kind) for one, kind in zip(value, each, strict=True)]
    return all(fits for fits, _ in fitted), tuple(made for _, made in fitted)


def _is_bool_for_int(value: Any, kind: type) -> bool:
    return isinstance(value, bool) and kind is not bool


def _spelled(wanted: Any) -> str:
    return wanted.__name__ if isinstance(wanted, type) and not get_args(wanted) else str(wanted).replace("typing.", "")
