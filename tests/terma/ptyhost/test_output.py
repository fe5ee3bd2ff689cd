"""Output: all of it, by offset, to whoever asks, however slowly they read."""

from __future__ import annotations

import itertools
import os
import resource
import select
from pathlib import Path
from typing import Any

import psutil
import pytest

from terma.ptyhost.log import RECORD
from tests.terma.ptyhost.ptyhost_process import (
    Client,
    Ptyhost,
    Refused,
    use_all_descriptors,
    wait_until,
)

FLOOD = "i=0; while [ $i -lt 40 ]; do i=$((i+1)); head -c 100000 /dev/zero | tr '\\0' x; done"


def logged(folder: Path) -> bytes:
    """All that lies in a log."""
    return b"".join(file.read_bytes() for file in sorted(folder.glob("*.log")))


def test_everything_arrives_before_the_end_is_told(client: Client, tmp_path: Path) -> None:
    client.open("a", "seq", "200000", log=str(tmp_path))
    client.follow("a")
    end = client.wait_event("exit", terminal="a")["end"]
    expected = b"".join(b"%d\r\n" % number for number in range(1, 200_001))
    assert bytes(client.output[1]) == expected == logged(tmp_path)
    assert end == len(expected)
    assert client.seen[-1]["event"] == "exit"


def test_several_follow_from_wherever_they_like(ptyhost: Ptyhost, tmp_path: Path) -> None:
    first, second = ptyhost.client(), ptyhost.client()
    first.open("a", "seq", "50000", log=str(tmp_path))
    first.follow("a", 0, channel=3)
    first.wait_event("exit", terminal="a")
    whole = bytes(first.output[3])
    for channel, offset in ((1, 0), (2, 100_001), (7, len(whole))):
        assert second.follow("a", offset, channel) == {"oldest": 0, "end": len(whole)}
    second.wait(lambda: second.ends[1] == second.ends[2] == len(whole), "all of it")
    assert (bytes(second.output[1]), bytes(second.output[2])) == (whole, whole[100_001:])
    assert second.ask("read", terminal="a", offset=5, limit=7)[:2] == (5, whole[5:12])
    assert second.ask("read", terminal="a", offset=len(whole), limit=7)[1] == b""
    with pytest.raises(Refused, match="usage"):
        second.follow("a", len(whole) + 1)


def test_a_client_that_does_not_read_costs_nothing_and_misses_nothing(
    ptyhost: Ptyhost, tmp_path: Path
) -> None:
    slow, quick = ptyhost.client(), ptyhost.client()
    slow.open("a", "sh", "-c", f"read x; {FLOOD}; echo END; cat", log=str(tmp_path))
    slow.follow("a")
    quick.follow("a")
    before = psutil.Process(ptyhost.pid).memory_info().rss
    quick.write("a", b"\n")
    quick.wait_for(b"END")
    assert psutil.Process(ptyhost.pid).memory_info().rss - before < 2_000_000
    slow.wait_for(b"END")
    assert slow.output == quick.output


def test_what_is_gone_is_said_to_be_trimmed(client: Client) -> None:
    client.open("a", "sh", "-c", f"{FLOOD}; echo END; cat")  # without a log
    wait_until(lambda: client.state("a")["end"] == 4_000_005, "all of it")
    state = client.state("a")
    assert 262_144 <= state["end"] - state["oldest"] <= 300_000
    for answer in (
        client.follow("a", 10), client.ask("read", terminal="a", offset=10, limit=5),
    ):  # fmt: skip
        assert answer == {"trimmed": True, "oldest": state["oldest"], "end": 4_000_005}
    client.follow("a", state["oldest"])
    assert client.wait_for(b"END\r\n").endswith(b"xEND\r\n")


def test_one_that_falls_behind_goes_on_at_the_oldest(ptyhost: Ptyhost) -> None:
    slow, quick = ptyhost.client(), ptyhost.client()
    slow.open("a", "sh", "-c", f"read x; {FLOOD}; echo END; cat")
    slow.follow("a")
    quick.write("a", b"\n")
    wait_until(lambda: quick.state("a")["end"] > 4_000_000, "all of it")
    slow.wait_for(b"END\r\n")
    # What was on its way came first; then the gap, the size there, and all that is kept.
    trimmed = slow.wait_event("trimmed", channel=1)
    assert trimmed["oldest"] > 3_500_000
    after = slow.seen[slow.seen.index(trimmed) + 1]
    assert (after["event"], after["offset"]) == ("size", trimmed["oldest"])
    assert slow.ends[1] == quick.state("a")["end"]


def test_offsets_go_on_when_a_log_is_opened_again(client: Client, tmp_path: Path) -> None:
    for turn in range(3):
        client.open("a", "echo", f"turn {turn}", log=str(tmp_path))
        client.follow("a", 0, channel=turn)
        client.wait(lambda: client.ends[turn] == 8 * (turn + 1), "all turns")  # noqa: B023
        client.wait_event("exit", terminal="a", end=8 * (turn + 1))
        client.ask("forget", terminal="a")
    assert client.output[2] == b"turn 0\r\nturn 1\r\nturn 2\r\n" == logged(tmp_path)


def test_a_log_keeps_its_limit_and_says_what_is_gone(client: Client, tmp_path: Path) -> None:
    client.open("a", "sh", "-c", f"{FLOOD}; echo END", log=str(tmp_path), log_bytes=1_000_000)
    client.wait_event("exit", terminal="a")
    state = client.state("a")
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 1_100_000
    assert 700_000 < state["end"] - state["oldest"] < 1_100_000
    assert client.follow("a", 0)["oldest"] == state["oldest"]
    client.follow("a", state["oldest"])
    client.wait(lambda: client.ends[1] == state["end"], "the rest")
    assert bytes(client.output[1]) == logged(tmp_path)


def test_sizes_come_in_order_with_the_output(client: Client, tmp_path: Path) -> None:
    script = "trap 'stty size' WINCH; stty -echo; echo ready; while read x; do echo $x; done"
    client.open("a", "bash", "-c", script, log=str(tmp_path))
    client.follow("a")
    client.wait_for(b"ready")
    sizes = [(80, 24)]
    for number in range(1, 6):
        client.ask("resize", terminal="a", columns=80 + number, rows=24)
        client.ask("resize", terminal="a", columns=80 + number, rows=24)  # the same: nothing
        client.write("a", b"line %d\n" % number)
        client.wait_for(b"line %d\r\n" % number)
        sizes.append((80 + number, 24))
    told = [
        (one["offset"], one["columns"], one["rows"]) for one in client.seen if "event" in one
    ]  # fmt: skip
    assert [size for _, *size in told] == [list(size) for size in sizes]
    output = bytes(client.output[1])
    for (offset, _, _), number in zip(told[1:], itertools.count(1)):
        assert output.index(b"line %d" % (number - 1)) < offset if number > 1 else True
        assert offset <= output.index(b"line %d" % number)
    [times] = tmp_path.glob("*.times")
    records = [record[2:] for record in RECORD.iter_unpack(times.read_bytes())]
    assert [size for size, _ in itertools.groupby(records)] == sizes
    late = client.follow("a", told[3][0], channel=2)
    client.wait(lambda: client.ends[2] == late["end"], "the rest")
    assert [one["columns"] for one in client.events if one["channel"] == 2] == [83, 84, 85]


def test_a_storm_of_sizes_loses_none_to_one_who_reads_and_ends_at_the_last(
    client: Client,
) -> None:
    client.open("a", "cat")
    client.follow("a")
    numbers = [
        client.send("resize", terminal="a", columns=1 + n % 500, rows=24) for n in range(500)
    ]  # fmt: skip
    for number in numbers:
        assert client.answer(number) == {}
    client.wait_event("size", columns=500)
    assert [one["columns"] for one in client.events] == [80, *range(1, 501)]
    assert client.state("a")["columns"] == 500


def test_background_jobs_do_not_keep_a_terminal_from_ending(client: Client) -> None:
    client.open("a", "sh", "-c", "trap '' HUP; (sleep 60; echo late) & yes & sleep 0.05; exit 3")
    client.follow("a")
    assert client.wait_event("exit", terminal="a")["status"] == 3
    assert client.ends[1] == client.state("a")["end"]
    client.ask("close", terminal="a", grace_s=0)


def test_a_program_that_closes_its_terminal_may_open_it_again(client: Client) -> None:
    script = "exec <&- >&- 2>&-; sleep 0.2; exec <> /dev/tty >&0 2>&0; echo back; exec cat"
    client.open("a", "sh", "-c", script)
    client.follow("a")
    client.wait_for(b"back")
    client.write("a", b"typed\n")
    client.wait_for(b"typed")


def test_a_flood_holds_nobody_up(ptyhost: Ptyhost, client: Client, tmp_path: Path) -> None:
    client.open("flood", "yes", log=str(tmp_path))
    client.open("calm", "cat")
    follower = ptyhost.client()
    follower.follow("flood")
    client.follow("calm")
    follower.wait(lambda: follower.ends[1] > 1_000_000, "a flood")
    for number in range(50):
        client.write("calm", b"%d\n" % number)
        client.wait_for(b"%d\r\n" % number)
    assert client.ask("list")


def test_a_disk_that_takes_no_more_does_not_end_a_terminal(
    ptyhost: Ptyhost, client: Client, tmp_path: Path
) -> None:
    process = psutil.Process(ptyhost.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    client.open("a", "sh", "-c", "stty -echo; while read n; do head -c $n /dev/zero | tr '\\0' x; "
                "echo \" END $n\"; done", log=str(tmp_path))  # fmt: skip
    client.follow("a")
    client.write("a", b"10000\n")
    client.wait_for(b"END 10000\r\n")
    process.rlimit(psutil.RLIMIT_FSIZE, (15_000, before[1]))
    client.write("a", b"90000\n")
    client.wait_for(b"END 90000\r\n")
    event = client.wait_event("log", terminal="a")
    assert "too large" in event["error"].lower()
    assert client.state("a")["log_error"] == event["error"]
    process.rlimit(psutil.RLIMIT_FSIZE, before)
    client.wait_event("log", terminal="a", error=None)
    client.write("a", b"5\n")
    client.wait_for(b"END 5\r\n")
    # What lay in the ring was written down; before it is a gap, and no offset has moved.
    whole = bytes(client.output[1])
    for file in tmp_path.glob("*.log"):
        start, data = int(file.stem), file.read_bytes()
        assert whole[start : start + len(data)] == data
    assert max(int(file.stem) + file.stat().st_size for file in tmp_path.glob("*.log")) == len(
        whole
    )
    assert len(logged(tmp_path)) >= 65_536


def test_a_gap_in_the_log_is_passed_over(ptyhost: Ptyhost, client: Client, tmp_path: Path) -> None:
    process = psutil.Process(ptyhost.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (15_000, before[1]))
    client.open("a", "sh", "-c", "head -c 500000 /dev/zero | tr '\\0' x; read x; echo END",
                log=str(tmp_path))  # fmt: skip
    wait_until(lambda: client.state("a")["end"] == 500_000, "the flood")
    process.rlimit(psutil.RLIMIT_FSIZE, before)
    client.wait_event("log", terminal="a", error=None)
    client.write("a", b"\n")
    client.wait_event("exit", terminal="a")
    state = client.state("a")
    client.follow("a", 0)
    client.wait(lambda: client.ends[1] == state["end"], "the end")
    trimmed = [one["oldest"] for one in client.events if one["event"] == "trimmed"]
    assert trimmed
    starts = {int(file.stem) for file in tmp_path.glob("*.log")}
    assert set(trimmed) <= starts
    assert bytes(client.output[1]) == logged(tmp_path)


def test_a_log_that_is_cut_while_it_is_written_shifts_no_offset(
    client: Client, tmp_path: Path
) -> None:
    script = "stty -echo; head -c 200000 /dev/zero; while read x; do echo $x; done"
    client.open("a", "sh", "-c", script, log=str(tmp_path))
    wait_until(lambda: client.state("a")["end"] == 200_000, "the flood")
    os.truncate(tmp_path / f"{0:020}.log", 0)
    client.follow("a", 200_000)
    client.write("a", b"alice\n")
    client.wait_for(b"alice\r\n")
    answer = client.ask("read", terminal="a", offset=0, limit=5)
    assert (answer["trimmed"], answer["oldest"]) == (True, client.state("a")["oldest"])
    assert 100_000 < answer["oldest"] < 200_000  # what is in memory
    client.write("a", b"\x04")
    end = client.wait_event("exit", terminal="a")["end"]
    assert client.ask("read", terminal="a", offset=0, limit=5)["oldest"] == 200_000
    assert client.ask("read", terminal="a", offset=200_000, limit=99)[1] == b"alice\r\n"
    assert client.state("a")["log_error"] is None
    assert end == 200_007


@pytest.mark.parametrize("knows", ["exit file", "times"])
def test_offsets_go_on_behind_what_was_cut_while_nothing_ran(
    client: Client, tmp_path: Path, knows: str
) -> None:
    log, file = str(tmp_path / "log"), str(tmp_path / "end")
    script = "printf one; sleep 0.1; printf two"
    client.open("a", "sh", "-c", script, log=log, exit_file=file)
    client.wait_event("exit", terminal="a", end=6)
    os.truncate(tmp_path / "log" / f"{0:020}.log", 1)
    if knows == "times":
        (tmp_path / "end").unlink()
    end = 6 if knows == "exit file" else 3
    client.open("b", "printf", "three", log=log, exit_file=file)
    client.wait_event("exit", terminal="b", end=end + 5)
    assert client.ask("read", terminal="b", offset=0, limit=9)[1] == b"o"
    assert client.ask("read", terminal="b", offset=1, limit=9) == {
        "trimmed": True, "oldest": end, "end": end + 5,
    }  # fmt: skip
    assert client.ask("read", terminal="b", offset=end, limit=9)[1] == b"three"


def test_without_a_descriptor_left_nothing_is_said_to_be_gone(
    ptyhost: Ptyhost, client: Client, tmp_path: Path
) -> None:
    process = psutil.Process(ptyhost.pid)
    limit = process.rlimit(psutil.RLIMIT_NOFILE)
    client.open("a", "sh", "-c", "head -c 200000 /dev/zero; read x; echo END", log=str(tmp_path))
    wait_until(lambda: client.state("a")["end"] == 200_000, "the flood")
    client.follow("a", 200_000, channel=2)  # it needs none
    use_all_descriptors(ptyhost.pid)
    for op in ("read", "subscribe"):
        with pytest.raises(Refused, match=r"failed: .*Too many open files"):
            client.ask(op, terminal="a", offset=0, limit=5, channel=1)
    assert client.state("a")["log_error"] is None
    process.rlimit(psutil.RLIMIT_NOFILE, limit)
    assert client.follow("a", 0)["oldest"] == 0
    client.write("a", b"\n")
    assert len(client.wait_for(b"END\r\n")) == len(b"\r\nEND\r\n") + 200_000
    assert not [one for one in client.events if one["event"] in ("log", "trimmed")]


def test_one_who_follows_waits_for_a_descriptor_and_misses_nothing(
    ptyhost: Ptyhost, tmp_path: Path
) -> None:
    slow, quick = ptyhost.client(), ptyhost.client()
    process = psutil.Process(ptyhost.pid)
    limit = process.rlimit(psutil.RLIMIT_NOFILE)
    slow.open("a", "sh", "-c", f"read x; {FLOOD}; echo END; read x", log=str(tmp_path))
    slow.follow("a")
    quick.write("a", b"\n")
    wait_until(lambda: quick.state("a")["end"] == 4_000_007, "the flood")
    use_all_descriptors(ptyhost.pid)
    while select.select([slow.socket], [], [], 0)[0]:  # what was on its way
        slow.take()
        quick.ask("list")
    got = slow.ends[1]
    assert got < 4_000_007
    with pytest.raises(Refused, match="Too many open files"):
        quick.ask("read", terminal="a", offset=got, limit=5)
    assert quick.state("a")["log_error"] is None
    process.rlimit(psutil.RLIMIT_NOFILE, limit)
    quick.write("a", b"\n")
    assert slow.wait_event("exit", terminal="a")["end"] == slow.ends[1] == len(slow.output[1])
    assert not [one for one in slow.events if one["event"] == "trimmed"]


def test_a_log_is_well_again_though_nothing_more_comes(
    ptyhost: Ptyhost, client: Client, tmp_path: Path
) -> None:
    client.open("a", "sh", "-c", "stty -echo; echo ready; exec cat", log=str(tmp_path / "log"))
    client.follow("a")
    client.wait_for(b"ready\r\n")
    for file in (tmp_path / "log").iterdir():
        file.unlink()
    client.ask("resize", terminal="a", columns=90, rows=30)
    assert "removed" in client.wait_event("log", terminal="a")["error"]
    client.wait_event("log", terminal="a", error=None)
    client.write("a", b"more\n")
    client.wait_for(b"more\r\n")
    assert logged(tmp_path / "log") == b"more\r\n"


def test_a_log_that_cannot_be_read_is_a_gap_to_one_who_follows(
    tekton_home: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; from terma.ptyhost import __main__, files\n"
        "def fail(*_): raise OSError(5, 'bad disk')\n"
        "files.read = fail; sys.exit(__main__.main(sys.argv[1]))"
    )
    with Ptyhost(tekton_home / "run", ("-c", script)) as ptyhost:
        slow, quick = ptyhost.client(), ptyhost.client()
        program = f"read x; {FLOOD}; echo END; read x"
        slow.open("a", "sh", "-c", program, log=str(tmp_path))
        slow.follow("a")
        quick.write("a", b"\n")
        wait_until(lambda: quick.state("a")["end"] > 4_000_000, "the flood")
        with pytest.raises(Refused, match=r"failed: .*bad disk"):
            quick.ask("read", terminal="a", offset=0, limit=5)
        slow.wait_for(b"END\r\n")
        assert slow.wait_event("trimmed", channel=1)["oldest"] > 3_900_000
        assert quick.state("a")["log_error"] is None


def test_a_log_that_cannot_be_made_leaves_a_terminal_that_works(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    client.open("a", "sh", "-c", "echo one; read x", log=str(tmp_path / "file" / "log"))
    client.follow("a")
    client.wait_for(b"one")
    assert client.wait_event("log", terminal="a")["error"]
    client.write("a", b"\n")
    client.wait_event("exit", terminal="a")
    assert client.ask("read", terminal="a", offset=0, limit=5)[1] == b"one\r\n"


def test_unsubscribed_means_no_more(client: Client) -> None:
    client.open("a", "cat")
    client.follow("a", channel=1)
    client.follow("a", channel=2)
    client.ask("unsubscribe", channel=1)
    client.write("a", b"hello\n")
    client.wait_for(b"hello\r\nhello", 2)
    assert client.output[1] == b""
    assert client.ask("unsubscribe", channel=99) == {}


def test_only_what_has_ended_is_forgotten(client: Client, tmp_path: Path) -> None:
    client.open("a", "sh", "-c", "echo hello; read x", log=str(tmp_path))
    with pytest.raises(Refused, match="still runs"):
        client.ask("forget", terminal="a")
    client.follow("a")
    client.wait_for(b"hello")
    client.write("a", b"\n")
    client.wait_event("exit", terminal="a")
    client.ask("forget", terminal="a")
    assert client.ask("list") == {"terminals": []}
    assert logged(tmp_path).startswith(b"hello")
    with pytest.raises(Refused, match="not_found"):
        client.ask("read", terminal="a", offset=0, limit=1)


def test_nothing_turns_while_nothing_happens(ptyhost: Ptyhost, client: Client) -> None:
    """A descriptor that is ready for ever would take a whole processor."""
    client.open("a", "cat")
    client.open("b", "sh", "-c", "stty raw; echo ready; exec sleep 60")
    client.follow("b")
    client.wait_for(b"ready")
    client.send_input("b", b"x" * 200_000)  # more than it takes
    client.open("c", "true")
    client.wait_event("exit", terminal="c")
    process = psutil.Process(ptyhost.pid)

    def is_asleep() -> Any:
        before = process.num_ctx_switches()
        resource.getrusage(resource.RUSAGE_SELF)
        os.sched_yield()
        return process.num_ctx_switches() == before and process.status() == "sleeping"

    wait_until(lambda: all(is_asleep() for _ in range(200)), "rest")
