"""The one way in: what is read from outside becomes a value within its bounds, or a line that says what is wrong where.

A model (``Model``) knows its fields, their types and their ranges; pydantic checks it. What is free in form (settings,
versions) is at least plain, finite and neither deep nor long (``Plain``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic import model_validator as _model_validator
from pydantic_core import PydanticCustomError, from_json

from bench import files
from bench.text import is_plain, short
from prefrl_core.errors import UserError, unknown

T = TypeVar("T")
DEEPEST = 12  # tables within tables
LARGEST_JSON = 64 << 20  # bytes of a JSON file
_LONGEST = 100_000  # characters of a text, members of a table or list
_WHOLE = 2**63  # whole numbers of free values are below this in size
_TYPES = {  # what pydantic misses, by the name of its error, in the words of a suite file
    "list_type": "should be a list, in [ ]",
    "tuple_type": "should be a list, in [ ]",
    "string_type": "should be a text, in quotes",
    "dict_type": "should be a table of keys and values",
    "model_type": "should be a table of keys and values",
    "int_type": "should be a whole number",
    "float_type": "should be a number",
    "bool_type": "should be true or false",
}


def refuse(message: str) -> PydanticCustomError:
    """What a validator raises: ``message`` follows the place and its value."""
    return PydanticCustomError("refused", "{told}", {"told": message})


def plain(value: Any, depth: int = 0, place: str = "") -> Any:
    """``value`` if it is made of texts, finite numbers, lists and tables, and neither deep nor long.

    ``place`` is where in a table it is.
    """
    if depth > DEEPEST:
        raise refuse(f"tables go no deeper than {DEEPEST}")
    if isinstance(value, float) and not math.isfinite(value):
        raise refuse(f"{place and f'{place} = '}{value} is not a finite number")
    if isinstance(value, int) and not -_WHOLE <= value < _WHOLE:
        raise refuse("a whole number has at most 63 bits")
    if isinstance(value, (str, list, dict)) and len(value) > _LONGEST:
        raise refuse(f"a text, list or table has at most {_LONGEST:,} characters or members")
    if isinstance(value, (list, dict)):
        for key, member in enumerate(value) if isinstance(value, list) else value.items():
            plain(key, depth + 1, place)
            plain(member, depth + 1, f"{place}.{key}".removeprefix("."))
    elif not (value is None or isinstance(value, (str, int, float))):
        raise refuse(f"a {type(value).__name__} is no setting: give a text, number, list or table")
    return value


def _name(value: str) -> str:
    if not is_plain(value):
        raise refuse("a name has no newlines or other control characters")
    return value


Plain = Annotated[Any, BeforeValidator(plain)]
Table = Annotated[dict[str, Any], BeforeValidator(plain)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Amount = Annotated[float, Field(ge=0, le=1e15)]
Real = Annotated[float, Field(ge=-1e15, le=1e15)]
Name = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_name)]
Text = Annotated[str, Field(max_length=_LONGEST)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]


class Model(BaseModel):
    """What has these fields and no others, each of its type without conversion; numbers are finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    @_model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        known = [field.alias or name for name, field in cls.model_fields.items()]
        for key in values if isinstance(values, dict) and cls.model_config.get("extra") == "forbid" else ():
            if key not in known:
                raise refuse(str(unknown("key", key, known)))
        return values


def parse(
    kind: Any, value: Any, where: str, remedy: str = "", place: Callable[[tuple[Any, ...]], str] | None = None
) -> Any:
    """``value`` as ``kind``, a model or another type.

    Args:
        where: names the source; the error begins with it.
        remedy: ends the error, where what is expected does not say enough.
        place: writes a path within the value out; JSON's way if it is None.

    Raises:
        UserError: it is none, in one line.
    """
    try:
        return _adapter(kind).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{where}: {told(error, place or json_place)}{remedy and f': {remedy}'}") from error


def told(error: ValidationError, place: Callable[[tuple[Any, ...]], str]) -> str:
    """The first thing that is wrong: place, value, what is expected."""
    first = error.errors(include_url=False)[0]
    message = _TYPES.get(first["type"]) or first["msg"].replace("Input should be", "should be")
    at = place(first["loc"])
    if first["type"] == "missing":
        return f"{at} is missing"
    if first["type"] == "refused" and message.startswith("unknown key"):
        return message.replace("unknown key", f"unknown key in {at or 'the file'}:", 1)
    return f"{at} = {short(first['input'])}: {message}" if at else message


def json_place(path: tuple[Any, ...]) -> str:
    """``runs[3].steps``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def read_json(path: Path, model: type[Model], remedy: str, where: str = "") -> dict[str, Any]:
    """A JSON file's object, checked by ``model``, as plain values.

    Raises:
        UserError: it cannot be read, is no JSON, of another schema, or not what the model says.
    """
    where = where or str(path)
    values = json_of(files.read(path, LARGEST_JSON, remedy), where, remedy)
    if not isinstance(values, dict):
        raise UserError(f"{where} is damaged (no JSON object): {remedy}")
    check_schema(model, values, where, remedy)
    parse(model, values, f"{where} is damaged", remedy)
    return values


def json_of(data: bytes, where: str, remedy: str) -> Any:
    """What JSON says; NaN, infinities, halves of surrogates and deep nesting are none.

    Raises:
        UserError: it is none.
    """
    try:
        return from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise UserError(f"{where} is damaged ({error}): {remedy}") from error


def check_schema(model: type[Model], values: Mapping[str, Any], where: str, remedy: str) -> None:
    """Raise UserError where a file says that it is of another schema than the model's."""
    field = model.model_fields.get("schema_")
    if field is not None and "schema" in values and values["schema"] != (ours := field.annotation.__args__[0]):  # type: ignore[union-attr]
        raise UserError(f"{where} has schema {short(values['schema'])}, this version reads {ours}: {remedy}")


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
