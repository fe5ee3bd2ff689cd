"""Finding processes, with /proc and with ps."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from backends.errors import TektonError
from terma.ptyhost import processes
from terma.service.leftovers import end_leftovers
from tests.programs import needed
from tests.terma.ptyhost.ptyhost_process import id_of, wait_until

MINE = id_of("m")

LISTING = b"""\
    1 Ss   Mon Nov  2 09:00:01 2026 /sbin/launchd
  501 S+   Mon Nov  2 09:00:02 2026 sleep 61 PATH=/bin TERMA_INSTANCE=ab-1 HOME=/x
  502 Z    Mon Nov  2 09:00:02 2026 (sleep) TERMA_INSTANCE=ab-1
  503 S    Mon Nov  2 09:00:03 2026 echo XTERMA_INSTANCE=ab-1 TERMA_INSTANCE=AB
garbage
"""


@pytest.fixture
def marked() -> Iterator[int]:
    """A process that carries an id, behind an environment of several pages."""
    environment = {f"V{number:05}": "x" * 100 for number in range(1000)}
    process = subprocess.Popen(
        ["sleep", "61"], env={**environment, "PATH": os.environ["PATH"], "TERMA_INSTANCE": MINE}
    )
    wait_until(lambda: processes.survivors([MINE]), "the process")
    yield process.pid
    process.kill()
    process.wait()


def test_one_look_finds_what_carries_an_id(marked: int) -> None:
    assert processes.survivors([MINE, "m-2"]) == {MINE: [marked]}
    assert processes.survivors([]) == {}
    [found] = [process for process in processes.scan() if process.pid == marked]
    assert found.session == os.getsid(marked)


def test_what_waits_to_be_reaped_does_not_count(marked: int) -> None:
    os.kill(marked, 9)
    wait_until(lambda: not processes.survivors([MINE]), "its end")


def test_ps_is_read_where_there_is_no_proc() -> None:
    found = list(processes._from_ps(LISTING))
    assert [(one.pid, one.instance) for one in found] == [(1, ""), (501, "ab-1"), (503, "")]
    assert found[1].started == b"Mon Nov  2 09:00:02 2026"


def test_ps_and_proc_agree(marked: int) -> None:
    needed("ps")
    found = {one.pid: one for one in processes._from_ps(processes._ask_ps())}
    assert found[marked].instance == MINE
    assert found[marked].session == os.getsid(marked)


def test_a_part_of_the_processes_is_not_taken_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    open_it = os.open

    def refuse(path: str, *rest: int, **more: Any) -> int:
        if str(path).startswith("/proc/"):
            raise OSError(errno.EMFILE, "no more files")
        return open_it(path, *rest, **more)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(OSError, match="no more files"):
        processes.scan()
    with pytest.raises(TektonError, match="cannot be looked at: no more files") as raised:
        end_leftovers("nobody", 0)
    assert raised.value.hint
