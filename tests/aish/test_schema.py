"""Schemas that are read, answers that are held to them, and the one second try."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aish.schema import Schema, fitting, read_schema
from backends.errors import ModelError, NotFound, SchemaMismatch, TektonError, UsageError
from backends.protocol.messages import Answer, Attachment, Chat, Piece

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}},
    },
    "required": ["name"],
    "$defs": {"tag": {"type": "string", "maxLength": 5}},
}  # fmt: skip
FITS = '{"name": "Ada"}'


@pytest.mark.parametrize(
    "answer",
    [
        FITS,
        f"\n{FITS}\n\n",
        f"```json\n{FITS}\n```",
        f"Here it is:\n```\n{FITS}\n```\nAnything else?",
        f"Here it is: {FITS}. I left out {{x}}.",
        f'First {{"nme": 1}}, rather {FITS}',
        f"[1] says {FITS}",
        f"{{ not json {FITS}",
    ],
)
def test_the_json_of_an_answer_is_taken_as_it_stands_there(answer: str) -> None:
    assert Schema(PERSON).check(answer) == FITS


def test_a_value_need_not_be_an_object() -> None:
    assert Schema({"type": "integer"}).check(" 42 ") == "42"
    assert Schema({"type": "array"}).check("It is [1, 2].") == "[1, 2]"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "$: not JSON: Expecting value (line 1, column 1)"),
        ("I cannot.", "$: not JSON: Expecting value"),
        ("{}", "$: 'name' is a required property"),
        ('{"name": 5}', "$.name: 5 is not of type 'string'"),
        ('{"name": "a", "tags": ["x", "toolong"]}', "$.tags[1]: 'toolong' is too long"),
        ('so: {"name": 5}', "$.name: 5 is not of type 'string'"),
        ('{"name": "a", "name": "b"}', "the key 'name' stands twice"),
        ('{"name": NaN}', "NaN is no number of JSON"),
        ('{"name": "cut of', "$: not JSON: Unterminated string"),
        ('{"name": ' + "9" * 5000 + "}", "5000 digits"),
        ("[" * 100_000, "nested too deeply"),
        ('{"name":' * 50_000, "nested too deeply"),
        ('{"name": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
    ],
)
def test_what_does_not_fit_is_told_with_its_place(answer: str, reason: str) -> None:
    with pytest.raises(SchemaMismatch) as caught:
        Schema(PERSON).check(answer)
    assert reason in caught.value.message
    assert len(caught.value.message) < 400
    assert caught.value.exit_status == 6
    assert isinstance(caught.value, ModelError)


@given(st.text(st.sampled_from('{}[]"\\:,1aeNn`\n '), max_size=80))
def test_what_is_returned_is_json_that_fits(text: str) -> None:
    schema = Schema({"type": "array", "maxItems": 1})
    try:
        found = json.loads(schema.check(text))
    except SchemaMismatch:
        return
    assert isinstance(found, list)
    assert len(found) <= 1


def test_a_schema_without_end_is_a_mismatch() -> None:
    with pytest.raises(SchemaMismatch, match="nested too deeply"):
        Schema({"$ref": "#"}).check("1")


def test_the_draft_is_honoured() -> None:
    items = {"items": [{"type": "string"}]}
    old = {"$schema": "http://json-schema.org/draft-07/schema#", **items}
    with pytest.raises(SchemaMismatch):
        Schema(old).check("[1]")
    with pytest.raises(UsageError):
        Schema(items)  # since 2020-12 they are called prefixItems


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 40 + "b")),
        ({"patternProperties": {"^(x+x+)+y": {}}}, json.dumps({"x" * 40: 1})),
        ({"uniqueItems": True}, json.dumps([{"a": n} for n in range(30_000)])),
        (
            {
                "$defs": {
                    f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)
                } | {"d40": {}},
                "$ref": "#/$defs/d0",
            },
            "1",
        ),
    ],
)  # fmt: skip
def test_a_check_without_end_is_ended(
    monkeypatch: pytest.MonkeyPatch, schema: dict[str, Any], answer: str
) -> None:
    monkeypatch.setattr("aish.schema._PATIENCE_S", 0.1)
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(SchemaMismatch, match=r"the check took longer than 0\.1 s"):
        Schema(schema).check(answer)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


_ENDLESS = """
from aish.ask import die_of_interrupt
from aish.schema import Schema
import asyncio
async def check():
    print("begun", flush=True)
    Schema({"pattern": "^(a+)+$"}).check('"' + "a" * 60 + 'b"')
die_of_interrupt()
asyncio.run(check())
"""


def test_ctrl_c_ends_a_check_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", _ENDLESS], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(4) == -signal.SIGINT


@pytest.mark.parametrize("number", ["1e999999", "-1e400", "1" * 400, "9" * 4000], ids=len)
@pytest.mark.parametrize("kind", [{"multipleOf": 0.01}, {"multipleOf": 3}, {"maximum": 1}, {}])
def test_a_number_beyond_all_floats_does_not_fit(kind: dict[str, Any], number: str) -> None:
    with pytest.raises(SchemaMismatch, match="too large") as caught:
        Schema(kind).check(number)
    assert len(caught.value.message) < 400


def test_a_check_that_fails_is_a_mismatch() -> None:
    for keyword in ("pattern", "multipleOf"):
        schema = Schema({})
        schema._validator = schema._validator.evolve(schema={keyword: 0})
        with pytest.raises(SchemaMismatch, match=r"\$: it cannot be checked"):
            schema.check('"a"' if keyword == "pattern" else "1")


# -- the file ------------------------------------------------------------------------------


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "schema.json"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_a_file_is_read(tmp_path: Path) -> None:
    schema = read_schema(write(tmp_path, "\ufeff" + json.dumps(PERSON)))
    assert schema.document == PERSON
    assert schema.check(FITS) == FITS
    assert json.dumps(PERSON, separators=(",", ":")) in schema.instruction


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"cannot read the schema .*nosuch: No such file"):
        read_schema(tmp_path / "nosuch")
    with pytest.raises(NotFound):
        read_schema(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{\n  "type": object\n}', "is not JSON: line 2, column 11"),
        ("", "is not JSON: line 1, column 1"),
        (b"\xff\xfe{", "is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "must be an object"),
        ("true", "must be an object"),
        ('{"type": "strin"}', "$.type: 'strin' is not valid"),
        ('{"properties": {"a": {"minimum": "1"}}}', "$.properties.a.minimum"),
        ('{"pattern": "("}', "$.pattern"),
        ('{"pattern": "a{99999999999}"}', "the repetition number is too large"),
        ('{"$schema": "urn:mine"}', "unknown draft: 'urn:mine'"),
        ('{"$schema": 5}', "unknown draft: 5"),
        ('{"$ref": "#/$defs/a"}', "refers to '#/$defs/a', which is not in it"),
        ('{"$ref": "file:///etc/passwd"}', "refers to 'file:///etc/passwd'"),
        ('{"properties": {"a": {"$dynamicRef": "other.json"}}}', "refers to 'other.json'"),
        ('{"not":' * 60 + "{}" + "}" * 60, "cannot be sent"),
        ('{"not":' * 5000 + "{}" + "}" * 5000, "nested too deeply"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str | bytes, reason: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_schema(file)
    assert reason in caught.value.message
    assert str(file) in caught.value.message
    assert caught.value.exit_status == 2


def test_nothing_is_fetched(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        with pytest.raises(UsageError, match="which is not in it"):
            read_schema(write(tmp_path, json.dumps({"$ref": url})))
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_part_with_an_address_of_its_own_is_found() -> None:
    schema = {
        "$id": "https://example.org/person.json",
        "$defs": {"tag": {"$id": "tag.json", "type": "string"}},
        "$ref": "tag.json",
    }
    assert Schema(schema).check('"a"') == '"a"'


# -- asking --------------------------------------------------------------------------------


class Model:
    """Answers prompts one after another."""

    def __init__(self, *answers: str, session: str | None = "s1") -> None:
        self.chats: list[Chat] = []
        self._answers = iter(answers)
        self._session = session

    async def stream(self, chat: Chat) -> AsyncGenerator[Any, None]:
        self.chats.append(chat)
        text = next(self._answers)
        yield Piece(notice=f"notice {len(self.chats)}")
        for start in range(0, len(text), 3):
            yield Piece(text=text[start : start + 3])
        yield Answer(ci="apollo", model="m", session=self._session, turn=str(len(self.chats)))


CHAT = Chat(
    ci="apollo", prompt="who?", input="notes", model="m", system="be kind", continues=True,
    attachments=(Attachment(name="a", media_type="text/plain", text="a"),), terminal="t",
)  # fmt: skip


def ask(model: Model, tell: Callable[[str], None] = lambda _: None) -> tuple[str, Answer]:
    async def work() -> tuple[str, Answer]:
        text = ""
        async for item in fitting(model.stream, CHAT, Schema(PERSON)):
            if isinstance(item, Answer):
                return text, item
            text += item.text
            if item.notice:
                tell(item.notice)
        raise AssertionError("there was no answer")

    return asyncio.run(work())


def test_an_answer_that_fits_is_asked_for_once() -> None:
    model = Model(f"```\n{FITS}\n```")
    said: list[str] = []
    text, answer = ask(model, said.append)
    assert (text, answer.turn) == (FITS, "1")
    (chat,) = model.chats
    assert chat.prompt == f"who?\n\n{Schema(PERSON).instruction}"
    assert chat.schema == PERSON
    assert (chat.input, chat.system, chat.continues) == ("notes", "be kind", True)
    assert said == ["notice 1"]


def test_one_that_does_not_fit_is_asked_for_again_in_the_same_conversation() -> None:
    model = Model('{"name": 5}', FITS)
    said: list[str] = []
    text, answer = ask(model, said.append)
    assert (text, answer.turn) == (FITS, "2")
    again = model.chats[1]
    assert "$.name: 5 is not of type 'string'" in again.prompt
    assert (again.session, again.continues, again.after) == ("s1", False, None)
    assert (again.input, again.attachments) == (None, ())
    assert (again.ci, again.model, again.system, again.schema) == ("apollo", "m", "be kind", PERSON)
    assert said[1].startswith("the answer does not fit the schema: $.name: 5")
    assert said[1].endswith("asking once more")


def test_without_a_conversation_the_whole_prompt_is_sent_again() -> None:
    model = Model("no", FITS, session=None)
    ask(model)
    again = model.chats[1]
    assert again.prompt.startswith(model.chats[0].prompt)
    assert "not JSON" in again.prompt
    assert again.input == "notes"


def test_there_is_no_third_try() -> None:
    model = Model("no", '{"name": 5}')
    with pytest.raises(SchemaMismatch) as caught:
        ask(model)
    assert len(model.chats) == 2
    assert "$.name: 5 is not of type 'string'" in caught.value.message
    assert "second answer" in caught.value.message
    assert caught.value.hint


def test_an_error_of_the_model_is_not_retried() -> None:
    class Failing(Model):
        async def stream(self, chat: Chat) -> AsyncGenerator[Any, None]:
            self.chats.append(chat)
            yield Piece(text="{")
            raise TektonError("broken")

    model = Failing()
    with pytest.raises(TektonError, match="broken"):
        ask(model)
    assert len(model.chats) == 1
