"""The bus: who gets which event, in which order, and what a slow subscriber loses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from backends.errors import UsageError
from backends.hermes import bus as bus_module
from backends.hermes.bus import Bus, matches, words_of
from backends.protocol.messages import Event
from tests.backends.stage import run

words = st.sampled_from(["ci", "apollo", "a", "*", ">"])
patterns = st.lists(words, min_size=1, max_size=4).map(".".join)
subjects = st.lists(st.sampled_from(["ci", "apollo", "a", ""]), min_size=1, max_size=5).map(
    ".".join
)


def expression(pattern: str) -> re.Pattern[str]:
    """The same pattern in another language."""
    parts = {"*": r"[^.]*", ">": r"[^.]*(?:\.[^.]*)*"}
    return re.compile(r"\.".join(parts.get(word, re.escape(word)) for word in pattern.split(".")))


@given(patterns, subjects)
def test_a_pattern_matches_what_its_words_say(pattern: str, subject: str) -> None:
    try:
        found = words_of(pattern)
    except UsageError:
        assert ">" in pattern.split(".")[:-1]
        return
    assert matches(found, subject) == bool(expression(pattern).fullmatch(subject))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (">", ["ci", "ci.apollo.answer.started"], []),
        ("ci.>", ["ci.apollo", "ci.apollo.answer.started"], ["ci", "service.hermes"]),
        ("ci.*.died", ["ci.apollo.died"], ["ci.died", "ci.apollo.died.again", "ci.a.b.died"]),
        ("ci.*.>", ["ci.a.b", "ci.a.b.c"], ["ci.a"]),
        ("ci.apollo", ["ci.apollo"], ["ci.apollo.x", "ci.apollon", "ci", "CI.APOLLO"]),
        ("*", ["ci"], ["ci.apollo"]),
    ],
)
def test_a_star_is_one_word_and_an_arrow_all_that_follow(
    pattern: str, matching: list[str], others: list[str]
) -> None:
    found = words_of(pattern)
    assert [subject for subject in matching + others if matches(found, subject)] == matching


@pytest.mark.parametrize("pattern", ["", ".", "ci.", ".ci", "ci..a", ">.ci", "ci.>.a", ">.>"])
def test_what_is_no_pattern_is_told(pattern: str) -> None:
    with pytest.raises(UsageError, match="is not a pattern of subjects"):
        words_of(pattern)

    async def subscribe() -> None:
        async for _ in Bus().subscribe(pattern):
            pass

    with pytest.raises(UsageError, match="is not a pattern of subjects"):
        run(subscribe())


def event(subject: str, number: int = 0) -> Event:
    return Event(subject=subject, at=float(number))


async def subscribed(bus: Bus, pattern: str) -> tuple[AsyncIterator[Event], asyncio.Task[Event]]:
    """Subscribe; also give the first event, which is waited for already."""
    events = bus.subscribe(pattern)
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    return events, first


def test_each_subscriber_gets_what_matches_in_order() -> None:
    async def work() -> None:
        bus = Bus()
        every, first = await subscribed(bus, ">")
        some, first_of_some = await subscribed(bus, "ci.>")
        for number, subject in enumerate(["service.a", "ci.a", "ci.b"]):
            bus.publish(event(subject, number))
        found = [await first, await anext(every), await anext(every)]
        assert [(item.subject, item.at) for item in found] == [
            ("service.a", 0),
            ("ci.a", 1),
            ("ci.b", 2),
        ]
        assert [(await first_of_some).subject, (await anext(some)).subject] == ["ci.a", "ci.b"]
        for events in (every, some):
            await events.aclose()  # type: ignore[attr-defined]

    run(work())


def test_who_leaves_gets_nothing_more_and_is_forgotten() -> None:
    async def work() -> None:
        bus = Bus()
        events, first = await subscribed(bus, ">")
        bus.publish(event("a"))
        await first
        await events.aclose()  # type: ignore[attr-defined]
        assert not bus._subscriptions
        bus.publish(event("b"))

        waiting, first = await subscribed(bus, ">")
        first.cancel()
        await asyncio.wait([first])
        await waiting.aclose()  # type: ignore[attr-defined]
        assert not bus._subscriptions

    run(work())


def test_a_slow_subscriber_loses_the_oldest_and_is_told_how_many() -> None:
    count = bus_module._MAX_WAITING + 250

    async def work() -> None:
        bus = Bus()
        slow, first = await subscribed(bus, ">")
        quick, first_of_quick = await subscribed(bus, ">")
        for number in range(count):
            bus.publish(event("a", number))
            found = await first_of_quick if number == 0 else await anext(quick)
            assert (found.at, found.dropped) == (number, 0)
        # the first was handed to the one who waited, before it became slow
        left = [await first] + [await anext(slow) for _ in range(bus_module._MAX_WAITING)]
        assert [(item.at, item.dropped) for item in left[:3]] == [(0, 0), (250, 249), (251, 0)]
        assert [item.at for item in left[1:]] == list(range(250, count))
        for number in range(2 * count):
            bus.publish(event("a", number))
        assert (await anext(slow)).dropped == 2 * count - bus_module._MAX_WAITING
        for events in (slow, quick):
            await events.aclose()  # type: ignore[attr-defined]

    run(work())


class Model(RuleBasedStateMachine):
    """Subscribers that come, read and leave, against lists that remember everything."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.bus = Bus()
        self.readers: list[tuple[Any, list[str], list[Event]]] = []
        self.count = 0

    def do(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    @rule(pattern=patterns.filter(lambda text: ">" not in text.split(".")[:-1]))
    def subscribe(self, pattern: str) -> None:
        async def begin() -> Any:
            events = self.bus.subscribe(pattern)
            first = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            self.bus.publish(Event(subject=concrete(pattern), at=-1.0))
            assert (await first).at == -1.0
            return events

        events = self.do(begin())
        for _, found, waiting in self.readers:
            if matches(found, concrete(pattern)):
                waiting.append(Event(subject=concrete(pattern), at=-1.0))
        self.readers.append((events, words_of(pattern), []))

    @rule(subject=subjects, times=st.integers(1, 4))
    def publish(self, subject: str, times: int) -> None:
        for _ in range(times):
            self.count += 1
            published = event(subject, self.count)
            self.bus.publish(published)
            for _, found, waiting in self.readers:
                if matches(found, subject):
                    waiting.append(published)

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        readers = [reader for reader in self.readers if reader[2]]
        if not readers:
            return
        events, _, waiting = data.draw(st.sampled_from(readers))
        dropped = max(len(waiting) - 5, 0)
        del waiting[:dropped]
        found = self.do(anext(events))
        expected = waiting.pop(0)
        assert (found.subject, found.at, found.dropped) == (expected.subject, expected.at, dropped)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.readers:
            reader = data.draw(st.sampled_from(self.readers))
            self.readers.remove(reader)
            self.do(reader[0].aclose())

    @invariant()
    def only_those_who_stay_are_known(self) -> None:
        assert len(self.bus._subscriptions) == len(self.readers)

    def teardown(self) -> None:
        for events, _, _ in self.readers:
            self.do(events.aclose())
        self.do(self.loop.shutdown_asyncgens())
        self.loop.close()


def concrete(pattern: str) -> str:
    """A subject that the pattern matches."""
    return pattern.replace("*", "x").replace(">", "y.z")


class TestModel(Model.TestCase):  # type: ignore[valid-type,misc]
    """The machine with a short queue, so that it overflows."""

    @pytest.fixture(autouse=True)
    def short_queue(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bus_module, "_MAX_WAITING", 5)
