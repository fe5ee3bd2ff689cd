"""Mailboxes: on a real file, with a clock that the test turns."""

from __future__ import annotations

import asyncio
import contextlib
import re
import tempfile
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event

from backends.database import Database
from backends.errors import Busy, MessageTooLarge, NotFound, StorageError, UsageError
from backends.protocol.connection import Connection
from backends.protocol.framing import MAX_MESSAGE
from backends.protocol.mailboxes import Deliveries, Message, MessageState, SendMessage, Sent
from backends.protocol.terminals import PERSON
from terma.service import deliveries
from terma.service.mailbox import MAX_TEXT, Mailboxes
from terma.service.store import TerminalStore
from terma.service.tables import HEAD, MIGRATIONS, metadata
from tests.terma.service.test_store import ALICE, BOB, closed

A, B = ALICE.id, BOB.id
QUEUED, SHOWN, ACKNOWLEDGED, ANSWERED, EXPIRED = MessageState
PATIENCE_S = 10.0


class Stage:
    """Mailboxes of alice, bob and the person; what changed is noted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = TerminalStore(database)
        self.time = 1000.0
        self.names = {A: "alice", B: "bob"}
        self.changes: list[tuple[str, str, MessageState]] = []
        self.boxes = Mailboxes(database, lambda: self.time, lambda id_: self.names.get(id_, id_))
        self.boxes.on_change = self.note

    def note(self, mailbox: str, message: Message) -> None:
        self.changes.append((mailbox, message.text, message.state))

    async def send(
        self, text: str, *mailboxes: str, sender: str = PERSON, to: tuple[str, ...] = (),
        id: str | None = None, expires_s: float | None = None,  # noqa: A002
    ) -> Sent:  # fmt: skip
        request = SendMessage(to=to or mailboxes, text=text, id=id, expires_s=expires_s)
        return await self.boxes.send(sender, mailboxes or (A,), request)

    async def texts(
        self, mailbox: str = A, is_own: bool = False, is_whole: bool = False
    ) -> list[str]:
        found = await self.boxes.read(mailbox, is_own, is_whole, 100)
        return [message.text for message in found.messages]

    async def states(self, mailbox: str = A) -> list[MessageState]:
        found = await self.boxes.read(mailbox, False, True, 100)
        return [message.state for message in found.messages]

    async def close_alice(self) -> None:
        await self.store.save(closed(ALICE, self.time))
        await self.boxes.close(A)


Work = Callable[[Stage], Coroutine[Any, Any, None]]


def use(folder: Path, work: Work) -> None:
    async def main() -> None:
        database = Database(folder / "terma.db", metadata, MIGRATIONS, HEAD, is_durable=True)
        await database.open()
        stage = Stage(database)
        if not await stage.store.open_ones():
            await stage.store.save(ALICE)
            await stage.store.save(BOB)
        await stage.boxes.start()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await work(stage)
        finally:
            await stage.boxes.stop()
            await database.close()

    asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


# -- sending ---------------------------------------------------------------------------------


def test_a_message_is_there_after_a_restart_with_its_number_and_count(tmp_path: Path) -> None:
    async def send(stage: Stage) -> None:
        sent = await stage.send("one", A)
        assert sent.recipients == ("alice",)
        assert len(sent.id) == 8
        await stage.send("two", A, sender=B)

    async def read(stage: Stage) -> None:
        assert (stage.boxes.unread(A), stage.boxes.unseen(A)) == (2, 2)
        found = await stage.boxes.read(A, False, False, 100)
        assert found.mailbox == "alice"
        assert [(one.number, one.sender, one.recipient, one.text) for one in found.messages] == [
            (1, "user", "alice", "one"),
            (2, "bob", "alice", "two"),
        ]

    use(tmp_path, send)
    use(tmp_path, read)


def test_several_get_it_once_each_under_one_id(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        await stage.send("before", B)
        sent = await stage.send("hello", B, A, B, PERSON, sender=A)
        assert sent.recipients == ("bob", "alice", "user")
        assert await stage.texts(B) == ["before", "hello"]
        assert await stage.texts(A) == await stage.texts(PERSON) == ["hello"]
        assert stage.changes[1:] == [(one, "hello", QUEUED) for one in (B, A, PERSON)]

    use(tmp_path, work)


def test_the_same_id_is_sent_once(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        first = await stage.send("hello", A, B, to=("@test", "Alice"), id="again-1")
        assert first == Sent(id="again-1", recipients=("alice", "bob"))
        # meanwhile the role may have others: it is the address that counts
        again = await stage.send("hello", B, to=("alice", "@test"), id="again-1")
        assert again == Sent(id="again-1", recipients=("alice", "bob"), is_repeated=True)
        # and one may be called otherwise: it is the mailbox that counts
        again = await stage.send("hello", A, B, to=("eve", "bob"), id="again-1")
        assert again.is_repeated
        assert await stage.texts(A) == await stage.texts(B) == ["hello"]
        assert len(stage.changes) == 2

    use(tmp_path, work)


@pytest.mark.parametrize(
    "other", [{"text": "hallo"}, {"to": ("bob",)}, {"sender": B}], ids=["text", "to", "sender"]
)
def test_an_id_cannot_be_used_for_another_message(tmp_path: Path, other: dict[str, Any]) -> None:
    async def work(stage: Stage) -> None:
        await stage.send("hello", A, to=("alice",), id="mine")
        same: dict[str, Any] = {"text": "hello", "to": ("alice",), "id": "mine"} | other
        mailbox = B if "to" in other else A
        with pytest.raises(UsageError, match="'mine' already"):
            await stage.send(same.pop("text"), mailbox, **same)
        assert await stage.texts() == ["hello"]

    use(tmp_path, work)


@pytest.mark.parametrize("id_", ["", "x" * 65, "a b", "a/b", "ü", "a\n"])
def test_an_id_that_cannot_be_one_is_refused(tmp_path: Path, id_: str) -> None:
    async def work(stage: Stage) -> None:
        with pytest.raises(UsageError, match="cannot be the id"):
            await stage.send("hello", A, id=id_)

    use(tmp_path, work)


def test_a_text_is_neither_empty_nor_too_long(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        for empty in ("", " \n"):
            with pytest.raises(UsageError, match="empty"):
                await stage.send(empty, A)
        with pytest.raises(MessageTooLarge, match=r"the limit is 1 MiB"):
            await stage.send("é" * (MAX_TEXT // 2) + "x", A)
        await stage.send("é" * (MAX_TEXT // 2), A)
        assert [len(text) for text in await stage.texts()] == [MAX_TEXT // 2]

    use(tmp_path, work)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)


@settings(max_examples=10)
@given(texts=st.lists(TEXT, min_size=5, max_size=20))
def test_any_text_is_stored_as_it_is(texts: list[str]) -> None:
    async def work(stage: Stage) -> None:
        for text in texts:
            await stage.send(text, A)
        assert await stage.texts() == texts

    with tempfile.TemporaryDirectory() as folder:
        use(Path(folder), work)


def test_a_full_mailbox_takes_no_more_and_then_nobody_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_OPEN", 2)

    async def work(stage: Stage) -> None:
        await stage.send("one", A)
        last = await stage.send("two", A)
        with pytest.raises(Busy, match="alice has 2 open messages") as caught:
            await stage.send("three", B, A)
        assert caught.value.hint is not None
        assert "terma inbox alice" in caught.value.hint
        assert await stage.texts(B) == []
        await stage.boxes.acknowledge(A, [last.id])
        await stage.send("three", B, A)
        assert await stage.texts(B) == ["three"]

    use(tmp_path, work)


def test_a_cancelled_sender_s_message_is_counted_all_the_same(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        sending = asyncio.create_task(stage.send("hello", A, expires_s=60))
        await asyncio.sleep(0)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await until(lambda: stage.changes)
        assert (stage.boxes.unread(A), await stage.texts()) == (1, ["hello"])
        stage.time += 60
        assert (await stage.texts(), stage.boxes.unread(A)) == ([], 0)

    use(tmp_path, work)


def test_what_cannot_be_written_was_not_sent(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        stage.database.path.unlink()
        stage.database.path.mkdir()
        with pytest.raises(StorageError):
            await stage.send("hello", A)
        assert (stage.boxes.unread(A), stage.changes) == (0, [])
        stage.database.path.rmdir()

    use(tmp_path, work)


# -- reading ---------------------------------------------------------------------------------


def test_reading_one_s_own_shows_what_is_queued(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        await stage.send("hello", A)
        for is_own, seen in ((False, QUEUED), (True, QUEUED), (True, SHOWN), (False, SHOWN)):
            found = await stage.boxes.read(A, is_own, False, 100)
            assert [one.state for one in found.messages] == [seen]
        assert found.messages[0].shown_at == 1000
        assert (stage.boxes.unread(A), stage.boxes.unseen(A)) == (1, 0)
        assert stage.changes == [(A, "hello", QUEUED), (A, "hello", SHOWN)]

    use(tmp_path, work)


def test_what_was_never_shown_goes_first_then_the_newest(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        for text in "abcde":
            await stage.send(text, A)
        found = await stage.boxes.read(A, True, False, 2)
        assert ([one.text for one in found.messages], found.left_out) == (["d", "e"], 3)
        found = await stage.boxes.read(A, True, False, 2)
        assert ([one.text for one in found.messages], found.left_out) == (["b", "c"], 3)
        found = await stage.boxes.read(A, True, False, 3)
        assert ([one.text for one in found.messages], found.left_out) == (["a", "d", "e"], 2)
        assert stage.boxes.unseen(A) == 0
        assert (await stage.boxes.read(A, True, False, 0)).left_out == 5

    use(tmp_path, work)


def test_what_is_read_fits_a_message_of_the_protocol(tmp_path: Path) -> None:
    worst = "\x01" * MAX_TEXT  # six bytes each in JSON

    async def work(stage: Stage) -> None:
        for _ in range(3):
            await stage.send(worst, A, sender=B)
        found = await stage.boxes.read(A, True, False, 100)
        assert (len(found.messages), found.left_out) == (2, 1)
        assert len(Connection().result(1, found)) < MAX_MESSAGE
        for message in found.messages:
            await stage.boxes.reply(A, message.id, worst)
        found = await stage.boxes.read(A, True, True, 100)
        assert (len(found.messages), found.left_out) == (1, 2)
        assert len(Connection().result(1, found)) < MAX_MESSAGE
        sent = await stage.send(worst, A, B, PERSON)
        *_, last = [item async for item in stage.boxes.follow(sent.id, False)]
        assert isinstance(last, Deliveries)
        assert [len(one.text) for one in last.messages] == [MAX_TEXT, MAX_TEXT, 0]
        assert len(Connection().result(1, last)) < MAX_MESSAGE

    use(tmp_path, work)


# -- acknowledgements and replies --------------------------------------------------------------


def test_what_is_acknowledged_is_open_no_more_and_stays_so(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        one, two = await stage.send("one", A), await stage.send("two", A)
        await stage.boxes.acknowledge(A, [one.id])
        stage.time = 2000.0
        await stage.boxes.acknowledge(A, [one.id[:4], one.id])
        assert await stage.texts() == ["two"]
        [first, second] = (await stage.boxes.read(A, False, True, 100)).messages
        assert (first.state, first.shown_at, first.ended_at) == (ACKNOWLEDGED, 1000, 1000)
        assert (second.state, second.id) == (QUEUED, two.id)
        assert stage.boxes.unread(A) == 1

    use(tmp_path, work)


def test_ids_may_be_cut_short_within_their_mailbox(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        for id_, mailbox in (
            ("abcd1", A),
            ("abcd2", A),
            ("wxyz1", A),
            ("abcd3", B),
            ("abcd", PERSON),
        ):
            await stage.send(id_, mailbox, id=id_)
        with pytest.raises(UsageError, match=r"'abcd' could be abcd1, abcd2$"):
            await stage.boxes.acknowledge(A, ["wxyz", "abcd"])
        assert len(await stage.texts()) == 3, "all or none"
        for unknown in ("abcd3", "wxy", ""):
            with pytest.raises(NotFound, match="no message"):
                await stage.boxes.acknowledge(A, [unknown])
        with pytest.raises(NotFound) as caught:
            await stage.boxes.acknowledge(A, ["wxyx1"])
        assert caught.value.hint is not None
        assert caught.value.hint.startswith("did you mean 'wxyz1'?")
        await stage.boxes.acknowledge(A, ["wxyz"])
        await stage.boxes.acknowledge(B, ["abcd"])
        await stage.boxes.acknowledge(PERSON, ["abcd"])
        assert await stage.texts(A) == ["abcd1", "abcd2"]

    use(tmp_path, work)


def test_a_reply_is_a_message_to_the_sender_and_answers(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        question = await stage.send("ready?", A, sender=B)
        stage.time = 1001.0
        answer = await stage.boxes.reply(A, question.id[:5], "yes")
        assert answer.recipients == ("bob",)
        [asked] = (await stage.boxes.read(A, False, True, 100)).messages
        assert (asked.state, asked.answer, asked.ended_at) == (ANSWERED, "yes", 1001)
        [replied] = (await stage.boxes.read(B, False, False, 100)).messages
        assert (replied.text, replied.sender, replied.reply_to) == ("yes", "alice", question.id)
        back = await stage.boxes.reply(B, answer.id, "good")
        [last] = (await stage.boxes.read(A, False, False, 100)).messages
        assert (last.text, last.reply_to, last.id) == ("good", answer.id, back.id)
        assert (stage.boxes.unread(A), stage.boxes.unread(B)) == (1, 0)

    use(tmp_path, work)


def test_one_can_reply_more_than_once_and_after_acknowledging(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        question = await stage.send("ready?", A)
        await stage.boxes.acknowledge(A, [question.id])
        await stage.boxes.reply(A, question.id, "soon")
        await stage.boxes.reply(A, question.id, "now")
        assert await stage.texts(PERSON) == ["soon", "now"]
        [asked] = (await stage.boxes.read(A, False, True, 100)).messages
        assert (asked.state, asked.answer) == (ANSWERED, "soon\n\nnow")
        assert stage.changes.count((A, "ready?", ANSWERED)) == 1

    use(tmp_path, work)


def test_every_reply_is_kept_beside_the_message_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "MAX_ANSWER", 12)

    async def work(stage: Stage) -> None:
        sent = await stage.send("ready?", A)
        for text, kept in (
            ("yes\n", "yes\n"), ("pushed", "yes\n\npushed"), ("x", "x"), ("ü", "x\n\nü"),
        ):  # fmt: skip
            await stage.boxes.reply(A, sent.id, text)
            [found] = (await stage.boxes.read(A, False, True, 10)).messages
            assert found.answer == kept

    use(tmp_path, work)


# -- notices ---------------------------------------------------------------------------------


def test_a_notice_shows_what_it_quotes_and_nothing_else(tmp_path: Path) -> None:
    async def told(stage: Stage, is_own: bool = True) -> list[str | int]:
        found = await stage.boxes.notice(A, is_own)
        return [*(one.text for one in found.messages), found.left_out]

    async def work(stage: Stage) -> None:
        assert not stage.boxes.has_news(A)
        assert await told(stage) == [0]
        await stage.send("one", A)
        assert await told(stage, is_own=False) == ["one", 0]
        assert await stage.states() == [QUEUED]
        assert stage.boxes.has_news(A)
        assert await told(stage) == ["one", 0]
        assert await stage.states() == [SHOWN]
        for text in ("two", "three"):
            await stage.send(text, A)
        assert await told(stage) == ["three", 1]
        assert await stage.states() == [SHOWN, QUEUED, QUEUED]
        assert (stage.boxes.unseen(A), stage.boxes.has_news(A)) == (2, False)
        assert await told(stage) == [0]
        await stage.send("four", A)
        assert await told(stage) == ["four", 2]

    async def later(stage: Stage) -> None:
        assert await told(stage) == ["four", 2], "a new hub tells once more"
        assert await told(stage) == [0]
        await stage.send("five", A)
        assert len(await stage.texts(is_own=True)) == 5
        assert not stage.boxes.has_news(A), "it was shown meanwhile"
        assert await told(stage) == [0]

    use(tmp_path, work)
    use(tmp_path, later)


def test_the_names_of_closed_ones_are_known_until_they_are_forgotten(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        assert stage.boxes.name_of_closed("alice") is None
        await stage.close_alice()
        assert (stage.boxes.name_of_closed("alice"), stage.boxes.name_of_closed(A)) == (
            "alice", "alice",
        )  # fmt: skip
        await stage.store.forget(A)
        await stage.boxes.clean(0.0)
        assert stage.boxes.name_of_closed("alice") is None

    use(tmp_path, work)


def test_where_the_sender_is_gone_the_text_of_a_reply_is_kept(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        question = await stage.send("ready?", B, sender=A)
        del stage.names[A]
        await stage.close_alice()
        with pytest.raises(NotFound, match=r"alice, who sent .* is closed: nothing was sent"):
            await stage.boxes.reply(B, question.id, "a long text")
        [asked] = (await stage.boxes.read(B, False, False, 100)).messages
        assert (asked.sender, asked.answer, asked.state) == ("alice", "a long text", QUEUED)
        assert await stage.texts(A, is_whole=True) == []

    async def later(stage: Stage) -> None:
        del stage.names[A]
        [asked] = (await stage.boxes.read(B, False, False, 100)).messages
        assert asked.sender == "alice"

    use(tmp_path, work)
    use(tmp_path, later)


# -- expiry ----------------------------------------------------------------------------------


def test_a_message_expires_and_stays_so(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        late = await stage.send("late", A, expires_s=60)
        await stage.send("later", A, expires_s=120)
        stage.time += 60
        assert await stage.texts() == ["later"]
        assert (stage.boxes.unread(A), stage.changes[-1]) == (1, (A, "late", EXPIRED))
        await stage.boxes.acknowledge(A, [late.id])
        await stage.boxes.reply(A, late.id, "sorry")
        assert (await stage.states())[0] is EXPIRED
        assert await stage.texts(PERSON) == ["sorry"]
        stage.time += 60
        assert await stage.texts() == []

    use(tmp_path, work)


def test_what_has_ended_does_not_expire(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        done = await stage.send("done", A, expires_s=60)
        await stage.boxes.acknowledge(A, [done.id])
        stage.time += 60
        assert await stage.states() == [ACKNOWLEDGED]

    use(tmp_path, work)


def test_the_timer_ends_what_nobody_reads(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        await stage.send("far off", A, expires_s=3600)
        await stage.send("short", A, expires_s=0.01)
        stage.time += 0.01
        await until(lambda: stage.changes[-1] == (A, "short", EXPIRED))
        assert stage.boxes.unread(A) == 1

    use(tmp_path, work)


def test_what_expired_while_nothing_ran_has_expired_after_a_start(tmp_path: Path) -> None:
    async def send(stage: Stage) -> None:
        for n in range(3):
            await stage.send(str(n), A, expires_s=5)

    async def check(stage: Stage) -> None:
        assert (stage.boxes.unread(A), await stage.states()) == (0, [EXPIRED] * 3)

    use(tmp_path, send)

    async def main() -> None:
        database = Database(tmp_path / "terma.db", metadata, MIGRATIONS, HEAD)
        await database.open()
        stage = Stage(database)
        stage.time = 5000.0
        await stage.boxes.start()
        await check(stage)
        await stage.boxes.stop()
        await database.close()

    asyncio.run(main())


@pytest.mark.parametrize("expires_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_message_cannot_expire_at_once(tmp_path: Path, expires_s: float) -> None:
    async def work(stage: Stage) -> None:
        with pytest.raises(UsageError, match="cannot expire"):
            await stage.send("hello", A, expires_s=expires_s)

    use(tmp_path, work)


# -- those who wait --------------------------------------------------------------------------


async def take(items: AsyncGenerator[Any, None], count: int) -> list[Any]:
    return [await anext(items) for _ in range(count)]


def test_a_watcher_gets_what_is_open_then_what_comes_in_order(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        done = await stage.send("done", A)
        await stage.boxes.acknowledge(A, [done.id])
        await stage.send("one", A)
        async with contextlib.aclosing(stage.boxes.watch(A, True)) as watching:
            await stage.send("two", A)
            found = await take(watching, 2)
            coming = asyncio.create_task(anext(watching))
            for n in range(20):
                await stage.send(str(n), A)
            found += [await coming, *await take(watching, 19)]
            assert [one.text for one in found] == ["one", "two", *map(str, range(20))]
            assert [one.number for one in found] == list(range(2, 24))
        assert (stage.boxes.unread(A), stage.boxes.unseen(A)) == (22, 0)

    use(tmp_path, work)


def test_what_no_watcher_has_taken_is_not_shown(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        for text in ("one", "two", "three"):
            await stage.send(text, A)
        async with contextlib.aclosing(stage.boxes.watch(A, True)) as watching:
            await take(watching, 1)
        assert await stage.states() == [SHOWN, QUEUED, QUEUED]
        async with contextlib.aclosing(stage.boxes.watch(A, False)) as watching:
            await take(watching, 3)
        assert await stage.states() == [SHOWN, QUEUED, QUEUED]

    use(tmp_path, work)


def test_a_watcher_s_wait_ends_with_the_mailbox(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        watching = stage.boxes.watch(A, False)
        coming = asyncio.create_task(anext(watching, None))
        await until(lambda: stage.boxes._waiting)
        await stage.close_alice()
        assert await coming is None

    use(tmp_path, work)


def test_a_follower_sees_each_recipient_s_states_and_the_end(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        sent = await stage.send("ready?", A, B)
        await stage.boxes.read(A, True, False, 100)
        following = stage.boxes.follow(sent.id, True)
        first = await anext(following)
        assert isinstance(first, Message)
        assert (first.recipient, first.state) == ("alice", SHOWN)
        coming = asyncio.create_task(anext(following))
        await stage.boxes.acknowledge(A, [sent.id])
        second = await coming
        assert isinstance(second, Message)
        assert second.state is ACKNOWLEDGED
        coming = asyncio.create_task(anext(following))
        await stage.boxes.reply(B, sent.id, "yes")
        third = await coming
        assert isinstance(third, Message)
        assert (third.recipient, third.state, third.answer) == ("bob", ANSWERED, "yes")
        coming = asyncio.create_task(anext(following))
        await stage.boxes.reply(A, sent.id, "no")
        assert isinstance(await coming, Message)
        end = await anext(following)
        assert isinstance(end, Deliveries)
        assert [(one.recipient, one.answer) for one in end.messages] == [
            ("alice", "no"),
            ("bob", "yes"),
        ]
        assert await anext(following, None) is None

    use(tmp_path, work)


def test_who_asks_without_waiting_is_told_at_once(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        sent = await stage.send("ready?", A)
        [end] = [item async for item in stage.boxes.follow(sent.id, False)]
        assert isinstance(end, Deliveries)
        assert [one.state for one in end.messages] == [QUEUED]
        with pytest.raises(NotFound, match="no message 'other'"):
            await anext(stage.boxes.follow("other", False))

    use(tmp_path, work)


@pytest.mark.parametrize("acknowledges", [False, True])
def test_nobody_is_waited_for_who_is_closed(tmp_path: Path, acknowledges: bool) -> None:
    async def work(stage: Stage) -> None:
        sent = await stage.send("ready?", A)
        if acknowledges:
            await stage.boxes.acknowledge(A, [sent.id])

        async def ending() -> Any:
            return [item async for item in stage.boxes.follow(sent.id, True)][-1]

        end = asyncio.create_task(ending())
        await until(lambda: stage.boxes._waiting)
        await stage.close_alice()
        assert isinstance(await end, Deliveries)
        assert await stage.states() == [ACKNOWLEDGED if acknowledges else EXPIRED]
        assert stage.boxes.unread(A) == 0

    use(tmp_path, work)


def test_what_is_open_with_nobody_to_read_it_has_expired_after_a_start(tmp_path: Path) -> None:
    """The hub may die between the close of a terminal and that of its mailbox."""

    async def work(stage: Stage) -> None:
        await stage.send("hello", A, B, PERSON)
        await stage.store.save(closed(ALICE, stage.time))

    async def later(stage: Stage) -> None:
        assert (await stage.states(A), await stage.states(B)) == ([EXPIRED], [QUEUED])
        assert (stage.boxes.unread(A), stage.boxes.unread(PERSON)) == (0, 1)

    use(tmp_path, work)
    use(tmp_path, later)


def test_a_follower_is_told_of_the_expiry(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        sent = await stage.send("ready?", A, expires_s=0.01)
        items = asyncio.create_task(take(stage.boxes.follow(sent.id, True), 2))
        await until(lambda: stage.boxes._waiting)
        stage.time += 0.01
        [message, end] = await items
        assert (message.state, type(end)) == (EXPIRED, Deliveries)

    use(tmp_path, work)


def test_whoever_stops_waiting_leaves_nothing_behind(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        sent = await stage.send("ready?", A)
        for waiting in (stage.boxes.watch(B, True), stage.boxes.follow(sent.id, True)):
            task = asyncio.ensure_future(anext(waiting))
            await until(lambda: stage.boxes._waiting)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not stage.boxes._waiting

    use(tmp_path, work)


# -- forgetting ------------------------------------------------------------------------------


def test_a_forgotten_mailbox_leaves_what_others_have(tmp_path: Path) -> None:
    async def work(stage: Stage) -> None:
        await stage.send("for alice", A, sender=B)
        await stage.send("for both", A, B)
        await stage.send("from alice", B, sender=A)
        await stage.boxes.forget(A)
        await stage.store.forget(A)
        assert stage.boxes.unread(A) == 0
        assert await stage.texts(A, is_whole=True) == []
        assert await stage.texts(B) == ["for both", "from alice"]
        files = [file.read_bytes() for file in tmp_path.iterdir()]
        assert not any(b"for alice" in data for data in files)

    use(tmp_path, work)


# -- what it costs ---------------------------------------------------------------------------


def test_what_has_ended_costs_nothing() -> None:
    """Only the partial indexes are walked, which hold what is open."""
    engine = create_engine("sqlite://")
    metadata.create_all(engine)
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            rows = cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            plans.extend(row[-1] for row in rows if "deliveries" in row[-1])

    event.listen(engine, "before_cursor_execute", explain)
    with engine.connect() as connection:
        deliveries.count_open(connection)
        deliveries.expire(1.0, connection)
        deliveries.expire_all(A, 1.0, connection)
    assert [re.findall("deliveries_[a-z]+", plan) for plan in plans] == [
        ["deliveries_open"],
        ["deliveries_expiring"],
        ["deliveries_expiring"],
        ["deliveries_open"],
    ]
    engine.dispose()
