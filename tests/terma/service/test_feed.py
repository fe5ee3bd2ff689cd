"""The newest output, for followers at their own pace."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from terma.service.feed import Feed


def test_a_follower_gets_what_comes_after_its_offset() -> None:
    feed = Feed(10)
    feed.followers = 1
    feed.put(10, b"hello ")
    feed.put(16, b"world")
    assert feed.after(10) == b"hello world"
    assert feed.after(13) == b"lo world"
    assert feed.after(16) == b"world"
    assert feed.after(21) == b""
    assert feed.after(9) is None


def test_nothing_is_kept_where_nobody_follows() -> None:
    feed = Feed(0)
    feed.put(0, b"x" * 100)
    assert feed.after(0) is None
    assert feed.after(100) == b""


@given(st.lists(st.integers(1, 400_000), min_size=1, max_size=12))
def test_who_falls_behind_is_told_so_and_memory_is_bounded(sizes: list[int]) -> None:
    feed = Feed(0)
    feed.followers = 1
    whole = b""
    for number, size in enumerate(sizes):
        feed.put(len(whole), bytes([number]) * size)
        whole += bytes([number]) * size
    behind = feed.after(0)
    assert behind is None or behind == whole
    kept = next(data for at in range(len(whole) + 1) if (data := feed.after(at)) is not None)
    assert len(kept) <= 1024 * 1024
    assert whole.endswith(kept)


def test_a_gap_is_not_papered_over() -> None:
    feed = Feed(0)
    feed.followers = 1
    feed.put(0, b"old")
    feed.put(100, b"new")
    assert feed.after(0) is None
    assert feed.after(100) == b"new"


def test_every_follower_is_woken() -> None:
    async def run() -> None:
        feed = Feed(0)
        waiting = [asyncio.ensure_future(feed.news()) for _ in range(3)]
        over = asyncio.ensure_future(feed.over())
        await asyncio.sleep(0)
        feed.put(0, b"x")
        await asyncio.gather(*waiting)
        assert not over.done()
        feed.finish()
        await over

    asyncio.run(run())
