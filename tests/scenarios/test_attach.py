"""`terma attach` as a person has it: real terminals on both sides, real programs between them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from backends.client.blocking import BlockingTekton
from backends.paths import Paths
from backends.protocol.terminals import ListTerminals
from tests.programs import needed
from tests.scenarios.tekton_process import BIN, TektonProcess, wait_for
from tests.terma.attach.staged import Window

SHELL = ("bash", "--norc", "--noprofile")
PROMPT = "ready$"


class Place:
    """A Tekton with terminals, and the windows of those who attach to them."""

    def __init__(self, tekton: TektonProcess) -> None:
        self.tekton = tekton
        self._windows: list[Window] = []
        self._count = 0

    def open(self, *command: str) -> str:
        """Open a terminal, by default with a shell; returns its name."""
        self._count += 1
        name = f"t{self._count}"
        ran = self.terma("new", name, "--", *(command or SHELL))
        assert ran == 0, name
        return name

    def terma(self, *arguments: str) -> int:
        """Run `terma` to its end; returns its status."""
        return self.tekton.run([str(BIN / "terma"), *arguments]).status

    def window(self, *arguments: str, columns: int = 80, rows: int = 24) -> Window:
        """Open a window with `terma` in it."""
        command = [str(BIN / "terma"), *arguments]
        window = Window(command, self.tekton.environment, columns, rows)
        self._windows.append(window)
        return window

    def attach(
        self, name: str, *arguments: str, text: str = PROMPT, columns: int = 80, rows: int = 24
    ) -> Window:
        """Attach to a terminal and wait until it shows something."""
        window = self.window("attach", name, *arguments, columns=columns, rows=rows)
        window.wait_text(text)
        return window

    def close_windows(self) -> None:
        """Close what a test has left open."""
        for window in self._windows:
            window.close()
        self._windows.clear()

    def close(self) -> None:
        """Close every terminal; ptyhost ends with the hub then."""
        for number in range(1, self._count + 1):
            self.terma("close", f"t{number}")

    def screen(self, name: str) -> str:
        """What a terminal shows."""
        return self.tekton.run([str(BIN / "terma"), "screen", name]).text


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    with TektonProcess(variables={"PS1": f"{PROMPT} ", "VIMINIT": "set nocp"}) as tekton:
        tekton.start()
        place = Place(tekton)
        yield place
        place.close()


@pytest.fixture
def place(shared_place: Place) -> Iterator[Place]:
    yield shared_place
    shared_place.close_windows()
    if shared_place.tekton.hub is None:
        shared_place.tekton.start()


def kill_hub(place: Place) -> None:
    hub = place.tekton.hub
    assert hub is not None
    hub.kill()
    hub.wait()


def detach(window: Window) -> None:
    window.type("\x1d")
    assert window.wait() == 0


def test_a_shell_is_used_and_left_and_found_again(place: Place) -> None:
    name = place.open()
    window = place.window("attach", name)
    before = window.attributes
    window.wait_text(PROMPT)
    window.type("echo $((40+2)) $TERMA_TERMINAL\r")
    window.wait_text(f"42 {name}")
    detach(window)
    assert f"{name}: detached" in window.text
    assert window.attributes == before
    again = place.attach(name, text=f"42 {name}")
    again.type("exit 7\r")
    assert again.wait() == 0
    assert f"{name}: exited with status 7" in again.text
    over = place.window("attach", name)
    assert over.wait() == 1
    assert "nothing runs" in over.text


def shown_in(place: Place, name: str, window: Window) -> bool:
    """Tell whether a window shows what a terminal does."""
    window.read_for(0.05)
    return window.text.rstrip() == place.screen(name).rstrip()


def test_vim_is_repainted_and_resized(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "text"
    file.write_text("".join(f"line {number}\n" for number in range(100)))
    name = place.open(needed("vim"), "-u", "NONE", "-N", "-n", str(file))
    window = place.attach(name, text="line 22")
    window.type(":set mouse=a number\r")
    window.wait_text(" 23 line 22")
    window.resize(60, 30)
    window.wait_text(" 29 line 28")
    window.resize(100, 12)
    window.wait_until(lambda: "line 28" not in window.text, "fewer rows")
    window.type("Goadded\x1b")
    window.wait_text("added")
    window.type("\x1d")
    assert window.wait() == 0
    assert not any(window.mode(mode) for mode in (1049, 1000, 1002, 1006, 2004, 1))
    assert "line" not in window.text, "the alternate screen was left"
    framed = place.attach(name, "--read-only", text="added", columns=110, rows=20)
    detach(framed)
    assert "added" not in framed.text
    assert "·" not in framed.text
    again = place.attach(name, text="added", columns=100, rows=12)
    assert again.mode(1049)
    for columns in range(40, 100):
        again.resize(columns, 20)
    wait_for(lambda: shown_in(place, name, again), "the window shows what the screen does")
    kill_hub(place)
    again.wait_text("the hub is gone")
    place.tekton.start()
    again.wait_until(lambda: "the hub is gone" not in again.text, "the hub is back")
    wait_for(lambda: shown_in(place, name, again), "the window shows what the screen does")
    assert again.mode(1049)
    assert again.mode(1002)
    again.type(":wq\r")
    assert again.wait() == 0
    assert file.read_text().endswith("line 99\nadded\n")


@pytest.mark.parametrize(
    ("command", "text", "key", "then"),
    [
        (("htop", "--delay=100"), "F10Quit", "q", None),
        (("less", "-R"), "row 20", "G", "row 299"),
        (("tmux", "-L", "terma-test", "-f", "/dev/null", "new", *SHELL), PROMPT, "echo $TMUX\r",
         "terma-test"),
    ],
)  # fmt: skip
def test_full_screen_programs_are_shown_as_they_are(
    command: tuple[str, ...], text: str, key: str, then: str | None, place: Place, tmp_path: Path
) -> None:
    program, *arguments = command
    if program == "less":
        file = tmp_path / "rows"
        file.write_text("".join(f"\x1b[3{n % 8}mrow {n}\x1b[0m\n" for n in range(300)))
        arguments.append(str(file))
    name = place.open(needed(program), *arguments)
    window = place.attach(name, text=text)
    again = place.attach(name, text=text)
    window.type(key)
    if then is None:
        window.wait_for(b"exited with status 0")
        return
    window.wait_text(then)
    again.wait_text(then)
    assert place.terma("close", name) == 0
    assert window.wait() == 0
    assert "closed" in window.text


def test_a_hub_that_was_killed_is_waited_for_and_the_screen_repainted(place: Place) -> None:
    name = place.open()
    window = place.attach(name)
    window.type("echo be''fore\r")
    window.wait_text("before\n")
    kill_hub(place)
    window.wait_text("the hub is gone")
    assert "before\n" in window.text
    lost = "echo lo''st\r"
    window.type(lost)
    window.wait_text(f"{len(lost)} bytes not sent")
    place.tekton.start()
    window.wait_until(lambda: "the hub is gone" not in window.text, "the hub is back")
    window.type("echo af''ter\r")
    window.wait_text("after\n")
    assert "before\n" in window.text
    assert "lost" not in window.text
    detach(window)
    assert f"{name}: {len(lost)} bytes not sent: the hub was gone" in window.text


def test_the_size_stays_that_of_who_typed_last_when_the_hub_is_back(place: Place) -> None:
    name = place.open()
    small = place.attach(name, columns=60, rows=20)
    large = place.attach(name, columns=100, rows=30)
    large.type("echo ty''ped\r")
    large.wait_text("typed\n")
    small.wait_text(f"{name} is 100 x 30")
    for _ in range(3):
        kill_hub(place)
        large.wait_text("the hub is gone")
        small.wait_text("the hub is gone")
        place.tekton.start()
        small.wait_text(f"{name} is 100 x 30")
        large.wait_text("typed\n")
        large.type("clear; stty size; echo ty''ped\r")
        large.wait_text("30 100")
        assert "·" not in large.text
    detach(small)
    detach(large)


def test_a_client_that_was_killed_harms_nobody(place: Place) -> None:
    name = place.open()
    killed, other = place.attach(name), place.attach(name)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    other.type("echo st''ill here\r")
    other.wait_text("still here\n")
    detach(other)


def test_ten_megabytes_come_byte_for_byte(place: Place, tmp_path: Path) -> None:
    burst = b"".join(
        b"row %09d \xe2\x82\xac \x1b[3%dm.\x1b[0m\r\n" % (n, n % 8) for n in range(340_000)
    )
    assert len(burst) > 10_000_000
    file = tmp_path / "burst"
    file.write_bytes(burst)
    name = place.open()
    window = place.attach(name)
    window.type(f"stty -opost; cat {file}; echo the''end\r")
    assert burst in window.take(b"theend")
    detach(window)


def test_a_paste_of_a_megabyte_arrives_whole(place: Place, tmp_path: Path) -> None:
    text = b"".join(b"%07d\n" % number for number in range(131_072))
    name, file = place.open(), tmp_path / "pasted"
    window = place.attach(name)
    window.type(
        f"stty raw -echo; echo no''w; "
        f"dd of={file} bs=64k count={len(text)} iflag=fullblock,count_bytes\r"
    )
    window.wait_text("now")
    window.paste(text)
    window.wait_until(lambda: file.exists() and file.stat().st_size == len(text), "all of it")
    assert file.read_bytes() == text
    window.type("stty sane\r")
    detach(window)


def test_keys_count_while_the_window_takes_nothing(place: Place) -> None:
    name = place.open()
    window = place.attach(name)
    window.type("yes\r")
    window.wait_text("y\ny\ny")
    child = wait_for(lambda: running(place, "yes"), "yes runs")
    window.type("\x03")
    wait_for(lambda: not child.is_running() or child.status() == "zombie", "yes has ended")
    window.wait_text("^C")
    window.type("yes\r")
    wait_for(lambda: running(place, "yes"), "yes runs again")
    detach(window)
    assert f"{name}: detached" in window.text
    assert place.terma("send", name, "--keys", "<C-c>") == 0


def test_a_terminal_that_floods_is_shown_and_left(place: Place) -> None:
    name = place.open("yes", "over and over")
    window = place.attach(name, text="over and over\nover and over\n")
    detach(window)
    assert f"{name}: detached" in window.text
    assert place.terma("close", name) == 0


def test_rows_that_have_scrolled_away_are_above_and_a_new_name_counts(place: Place) -> None:
    name = place.open()
    assert place.terma("send", name, "--keys", "seq 500\\n") == 0
    wait_for(lambda: "\n500\n" in place.screen(name), "the rows are there")
    window = place.attach(name)
    rows = window.engine.show(scrollback=1000)
    shown = ["".join(run.text for run in row.runs) for row in (*rows.scrollback, *rows.lines)]
    begin = shown.index("1")
    assert shown[begin : begin + 500] == [str(number) for number in range(1, 501)]
    assert place.terma("rename", name, f"{name}-new") == 0
    detach(window)
    assert f"{name}-new: detached" in window.text
    assert place.terma("rename", f"{name}-new", name) == 0


def test_in_tmux_the_screen_stays_when_one_detaches(place: Place) -> None:
    name = place.open()
    tmux = [needed("tmux"), "-L", f"terma-{os.getpid()}", "-f", "/dev/null"]
    window = Window([*tmux, "new-session", *SHELL], place.tekton.environment | {"PS1": "outside$ "})
    try:
        window.wait_text("outside$")
        window.type(f"clear; {needed('vim')} -u NONE +q; seq 6; {BIN}/terma attach {name}\r")
        window.wait_text(PROMPT)
        window.type("seq 14\r")
        window.wait_text("\n14\nready$")
        window.type("\x1d")
        window.wait_text(f"{name}: detached")
        shown = window.text.split("\n")
        first = shown.index("1")
        assert shown[first : first + 14] == [str(number) for number in range(1, 15)]
        assert shown[first + 15] == f"{name}: detached"
    finally:
        place.tekton.run([*tmux, "kill-server"])
        window.close()


def running(place: Place, program: str) -> psutil.Process | None:
    """Return the process of a program in one of the terminals."""
    pids = list(place.tekton.processes())
    return next((p for p in map(psutil.Process, pids) if p.name() == program), None)


def test_two_windows_of_different_size(place: Place) -> None:
    name = place.open()
    large = place.attach(name, columns=100, rows=30)
    large.type("stty size\r")
    large.wait_text("30 100")
    small = place.attach(name, columns=60, rows=20)
    large.wait_text(f"{name} is 60 x 20")
    small.type("clear; stty size\r")
    small.wait_text("20 60")
    large.wait_text("20 60")
    assert "·" not in small.text
    large.type("clear; stty size\r")
    large.wait_text("30 100")
    large.wait_until(lambda: "·" not in large.text, "no frame")
    small.wait_text(f"{name} is 100 x 30")
    detach(small)
    detach(large)


def test_a_reader_looks_on_and_types_nothing(place: Place) -> None:
    name = place.open()
    window = place.attach(name, columns=90, rows=25)
    reader = place.attach(name, "--read-only", columns=90, rows=25)
    reader.type("echo fr''om the reader\r")
    reader.wait_for(b"\x07")
    window.type("echo se''en\r")
    reader.wait_text("seen\n")
    assert "from the reader" not in window.text
    detach(reader)
    detach(window)


ASKING = r"""
stty raw -echo min 0 time 20
printf 'asked\033[6n'
read -r -d R answer
stty sane
printf 'told %q\n' "${answer#*[}"
"""


def test_a_program_is_answered_once_by_the_window_or_by_its_screen(place: Place) -> None:
    name = place.open("bash", "--norc", "-c", f"{ASKING} exec cat")
    wait_for(lambda: "told 1\\;6" in place.screen(name), "no answer though nobody is attached")
    reader = place.open("bash", "--norc", "-c", f"read x; {ASKING} exec cat")
    window = place.attach(reader, "--read-only", text="")
    assert place.terma("send", reader, "--enter", "go") == 0
    wait_for(lambda: "told 2\\;6" in place.screen(reader), "no answer beside one who looks on")
    detach(window)
    asked = place.open("bash", "--norc", "-c", f"read x; {ASKING} exec cat")
    typing = place.attach(asked, text="")
    typing.type("\r")
    typing.wait_text("asked")
    typing.type("\x1b[9;9R")
    typing.wait_text("told 9\\;9")
    detach(typing)


def test_a_status_line_tells_of_the_terminal(place: Place) -> None:
    name = place.open()
    window = place.attach(name, "--status", rows=12)
    window.type("stty size; seq 30\r")
    window.wait_text("30\nready$")
    window.wait_until(lambda: f"{name} | " in window.text.split("\n")[11], "the status line")
    place.attach(name, rows=11)
    window.wait_text("1 other attached")
    detach(window)


def test_next_finds_the_one_that_waits(place: Place) -> None:
    name = place.open()
    assert place.terma("send", name, "--keys", "sleep 0.1; printf '\\\\a'; cat\\n") == 0
    wait_for(lambda: name in waiting(place), "it waits")
    window = place.window("next")
    window.wait_text(PROMPT)
    assert f"{name}: Ctrl-] detaches".encode() in window.shown
    detach(window)


def test_a_terminal_that_comes_to_wait_rings_in_the_windows_of_others(place: Place) -> None:
    name, other = place.open(), place.open()
    window = place.attach(name)
    assert b"\x07" not in window.shown
    assert place.terma("send", other, "--keys", "printf '\\\\a'; cat\\n") == 0
    window.wait_for(b"\x07")
    assert "waits" not in window.text
    detach(window)
    later = place.attach(name)
    later.wait_for(f"{other} waits".encode())
    assert b"\x07" not in later.shown
    detach(later)
    assert f"{other} waits" in later.text


def waiting(place: Place) -> list[str]:
    listed = place.tekton.run([str(BIN / "terma"), "list", "--json"]).json
    rows = listed["terminals"] if isinstance(listed, dict) else listed
    return [row["name"] for row in rows if row["state"] == "waiting"]


def test_from_inside_it_is_refused(place: Place) -> None:
    name = place.open()
    window = place.attach(name)
    window.type(f"clear; {BIN}/terma attach {name}; echo status $?\r")
    window.wait_text("status 2")
    assert f"this is {name} itself" in window.text
    detach(window)


def test_without_a_terminal_it_says_what_else_there_is(place: Place) -> None:
    ran = place.tekton.run([str(BIN / "terma"), "attach", place.open()])
    assert ran.status == 2
    assert "terma screen NAME" in ran.err


def test_a_line_that_the_kernel_would_cut_is_refused(place: Place) -> None:
    name = place.open("cat")
    ran = place.tekton.run([str(BIN / "terma"), "send", name, "x" * 5000])
    assert ran.status != 0
    assert "4,09" in ran.err or "409" in ran.err


def test_a_terminal_that_is_lost_says_how_to_get_it_back(place: Place) -> None:
    name = place.open()
    window = place.attach(name)
    home = place.tekton.home
    paths = Paths(home / "config", home / "state", home / "run")
    with BlockingTekton(paths=paths, is_local=True) as tekton:
        host = tekton.call(ListTerminals()).host_pid
    os.kill(host, signal.SIGKILL)
    assert window.wait() == 1
    assert f"{name} is lost" in window.text
    assert f"terma restore {name}" in window.text
    assert place.terma("restore", name) == 0
    detach(place.attach(name))
