"""Dataclasses to JSON and back: nothing is lost, and what does not fit is named by its path."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.config import Config
from backends.errors import InvalidMessage
from backends.personas import Persona
from backends.protocol import conversations, messages, schema
from backends.protocol.conversations import Turn
from backends.protocol.messages import Chat, Event, Health, ServiceInfo

MESSAGES: list[type[Any]] = [
    found
    for module in (messages, conversations)
    for _, found in inspect.getmembers(module, inspect.isclass)
    if dataclasses.is_dataclass(found)
    and found is not messages.Request
    and found.__module__ == module.__name__
]
KINDS: list[type[Any]] = [*MESSAGES, Config, Persona]

WHOLE = st.integers(-(2**63), 2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
ANYTHING = st.recursive(
    st.none() | st.booleans() | WHOLE | FINITE | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=4,
)

ABOVE_ZERO = st.none() | st.integers(1, 2**63 - 1)
BOUNDED: dict[Any, dict[str, st.SearchStrategy[Any]]] = {
    Persona: {
        "temperature": st.none() | st.floats(0, 2),
        "max_tokens": ABOVE_ZERO,
        "max_prompt_bytes": ABOVE_ZERO,
    }
}
"""Fields that do not take every value of their type."""


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that the schema supports."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return ANYTHING
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*(values(argument) for argument in arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is not None:
        return st.dictionaries(st.text(), values(arguments[1]), max_size=2)
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        fields = {part.name: values(hints[part.name]) for part in dataclasses.fields(annotation)}
        return st.builds(
            typing.cast(type[Any], annotation), **{**fields, **BOUNDED.get(annotation, {})}
        )
    if issubclass(annotation, enum.Enum):
        return st.sampled_from(list(annotation))
    simple = {str: st.text(), int: WHOLE, float: FINITE, bool: st.booleans()}
    return simple.get(annotation, st.none())


def through_json(value: Any) -> Any:
    return json.loads(json.dumps(schema.encode(value), allow_nan=False))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_a_value_comes_back_as_it_was(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(values(kind))
    assert schema.decode(kind, through_json(value)) == value


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: kind.__name__)
def test_unknown_fields_are_ignored(kind: type[Any]) -> None:
    body = smallest(kind)
    newer = body | {"from a newer peer": {"a": [1]}, "": None}
    assert schema.decode(kind, newer) == schema.decode(kind, body)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_whatever_json_holds_is_decoded_or_refused(kind: type[Any], data: st.DataObject) -> None:
    names = [part.name for part in dataclasses.fields(kind)]
    body = data.draw(st.dictionaries(st.sampled_from([*names, "other"]), ANYTHING) | ANYTHING)
    try:
        found = schema.decode(kind, body)
    except InvalidMessage:
        return
    assert isinstance(found, kind)


def fields() -> list[tuple[type[Any], str, Any]]:
    return [
        (kind, part.name, typing.get_type_hints(kind)[part.name])
        for kind in KINDS
        for part in dataclasses.fields(kind)
        if typing.get_type_hints(kind)[part.name] is not Any
    ]


def wrong_for(annotation: Any) -> list[Any]:
    """JSON values that a field of this type must refuse."""
    options = typing.get_args(annotation) if types.NoneType in typing.get_args(annotation) else ()
    allowed = {option for option in options if option is not types.NoneType} or {annotation}
    takes: dict[Any, set[Any]] = {str: {str}, int: {int}, float: {int, float}, bool: {bool}}
    refused: list[Any] = [{}, [], "nonsense", 1, 1.5, True]
    if not options:
        refused.append(None)
    accepted: set[Any] = set()
    for one in allowed:
        if one in takes:
            accepted |= takes[one]
        elif typing.get_origin(one) is tuple:
            accepted |= {list}
        elif isinstance(one, type) and issubclass(one, enum.Enum):
            continue
        else:
            accepted |= {dict}
    return [value for value in refused if type(value) not in accepted]


def smallest(annotation: Any) -> Any:
    """The smallest JSON value that a field of this type takes."""
    if typing.get_origin(annotation) is tuple:
        return []
    if dataclasses.is_dataclass(annotation):
        hints = typing.get_type_hints(annotation)
        return {
            part.name: smallest(hints[part.name])
            for part in dataclasses.fields(annotation)
            if part.default is part.default_factory is dataclasses.MISSING
        }
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return next(iter(annotation)).value
    return {str: "", int: 0, float: 0.5, bool: False}.get(annotation)


@pytest.mark.parametrize(
    ("kind", "name", "annotation"), fields(), ids=lambda part: getattr(part, "__name__", str(part))
)
def test_a_value_of_a_wrong_type_is_named(kind: type[Any], name: str, annotation: Any) -> None:
    right = smallest(kind)
    schema.decode(kind, right)
    for wrong in wrong_for(annotation):
        with pytest.raises(InvalidMessage, match=rf"^params\.{name} must be "):
            schema.decode(kind, right | {name: wrong}, "params")


def test_a_missing_field_is_named() -> None:
    with pytest.raises(InvalidMessage, match=r"^value\.turn\.ci is missing$"):
        schema.decode(conversations.BeginTurn, {"turn": {"id": "1", "session": "s"}}, "value")
    with pytest.raises(InvalidMessage, match=r"^Event must be an object, not a list$"):
        schema.decode(Event, [])


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"attachments": [{"name": "a", "media_type": "b"}, 5]}, r"attachments[1] must be an obj"),
        ({"attachments": [{"name": 5, "media_type": "b"}]}, r"attachments[0].name must be a str"),
        ({"attachments": {}}, "attachments must be a list, not an object"),
    ],
)
def test_a_path_leads_into_lists(body: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        schema.decode(Chat, body)
    assert raised.value.message.startswith(reason)


def test_an_enum_tells_what_it_may_be() -> None:
    values: list[Any] = ["well", [], {}, None]
    for wrong in values:
        with pytest.raises(
            InvalidMessage, match=r"health must be one of \['alive', 'dead', 'ended'"
        ):
            schema.decode(ServiceInfo, {"name": "x", "health": wrong})


# -- strict: what a person writes --------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str = ""
    inner: Inner = field(default_factory=Inner)
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    many: tuple[Inner, ...] = ()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"nam": "x"}, "nam is not a setting; did you mean 'name'?"),
        ({"zzz": 1}, "zzz is not a setting; there are: name, inner, by_name, many"),
        ({"inner": {"siz": 1}}, "inner.siz is not a setting; did you mean 'size'?"),
        ({"by_name": {"a": {"siz": 1}}}, "by_name.a.siz is not a setting; did you mean 'size'?"),
        ({"many": [{}, {"siz": 1}]}, "many[1].siz is not a setting; did you mean 'size'?"),
    ],
)
def test_strictly_an_unknown_field_is_refused_with_the_nearest(body: Any, reason: str) -> None:
    with pytest.raises(InvalidMessage) as raised:
        schema.decode(Outer, body, is_strict=True)
    assert raised.value.message == reason
    assert schema.decode(Outer, body) is not None


# -- what JSON can carry and nothing else can --------------------------------------------------


@given(st.text(st.characters(categories=["Cs"]) | st.characters()))
def test_lone_surrogates_are_replaced_wherever_text_may_stand(text: str) -> None:
    event = schema.decode(Event, {"subject": text, "at": 0, "data": {text: [{text: text}]}})
    turn = schema.decode(
        Turn, {"id": text, "session": "", "ci": "", "status": "running", "prompt": text}
    )
    for found in (event.subject, str(event.data), turn.id, turn.prompt):
        found.encode()


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert schema.decode(Chat, json.loads(r'{"prompt": "\ud83d\ude00"}')).prompt == "😀"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999", "9" * 400], ids=len)
def test_numbers_that_nobody_else_can_read_are_refused(text: str) -> None:
    number = json.loads(text)
    with pytest.raises(InvalidMessage, match=r"^at must be a "):
        schema.decode(Event, {"subject": "a", "at": number})
    with pytest.raises(InvalidMessage, match=r"^data\.deep must be a "):
        schema.decode(Event, {"subject": "a", "at": 1, "data": {"deep": [number]}})


def test_a_whole_number_has_at_most_64_bits() -> None:
    assert schema.decode(conversations.History, {"limit": 2**63 - 1}).limit == 2**63 - 1
    with pytest.raises(InvalidMessage, match=r"^limit must be a number of at most 64 bits$"):
        schema.decode(conversations.History, {"limit": 2**63})


def test_a_value_of_any_kind_is_not_nested_without_end() -> None:
    deep: Any = 1
    for _ in range(400):
        deep = [deep]
    with pytest.raises(InvalidMessage, match=r"^data.deep is nested more than 32 levels deep$"):
        schema.decode(Event, {"subject": "a", "at": 1, "data": {"deep": deep}})


def test_an_answer_without_health_is_alive() -> None:
    assert schema.decode(ServiceInfo, {"name": "x"}).health is Health.ALIVE
