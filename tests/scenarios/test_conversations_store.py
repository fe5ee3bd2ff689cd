"""The store of conversations in a real hub: what is deleted is gone from the whole home."""

from __future__ import annotations

import json
import signal
import socket
from typing import Any

from tests.scenarios.tekton_process import PATIENCE_S, TektonProcess, wait_for

DAY_S = 86400


def engram(tekton: TektonProcess, method: str, **params: Any) -> dict[str, Any]:
    """Ask the memory, as any client can."""
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE_S)
        connection.connect(str(tekton.socket("engram", is_ci=False)))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as stream:
            answer: dict[str, Any] = json.loads(stream.readline())
    return answer


def holders(tekton: TektonProcess, text: bytes) -> list[str]:
    """Return the files of the home that hold a text."""
    files = [path for path in tekton.home.rglob("*") if path.is_file()]
    return [path.name for path in files if text in path.read_bytes()]


def test_no_file_of_the_home_holds_what_was_deleted_even_after_a_crash() -> None:
    with TektonProcess() as tekton:
        tekton.start()
        for name in ("gone", "kept"):
            prompt = " ".join(f"{name}word{number}" for number in range(3000))
            assert tekton.aish("mirror", "--session", name, prompt).status == 0
        assert tekton.hub
        tekton.hub.send_signal(signal.SIGKILL)
        tekton.hub.wait(PATIENCE_S)
        assert holders(tekton, b"goneword") != []
        tekton.start()
        removed = engram(tekton, "session.remove", sessions=["gone"])
        assert removed["result"] == {"sessions": 1, "turns": 1}
        assert holders(tekton, b"goneword") == []
        assert holders(tekton, b"keptword") == ["engram.db"]
        listed = engram(tekton, "session.list", search="keptword7")["result"]["sessions"]
        assert [session["name"] for session in listed] == ["kept"]
        tekton.stop()
        assert holders(tekton, b"goneword") == []


def test_what_is_kept_no_longer_goes_when_the_hub_starts() -> None:
    with TektonProcess("[engram]\nkeep_days = 30\n") as tekton:
        tekton.start()
        old = {
            "id": "1" * 32, "session": "2" * 32, "ci": "mirror", "status": "complete",
            "prompt": "an oldword", "started_at": 40 * DAY_S,
        }  # fmt: skip
        assert "result" in engram(tekton, "turn.begin", turn=old)
        assert tekton.aish("mirror", "a newword").status == 0
        tekton.stop()
        tekton.start()
        wait_for(lambda: not holders(tekton, b"oldword"), "the old conversation to be deleted")
        assert len(engram(tekton, "session.list")["result"]["sessions"]) == 1
        assert "deleted 1 conversations with 1 turns" in tekton.log()
        tekton.stop()
