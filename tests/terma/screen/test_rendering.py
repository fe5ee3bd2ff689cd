"""Logs as lines: what was shown, whole and once, each line with its time."""

from __future__ import annotations

import random
from typing import Any

import pytest

from terma.screen import rendering
from terma.screen.rendering import Renderer
from tests.terma.screen.recorded import ENGINES, PROGRAMS, recording

_KINDS = [pytest.param(kind, id=kind.NAME) for kind in ENGINES]
_RUN = b"".join(b"\x1b[32mline\x1b[m %d of a run \xc3\xbc\r\n" % n for n in range(1500))


def lines(
    kind: type[Any], data: bytes, columns: int = 80, rows: int = 24, piece: int = 100_000
) -> list[tuple[float, int, str]]:
    """Return the lines of a log whose pieces were put out one second after another."""
    engine = kind(columns, rows, rendering.KEPT_ROWS)
    renderer = Renderer(engine, rows)
    found = []
    for start in range(0, len(data), piece * 4):
        part = data[start : start + piece * 4]
        times = [(at, 1000.0 + at // piece) for at in range(start, start + len(part), piece)]
        found += renderer.feed(times, part)
    found += renderer.finish()
    engine.close()
    return [(at, offset, text) for at, offset, texts in found for text in texts]


def texts(kind: type[Any], data: bytes, columns: int = 80, rows: int = 24) -> list[str]:
    return [text for _, _, text in lines(kind, data, columns, rows)]


def every_way(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any], data: bytes, columns: int, rows: int
) -> tuple[list[str], list[str]]:
    """Return the lines as they are found, and as they are when the engine gets all output."""
    found = texts(kind, data, columns, rows)
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "_WORTH", 1 << 40)
        return found, texts(kind, data, columns, rows)


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    "before",
    [
        b"", b"begun ", b"\x1b(0", b"\x1b)0\x0e", b"\x1b[4h", b"\x1b[?7l", b"\x1b[2;5r", b"\x1b[H",
        b"\x1b[?1049h", b"\x1b[?69h\x1b[3;20s", b"\x1b[?6h", b"\x1b]2;title", b"\x1b[", b"\xc3",
        b"old text" * 200 + b"\x1b[3;1H", b"\x1b[>1$}", b"a\r\n" * 100, b"\x1b[?2027h", b"\x1b[20h",
    ],
)  # fmt: skip
def test_a_run_of_lines_is_read_as_if_the_engine_had_seen_all(
    monkeypatch: pytest.MonkeyPatch, kind: type[Any], before: bytes
) -> None:
    run = _RUN if kind.NAME == "ghostty" else _RUN[: len(_RUN) // 3]
    for after in (b"", b"end\x1b[H\x1b[2Jnext", b"\x1b[Aup\r\n\x1b[5A!\r\n", b"\x1b[?1049lx\r\n"):
        found, slowly = every_way(monkeypatch, kind, before + run + after, 60, 10)
        assert found == slowly


def test_runs_in_any_output_are_read_as_if_the_engine_had_seen_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chance = random.Random(11)
    kinds = (
        lambda: b"".join(b"x" * chance.randrange(100) + b" \r\n" for _ in range(300)),
        lambda: b"".join(b"%d\r\n" % chance.randrange(10**9) for _ in range(900)),
        lambda: recording(chance.choice(PROGRAMS))[: chance.randrange(20_000)],
        lambda: b"\x1b[%d;%dH" % (chance.randrange(30), chance.randrange(90)),
        lambda: chance.choice(
            (b"\x1b[2J", b"\x1b[J", b"\x1bc", b"\x1b[r", b"\x1b[?1049l", b"\x0f")
        ),
        lambda: b"w" * chance.randrange(30_000) + b"\r\n",
    )
    for _ in range(25):
        data = b"".join(chance.choice(kinds)() for _ in range(8))
        size = chance.randrange(5, 120), chance.randrange(2, 50)
        found, slowly = every_way(monkeypatch, ENGINES[0], data, *size)
        assert found == slowly


def test_the_engine_gets_the_ends_of_a_run_only(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = ENGINES[0](80, 24, rendering.KEPT_ROWS)
    fed: list[bytes] = []
    feed = engine.feed

    def noted(data: bytes) -> bytes:
        fed.append(data)
        return data

    monkeypatch.setattr(engine, "feed", lambda data: feed(noted(data)))
    found = Renderer(engine, 24).feed([(0, 1.0)], _RUN)
    assert sum(map(len, fed)) < len(_RUN) / 10
    assert sum(len(texts) for _, _, texts in found) == 1500 - 23
    engine.close()


@pytest.mark.parametrize("kind", _KINDS)
def test_blanks_where_a_line_goes_on_are_in_it(kind: type[Any]) -> None:
    data = b"0123456 done; echo; done   \r\nab  \r\n" + "宽".encode() * 6 + b" a\r\n"
    expected = ["0123456 done; echo; done", "ab", "宽宽宽宽宽宽 a"]
    for columns in (13, 14, 15, 21, 26, 80):
        assert texts(kind, data, columns, 5) == expected
        assert texts(kind, data + b"\r\n" * 9, columns, 5)[:3] == expected


@pytest.mark.parametrize("kind", _KINDS)
def test_a_line_has_the_time_at_which_the_cursor_left_it(kind: type[Any]) -> None:
    data = b"".join(b"%08d\r\n" % number for number in range(200))
    found = lines(kind, data, piece=100)
    assert [text for _, _, text in found] == [f"{number:08}" for number in range(200)]
    for number, (at, offset, _) in enumerate(found):
        assert number * 10 + 10 <= offset <= number * 10 + 410
        assert 1000.0 + number // 10 <= at <= 1000.0 + number // 10 + 4


@pytest.mark.parametrize("kind", _KINDS)
def test_times_stay_in_order_when_the_cursor_goes_up(kind: type[Any]) -> None:
    data = b"".join(
        b"%d\r\n" % number + b"\x1b[2A\r\n\r\n\x1b[2A\x1b[2B\x1b[?1049hx\x1b[?1049l"
        for number in range(300)
    )
    data = b"a\r\nb\r\n" + data
    found = lines(kind, data, piece=50)
    assert [text for _, _, text in found] == ["a", "b", *map(str, range(300))]
    assert [at for at, _, _ in found] == sorted(at for at, _, _ in found)
    assert [offset for _, offset, _ in found] == sorted(offset for _, offset, _ in found)


def test_a_run_has_the_times_of_its_pieces() -> None:
    data = b"".join(b"%08d\r\n" % number for number in range(20_000))
    found = lines(ENGINES[0], data, piece=5000)
    middle = [(at, offset, text) for at, offset, text in found if 1000 < int(text) < 19_000]
    for at, offset, text in middle:
        begin, end = int(text) * 10, int(text) * 10 + 10
        assert end <= offset <= end + rendering.STEP
        if begin % 5000 < 4000:  # not where a step of the engine meets the next piece
            assert at == 1000.0 + (end - 1) // 5000


def test_a_line_without_end_comes_in_parts() -> None:
    found = texts(ENGINES[0], b"x" * 600_000)
    assert "".join(found) == "x" * 600_000
    assert max(map(len, found)) < 300_000
