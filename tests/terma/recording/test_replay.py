"""`terma replay`: the pace of a recording, the keys, and the terminal as it was before."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from terma.recording.replay import Pace
from terma.screen.ghostty import GhosttyEngine
from terma.times import show_time
from tests.terma.recordings import Person, Recordings, now, recordings
from tests.terma.scripted import run

NOW = now()
LEFT = b"\x1b[?1049l\x1b[23;0t"


@pytest.fixture
def service() -> Iterator[Recordings]:
    with recordings() as service:
        yield service


def shown(person: Person) -> bytes:
    """What was put out of the recording: without titles and what surrounds it."""
    inside = person.shown.partition(b"\x1b[H\x1b[2J")[2].partition(b"\x1b[?2026l")[0]
    return re.sub(rb"\x1b\]2;[^\x1b]*\x1b\\", b"", inside).partition(b"\x1b[!p")[0]


# -- the pace --------------------------------------------------------------------------------


def test_the_first_output_is_due_at_once_and_the_next_after_its_pause() -> None:
    pace = Pace(1.0, 9.0)
    pace.expect(1000.0, now=5.0)
    assert pace.wait_s(5.0) == 0
    pace.expect(1001.5, now=5.0)
    assert pace.wait_s(5.0) == 1.5
    assert pace.wait_s(6.0) == 0.5
    assert pace.wait_s(7.0) == 0


def test_speed_and_limit_shorten_a_pause() -> None:
    pace = Pace(4.0, 2.0)
    pace.expect(1000.0, now=0.0)
    pace.expect(1001.0, now=0.0)
    assert pace.wait_s(0.0) == 0.25
    pace = Pace(4.0, 2.0)
    pace.expect(1000.0, now=0.0)
    pace.expect(9999.0, now=0.0)
    assert pace.wait_s(0.0) == 0.5


def test_what_came_a_little_late_is_made_up_for() -> None:
    pace = Pace(1.0, 9.0)
    pace.expect(0.0, now=0.0)
    pace.expect(1.0, now=0.0)
    pace.expect(2.0, now=1.0625)
    assert pace.wait_s(1.0625) == pytest.approx(0.9375)
    pace.expect(3.0, now=9.0)
    assert pace.wait_s(9.0) == pytest.approx(0.9)


def test_a_pause_of_the_person_stops_the_time() -> None:
    pace = Pace(1.0, 9.0)
    pace.expect(0.0, now=0.0)
    pace.expect(4.0, now=0.0)
    pace.pause(1.0)
    assert pace.wait_s(100.0) is None
    pace.pause(101.0)
    assert pace.wait_s(101.0) == 3.0


def test_another_speed_counts_from_now_on() -> None:
    pace = Pace(1.0, 9.0)
    pace.expect(0.0, now=0.0)
    pace.expect(4.0, now=0.0)
    pace.change_speed(2.0, now=2.0)
    assert (pace.speed, pace.wait_s(2.0)) == (2.0, 1.0)
    for _ in range(30):
        pace.change_speed(0.5, now=2.0)
    assert pace.speed == 1 / 16


def test_skipping_passes_over_5_s_and_no_more() -> None:
    pace = Pace(1.0, 9.0)
    pace.expect(0.0, now=0.0)
    pace.expect(3.0, now=0.0)
    pace.skip(1.0)
    for at in (4.0, 5.9):
        assert pace.wait_s(1.0) == 0
        pace.expect(at, now=1.0)
    assert pace.wait_s(1.0) == 0
    pace.expect(7.0, now=1.0)
    assert pace.wait_s(1.0) == 0  # the first one behind is where it goes on
    pace.expect(8.0, now=1.0)
    assert pace.wait_s(1.0) == 1.0


def test_skipping_counts_a_pause_as_long_as_it_is_played() -> None:
    pace = Pace(1.0, 2.0)
    pace.expect(0.0, now=0.0)
    pace.skip(0.0)
    for at, expected_s in ((40.0, 2.0), (80.0, 4.0), (120.0, 6.0)):
        assert pace.wait_s(0.0) == 0
        pace.expect(at, now=0.0)
        assert pace.expected_s == expected_s
    assert pace.wait_s(0.0) == 0
    pace.expect(160.0, now=0.0)
    assert pace.wait_s(0.0) == 2.0


def test_no_speed_waits_for_nothing() -> None:
    pace = Pace(0.0, 9.0)
    pace.expect(0.0, now=0.0)
    pace.expect(100.0, now=0.0)
    assert pace.wait_s(0.0) == 0
    pace.change_speed(2.0, now=0.0)
    assert pace.speed == 0


def test_a_clock_that_was_set_back_is_no_pause() -> None:
    pace = Pace(1.0, 9.0)
    pace.expect(100.0, now=0.0)
    pace.expect(50.0, now=0.0)
    assert pace.wait_s(0.0) == 0


# -- on a terminal ---------------------------------------------------------------------------


def test_it_is_played_on_the_other_screen_and_a_key_leaves(
    service: Recordings, tmp_path: Path
) -> None:
    service.put(b"one\r\n", NOW - 100)
    service.put(b"\x1b[31mtwo\x1b[6n\x1b]52;c;x\x07\x1b[24;70Hcorner\x1b[3D", NOW)
    command = ["replay", "alice", "--idle-limit", "1", "--speed", "10"]
    with Person(tmp_path, command) as person:
        person.wait_for(b"the end of alice: any key leaves \x1b[m\x1b[K")
        assert _rows(person.shown)[23] == "the end of alice: any key leaves"
        assert person.shown.index(b"\x1b[?1049h") < person.shown.index(b"one")
        assert shown(person) == b"one\r\n\x1b[31mtwo\x1b[24;70Hcorner\x1b[3D"
        assert b"\x1b]2;alice 0:01, " + show_time(NOW).encode() in person.shown
        person.type("x")
        assert person.wait() == 0
        _, after = person.shown.split(LEFT)
        assert f"alice: shown up to {show_time(NOW)}, offset {service.log.end}" in after.decode()


def test_keys_pause_and_step_and_quit(service: Recordings, tmp_path: Path) -> None:
    for number in range(4):
        service.put(b"line%d\r\n" % number, NOW + 1000 * number)
    with Person(tmp_path, ["replay", "alice", "--idle-limit", "900"]) as person:
        person.wait_for(b"line0")
        person.type(" ")
        person.wait_for(b"paused")
        person.type(".")
        person.wait_for(b"line1")
        person.type("+")
        person.type(".")
        person.wait_for(b"line2")
        assert b"line3" not in person.shown
        person.type("q")
        assert person.wait() == 0
        assert b"shown up to " + show_time(NOW + 2000).encode() in person.shown


def test_a_pause_is_told_below_the_recording_and_leaves_no_trace(
    service: Recordings, tmp_path: Path
) -> None:
    for number, at in enumerate((NOW, NOW + 1000, NOW + 1000.25, NOW + 2000)):
        service.put(b"\x1b[31mline%d\r\n" % number, at, (80, 20))
    with Person(tmp_path, ["replay", "alice", "--idle-limit", "900"]) as person:
        person.wait_for(b"line0")
        person.type(" ")
        paused = b"paused: space goes on, . shows the next, q ends it"
        person.wait_for(b" alice 0:00, " + paused + b" \x1b[m\x1b[K\x1b8")
        assert _rows(person.shown)[23].startswith("alice 0:00, ")
        assert b"\x1b]2;alice 0:00, " + show_time(NOW).encode() + b", " + paused in person.shown
        person.type(".")
        person.wait_for(b" alice 15:00, " + paused + b" \x1b[m\x1b[K\x1b8")
        assert _rows(person.shown)[1].startswith("line1")
        person.type(".")
        person.wait_until(lambda: person.shown.count(b" alice 15:00, ") == 2, "the mark again")
        person.wait_until(lambda: person.shown.endswith(b"\x1b8"), "all of it")
        assert _rows(person.shown)[2].startswith("line2")
        assert _rows(person.shown)[23].startswith("alice 15:00, ")
        person.type(" ")
        person.wait_for(b", 1x\x1b\\")
        person.type("-")
        person.wait_for(b", 0.5x\x1b\\")
        assert _rows(person.shown) == ["line0", "line1", "line2", *[""] * 21]
        person.type("q")
        assert person.wait() == 0


@pytest.mark.parametrize(
    ("output", "size"),
    [
        (b"as high as the window", (80, 24)),
        (b"\x1b7the cursor is kept", (80, 20)),
        (b"\x1b[?1049ha full screen", (80, 20)),
    ],
)
def test_where_the_recording_needs_it_all_only_the_title_tells_of_a_pause(
    service: Recordings, tmp_path: Path, output: bytes, size: tuple[int, int]
) -> None:
    service.put(output, NOW, size)
    service.put(b"two", NOW + 1000, size)
    with Person(tmp_path, ["replay", "alice", "--idle-limit", "900"]) as person:
        person.wait_for(output[-6:])
        person.type(" ")
        person.wait_for(b"paused: space goes on")
        person.type("q")
        assert person.wait() == 0
        assert b" q ends it\x1b\\" in person.shown
        assert b" q ends it \x1b[m" not in person.shown


def test_bytes_that_were_not_kept_are_told_at_the_end(service: Recordings, tmp_path: Path) -> None:
    service.put(b"one", NOW)
    service.leave_out(10, NOW)
    service.put(b"two", NOW)
    told = "10 bytes were not kept, before offset 13"
    with Person(tmp_path, ["replay", "alice"]) as person:
        person.wait_for(b"any key leaves")
        person.type("x")
        assert person.wait() == 0
        assert told in person.shown.split(LEFT)[1].decode()
    ran = run("replay", "alice", "--speed", "0")
    assert (ran.status, ran.out, ran.err) == (0, b"onetwo", f"{told}\n")


def _rows(data: bytes) -> list[str]:
    engine = GhosttyEngine(80, 24, 0)
    engine.feed(data)
    rows = ["".join(run.text for run in row.runs).strip() for row in engine.show().lines]
    engine.close()
    return [*rows, *[""] * (24 - len(rows))]


def test_the_arrow_passes_over_5_s(service: Recordings, tmp_path: Path) -> None:
    for number in range(4):
        service.put(b"line%d\r\n" % number, NOW + 3 * number)
    service.put(b"later", NOW + 900)
    with Person(tmp_path, ["replay", "alice", "--idle-limit", "900", "--speed", "0.1"]) as person:
        person.wait_for(b"line0")
        person.type("\x1b[C")
        person.wait_for(b"line2")
        person.type("\x03")
        assert person.wait() == 0
        assert b"later" not in person.shown


def test_a_signal_gives_the_terminal_back(service: Recordings, tmp_path: Path) -> None:
    service.put(b"one", NOW)
    service.put(b"two", NOW + 1000)
    for number, status in ((signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, -2)):
        with Person(tmp_path, ["replay", "alice", "--idle-limit", "900"]) as person:
            person.wait_for(b"one")
            os.kill(person.pid, number)
            assert person.wait() == status
            assert person.shown.endswith(LEFT)


def test_a_window_that_is_closed_ends_it(service: Recordings, tmp_path: Path) -> None:
    service.put(b"one", NOW)
    service.put(b"two", NOW + 1000)
    with Person(tmp_path, ["replay", "alice", "--idle-limit", "900"]) as person:
        person.wait_for(b"one")
        assert person.hang_up() in (0, 128 + signal.SIGHUP)


def test_a_size_that_does_not_fit_is_told_first(service: Recordings, tmp_path: Path) -> None:
    service.put(b"one", NOW, (132, 50))
    with Person(tmp_path, ["replay", "alice"]) as person:
        person.wait_for(b"Enter plays it")
        assert b"alice had 132 x 50, this terminal has 80 x 24" in person.shown
        assert b"\x1b[?1049h" not in person.shown
        person.type("\r")
        person.wait_for(b"any key leaves")
        assert b"needs 132 x 50" in person.shown
        person.type("q")
        assert person.wait() == 0


@pytest.mark.parametrize("key", ["q", " ", "\x1b[C", "\x03"])
def test_every_key_but_enter_leaves_what_does_not_fit(
    key: str, service: Recordings, tmp_path: Path
) -> None:
    service.put(b"one", NOW, (132, 50))
    with Person(tmp_path, ["replay", "alice"]) as person:
        person.wait_for(b"any other key leaves")
        person.type(key)
        assert person.wait() == 0
        assert b"\x1b[?1049h" not in person.shown


def test_by_its_id_it_has_its_name(
    service: Recordings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Recordings, "_check", lambda *_: None)  # it knows no id
    service.put(b"one", NOW)
    with Person(tmp_path, ["replay", "a" * 32]) as person:
        person.wait_for(b"the end of alice: any key leaves")
        assert b"\x1b]2;alice 0:00, " in person.shown
        person.type("q")
        assert person.wait() == 0
        assert b"alice: shown up to" in person.shown
        assert b"aaaa" not in person.shown


def test_what_a_program_did_to_the_terminal_is_undone(service: Recordings, tmp_path: Path) -> None:
    service.put(b"\x1b[?25l\x1b[2;5r\x1b(0\x0e\x1b[?7l\x1b[?1049h\x1b[?1000h", NOW)
    with Person(tmp_path, ["replay", "alice"]) as person:
        person.wait_for(b"any key leaves")
        person.type("q")
        assert person.wait() == 0
        assert b"\x1b[?1000h" not in person.shown
        assert person.shown.count(b"\x1b[?1049h") == 1
        leaving = person.shown[person.shown.rindex(b"\x1b[?2026l") :]
        for undone in (b"\x1b[?25h", b"\x1b[r", b"\x1b(B", b"\x0f", b"\x1b[?7h"):
            assert undone in leaving


def test_on_a_higher_terminal_it_scrolls_where_it_did(service: Recordings, tmp_path: Path) -> None:
    service.put(b"one", NOW, (80, 10))
    with Person(tmp_path, ["replay", "alice"]) as person:
        person.wait_for(b"any key leaves")
        assert b"\x1b[1;10rone" in person.shown
        person.type("q")
        assert person.wait() == 0


# -- without one -----------------------------------------------------------------------------


def test_a_pipe_gets_what_is_safe_all_at_once(service: Recordings) -> None:
    service.put(b"one\r\n\x1b[31mtwo\x1b[6n", NOW)
    service.put(b"\x1b]52;c;x\x07three", NOW + 1000)
    ran = run("replay", "alice", "--speed", "0")
    assert (ran.status, ran.out) == (0, b"one\r\n\x1b[31mtwothree")


@pytest.mark.usefixtures("service")
def test_a_pipe_cannot_be_played_on() -> None:
    ran = run("replay", "alice")
    assert (ran.status, ran.out) == (2, b"")
    assert "terma export alice --raw -" in ran.err


@pytest.mark.usefixtures("service")
def test_a_recording_of_nothing_is_told() -> None:
    ran = run("replay", "alice", "--speed", "0")
    assert (ran.status, ran.out) == (0, b"")
    assert ran.err == "nothing was put out in that time\n"


@pytest.mark.parametrize(
    "arguments", [["--speed", "-1"], ["--speed", "nan"], ["--speed", "1e9"], ["--idle-limit", "-1"]]
)
def test_figures_that_make_no_sense_are_refused(arguments: list[str]) -> None:
    assert run("replay", "alice", *arguments).status == 2
