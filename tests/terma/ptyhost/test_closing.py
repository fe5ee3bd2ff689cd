"""Closing leaves nothing behind, whatever a terminal has started."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from terma.ptyhost import processes
from tests.terma.ptyhost.ptyhost_process import (
    Client,
    Ptyhost,
    Refused,
    id_of,
    is_running,
    use_all_descriptors,
    wait_until,
)

FAMILY = {
    "plain": (1, "sleep 61"),
    "deaf": (1, "trap '' HUP; while :; do sleep 61; done"),
    "setsid": (2, "setsid sleep 61 & sleep 61"),
    "deaf and setsid": (
        2, "(trap '' HUP; exec setsid sh -c 'while :; do sleep 61; done') & sleep 61",
    ),
    "jobs": (3, "set -m; sleep 61 & sleep 61 & sleep 61 & fg"),
    "orphans": (3, "(setsid sh -c 'sleep 61 & sleep 61 &' &); sleep 61"),
    "stopped": (
        1, "(trap '' HUP; exec sleep 61) & until grep -q sleep /proc/$!/comm; do :; done; "
        "kill -STOP $! $$",
    ),
    "two shells deep": (2, "bash -c 'bash --norc -ic \"sleep 61 & sleep 61\"'"),
}  # fmt: skip
"""Scripts that never end, and how many `sleep` each comes to."""


def find(terminal: str) -> set[int]:
    """All that carries an id."""
    return set(processes.survivors([id_of(terminal)]).get(id_of(terminal), ()))


def sleeping(terminal: str) -> int:
    """How many `sleep` carry an id."""
    count = 0
    for pid in find(terminal):
        with suppress(psutil.NoSuchProcess):
            count += psutil.Process(pid).name() == "sleep"
    return count


@pytest.fixture
def stranger() -> Iterator[int]:
    """A process that belongs to no terminal."""
    process = psutil.Popen(["sleep", "61"])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.parametrize("family", FAMILY)
def test_nothing_stays_behind(client: Client, ptyhost: Ptyhost, stranger: int, family: str) -> None:
    client.open("other", "sleep", "61")
    count, script = FAMILY[family]
    client.open("a", "bash", "-c", script)
    wait_until(lambda: sleeping("a") == count, "the family")
    found = find("a")
    answer = client.ask("close", terminal="a", grace_s=0.2)
    assert answer["left"] == []
    assert answer["ended"] >= count
    assert not [pid for pid in found if is_running(pid)]
    assert not find("a")
    assert client.events[-1]["event"] == "exit"
    assert is_running(stranger)
    assert client.state("other")["exit"] is None
    assert is_running(ptyhost.pid)


def test_a_program_may_end_in_its_own_way(client: Client) -> None:
    client.open(
        "a", "sh", "-c", "trap 'echo bye; exit 5' HUP; echo ready; while :; do sleep 61; done"
    )
    client.follow("a")
    client.wait_for(b"ready")
    wait_until(lambda: sleeping("a") == 1, "its child, which would miss a signal before")
    assert client.ask("close", terminal="a", grace_s=20)["left"] == []
    assert client.wait_event("exit", terminal="a")["status"] == 5
    assert b"bye" in client.output[1]


def test_what_a_program_has_left_is_ended_after_it(client: Client) -> None:
    client.open("a", "sh", "-c", "trap '' HUP; setsid sleep 61 & sleep 62 & exit 0")
    client.wait_event("exit", terminal="a")
    assert len(find("a")) == 2
    assert client.ask("close", terminal="a", grace_s=0) == {"ended": 2, "left": []}
    assert client.ask("close", terminal="a", grace_s=0) == {"ended": 0, "left": []}
    with pytest.raises(Refused, match="not_found"):
        client.ask("close", terminal="b", grace_s=0)


def test_many_are_closed_in_the_time_of_one(client: Client) -> None:
    """One after another they would take longer than a test may."""
    names = [f"t{number}" for number in range(130)]
    script = "trap '' HUP; sleep 61; :"
    for number in [client.send_open(name, "sh", "-c", script) for name in names]:
        client.answer(number)
    wait_until(
        lambda: sum(map(len, processes.survivors(list(map(id_of, names))).values())) == 260,
        "all of them",
    )
    asked = [client.send("close", terminal=name, grace_s=0.5) for name in names]
    answers = [client.answer(number) for number in asked]
    assert [answer["left"] for answer in answers] == [[]] * 130
    assert sum(answer["ended"] for answer in answers) == 260
    assert not processes.survivors(list(map(id_of, names)))


def test_two_who_close_the_same_terminal_get_the_same_answer(client: Client) -> None:
    client.open("a", "sh", "-c", "trap '' HUP; echo ready; exec sleep 61")
    client.follow("a")
    client.wait_for(b"ready")
    slow = client.send("close", terminal="a", grace_s=30)
    quick = client.send("close", terminal="a", grace_s=0)
    assert client.answer(slow) == client.answer(quick) == {"ended": 1, "left": []}


def test_an_id_is_not_used_again_while_it_is_being_closed(client: Client) -> None:
    client.open("a", "sh", "-c", "trap '' HUP; (exec setsid sleep 61) & exit")
    client.wait_event("exit", terminal="a")
    number = client.send("close", terminal="a", grace_s=0.3)
    client.ask("forget", terminal="a")
    with pytest.raises(Refused, match="exists"):
        client.open("a", "cat")
    assert client.answer(number)["left"] == []
    client.open("a", "cat")
    assert client.state("a")["exit"] is None


CONNECTED = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
print("connected", flush=True)
while s.recv(999): pass
"""


def test_one_who_is_connected_is_not_spared(ptyhost: Ptyhost, client: Client, python: str) -> None:
    script = 'trap \'\' HUP; "$@" & setsid "$@" & sleep 61'
    program = (python, "-uISc", CONNECTED, str(ptyhost.path))
    client.open("a", "sh", "-c", script, "sh", *program)
    client.follow("a")
    client.wait(lambda: client.output[1].count(b"connected") == 2, "both")
    wait_until(lambda: sleeping("a") == 1, "the third")
    assert client.ask("close", terminal="a", grace_s=0) == {"ended": 4, "left": []}
    assert not find("a")


@pytest.mark.parametrize("leaves", ["", "os.setsid()"])
def test_a_process_without_its_first_thread_is_one(
    ptyhost: Ptyhost, client: Client, python: str, leaves: str
) -> None:
    """It looks as if it only waited to be reaped."""
    script = f"""
import ctypes, os, signal, threading
signal.signal(signal.SIGHUP, signal.SIG_IGN)
libc = ctypes.CDLL(None)
pid = os.fork()
if not pid:
    {leaves}
    threading.Thread(target=libc.sleep, args=[61]).start()
    libc.pthread_exit(None)
while open(f"/proc/{{pid}}/stat").read().rpartition(")")[2].split()[0] != "Z": pass
print(f"pid {{pid}}.", flush=True)
signal.pause()
"""
    client.open("a", python, "-Sc", script)
    client.follow("a")
    pid = int(client.wait_for(b".").partition(b"pid ")[2].partition(b".")[0])
    os.kill(pid, 0)
    assert client.ask("close", terminal="a", grace_s=0) == {"ended": 2, "left": []}


def test_a_hub_that_was_started_in_a_terminal_outlives_it(
    ptyhost: Ptyhost, client: Client, python: str
) -> None:
    """It has left the session, and carries no id: `tekton up` takes care of both."""
    hub = 'env -u TERMA_INSTANCE setsid "$@" >&2 & echo hub $!; wait'
    program = (python, "-uISc", CONNECTED, str(ptyhost.path))
    client.open("a", "sh", "-c", hub, "sh", *program)
    client.follow("a")
    client.wait(lambda: b"connected" in client.output[1] and b"hub" in client.output[1], "it")
    pid = int(bytes(client.output[1]).partition(b"hub ")[2].split()[0])
    assert client.ask("close", terminal="a", grace_s=0.5)["left"] == []
    assert is_running(pid)
    os.kill(pid, signal.SIGKILL)


def test_closing_needs_no_descriptor_that_could_be_taken(ptyhost: Ptyhost, client: Client) -> None:
    client.open("a", "sh", "-c", "trap '' HUP; setsid sleep 61 & sleep 61; :")
    wait_until(lambda: sleeping("a") == 2, "the family")
    use_all_descriptors(ptyhost.pid)
    assert client.ask("close", terminal="a", grace_s=0.1) == {"ended": 3, "left": []}


def _failing(times: int) -> tuple[str, str]:
    """A ptyhost that cannot look at the processes so many times."""
    script = f"""
import sys
from terma.ptyhost import __main__, closing, processes

def fail():
    left.pop()
    raise OSError(24, "no more files")

left, scan = [0] * {times}, processes.scan
processes.scan = lambda: fail() if left else scan()
closing._GIVE_UP_S = 0.1
sys.exit(__main__.main(sys.argv[1]))
"""
    return "-c", script


def test_closing_goes_on_after_a_look_that_failed(tekton_home: Path) -> None:
    with Ptyhost(tekton_home / "run", _failing(3)) as ptyhost:
        client = ptyhost.client()
        client.open("a", "sleep", "61")
        assert client.ask("close", terminal="a", grace_s=5) == {"ended": 1, "left": []}


def test_closing_without_a_look_says_so_in_the_end(tekton_home: Path) -> None:
    with Ptyhost(tekton_home / "run", _failing(1_000_000)) as ptyhost:
        client = ptyhost.client()
        ptyhost.clean_up("a")
        client.open("a", "sleep", "61")
        with pytest.raises(Refused, match="cannot be looked at: no more files"):
            client.ask("close", terminal="a", grace_s=0)
        assert client.state("a")["exit"] is None


def test_survivors_are_found_when_ptyhost_was_killed(ptyhost: Ptyhost, client: Client) -> None:
    ptyhost.clean_up("a", "b", "c")
    client.open(
        "a", "sh", "-c", "trap '' HUP; echo ready; setsid sleep 61 & while :; do sleep 62; done"
    )
    client.open("b", "sleep", "61")
    client.follow("a")
    client.wait_for(b"ready")
    wait_until(lambda: len(find("a")) == 3, "the family")
    before = find("a")
    ptyhost.kill()
    wait_until(lambda: not find("b"), "the hang-up")  # its terminal went with ptyhost
    found = processes.survivors([id_of(name) for name in "abc"])
    assert {name: set(pids) for name, pids in found.items()} == {id_of("a"): before}
