"""The hub's line to ptyhost, against the real one and against an older one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from backends.errors import Busy, ConnectionLost, NotFound, TektonError, TimedOut, UsageError
from backends.paths import Paths, find_paths, private_folder
from terma.ptyhost.processes import survivors
from terma.service import host as module
from terma.service.host import Host
from terma.service.hosted import Exit, Hosted, Opening

ENVIRONMENT = b"PATH=" + os.environb[b"PATH"] + b"\0"
PATIENCE_S = 20.0

# No other test that runs at this time may have them: closing looks for them everywhere.
A, B = f"a-{os.getpid()}", f"b-{os.getpid()}"

# An older ptyhost: it knows neither `meta`, `forget` and `cancel`, nor the later fields of `list`,
# and an event and a field of its own that nobody remembers.
OLDER = """
import sys
sys.path.insert(0, {root!r})
from terma.ptyhost import __main__, server

class Older(server.Server):
    def __init__(self, listener):
        super().__init__(listener)
        del self._ops["meta"], self._ops["forget"], self._ops["cancel"]

    def _list(self, client, request, fields):
        found = super()._list(client, request, fields)
        client.send({{"event": "weather", "rain": True}})
        for terminal in found["terminals"]:
            for name in ("log_error", "canonical", "foreground", "active_at", "exit"):
                del terminal[name]
            terminal["colour"] = "green"
        return found

__main__.Server = Older
sys.exit(__main__.main(sys.argv[1]))
"""


class Owner:
    """What the hub keeps of what it is told."""

    def __init__(self, host: Host) -> None:
        self.output: dict[str, bytes] = {}
        self.events: list[tuple[Any, ...]] = []
        self.lost: list[str] = []
        host.on_output = self._on_output
        host.on_size = lambda *told: self.events.append(("size", *told))
        host.on_trimmed = lambda *told: self.events.append(("trimmed", *told))
        host.on_exit = lambda *told: self.events.append(("exit", *told))
        host.on_log = lambda *told: self.events.append(("log", *told))
        host.on_lost = self.lost.append

    def _on_output(self, terminal: str, offset: int, data: bytes) -> None:
        self.output[terminal] = self.output.get(terminal, b"") + data


async def wait_until(condition: Callable[[], Any]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)


def is_running(pid: int) -> bool:
    """Whether a process is there and does not only wait to be reaped."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def opening(terminal: str, *command: str, **more: Any) -> Opening:
    """What is to run."""
    return Opening(
        terminal=terminal, command=command, folder="/", environment=ENVIRONMENT, **more
    )  # fmt: skip


@pytest.fixture
def pids() -> Iterator[set[int]]:
    """Processes that are ended with the test, and all that carries the ids used here."""
    found: set[int] = set()
    yield found
    for pid in found:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
    for pids in survivors([A, B]).values():
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def run(pids: set[int]) -> Callable[[Callable[[Host, Owner], Awaitable[None]]], None]:
    """Run a test with a started ptyhost, which has ended when it is over."""

    def run(test: Callable[[Host, Owner], Awaitable[None]]) -> None:
        async def main() -> None:
            host = Host(find_paths())
            owner = Owner(host)
            await host.start()
            pid = host.pid
            pids.add(pid)
            try:
                await test(host, owner)
            finally:
                for hosted in await host.list() if host.pid else ():
                    await host.close(hosted.terminal, 0)
                await host.disconnect()
                await wait_until(lambda: not is_running(pid))

        asyncio.run(main())

    return run


Run = Callable[[Callable[[Host, Owner], Awaitable[None]]], None]


def test_none_is_started_by_looking_for_one() -> None:
    async def main() -> None:
        host = Host(find_paths())
        assert not await host.connect()
        assert host.pid == 0
        with pytest.raises(ConnectionLost):
            await host.list()
        await host.disconnect()

    asyncio.run(main())
    assert not find_paths().runtime.exists()


def test_a_terminal_from_its_opening_to_its_end(run: Run, tmp_path: Path) -> None:
    async def test(host: Host, owner: Owner) -> None:
        pid = await host.open(
            opening(A, "sh", log=tmp_path / "log", columns=90, rows=30, meta={"name": "alice"})
        )
        assert await host.follow(A, 0) == 0
        assert await host.write(A, b"stty -echo; echo re''ady\n") == 25
        await wait_until(lambda: b"ready" in owner.output.get(A, b""))
        await host.resize(A, 100, 40)
        await host.set_meta(A, {"name": "eve"})
        await host.write(A, b"stty size; exit 3\n", whole_lines=True)
        await wait_until(lambda: owner.events[-1][0] == "exit")
        assert b"40 100" in owner.output[A]
        end = len(owner.output[A])
        assert [event for event in owner.events if event[0] == "size"] == [
            ("size", A, 0, 90, 30), ("size", A, owner.events[1][2], 100, 40),
        ]  # fmt: skip
        assert owner.events[-1] == ("exit", A, 3, None, end)
        [hosted] = await host.list()
        assert (hosted.terminal, hosted.pid, hosted.input) == (A, pid, 43)
        assert (hosted.columns, hosted.rows, hosted.oldest, hosted.end) == (100, 40, 0, end)
        assert hosted.meta == {"name": "eve"}
        assert hosted.exit
        assert hosted.exit == Exit(status=3, signal=None, end=end, at=hosted.exit.at)
        read = await host.read(A, 2, 5)
        assert (read.offset, read.data) == (2, owner.output[A][2:7])
        assert (read.oldest, read.end) == (0, end)
        assert (await host.close(A)).left == ()
        await host.forget(A)
        assert await host.list() == []
        assert owner.lost == []

    run(test)


def test_a_preface_comes_before_what_the_program_writes(run: Run) -> None:
    async def test(host: Host, owner: Owner) -> None:
        await host.open(opening(A, "sh", "-c", "echo then; exec cat", preface=b"first\0\x1bc"))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output.get(A) == b"first\0\x1bcthen\r\n")

    run(test)


def test_closing_tells_how_many_ended(run: Run) -> None:
    async def test(host: Host, owner: Owner) -> None:
        await host.open(opening(A, "sh", "-c", "trap '' HUP; echo ready; sleep 61; :"))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        await host.signal(A, "CONT")
        closed = await host.close(A, 0.1)
        assert (closed.ended, closed.left) == (2, ())
        assert owner.events[-1][:4] == ("exit", A, None, "KILL")

    run(test)


@pytest.mark.parametrize(
    ("ask", "error", "said"),
    [
        (lambda h: h.open(opening(B, "no-such-program")), NotFound, "no-such-program"),
        (
            lambda h: h.open(
                Opening(terminal=B, command=("cat",), folder="/proc/x", environment=b"")
            ),
            NotFound, "/proc/x",
        ),
        (lambda h: h.open(opening(A, "cat")), UsageError, "already"),
        (lambda h: h.open(opening("A", "cat")), UsageError, "a-z0-9-"),
        (lambda h: h.follow(B, 0), NotFound, "no terminal b"),
        (lambda h: h.follow(A, 10**9), UsageError, "ends at"),
        (lambda h: h.read(B, 0, 1), NotFound, "no terminal b"),
        (lambda h: h.write(B, b"x"), NotFound, "no terminal b"),
        (lambda h: h.write(A, b"x" * 5000, whole_lines=True), UsageError, "4095"),
        (lambda h: h.forget(A), UsageError, "still runs"),
        (lambda h: h.signal(A, "NOPE"), UsageError, "no signal"),
        (lambda h: h._ask("dance"), TektonError, "dance"),
    ],
)  # fmt: skip
def test_what_ptyhost_refuses_is_an_error_of_ours(
    run: Run, ask: Callable[[Host], Awaitable[Any]], error: type[TektonError], said: str
) -> None:
    async def test(host: Host, _: Owner) -> None:
        await host.open(opening(A, "cat"))
        with pytest.raises(TektonError, match=said) as raised:
            await ask(host)
        assert type(raised.value) is error
        assert await host.write(A, b"x") == 1  # the line is as good as before

    run(test)


def test_too_much_typed_is_busy(run: Run) -> None:
    async def test(host: Host, owner: Owner) -> None:
        await host.open(opening(A, "sh", "-c", "stty raw; echo ready; exec sleep 61"))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        waiting = asyncio.ensure_future(host.write(A, b"x" * 1_000_000))
        await wait_until(lambda: host._waiting)
        with pytest.raises(Busy):
            await host.write(A, b"x" * 100_000)
        await host.signal(A, "KILL")
        with pytest.raises(TektonError, match="ended"):
            await waiting

    run(test)


READS_LATER = "stty raw -echo; echo ready; until [ -e {gate} ]; do sleep 0.01; done; {then}"


@pytest.mark.parametrize("whole_lines", [False, True])
def test_a_text_that_no_frame_holds_is_typed_whole_and_in_order(
    run: Run, whole_lines: bool
) -> None:
    line = bytes(range(32, 127)) * 10 + b"\r"
    text = line * (7_000_000 // len(line))

    async def test(host: Host, owner: Owner) -> None:
        await host.open(
            opening(A, "sh", "-c", f"stty raw -echo; echo ready; head -c {len(text)} | sha256sum")
        )
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        typing = asyncio.ensure_future(host.write(A, text, whole_lines))
        await wait_until(lambda: host._waiting)
        with pytest.raises(Busy, match="a long text is being typed"):
            await host.write(A, b"between")
        assert await typing == len(text)
        digest = hashlib.sha256(text).hexdigest().encode()
        await wait_until(lambda: digest in owner.output[A])
        assert owner.lost == []

    run(test)


def test_a_text_that_ends_in_the_middle_tells_how_far_it_came(run: Run) -> None:
    async def test(host: Host, owner: Owner) -> None:
        program = "stty raw -echo; echo ready; exec head -c 3500000 >/dev/null"
        await host.open(opening(A, "sh", "-c", program))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        said = "of 7000000 bytes the first 3000000 were typed"
        with pytest.raises(TektonError, match=f"ended; {said}"):
            await host.write(A, b"x" * 7_000_000)
        with pytest.raises(TektonError, match="nothing runs"):
            await host.write(A, b"x")

    run(test)


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda h: h.open(opening(B, "echo", *["ä" * 100_000] * 14)), "8400"),
        (lambda h: h.set_meta(A, "x" * 5_000_000), "5000"),
        (lambda h: h.open(opening(B, "echo", preface=b"x" * 4_000_000)), "5333"),
        (lambda h: h.write(A, b"x" * 5_000_000, whole_lines=True), "5000000 bytes are too many"),
        (
            lambda h: h.write(A, (b"x\n" * 2_000_000) + b"x" * 4096, whole_lines=True),
            "a line of more than 4095",
        ),
    ],
)
def test_what_no_frame_holds_is_refused_and_the_line_stays(
    run: Run, ask: Callable[[Host], Awaitable[Any]], said: str
) -> None:
    async def test(host: Host, owner: Owner) -> None:
        await host.open(opening(A, "sh", "-c", "stty raw; echo ready; exec sleep 61"))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        waiting = asyncio.ensure_future(host.read(A, 0, 5))
        with pytest.raises(UsageError, match=said):
            await ask(host)
        assert (await waiting).data == b"ready"
        assert owner.lost == []
        assert [one.input for one in await host.list()] == [0]

    run(test)


@pytest.mark.parametrize("size", [300_000, 4_000_000])
def test_what_waits_of_a_text_that_is_cancelled_is_not_typed(
    run: Run, tmp_path: Path, size: int
) -> None:
    gate = tmp_path / "gate"

    async def test(host: Host, owner: Owner) -> None:
        program = READS_LATER.format(gate=gate, then="exec cat")
        await host.open(opening(A, "sh", "-c", program))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        typing = asyncio.ensure_future(host.write(A, b"x" * size))
        while not [one for one in await host.list() if one.input]:
            assert not typing.done()
        typing.cancel()
        await asyncio.wait([typing])
        assert typing.cancelled()
        [typed] = [one.input for one in await host.list()]
        gate.touch()
        assert await host.write(A, b"END") == typed + 3
        await wait_until(lambda: b"END" in owner.output[A])
        assert owner.output[A].count(b"x") == typed < 300_000
        assert owner.lost == []

    run(test)


def test_one_that_is_silent_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 0.1)

    async def test(host: Host, owner: Owner) -> None:
        await host.open(opening(A, "sh", "-c", "stty raw -echo; echo ready; exec sleep 61"))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        # One that answers others is waited for.
        typing = asyncio.ensure_future(host.write(A, b"x" * 300_000))
        await wait_until(lambda: next(host._ids) > 20)
        assert not typing.done()
        os.kill(host.pid, signal.SIGSTOP)
        try:
            for waiting in (typing, host.close(A), host.list()):
                with pytest.raises(TimedOut, match=f"ptyhost .pid {host.pid}. does not answer"):
                    await waiting
        finally:
            os.kill(host.pid, signal.SIGCONT)
        await wait_until(lambda: owner.events[-1][:2] == ("exit", A))  # it was asked to close it
        assert owner.lost == []

    run(test)


def test_following_where_nothing_is_kept_begins_at_the_oldest(run: Run) -> None:
    async def test(host: Host, owner: Owner) -> None:
        await host.open(opening(A, "sh", "-c", "head -c 1000000 /dev/zero; exec cat"))
        hosted: list[Hosted] = []
        while not hosted or hosted[0].end < 1_000_000:
            hosted = await host.list()
        begin = await host.follow(A, 10)
        assert begin == hosted[0].oldest > 0
        await wait_until(lambda: len(owner.output.get(A, b"")) == 1_000_000 - begin)
        read = await host.read(A, 10, 5)
        assert (read.offset, read.data, read.oldest, read.end) == (
            begin, b"\0" * 5, begin, 1_000_000,
        )  # fmt: skip
        await host.unfollow(A)
        await host.unfollow(A)
        await host.write(A, b"x\n")
        assert len(owner.output[A]) == 1_000_000 - begin

    run(test)


def test_another_hub_goes_on_where_the_first_one_was(run: Run, tmp_path: Path) -> None:
    async def test(host: Host, owner: Owner) -> None:
        program = "stty -echo; seq 10000; read go; seq 10001 20000; exec cat"
        await host.open(opening(A, "sh", "-c", program, log=tmp_path))
        await host.follow(A, 0)
        await wait_until(lambda: len(owner.output.get(A, b"")) > 1000)
        await host.disconnect()
        assert owner.lost == []
        first = owner.output[A]
        second = Host(find_paths())
        again = Owner(second)
        await second.start()
        assert await second.follow(A, len(first)) == len(first)
        await second.write(A, b"\n")
        await wait_until(lambda: again.output.get(A, b"").endswith(b"20000\r\n"))
        whole = b"".join(b"%d\r\n" % number for number in range(1, 20_001))
        assert first + again.output[A] == whole
        await second.disconnect()
        await host.start()

    run(test)


def test_when_ptyhost_dies_every_call_fails_and_the_owner_hears_it_once(
    run: Run, pids: set[int]
) -> None:
    async def test(host: Host, owner: Owner) -> None:
        pids.add(await host.open(opening(A, "sh", "-c", "stty raw; echo ready; exec sleep 61")))
        await host.follow(A, 0)
        await wait_until(lambda: owner.output)
        calls = [
            asyncio.ensure_future(host.write(A, b"x" * 500_000)),
            asyncio.ensure_future(host.write(A, b"y" * 500_000)),
        ]
        await wait_until(lambda: len(host._waiting) == 2)
        os.kill(host.pid, signal.SIGKILL)
        found = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(one) for one in found] == [ConnectionLost, ConnectionLost]
        assert len(owner.lost) == 1
        assert host.pid == 0
        with pytest.raises(ConnectionLost):
            await host.list()
        await host.start()  # another one
        pids.add(host.pid)
        assert await host.list() == []
        assert len(owner.lost) == 1

    run(test)


def test_two_hosts_that_start_at_once_share_one_ptyhost(run: Run) -> None:
    async def test(first: Host, _: Owner) -> None:
        pid = first.pid
        await first.disconnect()
        await wait_until(lambda: not is_running(pid))
        hosts = [Host(find_paths()) for _ in range(4)]
        await asyncio.gather(*(host.start() for host in hosts))
        assert len({host.pid for host in hosts}) == 1
        await first.start()
        for host in hosts:
            assert host.pid == first.pid
            await host.disconnect()

    run(test)


def test_a_mistake_of_the_owner_does_not_cut_the_line(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(host: Host, owner: Owner) -> None:
        def stumble(terminal: str, offset: int, data: bytes) -> None:
            raise KeyError(terminal)

        host.on_output = stumble
        await host.open(opening(A, "sh", "-c", "echo hello; exec cat"))
        await host.follow(A, 0)
        await wait_until(lambda: f"KeyError: {A!r}" in caplog.text)
        assert await host.write(A, b"x") == 1
        assert owner.lost == []

    run(test)


def test_starting_again_while_connected_changes_nothing(run: Run) -> None:
    async def test(host: Host, _: Owner) -> None:
        pid = host.pid
        await host.start()
        assert await host.connect()
        assert host.pid == pid

    run(test)


def test_one_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def main(reason: str) -> None:
        with pytest.raises(TektonError, match=reason) as raised:
            await Host(find_paths()).start()
        assert raised.value.hint

    program = tmp_path / "broken.py"
    program.write_text("import sys; print('no luck', file=sys.stderr); sys.exit(5)")
    monkeypatch.setattr(module, "PROGRAM", program)
    asyncio.run(main("no luck"))
    program.write_text("import os; os._exit(9)")
    asyncio.run(main("status 9"))


def test_what_lies_in_the_way_of_what_it_says_holds_nobody_up() -> None:
    async def main() -> None:
        with pytest.raises(TektonError, match=r"ptyhost\.out cannot be written") as raised:
            await Host(find_paths()).start()
        assert raised.value.hint

    os.mkfifo(private_folder(find_paths().logs) / "ptyhost.out")
    asyncio.run(main())


def test_a_runtime_folder_of_others_is_not_trusted() -> None:
    paths = find_paths()
    private_folder(paths.runtime)
    paths.socket("ptyhost", is_ci=False).touch()
    paths.runtime.chmod(0o755)

    async def main() -> None:
        with pytest.raises(TektonError, match="not a folder of this user alone"):
            await Host(paths).connect()

    asyncio.run(main())


def test_one_that_speaks_nonsense_is_hung_up_on(pids: set[int]) -> None:
    async def main(paths: Paths) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"\0\0\0\0\0")
            await reader.read()
            writer.close()

        path = paths.socket("ptyhost", is_ci=False)
        server = await asyncio.start_unix_server(answer, path)
        host = Host(paths)
        assert not await host.connect()
        assert host.pid == 0
        server.close()

    private_folder(find_paths().runtime)
    asyncio.run(main(find_paths()))


@pytest.mark.parametrize(
    "said", ['{"pid": "x"}', '{"pid": [1]}', '{"pid": null}', '{"pid": 1, "ops": 5}', "[]", "null"]
)
def test_one_that_cannot_say_who_it_is_is_refused(said: str) -> None:
    async def main(paths: Paths) -> None:
        ended = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            reply = b'{"id": 1, "ok": %s}' % said.encode()
            writer.write((len(reply) + 1).to_bytes(4, "big") + b"\1" + reply)
            await reader.read()
            writer.close()
            ended.set()

        server = await asyncio.start_unix_server(answer, paths.socket("ptyhost", is_ci=False))
        host = Host(paths)
        with pytest.raises(TektonError, match="cannot be understood") as raised:
            await host.connect()
        assert raised.value.hint
        assert host.pid == 0
        await ended.wait()
        server.close()

    private_folder(find_paths().runtime)
    asyncio.run(main(find_paths()))


def _listen_mutely(path: Path) -> socket.socket:
    mute = socket.socket(socket.AF_UNIX)
    mute.bind(os.fspath(path))
    mute.listen()
    return mute


def test_one_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_HELLO_S", 0.1)
    paths = find_paths()
    private_folder(paths.runtime)
    path = paths.socket("ptyhost", is_ci=False)

    async def main() -> None:
        host = Host(paths)
        with pytest.raises(TimedOut, match="did not answer") as raised:
            await host.connect()
        assert os.fspath(path) in raised.value.message
        assert host.pid == 0

    with _listen_mutely(path):
        asyncio.run(main())


@pytest.mark.parametrize("is_squatted", [True, False])
def test_one_whose_socket_is_gone_is_waited_for(run: Run, is_squatted: bool) -> None:
    async def test(host: Host, _: Owner) -> None:
        await host.open(opening(A, "cat"))
        os.kill(host.pid, signal.SIGSTOP)
        pid, path = host.pid, find_paths().socket("ptyhost", is_ci=False)
        try:
            await host.disconnect()
            path.unlink()
            path.with_name("ptyhost.sock.lock").unlink()
            mute = _listen_mutely(path) if is_squatted else None
            other = Host(find_paths())
            starting = [asyncio.ensure_future(one.connect()) for one in (host, other)]
            await asyncio.wait(starting, timeout=0.1)
            assert not any(one.done() for one in starting)
        finally:
            os.kill(pid, signal.SIGCONT)
        assert await asyncio.gather(*starting) == [True, True]
        assert host.pid == pid
        assert [one.terminal for one in await host.list()] == [A]
        await other.disconnect()
        if mute:
            mute.close()

    run(test)


def test_one_whose_socket_stays_away_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETURN_S", 0.1)

    async def test(host: Host, _: Owner) -> None:
        await host.open(opening(A, "cat"))
        pid = host.pid
        os.kill(pid, signal.SIGSTOP)
        try:
            await host.disconnect()
            find_paths().socket("ptyhost", is_ci=False).unlink()
            for call in (host.connect, host.start):
                with pytest.raises(TektonError, match=f"ptyhost {pid} lives, but its socket"):
                    await call()
        finally:
            os.kill(pid, signal.SIGCONT)
        monkeypatch.setattr(module, "_RETURN_S", 5.0)
        assert await host.connect()

    run(test)


def test_an_older_ptyhost_is_enough(
    monkeypatch: pytest.MonkeyPatch, run: Run, tmp_path: Path
) -> None:
    program = tmp_path / "older.py"
    program.write_text(OLDER.format(root=os.fspath(Path(module.__file__).parents[2])))
    monkeypatch.setattr(module, "PROGRAM", program)

    async def test(host: Host, owner: Owner) -> None:
        assert "open" in host.ops
        assert "meta" not in host.ops
        pid = await host.open(opening(A, "cat", meta=1))
        await host.follow(A, 0)
        await host.write(A, b"hello\n")
        await wait_until(lambda: b"hello\r\nhello" in owner.output.get(A, b""))
        [hosted] = await host.list()
        assert hosted == Hosted(
            terminal=A, pid=pid, end=hosted.end, input=6, meta=1, started_at=hosted.started_at
        )
        typing = asyncio.ensure_future(host.write(A, b"x" * 300_000))
        await wait_until(lambda: host._waiting)
        typing.cancel()
        await asyncio.wait([typing])
        await host.set_meta(A, 2)
        assert [one.meta for one in await host.list()] == [1]
        await host.close(A, 0)
        await host.forget(A)
        assert [one.terminal for one in await host.list()] == [A]
        with pytest.raises(TektonError) as raised:
            await host._ask("forget", terminal=A)
        assert raised.value.hint
        assert "older ptyhost" in raised.value.hint

    run(test)


def test_ptyhost_knows_nothing_of_where_the_hub_was_started(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("TERMA_INSTANCE", "outer")
    monkeypatch.setenv("SECRET", "x")

    async def test(host: Host, _: Owner) -> None:
        environment = psutil.Process(host.pid).environ()
        assert set(environment) <= {"PATH", "LC_CTYPE"}
        command = psutil.Process(host.pid).cmdline()
        assert command[:3] == [sys.executable, "-I", "-S"]

    run(test)
