"""JSON values to dataclasses and back: the only place where the two meet.

Supported field types: `str`, `int`, `float`, `bool`, `None`, `Any`, enums of strings,
dataclasses, `tuple[T, ...]`, `Mapping[str, T]` and unions of these with `None`. Unknown fields are
ignored, so that a newer peer may say more.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from backends.errors import InvalidMessage

T = TypeVar("T")

_MAX_DEPTH = 32
"""Levels of a value of any kind; what cannot be walked through here could not be sent on either."""


def encode(value: Any) -> Any:
    """Turn a dataclass, or anything made of supported types, into JSON values.

    Fields that are `None` are left out.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (str, int, float, type(None))):
        return value
    if isinstance(value, Mapping):
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return {
        name: encode(item)
        for name in _fields(type(value))
        if (item := getattr(value, name)) is not None
    }


def decode(kind: type[T], value: Any, where: str = "", is_strict: bool = False) -> T:
    """Build a dataclass from a JSON object.

    Args:
        kind: The dataclass.
        value: What JSON gave.
        where: Path of the value within the whole, for the message of an error.
        is_strict: Refuse fields that the dataclass does not have.

    Raises:
        InvalidMessage: A field is missing, unknown or has the wrong type; the message begins
            with its path.
    """
    if not isinstance(value, Mapping):
        raise InvalidMessage(f"{where or kind.__name__} must be an object, not {_name(value)}")
    arguments = {}
    fields = _fields(kind)
    prefix = f"{where}." if where else ""
    if is_strict:
        for name in value:
            if name not in fields:
                raise InvalidMessage(f"{prefix}{name} is not a setting{_nearest(name, fields)}")
    for name, (annotation, required) in fields.items():
        path = prefix + name
        if name in value:
            arguments[name] = _decode(annotation, value[name], path, is_strict)
        elif required:
            raise InvalidMessage(f"{path} is missing")
    return kind(**arguments)


_known: dict[type[Any], dict[str, tuple[Any, bool]]] = {}


def _fields(kind: type[Any]) -> dict[str, tuple[Any, bool]]:
    """Return each field's type and whether it is required; worked out once for a class."""
    if kind not in _known:
        hints = typing.get_type_hints(kind)
        _known[kind] = {
            field.name: (
                hints[field.name],
                field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING,
            )
            for field in dataclasses.fields(kind)
        }
    return _known[kind]


def _decode(annotation: Any, value: Any, where: str, is_strict: bool) -> Any:
    if annotation is Any:
        return _plain(value, where)
    origin = typing.get_origin(annotation)
    if origin in (types.UnionType, typing.Union):
        options = [item for item in typing.get_args(annotation) if item is not type(None)]
        return None if value is None else _decode(options[0], value, where, is_strict)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise InvalidMessage(f"{where} must be a list, not {_name(value)}")
        item_type = typing.get_args(annotation)[0]
        return tuple(
            _decode(item_type, item, f"{where}[{n}]", is_strict) for n, item in enumerate(value)
        )
    if origin is not None:
        if not isinstance(value, Mapping):
            raise InvalidMessage(f"{where} must be an object, not {_name(value)}")
        item_type = typing.get_args(annotation)[1]
        return {
            _unicode(str(key)): _decode(item_type, item, f"{where}.{key}", is_strict)
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(annotation):
        return decode(typing.cast(type[Any], annotation), value, where, is_strict)
    if issubclass(annotation, enum.Enum):
        try:
            return annotation(value)
        except ValueError:
            options = [member.value for member in annotation]
            raise InvalidMessage(f"{where} must be one of {options}, not {value!r}") from None
    if annotation is float and type(value) is int:
        value = float(_number(value, where))
    if type(value) is not annotation:
        raise InvalidMessage(f"{where} must be {_WORDS[annotation]}, not {_name(value)}")
    return _unicode(value) if annotation is str else _number(value, where)


def _plain(value: Any, where: str, depth: int = 0) -> Any:
    """Check a value of any kind, so that it can be shown, stored and sent on."""
    if depth > _MAX_DEPTH:
        raise InvalidMessage(f"{where} is nested more than {_MAX_DEPTH} levels deep")
    if isinstance(value, str):
        return _unicode(value)
    if isinstance(value, Mapping):
        return {_unicode(str(key)): _plain(item, where, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, where, depth + 1) for item in value]
    return _number(value, where)


def _number(value: Any, where: str) -> Any:
    """Refuse numbers that JSON or a database cannot hold; everything else passes."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidMessage(f"{where} must be a finite number")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise InvalidMessage(f"{where} must be a number of at most 64 bits")
    return value


def _unicode(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and nothing else can."""
    if text.isascii():
        return text
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


_WORDS = {str: "a string", int: "a whole number", float: "a number", bool: "true or false"}


def _name(value: Any) -> str:
    words = {**_WORDS, list: "a list", dict: "an object", type(None): "null"}
    return words.get(type(value), type(value).__name__)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(known)}"
