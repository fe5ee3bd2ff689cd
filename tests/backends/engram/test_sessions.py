"""Conversations, as they are found, shown, changed and copied."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.client.client import Client
from backends.engram.fitting import MAX_TEXT
from backends.errors import NotFound, TektonError, UsageError
from backends.paths import find_paths
from backends.protocol.conversations import (
    BeginTurn,
    ChangeSession,
    ForkSession,
    History,
    ListSessions,
    Resumed,
    ResumeSession,
    SessionInfo,
    ShowSession,
    Turn,
    TurnStatus,
    UpdateTurn,
)
from backends.protocol.framing import MAX_MESSAGE
from backends.protocol.messages import Request
from tests.backends.engram.memory import A, B, ask, line, rows, store, turn


def resume(session: str | None = None, ci: str = "apollo", **fields: Any) -> ResumeSession:
    return ResumeSession(ci=ci, session=session, **fields)


def names(turns: tuple[Turn, ...]) -> list[str]:
    return [turn.id for turn in turns]


async def listed(client: Client, **filters: Any) -> list[str]:
    found = await client.call(ListSessions(**filters))
    return [session.id for session in found.sessions]


async def info(client: Client, session: str = A) -> SessionInfo:
    return (await client.call(ShowSession(session=session))).session


# -- going on --------------------------------------------------------------------------------


def test_a_conversation_goes_on_from_its_head_with_all_that_led_there() -> None:
    async def work(client: Client) -> None:
        turns = line("t1", "t2", "t3")
        await store(client, *turns)
        assert await client.call(resume(A)) == Resumed(session=A, parent="t3", turns=tuple(turns))

    ask(work)


def test_what_is_asked_again_branches_and_nothing_is_lost() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2"))
        again = await client.call(resume(A, after="t1"))
        assert (again.parent, names(again.turns)) == ("t1", ["t1"])
        await store(client, turn("t2b", "t1", started_at=5.0))
        found = await client.call(resume(A))
        assert names(found.turns) == ["t1", "t2b"]
        shown = await client.call(ShowSession(session=A))
        assert names(shown.turns) == ["t1", "t2", "t2b"]
        assert shown.session.turns == 3

    ask(work)


def test_it_can_go_on_from_its_beginning() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2"))
        assert await client.call(resume(A, after="")) == Resumed(session=A, has_moved=True)

    ask(work)


@pytest.mark.parametrize(
    ("after", "has_moved"),
    [(None, False), ("", True), ("t3", False), ("t2", True), ("t1", True), ("side", False)],
)
def test_others_who_went_on_meanwhile_are_told(after: str | None, has_moved: bool) -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"), turn("side", "t1"), turn("t2", "t1"), turn("t3", "t2"))
        assert (await client.call(resume(A, after=after))).has_moved is has_moved

    ask(work)


def test_turns_that_failed_without_a_word_are_no_going_on() -> None:
    async def work(client: Client) -> None:
        failed = turn("t2", "t1", answer="", status=TurnStatus.FAILED)
        await store(client, turn("t1"), failed)
        assert not (await client.call(resume(A, after="t1"))).has_moved
        await store(client, turn("t3", "t2", answer="", status=TurnStatus.RUNNING))
        assert (await client.call(resume(A, after="t1"))).has_moved

    ask(work)


def test_a_turn_of_another_conversation_is_not_found() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"), turn("other", session=B))
        for after in ("other", "t9", "\ud800", "\0"):
            with pytest.raises(NotFound, match="no turn"):
                await client.call(resume(A, after=after))

    ask(work)


def test_the_last_conversation_is_that_of_this_terminal_and_ci() -> None:
    c = "c" * 32

    async def work(client: Client) -> None:
        await store(client, turn("t1", started_at=5.0), terminal="here")
        await store(client, turn("t2", session=B, started_at=9.0), terminal="there")
        await store(client, turn("t3", session=c, ci="athena", started_at=9.0), terminal="here")
        found = await client.call(resume(continues=True, terminal="here"))
        assert (found.session, found.parent, found.is_new) == (A, "t1", False)
        await store(client, turn("t4", "t2", session=B, started_at=10.0), terminal="here")
        found = await client.call(resume(continues=True, terminal="here"))
        assert names(found.turns) == ["t2", "t4"]
        new = await client.call(resume(continues=True, terminal="there"))
        assert new.is_new
        assert new.session not in (A, B, c)
        assert len(new.session) == 32

    ask(work)


def test_without_a_terminal_there_is_no_last_conversation() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"))
        with pytest.raises(UsageError, match="there is no terminal here") as raised:
            await client.call(resume(continues=True))
        assert raised.value.hint == "name one: --session NAME"

    ask(work)


def test_a_new_name_begins_a_conversation_that_is_not_listed_before_its_first_turn() -> None:
    async def work(client: Client) -> None:
        begun = await client.call(resume("plan"))
        assert begun.is_new
        assert (await client.call(resume("plan"))) == begun
        assert await listed(client) == []
        await store(client, turn("t1", session=begun.session, prompt="Plan it"))
        assert not (await client.call(resume("plan"))).is_new
        (found,) = (await client.call(ListSessions())).sessions
        assert (found.name, found.title, found.turns) == ("plan", "Plan it", 1)
        other = await client.call(resume("plan", ci="athena"))
        assert other.is_new
        assert other.session != begun.session

    ask(work)


def test_twenty_who_begin_a_name_at_once_share_it() -> None:
    async def work(client: Client) -> None:
        found = await asyncio.gather(*(client.call(resume("plan")) for _ in range(20)))
        assert len({one.session for one in found}) == 1

    ask(work)


def test_what_does_not_fit_into_a_message_is_left_out_oldest_first() -> None:
    async def work(client: Client) -> None:
        long = "\x01" * (MAX_TEXT // 4)
        await store(client, *line("t1", "t2", "t3", "t4", "t5", prompt=long, answer=""))
        found = await client.call(resume(A))
        assert (names(found.turns), found.left_out) == (["t3", "t4", "t5"], 2)
        first = await client.call(ShowSession(session=A))
        assert (names(first.turns), first.left_out) == (["t1", "t2", "t3"], 2)
        rest = await client.call(ShowSession(session=A, after="t3"))
        assert (names(rest.turns), rest.left_out) == (["t4", "t5"], 0)

    ask(work)


def test_of_a_turn_that_is_too_large_its_beginning_comes() -> None:
    texts = dict.fromkeys(("prompt", "answer", "system", "error"), "\x01" * 600_000)
    assert len(texts) * 600_000 * 6 < MAX_MESSAGE

    async def work(client: Client) -> None:
        await store(client, turn("t1", **texts))
        (found,) = (await client.call(ShowSession(session=A))).turns
        assert found.prompt == "\x01" * len(found.prompt)
        assert len(found.prompt) > 400_000
        assert (await client.call(History())).turns == (found,)

    ask(work)


TREES = st.lists(st.integers(-1, 30), min_size=1, max_size=30)


@settings(max_examples=15)
@given(tree=TREES, at=st.integers(0, 29))
def test_the_way_to_any_turn_is_that_of_a_plain_tree(tree: list[int], at: int) -> None:
    parents = [min(parent, number - 1) for number, parent in enumerate(tree)]
    at = min(at, len(parents) - 1)

    def way(number: int) -> list[str]:
        return [] if number < 0 else [*way(parents[number]), f"t{number}"]

    session = f"{hash((*parents, at)) & (2**120 - 1):032x}"

    async def work(client: Client) -> None:
        for number, parent in enumerate(parents):
            before = f"{session}t{parent}" if parent >= 0 else None
            await store(client, turn(f"{session}t{number}", before, session=session))
        head = len(parents) - 1
        found = await client.call(resume(session))
        assert [it.removeprefix(session) for it in names(found.turns)] == way(head)
        found = await client.call(resume(session, after=f"{session}t{at}"))
        assert [it.removeprefix(session) for it in names(found.turns)] == way(at)
        assert found.has_moved is (at != head and f"t{at}" in way(head))
        copy = await client.call(ForkSession(session=session, turn=f"{session}t{at}"))
        shown = await client.call(ShowSession(session=copy.id))
        assert [it.prompt.removeprefix(f"prompt {session}") for it in shown.turns] == way(at)

    ask(work)


# -- words -----------------------------------------------------------------------------------


def test_a_conversation_is_found_by_id_name_and_the_beginning_of_its_id() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"), turn("t2", session=B))
        await client.call(ChangeSession(session=A, name="plan"))
        for word in (A, A.upper(), "plan", "aaaa", "AAAAA"):
            assert (await info(client, word)).id == A
        for word in ("aaa", "Plan", "aaab", "pla", "", " ", A + "a"):
            with pytest.raises(NotFound, match="there is no conversation"):
                await info(client, word)

    ask(work)


def test_a_name_comes_before_the_beginning_of_an_id() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"), turn("t2", session=B))
        await client.call(ChangeSession(session=B, name="aaa"))
        assert (await info(client, "aaa")).id == B
        assert (await info(client, "aaaa")).id == A

    ask(work)


def test_a_beginning_of_several_ids_lists_them() -> None:
    others = [f"{'a' * 8}{number:024d}" for number in range(2)]

    async def work(client: Client) -> None:
        await store(client, *(turn(f"t{it[-1]}", session=it) for it in others))
        await store(client, turn("t9", session="aaaaffff" + "0" * 24, ci="athena"))
        with pytest.raises(UsageError, match="several conversations begin with 'aaaa'") as raised:
            await info(client, "aaaa")
        assert all(it in str(raised.value.hint) for it in others)
        shown = await client.call(ShowSession(session="aaaa", ci="athena"))
        assert shown.session.ci == "athena"

    ask(work)


def test_a_name_that_several_cis_have_lists_them() -> None:
    async def work(client: Client) -> None:
        for ci in ("apollo", "athena"):
            await client.call(resume("plan", ci=ci))
        with pytest.raises(UsageError, match="2 CIs have a conversation 'plan'") as raised:
            await info(client, "plan")
        assert raised.value.hint == "say whose: `--ci apollo` or `--ci athena`"
        shown = await client.call(ShowSession(session="plan", ci="Athena-ci"))
        assert shown.session.ci == "athena"

    ask(work)


@pytest.mark.parametrize("word", [A, "aaaa"])
def test_a_conversation_of_another_ci_is_told_to_be_that(word: str) -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"))
        with pytest.raises(UsageError, match="is one of apollo, not of athena") as raised:
            await client.call(resume(word, ci="athena"))
        assert "aish apollo --session" in str(raised.value.hint)

    ask(work)


def test_a_name_nearly_right_is_suggested() -> None:
    async def work(client: Client) -> None:
        await client.call(resume("planning"))
        with pytest.raises(NotFound, match="no conversation 'plannin'") as raised:
            await info(client, "plannin")
        assert raised.value.hint == "did you mean 'planning'? `aish session list` shows all"
        with pytest.raises(NotFound, match="'plannin g'") as raised:
            await client.call(resume("plannin g"))
        assert "letters, digits" in str(raised.value.hint)

    ask(work)


@pytest.mark.parametrize(
    ("word", "error"),
    [("cafe", UsageError), ("DeadBeef", UsageError), ("2026", UsageError), ("0" * 40, UsageError),
     ("0" * 32, NotFound), ("", NotFound), ("a b", NotFound), ("-C", NotFound)],
)  # fmt: skip
def test_what_cannot_be_a_name_begins_nothing(word: str, error: type[Exception]) -> None:
    async def work(client: Client) -> None:
        with pytest.raises(error):
            await client.call(resume(word))

    ask(work)
    assert rows(find_paths().turns, "SELECT * FROM sessions") == []


ANY_WORD = st.text() | st.text("ab-%_'\"*\0\ud800🎉 ") | st.text("0123456789abcdefABCDEF")


@settings(max_examples=10)
@given(words=st.lists(ANY_WORD, min_size=5, max_size=10))
def test_any_word_is_answered(words: list[str]) -> None:
    errors: list[TektonError] = []

    async def work(client: Client) -> None:
        await store(client, *line(*(f"{number}{A}" for number in range(3))))
        for word, ci in itertools.product(words, ("apollo", "athena")):
            requests: list[Request[Any]] = [
                ShowSession(session=word, ci=ci),
                ShowSession(session=A, after=word),
                ForkSession(session=A, turn=word),
                ChangeSession(session=A, name=word, title=word),
                resume(word, ci=ci),
                ListSessions(search=word, ci=word, terminal=word),
                ListSessions(search=word, ci=ci),
            ]
            for request in requests:
                try:
                    await client.call(request)
                except (NotFound, UsageError) as error:
                    errors.append(error)

    ask(work)
    for error in errors:
        assert error.message.isprintable()
        assert len(error.message) < 200


# -- looking ---------------------------------------------------------------------------------


def test_the_last_used_comes_first() -> None:
    async def work(client: Client) -> None:
        for number, started_at in enumerate((3.0, 1.0, 2.0)):
            await store(client, turn(f"t{number}", session=f"{number}", started_at=started_at))
        assert await listed(client) == ["0", "2", "1"]
        await client.call(UpdateTurn(turn=turn("t1", session="1", ended_at=9.0)))
        assert await listed(client) == ["1", "0", "2"]
        found = await client.call(ListSessions(limit=2))
        assert ([it.id for it in found.sessions], found.left_out) == (["1", "0"], 1)
        assert (await client.call(ListSessions(limit=0))).left_out == 3

    ask(work)


def test_a_list_can_be_of_a_ci_or_terminal_or_of_what_was_said() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2", prompt="red apple"), terminal="here")
        await store(client, turn("t3", session=B, ci="athena", prompt="green apple"))
        for filters, expected in (
            ({"ci": "apollo"}, [A]), ({"ci": "ATHENA-ci"}, [B]), ({"ci": "numa"}, []),
            ({"terminal": "here"}, [A]), ({"terminal": "there"}, []),
            ({"search": "apple gre"}, [B]), ({"search": "apple"}, [A, B]), ({"search": ""}, [A, B]),
            ({"search": "apple", "ci": "apollo"}, [A]), ({"search": "pear"}, []),
            ({"search": '" OR *'}, []), ({"search": "🎉"}, []),
        ):  # fmt: skip
            assert sorted(await listed(client, **filters)) == expected, filters

    ask(work)


def test_tokens_and_cost_are_sums_of_what_is_known() -> None:
    async def work(client: Client) -> None:
        await store(
            client,
            turn("t1", input_tokens=10, output_tokens=1, cost_usd=0.25),
            turn("t2", "t1", input_tokens=5),
            turn("t3", "t1", cost_usd=0.5),
            turn("t4", session=B),
        )
        found = await info(client)
        assert (found.turns, found.input_tokens, found.output_tokens) == (3, 15, 1)
        assert found.cost_usd == 0.75
        found = await info(client, B)
        assert (found.input_tokens, found.cost_usd) == (0, None)
        large: dict[str, Any] = {"input_tokens": 2**63 - 1, "cost_usd": 1e308}
        await store(client, turn("t5", session=B, **large), turn("t6", session=B, **large))
        assert (await info(client, B)).input_tokens == 2**63 - 1
        assert (await info(client, B)).cost_usd is None

    ask(work)


# -- changing --------------------------------------------------------------------------------


def test_title_name_and_head_can_be_changed() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2"))
        before = await info(client)
        changed = await client.call(
            ChangeSession(session=A, title=" The \x1b[1mplan\n", name="plan", head="t1")
        )
        expected: dict[str, Any] = {"title": "The plan", "name": "plan", "head": "t1"}
        assert changed == dataclasses.replace(before, **expected)
        assert names((await client.call(resume("plan"))).turns) == ["t1"]
        await store(client, turn("t3", "t1"))
        assert (await info(client)).title == "The plan"
        assert (await client.call(ChangeSession(session=A, name=""))).name is None

    ask(work)


def test_a_change_that_cannot_be_made_changes_nothing() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1"), turn("t2", session=B), turn("t3", session="c", ci="athena"))
        await client.call(ChangeSession(session=B, name="plan"))
        before = await info(client)
        for changes, message in (
            ({"name": "plan"}, "named 'plan' already"),
            ({"name": "cafe"}, "looks like"),
            ({"name": "a b"}, "can be named"),
        ):
            with pytest.raises(UsageError, match=message):
                await client.call(ChangeSession(session=A, title="new", **changes))
        with pytest.raises(NotFound, match="no turn"):
            await client.call(ChangeSession(session=A, title="new", head="t2"))
        assert await info(client) == before
        assert (await client.call(ChangeSession(session="c", name="plan"))).name == "plan"

    ask(work)


def test_a_fork_copies_the_way_to_a_turn_and_counts_nothing_twice() -> None:
    async def work(client: Client) -> None:
        turns = line("t1", "t2", "t3", input_tokens=10, cost_usd=1.0, prompt="Plan it")
        await store(client, *turns, turn("t2b", "t1"))
        copy = await client.call(ForkSession(session=A, turn="t2", name="other"))
        assert (copy.title, copy.name) == ("Plan it (fork)", "other")
        assert (copy.forked_from, copy.turns) == (A, 2)
        assert (copy.input_tokens, copy.cost_usd) == (0, None)
        shown = await client.call(ShowSession(session="other"))
        assert [it.answer for it in shown.turns] == ["answer t1", "answer t2"]
        assert [it.parent for it in shown.turns] == [None, shown.turns[0].id]
        assert shown.session.head == shown.turns[1].id
        assert not {*names(shown.turns)} & {"t1", "t2"}
        assert await listed(client, search="Plan") == [copy.id, A]
        assert (await info(client)).turns == 4

    ask(work)


def test_a_copy_of_a_running_turn_has_ended() -> None:
    async def work(client: Client) -> None:
        await store(client, turn("t1", status=TurnStatus.RUNNING, answer="half an ans"))
        copy = await client.call(ForkSession(session=A))
        (found,) = (await client.call(ShowSession(session=copy.id))).turns
        assert (found.status, found.answer) == (TurnStatus.INTERRUPTED, "half an ans")
        assert (await client.call(ShowSession(session=A))).turns[0].status is TurnStatus.RUNNING

    ask(work)


def test_a_fork_that_cannot_be_made_leaves_nothing() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2"))
        await client.call(ChangeSession(session=A, name="plan"))
        await client.call(resume("empty"))
        with pytest.raises(UsageError, match="named 'plan' already"):
            await client.call(ForkSession(session=A, name="plan"))
        for request in (ForkSession(session="empty"), ForkSession(session=A, turn="t9")):
            with pytest.raises(NotFound):
                await client.call(request)
        assert await listed(client) == [A]
        assert len((await client.call(History())).turns) == 2

    ask(work)


# -- several at once -------------------------------------------------------------------------


def test_two_chats_on_one_conversation_branch_and_lose_nothing() -> None:
    async def chat(client: Client, name: str) -> list[bool]:
        last, moved = "root", []
        for number in range(10):
            found = await client.call(resume(A, after=last))
            moved.append(found.has_moved)
            one = turn(f"{name}{number}", found.parent, status=TurnStatus.RUNNING)
            await client.call(BeginTurn(turn=one, terminal=name))
            ended = dataclasses.replace(one, status=TurnStatus.COMPLETE, answer=f"to {one.id}")
            await client.call(UpdateTurn(turn=ended))
            last = one.id
        return moved

    async def work(client: Client) -> None:
        await store(client, turn("root"))
        moved = await asyncio.gather(chat(client, "x"), chat(client, "y"))
        # Both begin at the root, and only one can have been the first to go on from there.
        assert [it[0] for it in moved].count(False) >= 1
        assert not any(itertools.chain(*(it[1:] for it in moved)))
        shown = await client.call(ShowSession(session=A))
        assert len(shown.turns) == 21
        for name in "xy":
            found = await client.call(resume(A, after=f"{name}9"))
            expected = ["root", *(f"{name}{number}" for number in range(10))]
            assert names(found.turns) == expected
            assert [it.answer for it in found.turns[1:]] == [f"to {it}" for it in expected[1:]]

    ask(work)


def test_the_second_who_goes_on_from_a_turn_is_told() -> None:
    async def work(client: Client) -> None:
        await store(client, *line("t1", "t2"))
        assert not (await client.call(resume(A, after="t2"))).has_moved
        await store(client, turn("mine", "t2"))
        late = await client.call(resume(A, after="t2"))
        assert (late.has_moved, late.parent) == (True, "t2")

    ask(work)
