"""ptyhost itself: when it comes, whom it serves, what it survives, and when it goes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from terma.ptyhost import __main__ as program
from terma.ptyhost import address, connection, frames, processes
from tests.terma.ptyhost.ptyhost_process import (
    Client,
    Ptyhost,
    Refused,
    id_of,
    is_running,
    use_all_descriptors,
    wait_until,
)


def is_there(path: Path) -> bool:
    """Whether somebody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(os.fspath(path)) == 0


def test_it_stands_alone(ptyhost: Ptyhost, client: Client) -> None:
    process = psutil.Process(ptyhost.pid)
    assert os.getsid(ptyhost.pid) not in (os.getsid(0), 0)
    assert process.cwd() == "/"
    assert process.terminal() is None
    assert stat.S_IMODE(ptyhost.path.stat().st_mode) == 0o600
    assert set(client.ask("hello", version=9)) == {"version", "pid", "started_at", "ops"}


def test_it_needs_no_more_than_the_standard_library(tekton_home: Path) -> None:
    """As the hub starts it: by its path, isolated, without site packages."""
    path = os.fspath(Path(program.__file__))
    with Ptyhost(tekton_home / "run", ("-I", "-S", path)) as ptyhost:
        client = ptyhost.client()
        client.open("a", "cat")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            os.kill(ptyhost.pid, number)
        assert client.write("a", b"hello")["input"] == 5
        assert b"TERMA_INSTANCE" not in Path(f"/proc/{ptyhost.pid}/environ").read_bytes()


def test_one_that_lives_keeps_its_socket(ptyhost: Ptyhost, client: Client) -> None:
    assert ptyhost.start().returncode == 3
    ptyhost.path.with_name("ptyhost.sock.lock").unlink()
    assert ptyhost.start().returncode == 3
    assert client.ask("list") == {"terminals": []}
    assert ptyhost.client().ask("hello")["pid"] == ptyhost.pid


def test_the_kernel_names_it_as_who_listens(ptyhost: Ptyhost, client: Client) -> None:
    packed = client.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    assert struct.unpack("iII", packed)[0] == ptyhost.pid


def _remove_socket(path: Path) -> None:
    path.unlink()


def _remove_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def _remove_folder(path: Path) -> None:
    shutil.rmtree(path.parent)


def _squat_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(os.fspath(path))


def _squat_with_link(path: Path) -> None:
    _remove_all(path)
    path.symlink_to("/nowhere")
    path.with_name("ptyhost.sock.lock").symlink_to("/nowhere")


REMOVALS = [_remove_socket, _remove_all, _remove_folder, _squat_socket, _squat_with_link]


@pytest.mark.parametrize("remove", REMOVALS)
def test_one_that_holds_terminals_listens_again_where_its_socket_was_removed(
    ptyhost: Ptyhost, client: Client, remove: Callable[[Path], None]
) -> None:
    client.open("a", "cat")
    remove(ptyhost.path)
    client.close()  # as a hub that ends: it is looked at once
    wait_until(lambda: is_there(ptyhost.path), "its socket")
    again = ptyhost.client()
    assert again.ask("hello")["pid"] == ptyhost.pid
    assert again.state("a")["exit"] is None
    assert address.holder(os.fspath(ptyhost.path)) == ptyhost.pid
    assert ptyhost.start().returncode == 3
    assert stat.S_IMODE(ptyhost.path.stat().st_mode) == 0o600


def test_it_looks_for_its_socket_by_itself(tekton_home: Path) -> None:
    script = (
        "import sys; from terma.ptyhost import __main__, server; server._LOOK_EVERY_S = 0.02; "
        "sys.exit(__main__.main(sys.argv[1]))"
    )
    with Ptyhost(tekton_home / "run", ("-c", script)) as ptyhost:
        ptyhost.client().open("a", "cat")
        for _ in range(3):
            _remove_all(ptyhost.path)
            wait_until(lambda: is_there(ptyhost.path), "its socket")
        assert ptyhost.client().ask("hello")["pid"] == ptyhost.pid


def test_a_second_one_does_not_come_while_the_socket_of_the_first_is_gone(
    ptyhost: Ptyhost, client: Client
) -> None:
    client.open("a", "cat")
    os.kill(ptyhost.pid, signal.SIGSTOP)
    try:
        _remove_all(ptyhost.path)
        assert ptyhost.start().returncode == 3
        assert address.holder(os.fspath(ptyhost.path)) == 0  # it lives; its pid went with the file
    finally:
        os.kill(ptyhost.pid, signal.SIGCONT)


def test_an_address_that_nobody_has_has_no_holder(ptyhost: Ptyhost, client: Client) -> None:
    assert address.holder(os.fspath(ptyhost.path)) == ptyhost.pid
    ptyhost.kill()
    assert address.holder(os.fspath(ptyhost.path)) is None
    assert address.holder("/nowhere/ptyhost.sock") is None


def test_a_place_that_cannot_be_had_again_is_said_once(tekton_home: Path) -> None:
    script = (
        "import sys; from terma.ptyhost import __main__, server; server._LOOK_EVERY_S = 0.01; "
        "sys.exit(__main__.main(sys.argv[1]))"
    )
    with Ptyhost(tekton_home / "run", ("-c", script)) as ptyhost:
        client = ptyhost.client()
        client.open("a", "cat")
        said = ptyhost.path.with_name("ptyhost.out")
        ptyhost.path.unlink()
        ptyhost.path.mkdir()
        wait_until(lambda: said.stat().st_size, "a word of it")
        for number in range(1, 20):
            assert client.write("a", b"x")["input"] == number
        assert len(said.read_text().splitlines()) == 1
        ptyhost.path.rmdir()
        wait_until(lambda: is_there(ptyhost.path), "its socket")


def test_a_socket_that_was_left_behind_is_replaced(ptyhost: Ptyhost, client: Client) -> None:
    before = ptyhost.pid
    ptyhost.kill()
    assert ptyhost.path.exists()
    assert ptyhost.start().returncode == 0
    assert ptyhost.client().ask("hello")["pid"] != before


def _squat_open(folder: Path) -> None:
    folder.chmod(0o755)


def _squat_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def _squat_file(folder: Path) -> None:
    (folder / "ptyhost.sock").write_text("not a socket")


def _squat_lock(folder: Path) -> None:
    (folder / "ptyhost.sock.lock").symlink_to(folder / "target")


@pytest.mark.parametrize("squat", [_squat_open, _squat_link, _squat_file, _squat_lock])
def test_a_squatted_folder_is_refused(tekton_home: Path, squat: object) -> None:
    ptyhost = Ptyhost(tekton_home / "run")
    assert callable(squat)
    squat(tekton_home / "run")
    ran = ptyhost.start()
    assert ran.returncode == 1
    assert ran.stderr.startswith(os.fspath(ptyhost.path))
    assert len(ran.stderr.splitlines()) == 1
    assert not is_there(ptyhost.path)


def test_a_path_that_is_no_socket_can_be_is_refused(tekton_home: Path) -> None:
    ran = Ptyhost(tekton_home / ("x" * 120)).start()
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)


def test_it_ends_when_nobody_is_connected_and_nothing_runs(
    ptyhost: Ptyhost, client: Client, tmp_path: Path
) -> None:
    client.open("a", "sh", "-c", "read x; exit 4", log=str(tmp_path))
    client.close()
    other = ptyhost.client()
    other.send_input("a", b"\n")
    other.close()
    wait_until(lambda: not is_running(ptyhost.pid), "its end")
    assert json.loads((tmp_path / "exit.json").read_text())["status"] == 4
    assert not ptyhost.path.exists()


def test_it_holds_what_has_ended_for_as_long_as_somebody_is_connected(
    ptyhost: Ptyhost, client: Client
) -> None:
    first = ptyhost.client()
    first.open("a", "sh", "-c", "exit 4")
    first.close()
    client.wait_event("exit", terminal="a")
    assert ptyhost.client().state("a")["exit"]["status"] == 4


def test_it_outlives_its_clients_while_something_runs(ptyhost: Ptyhost, client: Client) -> None:
    client.open("a", "sh", "-c", "read x; echo more; read x")
    client.follow("a")
    client.write("a", b"\n")
    client.wait_for(b"more")
    client.close()
    again = ptyhost.client()
    again.follow("a")
    assert b"more" in again.wait_for(b"more")


def test_a_term_hangs_up_and_ends_it(ptyhost: Ptyhost, client: Client) -> None:
    ptyhost.clean_up("a")
    client.open("a", "sh", "-c", "sleep 61 & setsid sleep 61 & sleep 61")
    wait_until(
        lambda: len(processes.survivors([id_of("a")]).get(id_of("a"), ())) == 4, "the family"
    )
    os.kill(ptyhost.pid, signal.SIGTERM)
    wait_until(lambda: not is_running(ptyhost.pid), "its end")
    wait_until(lambda: not processes.survivors([id_of("a")]), "their end")
    assert not ptyhost.path.exists()


def test_a_term_ends_all_of_it_also_without_a_descriptor_left(
    ptyhost: Ptyhost, client: Client
) -> None:
    ptyhost.clean_up("a")
    client.open("a", "sh", "-c", "setsid sleep 61 & sleep 61")
    wait_until(
        lambda: len(processes.survivors([id_of("a")]).get(id_of("a"), ())) == 3, "the family"
    )
    use_all_descriptors(ptyhost.pid)
    os.kill(ptyhost.pid, signal.SIGTERM)
    wait_until(lambda: not is_running(ptyhost.pid), "its end")
    wait_until(lambda: not processes.survivors([id_of("a")]), "their end")


GARBAGE = {
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "too long": struct.pack(">IB", (4 << 20) + 1, 1),
    "no json": frames.frame(1, b"{"),
    "no object": frames.frame(1, b"[]"),
    "deep": frames.frame(1, b"[" * 100_000),
    "no id": frames.frame(1, b'{"op": "list"}'),
    "a large id": frames.frame(1, b'{"op": "list", "id": 99999999999}'),
    "an id that is no number": frames.frame(1, b'{"op": "list", "id": true}'),
    "short input": frames.frame(4, b"\0"),
}


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_ends_a_connection_and_no_other(
    ptyhost: Ptyhost, client: Client, garbage: str
) -> None:
    client.open("a", "cat")
    bad = ptyhost.client()
    bad.socket.sendall(GARBAGE[garbage])
    with pytest.raises(ConnectionResetError):
        bad.take()
    assert client.write("a", b"x")["input"] == 1


def test_an_unknown_request_leaves_the_connection_usable(client: Client) -> None:
    with pytest.raises(Refused, match="unknown_op"):
        client.ask("dance")
    client.socket.sendall(frames.frame(9, b"a kind of later"))
    for op in ("read", "subscribe", "write", "resize", "signal", "meta", "close", "forget"):
        with pytest.raises(Refused):
            client.ask(op)
    assert client.ask("list", nobody="knows") == {"terminals": []}


def test_half_a_frame_costs_little_and_holds_nobody_up(ptyhost: Ptyhost, client: Client) -> None:
    process = psutil.Process(ptyhost.pid)
    before = process.memory_info().rss
    for _ in range(5):
        ptyhost.client().socket.sendall(struct.pack(">IB", 4 << 20, 1) + b"x" * 1_000_000)
    client.open("a", "cat")
    assert client.write("a", b"x")["input"] == 1
    assert process.memory_info().rss - before < 15_000_000


def test_one_who_asks_and_never_reads_costs_little(ptyhost: Ptyhost, client: Client) -> None:
    client.open("a", "sh", "-c", "head -c 200000 /dev/zero; read x")
    wait_until(lambda: client.state("a")["end"] == 200_000, "output")
    process = psutil.Process(ptyhost.pid)
    before = process.memory_info().rss
    deaf = ptyhost.client()
    deaf.socket.setblocking(False)
    request = {"op": "read", "terminal": "a", "offset": 0, "limit": 200_000}
    asked = 0
    try:
        while asked < 20_000:  # 4 GB, were they answered
            asked += 1
            deaf.socket.send(frames.message({"id": asked, **request}))
    except BlockingIOError:
        pass
    assert client.write("a", b"")["input"] == 0
    assert process.memory_info().rss - before < 10_000_000


def test_a_thousand_may_knock_at_once(ptyhost: Ptyhost, client: Client) -> None:
    os.kill(ptyhost.pid, signal.SIGSTOP)
    knocking = [socket.socket(socket.AF_UNIX) for _ in range(300)]
    try:
        for one in knocking:
            one.setblocking(False)
            one.connect(os.fspath(ptyhost.path))
    finally:
        os.kill(ptyhost.pid, signal.SIGCONT)
        for one in knocking:
            one.close()
    assert client.ask("list") == {"terminals": []}


def test_it_ends_where_nobody_ever_connects(tekton_home: Path) -> None:
    script = (
        "import sys; from terma.ptyhost import __main__, server; server._FIRST_CLIENT_S = 0.05; "
        "sys.exit(__main__.main(sys.argv[1]))"
    )
    ptyhost = Ptyhost(tekton_home / "run", ("-c", script))
    assert ptyhost.start().returncode == 0
    wait_until(lambda: not ptyhost.path.exists(), "its end")


def test_what_is_installed_may_change_under_it(tekton_home: Path, tmp_path: Path) -> None:
    """Nothing is imported any more once it serves: another version may lie there by then."""
    script = f"""
import sys
from terma.ptyhost import __main__, server

class Watched(server.Server):
    def run(self):
        before = set(sys.modules)
        super().run()
        open({os.fspath(tmp_path / "new")!r}, "w").write(" ".join(set(sys.modules) - before))

__main__.Server = Watched
sys.exit(__main__.main(sys.argv[1]))
"""
    with Ptyhost(tekton_home / "run", ("-c", script)) as ptyhost:
        client = ptyhost.client()
        client.open("a", "sh", "-c", "echo hello; read x; exit 3", log=os.fspath(tmp_path / "log"))
        client.follow("a")
        client.wait_for(b"hello")
        client.ask("resize", terminal="a", columns=90, rows=30)
        client.write("a", b"x\n", whole_lines=True)
        client.wait_event("exit", terminal="a")
        client.open("b", "sh", "-c", "trap '' HUP; sleep 61; :")
        with pytest.raises(Refused):
            client.open("c", "no-such-program")
        client.ask("close", terminal="b", grace_s=0.01)
        client.close()
        wait_until(lambda: not is_running(ptyhost.pid), "its end")
    assert (tmp_path / "new").read_text() == ""


def test_more_clients_than_files_wait_without_a_turn(ptyhost: Ptyhost, client: Client) -> None:
    process = psutil.Process(ptyhost.pid)
    soft, hard = process.rlimit(psutil.RLIMIT_NOFILE)
    client.open("a", "cat")
    files = len(os.listdir(f"/proc/{ptyhost.pid}/fd"))
    process.rlimit(psutil.RLIMIT_NOFILE, (files, hard))
    other = Client(ptyhost.path)
    number = other.send("list")
    assert client.write("a", b"x")["input"] == 1
    process.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
    assert len(other.answer(number)["terminals"]) == 1
    other.close()


def test_another_user_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert connection.is_ours(ours)
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        assert not connection.is_ours(ours)


def test_it_is_told_how_it_is_started() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "terma.ptyhost"], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (2, "usage: ptyhost SOCKET\n")
