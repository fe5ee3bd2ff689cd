"""Times as people write them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.errors import UsageError
from terma.times import read_span, read_time, show_time

NOW = datetime(2026, 11, 20, 15, 30).timestamp()


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1h", 3600), ("1h30m", 5400), ("2d", 172_800), ("1w", 604_800),
     ("0s", 0), (" 1h ", 3600)],
)  # fmt: skip
def test_so_long_ago(text: str, seconds: float) -> None:
    assert read_time(text, NOW) == NOW - seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20 14:00", datetime(2026, 11, 20, 14, 0)),
        ("2026-11-20T14:00:05", datetime(2026, 11, 20, 14, 0, 5)),
        ("2026-11-20", datetime(2026, 11, 20)),
        ("14:00", datetime(2026, 11, 20, 14, 0)),
        ("14:00:30", datetime(2026, 11, 20, 14, 0, 30)),
        ("16:00", datetime(2026, 11, 19, 16, 0)),
    ],
)
def test_local_times(text: str, expected: datetime) -> None:
    assert read_time(text, NOW) == expected.timestamp()


def test_a_zone_counts() -> None:
    assert read_time("1970-01-01T01:00+01:00", NOW) == 0.0
    assert read_time("1970-01-01T00:00:00Z", NOW) == 0.0


@pytest.mark.usefixtures("in_berlin")
def test_times_are_shown_as_they_are_read() -> None:
    assert show_time(0.0) == "1970-01-01 01:00:00"
    assert read_time(show_time(1_795_000_000.0), NOW) == 1_795_000_000.0
    assert show_time(1e30) == "?"


@pytest.mark.parametrize(
    "text", ["", "soon", "1", "h", "1y", "-1h", "1.5h", "25:00", "2026-13-01", "99999999h", "١h"]
)
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(UsageError, match="is no time") as refused:
        read_time(text, NOW)
    assert refused.value.hint
    assert "1h30m" in refused.value.hint


@given(st.text(max_size=25))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(read_time(text, NOW), float)
    except UsageError:
        pass  # that is the other answer


def test_a_span_has_its_ends_in_order() -> None:
    assert read_span("1h", "10m", NOW) == (NOW - 3600, NOW - 600)
    assert read_span(None, None, NOW) == (None, None)
    with pytest.raises(UsageError, match="--until 1h is before --since 10m"):
        read_span("10m", "1h", NOW)
