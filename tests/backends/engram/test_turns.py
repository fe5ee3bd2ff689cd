"""The store of turns on a real file."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import math
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from backends.database import Database
from backends.engram.tables import HEAD, MIGRATIONS, metadata, sessions
from backends.engram.turns import MAX_LIMIT, TurnStore
from backends.errors import InvalidMessage, StorageError
from backends.protocol.conversations import Turn, TurnStatus

T = TypeVar("T")

RUNNING, COMPLETE = TurnStatus.RUNNING, TurnStatus.COMPLETE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engram.db"


def use(path: Path, work: Callable[[TurnStore, Database], Awaitable[T]]) -> T:
    """Open a store, work with it and close it."""

    async def session() -> T:
        database = Database(path, metadata, MIGRATIONS, HEAD, busy_timeout_s=0.05)
        await database.open()
        try:
            return await work(TurnStore(database), database)
        finally:
            await database.close()

    return asyncio.run(session())


@contextlib.contextmanager
def kept_open(path: Path) -> Iterator[Callable[[Callable[..., Awaitable[None]]], None]]:
    """Give what runs work on one store, again and again, as opening one takes the longest."""
    database = Database(path, metadata, MIGRATIONS, HEAD, busy_timeout_s=5)
    with asyncio.Runner() as runner:
        runner.run(database.open())

        async def work_with(work: Callable[..., Awaitable[None]]) -> None:
            await work(TurnStore(database), database)

        try:
            yield lambda work: runner.run(work_with(work))
        finally:
            runner.run(database.close())


def turn(name: str, **fields: Any) -> Turn:
    given: dict[str, Any] = {
        "session": "s1", "ci": "apollo", "status": COMPLETE, "prompt": "", "started_at": 1.0
    }  # fmt: skip
    return Turn(id=name, **{**given, **fields})


def names(found: tuple[Turn, ...]) -> list[str]:
    return [turn.id for turn in found]


def ask(path: Path, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        return connection.execute(statement).fetchall()


def check_index(path: Path) -> None:
    """Fail where the full-text index is not what the turns say."""
    ask(path, "INSERT INTO turns_search (turns_search, rank) VALUES ('integrity-check', 1)")


# -- storing ---------------------------------------------------------------------------------


FULL = Turn(
    id="t1", session="s1", ci="apollo", status=TurnStatus.TRUNCATED, prompt="What?\r\n\0 ünï😀",
    answer="This. ", system="Be brief.", model="ollama/llama3.3:70b", error="reset",
    finish_reason="length", input_tokens=12, output_tokens=3, cost_usd=0.0001,
    time_to_first_token_s=0.25, elapsed_s=1.5, started_at=1_700_000_000.123456,
    ended_at=1_700_000_001.623456,
)  # fmt: skip


@pytest.mark.parametrize("given", [FULL, turn("t1", status=RUNNING, started_at=0.0)])
def test_a_turn_comes_back_as_it_was_stored(path: Path, given: Turn) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(given)
        assert await store.history() == (given,)

    use(path, work)


def test_an_update_replaces_every_field(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", status=RUNNING, system="old", cost_usd=1.0))
        await store.update(replace(FULL, system=None, ci="athena"))
        assert await store.history() == (replace(FULL, system=None, ci="athena"),)

    use(path, work)


def test_an_update_of_a_turn_that_was_never_begun_stores_it(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.update(FULL)
        assert await store.history("brief this") == ()
        assert await store.history("what this") == (FULL,)

    use(path, work)


def test_a_megabyte_comes_back_to_the_byte(path: Path) -> None:
    long = "".join(map(chr, itertools.chain(range(0xD800), range(0xE000, 0x30000)))) * 6

    async def work(store: TurnStore, _database: Database) -> None:
        given = turn("t1", prompt=long, answer=long[::-1])
        await store.begin(given)
        assert len(long) > 1_000_000
        assert await store.history() == (given,)

    use(path, work)


def test_half_a_surrogate_pair_is_replaced(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", prompt="a\ud83db"))
        assert (await store.history("a"))[0].prompt == "a?b"

    use(path, work)


def test_200_simultaneous_turns_are_neither_lost_nor_mixed(path: Path) -> None:
    def given(number: int) -> Turn:
        name = str(number)
        return turn(name, session=f"s{number % 7}", prompt=f"question{name}", started_at=number)

    async def one(store: TurnStore, number: int) -> None:
        await store.begin(replace(given(number), status=RUNNING))
        await store.update(replace(given(number), answer=f"answer{number}"))

    async def work(store: TurnStore, _database: Database) -> None:
        await asyncio.gather(*(one(store, number) for number in range(200)))
        expected = (replace(given(n), answer=f"answer{n}") for n in reversed(range(200)))
        assert await store.history(limit=1000) == tuple(expected)

    use(path, work)
    check_index(path)


def test_a_failure_to_store_is_told_and_the_next_update_mends_it(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(StorageError, match="locked"):
                await store.begin(replace(FULL, status=RUNNING))
        await store.update(FULL)
        assert await store.history() == (FULL,)

    use(path, work)


def test_a_full_disk_is_told_and_the_next_update_mends_it(path: Path) -> None:
    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    async def work(store: TurnStore, database: Database) -> None:
        long = turn("t2", prompt="word " * 20_000, started_at=2.0)
        await store.begin(FULL)
        await database.write(partial(limit, pages=40))
        with pytest.raises(StorageError, match="full"):
            await store.begin(long)
        await database.write(partial(limit, pages=10_000))
        await store.update(long)
        assert await store.history() == (FULL, long)

    use(path, work)
    check_index(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *itertools.product(
            ("started_at", "ended_at"),
            (1e300, -1e18, -1.0, 253_402_300_800.0, math.nan, math.inf, -math.inf, 10**400),
        ),
        *itertools.product(
            ("cost_usd", "elapsed_s", "time_to_first_token_s"), (math.nan, math.inf, -math.inf)
        ),
        *itertools.product(("input_tokens", "output_tokens"), (2**63, -(2**63) - 1, 10**400)),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_number_that_cannot_be_kept_is_refused_by_its_name(
    path: Path, field: str, value: float
) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        for put in (store.begin, store.update):
            with pytest.raises(InvalidMessage, match=rf"^turn\.{field} must be ") as raised:
                await put(turn("t1", **{field: value}))
            assert len(raised.value.message) < 200
        assert await store.history() == ()

    use(path, work)


@pytest.mark.parametrize("count", [0, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("time", [0.0, 253_370_764_799.0])
def test_the_largest_numbers_come_back_and_can_be_shown(
    path: Path, count: int, time: float
) -> None:
    given = turn("t1", input_tokens=count, started_at=time, ended_at=time)

    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(given)
        assert await store.history() == (given,)

    use(path, work)
    for hours in (-14, 14):
        zone = datetime.timezone(datetime.timedelta(hours=hours))
        assert datetime.datetime.fromtimestamp(time, zone).tzinfo is zone


# -- sessions --------------------------------------------------------------------------------


def test_a_session_lasts_from_its_first_turn_to_its_last(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", started_at=10.0, status=RUNNING))
        await store.update(turn("t1", started_at=10.0, ended_at=12.0))
        await store.begin(turn("t2", started_at=20.0, status=RUNNING))
        await store.update(turn("t1", started_at=10.0, ended_at=13.0))
        await store.begin(turn("t3", started_at=5.0, session="s2", ci="athena"))

    use(path, work)
    assert ask(path, "SELECT id, ci, started_at, updated_at FROM sessions ORDER BY id") == [
        ("s1", "apollo", 10.0, 20.0),
        ("s2", "athena", 5.0, 5.0),
    ]


def test_a_deleted_session_takes_its_turns_along(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", prompt="shared one"))
        await store.begin(turn("t2", prompt="shared two", session="s2"))
        ask(path, "DELETE FROM sessions WHERE id = 's1'")
        assert names(await store.history()) == ["t2"]
        assert names(await store.history("shared")) == ["t2"]

    use(path, work)
    check_index(path)


def session(path: Path, column: str) -> Any:
    return ask(path, f"SELECT {column} FROM sessions WHERE id = 's1'")[0][0]


def test_the_newest_turn_is_the_head_even_of_a_branch(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1"), "here")
        await store.begin(turn("t2", parent="t1", started_at=2.0))
        await store.begin(turn("t3", parent="t1", started_at=3.0), "there")
        await store.update(turn("t2", parent="t1", started_at=2.0, ended_at=9.0))
        assert [(it.id, it.parent) for it in await store.history()] == [
            ("t3", "t1"), ("t2", "t1"), ("t1", None)
        ]  # fmt: skip

    use(path, work)
    assert (session(path, "head"), session(path, "terminal")) == ("t3", "there")


def test_a_turn_that_could_not_begin_becomes_the_head_unless_others_began_since(
    path: Path,
) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", started_at=1.0), "here")
        await store.update(turn("t3", parent="t1", started_at=3.0))
        assert session(path, "head") == "t3"
        await store.update(turn("t2", parent="t1", started_at=2.0))

    use(path, work)
    assert (session(path, "head"), session(path, "terminal")) == ("t3", "here")


def test_the_first_prompt_is_the_title(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", prompt="\n \x1b[31mWhat  now?\x1b[0m \n more"))
        await store.begin(turn("t2", prompt="Something else", parent="t1"))

    use(path, work)
    assert session(path, "title") == "What now?"


@pytest.mark.parametrize(
    ("parent", "of"), [("t9", "s1"), ("other", "s1"), ("t2", "s1"), ("t3", "s1"), ("t1", "s2")]
)
def test_a_turn_follows_an_earlier_one_of_its_conversation_only(
    path: Path, parent: str, of: str
) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        for name, before in (("t1", None), ("t2", "t1"), ("t3", "t2")):
            await store.begin(turn(name, parent=before))
        await store.begin(turn("other", session="s2"))
        stored = await store.history()
        with pytest.raises(InvalidMessage, match="conversation"):
            await store.update(turn("t2", parent=parent, session=of))
        assert await store.history() == stored

    use(path, work)


# -- listing ---------------------------------------------------------------------------------


def test_the_newest_comes_first_whenever_it_was_stored(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        for name, started_at in (("b", 2.0), ("d", 3.0), ("a", 1.0), ("e", 3.0)):
            await store.begin(turn(name, started_at=started_at, prompt="same"))
        assert names(await store.history()) == ["e", "d", "b", "a"]
        assert names(await store.history("same")) == ["e", "d", "b", "a"]
        assert names(await store.history("same", limit=2)) == ["e", "d"]

    use(path, work)


def test_a_list_can_be_of_one_ci(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        for number, ci in enumerate(["apollo", "apollo-two", "athena", "apollo"]):
            await store.begin(turn(f"{number}", ci=ci, prompt="same apollo", started_at=number))
        for search in (None, "", "same", "apollo same"):
            assert names(await store.history(search, "apollo")) == ["3", "0"]
            assert names(await store.history(search, "apollo-two")) == ["1"]
            assert names(await store.history(search, "two")) == []
        assert names(await store.history("athena")) == []

    use(path, work)


@pytest.mark.parametrize("search", [None, "same"])
def test_a_limit_is_kept_and_none_is_too_large(path: Path, search: str | None) -> None:
    async def work(store: TurnStore, database: Database) -> None:
        def fill(connection: Connection) -> None:
            connection.exec_driver_sql(
                "INSERT INTO sessions (id, ci, started_at, updated_at) VALUES ('s', 'apollo', 0, 0)"
            )
            connection.exec_driver_sql(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 10100) "
                "INSERT INTO turns (id, session, ci, status, prompt, answer, started_at) "
                "SELECT 'n' || i, 's', 'apollo', 'complete', 'same', '', i FROM n"
            )

        await database.write(fill)
        assert names(await store.history(search, limit=3)) == ["n10100", "n10099", "n10098"]
        assert names(await store.history(search, limit=0)) == []
        assert names(await store.history(search, limit=-1)) == []
        everything = names(await store.history(search, limit=10**30))
        assert everything == [f"n{i}" for i in range(10100, 10100 - MAX_LIMIT, -1)]

    use(path, work)


def ascii_start(search: str) -> str:
    """Name a test whose text may be long."""
    return ascii(search[:20])


# -- searching -------------------------------------------------------------------------------

SAID = (
    "Ship it? Use os.path.join(a, b) -> str; C++ costs 5€. "
    "It's a naïve café in Kraków. don't_stop 日本語 привет 🚀🤖"
)


@pytest.mark.parametrize(
    "search",
    [
        "ship", "SHIP IT", "it ship", "sh", "it shi", "ship?", '"ship it"', "os.path", "os.pa",
        "path.join(a,", "->", "c++", "5€", "€", "cafe", "CAFÉ naive", "krakow", "don't_stop",
        "don't", "stop", "日本", "при", "ПРИВЕТ", "🚀", "🤖", "🚀🤖", "ship 🚀", "🚀 ship",
        "answered", "ship answered", "answer ship answ", "", "   ", "\0", "ship\0it", "*", "ship*",
        "^it^", "_", "ship\\", "( " * 5000, "ship " * 2000,
        "ship\ud83d",
    ],
    ids=ascii_start,
)  # fmt: skip
def test_a_search_finds(path: Path, search: str) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", prompt=SAID, answer="The answer * was answered."))
        assert names(await store.history(search)) == ["t1"]
        assert names(await store.history(search, "apollo")) == ["t1"]
        assert names(await store.history(search, "athena")) == []

    use(path, work)


@pytest.mark.parametrize(
    "search",
    [
        "shi it", "hip", "ship boat", "ship NOT boat", "NOT boat", "boat OR ship", "prompt:ship",
        "prompt : ship", "{prompt} ship", "NEAR(ship it)", "path.os", "😀", "ship 😀", "<-",
        "ship😀", "!!", "--", '"', "'", "ship '", "apollo", "語", "%",
        "a" * 10_240, "ship " * 2048 + "boat", " ".join(map(str, range(2400))),
        " ".join(map(chr, range(0x1F300, 0x1F300 + 2000))), "[ " * 5000, '"' * 10_001,
    ],
    ids=ascii_start,
)  # fmt: skip
def test_a_search_does_not_find(path: Path, search: str) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", prompt=SAID.replace("'", "’")))
        found = names(await store.history(search))
        assert found == names(await store.history(search, "apollo")) == []

    use(path, work)


def test_an_emoji_does_not_hide_the_word_it_touches(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        for number, emoji in enumerate("🎉🥰🤖🫠✅👍🏽"):
            await store.begin(turn(f"{number}", prompt=f"well{emoji}done"))
            assert names(await store.history(f"done well {emoji}")) == [f"{number}"]
            assert names(await store.history(f"well{emoji}done")) == [f"{number}"]

    use(path, work)


def test_a_running_answer_is_searched_when_it_has_ended(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", status=RUNNING, prompt="question"))
        await store.update(turn("t1", status=RUNNING, prompt="question", answer="partial"))
        assert names(await store.history("question")) == ["t1"]
        assert names(await store.history("partial")) == []
        await store.update(turn("t1", prompt="question", answer="partial result"))
        assert names(await store.history("question partial result")) == ["t1"]
        await store.update(turn("t1", prompt="question", answer="other"))
        assert names(await store.history("partial")) == []

    use(path, work)
    check_index(path)


def test_a_running_answer_costs_the_index_nothing(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        running = turn("t1", status=RUNNING, prompt="question")
        await store.begin(running)
        before = ask(path, "SELECT * FROM turns_search_data")
        for number in range(20):
            await store.update(replace(running, answer="word " * number))
        assert ask(path, "SELECT * FROM turns_search_data") == before
        await store.update(replace(running, status=COMPLETE, answer="word"))
        assert ask(path, "SELECT * FROM turns_search_data") != before

    use(path, work)


ANY_TEXT = st.text() | st.text('ab "*^:(){}+-ORNOTANDNEAR,\0\ud800🎉')


def test_any_text_is_a_search(path: Path) -> None:
    async def check(searches: list[str], store: TurnStore, _database: Database) -> None:
        for search in searches:
            await store.update(turn("t1", prompt=search, answer="something else"))
            assert names(await store.history(search)) == ["t1"]
            assert names(await store.history(search, "apollo")) == ["t1"]

    with kept_open(path) as run:

        @settings(max_examples=20)
        @given(searches=st.lists(ANY_TEXT, min_size=6, max_size=12))
        def search_for_each(searches: list[str]) -> None:
            run(partial(check, searches))

        search_for_each()


WORDS = ("ab", "abc", "b", "ünï", "x")
TURNS = st.builds(
    turn,
    st.sampled_from("1234"),
    status=st.sampled_from(TurnStatus),
    ci=st.sampled_from(["apollo", "athena"]),
    prompt=st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    answer=st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
    started_at=st.integers(0, 3).map(float),
)


def test_whatever_is_stored_is_found_by_its_words(path: Path) -> None:
    async def check(
        updates: list[Turn], close_after: int, store: TurnStore, database: Database
    ) -> None:
        await database.write(lambda connection: connection.execute(sessions.delete()))
        kept: dict[str, Turn] = {}
        for number, update in enumerate(updates):
            if number == close_after:
                await store.close_abandoned(9.0)
                for abandoned in [turn for turn in kept.values() if turn.status is RUNNING]:
                    ended = replace(abandoned, status=TurnStatus.INTERRUPTED)
                    kept[ended.id] = ended
            await store.update(update)
            kept[update.id] = update
        for first, last, ci in itertools.product(WORDS, WORDS, ("apollo", None)):
            found = await store.history(f"{first} {last}", ci)
            assert {*names(found)} == {
                turn.id
                for turn in kept.values()
                if ci in (None, turn.ci) and _contains(turn, first, last)
            }
            assert [turn.started_at for turn in found] == sorted(
                (turn.started_at for turn in found), reverse=True
            )

    with kept_open(path) as run:

        @settings(max_examples=12)
        @given(updates=st.lists(TURNS, max_size=30), close_after=st.integers(0, 30))
        def store_and_search(updates: list[Turn], close_after: int) -> None:
            run(partial(check, updates, close_after))
            check_index(path)

        store_and_search()


def _contains(turn: Turn, word: str, beginning: str) -> bool:
    answer = "" if turn.status is RUNNING else turn.answer
    words = f"{turn.prompt} {answer}".split()
    return word in words and any(other.startswith(beginning) for other in words)


# -- turns that a dead hub left --------------------------------------------------------------


def test_turns_left_running_become_interrupted(path: Path) -> None:
    left = turn("t1", status=RUNNING, prompt="question", answer="half an answer", started_at=5.0)
    others = [
        turn(f"t{number}", status=status, ended_at=2.0)
        for number, status in enumerate(TurnStatus, start=2)
        if status is not RUNNING
    ]

    async def work(store: TurnStore, _database: Database) -> None:
        for stored in (left, *others):
            await store.begin(stored)
        assert await store.close_abandoned(99.0) == 1
        assert await store.close_abandoned(100.0) == 0
        newest, *rest = await store.history()
        assert newest == replace(
            left, status=TurnStatus.INTERRUPTED, ended_at=99.0, error=newest.error
        )
        assert "hub" in str(newest.error)
        assert {*rest} == {*others}
        assert names(await store.history("half question")) == ["t1"]

    use(path, work)
    check_index(path)


def test_a_turn_that_was_given_up_too_early_can_still_end_well(path: Path) -> None:
    async def work(store: TurnStore, _database: Database) -> None:
        await store.begin(turn("t1", status=RUNNING))
        await store.close_abandoned(99.0)
        await store.update(turn("t1", answer="late but whole"))
        assert await store.history("late") == (turn("t1", answer="late but whole"),)

    use(path, work)


# -- how SQLite goes about it ----------------------------------------------------------------


def test_no_listing_and_no_start_walks_through_every_turn(path: Path) -> None:
    statements: list[str] = []

    def trace(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        raw.set_trace_callback(statements.append)

    async def work(store: TurnStore, database: Database) -> None:
        await store.begin(FULL)
        await database.write(trace)
        await database.read(trace)
        await store.history()
        await store.history(ci="apollo")
        await store.close_abandoned(1.0)
        await store.update(FULL)

    use(path, work)
    asked = [line for line in statements if line.startswith(("SELECT", "UPDATE", "INSERT"))]
    assert len(asked) >= 5
    for statement in asked:
        plan = [str(row[3]) for row in ask(path, f"EXPLAIN QUERY PLAN {statement}")]
        for step in plan:
            assert "TEMP B-TREE" not in step, (statement, plan)
            assert not step.startswith("SCAN turns") or "USING INDEX" in step, (statement, plan)
