"""Answers held to a JSON schema: the schema's file, the check of a text, the second try."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import signal
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

from backends.errors import InvalidMessage, NotFound, SchemaMismatch, UsageError
from backends.protocol.framing import MAX_MESSAGE
from backends.protocol.messages import Answer, Chat, Piece

_MAX_TRIES = 64
"""Places of an answer at which JSON is looked for; a hostile one has a bracket at each."""

_PATIENCE_S = 5.0
"""How long a check may take: patterns, and schemas that refer to themselves, know no end."""

_MAX_REASON = 300
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_FENCED = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_UNREADABLE = (ValueError, RecursionError)  # a number may have too many digits, too

Stream = Callable[[Chat], AsyncGenerator[Any, None]]


class _TooLong(BaseException):
    """A check has taken too long; nothing on its way may take it for an error of its own."""


class Schema:
    """A JSON schema; draft 2020-12 unless its `$schema` names another.

    What a `$ref` means has to stand in the schema itself: nothing is ever fetched.

    Raises:
        UsageError: It is no valid schema, or refers to what is not in it.
    """

    def __init__(self, document: Mapping[str, Any], name: str = "the schema") -> None:
        self.document = document
        try:
            self._validator = _validator(document, name)
            _check_size(document, name)
        except RecursionError as error:
            raise UsageError(f"{name} is nested too deeply") from error

    @property
    def instruction(self) -> str:
        """What a model is told, after the question."""
        text = json.dumps(self.document, ensure_ascii=False, separators=(",", ":"))
        return (
            "Answer with one JSON value that fits this JSON schema, and with nothing else: "
            f"no words around it, no code fence.\n{text}"
        )

    def check(self, text: str) -> str:
        """Return the JSON of an answer as it stands there, without fence and prose around it.

        It works in the main thread only, where a signal can end it.

        Raises:
            SchemaMismatch: There is none that fits; the message has the reason and the path.
        """
        try:
            with _bounded():
                fit, reason = self._search(text)
        except _TooLong as error:
            raise SchemaMismatch(
                f"the answer cannot be held to the schema: the check took longer than "
                f"{_PATIENCE_S:g} s"
            ) from error
        if fit is None:
            raise SchemaMismatch(f"the answer does not fit the schema: {_short(reason)}")
        return fit

    def _search(self, text: str) -> tuple[str | None, str]:
        """Return the JSON that fits, or why there is none."""
        unreadable = misfit = ""
        for candidate in _candidates(text):
            try:
                value = _read(candidate)
            except _UNREADABLE as error:
                unreadable = unreadable or _unreadable(error)
                continue
            found = self._reason_against(value)
            if found is None:
                return candidate, ""
            misfit = misfit or found
        return None, misfit or unreadable

    def _reason_against(self, value: Any) -> str | None:
        from jsonschema.exceptions import best_match

        try:
            error = best_match(self._validator.iter_errors(value))
            return f"{error.json_path}: {error.message}" if error else None
        except RecursionError as error:
            return _unreadable(error)
        except Exception as error:  # noqa: BLE001 - whatever a keyword fails of, it does not fit
            return f"$: it cannot be checked: {error}"


def read_schema(path: Path) -> Schema:
    """Read a schema from a file.

    Raises:
        NotFound: The file cannot be read.
        UsageError: It is no JSON, or no schema that can be used.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_MESSAGE + 1)
    except OSError as error:
        raise NotFound(f"cannot read the schema {path}: {error.strerror}") from error
    if len(data) > MAX_MESSAGE:
        raise UsageError(f"the schema {path} is too large for a message")
    try:
        document = _read(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UsageError(f"{path} is not JSON: {where}: {error.msg}") from error
    except _UNREADABLE as error:
        raise UsageError(f"{path} is not JSON: {_unreadable(error)}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} is no JSON schema: it must be an object")
    return Schema(document, str(path))


async def fitting(
    stream: Stream, chat: Chat, schema: Schema
) -> AsyncGenerator[Piece | Answer, None]:
    """Prompt a CI until its answer fits a schema: once, and where it does not, once more.

    Args:
        stream: Asks, as `Tekton.stream` does.
        chat: The prompt; the schema and the instruction are added to it.

    Yields:
        Notices as they come, and pieces without text while the answer does; then the JSON that
        fits in one piece, and what is known of the answer that it is from.

    Raises:
        SchemaMismatch: The second answer does not fit either.
        TektonError: The CI could not be asked.
    """
    prompt = f"{chat.prompt}\n\n{schema.instruction}".lstrip()
    chat = dataclasses.replace(chat, prompt=prompt, schema=schema.document)
    for is_last in (False, True):
        texts: list[str] = []
        answer = Answer(ci=chat.ci or "", model="")
        async with aclosing(stream(chat)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    answer = item
                elif isinstance(item, Piece):
                    texts.append(item.text)
                    yield Piece(notice=item.notice)
        try:
            fit = schema.check("".join(texts))
        except SchemaMismatch as mismatch:
            if is_last:
                raise SchemaMismatch(
                    f"{mismatch.message} (the second answer, too)",
                    "another model may do better: -m MODEL; `aish history -n 2` shows both answers",
                ) from mismatch
            yield Piece(notice=f"{mismatch.message}; asking once more")
            chat = _again(chat, answer, mismatch.message)
        else:
            yield Piece(text=fit)
            yield answer
            return


def _again(chat: Chat, answer: Answer, reason: str) -> Chat:
    """Return the second prompt: in the same conversation, or whole where there is none."""
    complaint = f"Your last answer cannot be used: {reason}. Answer again, with the JSON alone."
    if answer.session is None:
        return dataclasses.replace(chat, prompt=f"{chat.prompt}\n\n{complaint}")
    return dataclasses.replace(
        chat, prompt=complaint, input=None, attachments=(), session=answer.session,
        continues=False, after=None,
    )  # fmt: skip


def _candidates(text: str) -> Iterator[str]:
    """Yield what may be the JSON of an answer: all of it, what is fenced, what is within prose."""
    yield text.strip()
    for fenced in _FENCED.finditer(text):
        yield fenced[1].strip()
    decoder = json.JSONDecoder()
    start = 0
    for _ in range(_MAX_TRIES):
        opening = _OPENING.search(text, start)
        if opening is None:
            return
        start = opening.start() + 1
        try:
            _, end = decoder.raw_decode(text, opening.start())
        except _UNREADABLE:
            continue
        yield text[opening.start() : end]
        start = end


def _read(text: str) -> Any:
    """Read JSON as RFC 8259 has it; a key that stands twice means something else to each reader."""
    return json.loads(
        text, parse_constant=_no_number, object_pairs_hook=_object, parse_int=_integer,
        parse_float=_float,
    )  # fmt: skip


def _integer(digits: str) -> int:
    _float(digits)
    return int(digits)


def _float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"a number of {len(digits)} digits is too large: {digits[:20]}")
    return number


def _no_number(word: str) -> Any:
    raise ValueError(f"{word} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in an object")
    return found


def _unreadable(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"$: not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
    return f"$: {'nested too deeply' if isinstance(error, RecursionError) else error}"


@contextmanager
def _bounded() -> Iterator[None]:
    """Let nothing take longer than `_PATIENCE_S`; a search for a pattern heeds signals, too."""

    def end(*_: object) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE_S, 1.0)  # again, where one is swallowed
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _short(reason: str) -> str:
    line = " ".join(reason.split())
    half = _MAX_REASON // 2
    return line if len(line) <= _MAX_REASON else f"{line[:half]} … {line[-half:]}"


def _validator(document: Mapping[str, Any], name: str) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for
    from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]

    dialect = document.get("$schema")
    find: Any = validator_for
    kind = find({"$schema": dialect}, default=None) if isinstance(dialect, str) else None
    if dialect is not None and kind is None:
        raise UsageError(
            f"{name} is of an unknown draft: {dialect!r}",
            "drafts 3 to 2020-12 are known; without `$schema` it is 2020-12",
        )
    kind = kind or Draft202012Validator
    try:
        kind.check_schema(document)
    except OverflowError as error:  # of a pattern's `{…}`
        raise UsageError(f"{name} is no valid JSON schema: {error}") from error
    except SchemaError as error:
        reason = _short(f"{error.json_path}: {error.message}")
        raise UsageError(f"{name} is no valid JSON schema: {reason}") from error
    _check_references(document, kind.META_SCHEMA["$schema"], name)
    # the validator's own default would fetch what is not in it
    return kind(document, registry=REGISTRY)


def _check_references(document: Mapping[str, Any], dialect: str, name: str) -> None:
    """Refuse a schema that refers to what it does not hold."""
    from jsonschema_specifications import REGISTRY
    from referencing.exceptions import Unresolvable
    from referencing.jsonschema import specification_with

    resource = specification_with(dialect).create_resource(document)
    waiting = [(REGISTRY.resolver_with_root(resource), resource)]
    while waiting:
        resolver, part = waiting.pop()
        contents = part.contents if isinstance(part.contents, Mapping) else {}
        for reference in filter(None, map(contents.get, _REFERENCES)):
            try:
                resolver.lookup(reference)
            except Unresolvable as error:
                raise UsageError(
                    f"{name} refers to {reference!r}, which is not in it",
                    "nothing is fetched; put it under `$defs` in the same file",
                ) from error
        waiting += [(resolver.in_subresource(one), one) for one in part.subresources()]


def _check_size(document: Mapping[str, Any], name: str) -> None:
    """Refuse a schema that could not be sent."""
    from backends.protocol import schema

    try:
        schema.decode(Chat, {"schema": document})
    except InvalidMessage as error:
        raise UsageError(f"{name} cannot be sent: {error.message}") from error
