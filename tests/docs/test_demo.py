"""`make demo` as a newcomer runs it, without a terminal."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.docs.pages import DOCS
from tests.model_servers import Fault, FaultKind, OllamaServer, Script
from tests.scenarios.tekton_process import PATIENCE_S, clean_environment, wait_for

DEMO = DOCS / "demo.sh"


def begin(demo: Path, home: Path, **variables: str) -> subprocess.Popen[str]:
    """Start the demo with a pipe as standard input that nobody writes to."""
    return subprocess.Popen(
        ["/bin/sh", str(demo)], env=clean_environment(home) | variables, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for the demo's end, and see that nothing of it is left."""
    try:
        process.wait(PATIENCE_S)
    finally:
        process.kill()
    out, err = process.communicate()
    home = re.search(r"/tmp/tekton-demo\.\w+", out)
    assert home
    assert not os.path.exists(home[0])
    wait_for(lambda: not processes_of(home[0]), "the end of the hub")
    return process.returncode, out, err


def processes_of(home: str) -> list[int]:
    """The pids of what runs in a home."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TEKTON_HOME") == home:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def ptyhost_of(home: Path) -> list[int]:
    """The pids of what holds the terminals of a home; it has no environment of that home."""
    where = str(home / "run" / "ptyhost.sock")
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        is_over = process.info["status"] == psutil.STATUS_ZOMBIE
        if where in (process.info["cmdline"] or ()) and not is_over:
            found.append(process.pid)
    return found


def commands(out: str) -> list[str]:
    """The commands that the demo showed."""
    return re.findall(r"^\$ (.+)$", out, re.MULTILINE)


def test_without_a_model_it_runs_on_the_cis_that_need_none(tekton_home: Path) -> None:
    status, out, err = end(begin(DEMO, tekton_home))
    assert status == 0, out + err
    shown = commands(out)
    assert (shown[0], shown[-1]) == ("tekton up", "tekton down --all")
    assert shown.index("aish history") < shown.index("terma inbox") < len(shown) - 2
    assert "files changed" in out or "file changed" in out
    assert "Numa says:\n\n**Memory**" in out
    assert "== numa ==" in out
    assert "    ollama pull llama3.2\n" in out
    assert "\x1b" not in out
    assert "error" not in err


def test_it_shows_two_terminals_a_message_and_a_replay(tekton_home: Path) -> None:
    status, out, err = end(begin(DEMO, tekton_home))
    assert status == 0, out + err
    assert re.search(r"^\w{8}  from alice, .+, shown\n    the answer is 42$", out, re.MULTILINE)
    assert re.search(r"^alice +shell +coding +\w+", out, re.MULTILINE)
    assert re.search(r"^bob +program +- +\w+", out, re.MULTILINE)
    logged = out.partition("$ terma log alice")[2].splitlines()[1]
    assert logged == "42"
    replayed = out.partition("$ terma replay alice --speed 0\n")[2].partition("$ tekton down")[0]
    assert "echo $((6 * 7))" in replayed
    assert "closed 2 terminals" in out + err


def test_it_leaves_no_terminal_where_it_is_stopped(tekton_home: Path) -> None:
    process = begin(DEMO, tekton_home)
    assert process.stdout is not None
    out = ""
    while "terma send alice" not in out:
        line = process.stdout.readline()
        assert line, "the demo ended before it had terminals"
        out += line
    home = Path(re.findall(r"/tmp/tekton-demo\.\w+", out)[0])
    assert ptyhost_of(home)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    assert not home.exists()
    wait_for(lambda: not processes_of(str(home)) and not ptyhost_of(home), "the end of all")


def test_it_makes_a_repository_where_there_is_none(tekton_home: Path, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    demo = Path(shutil.copy(DEMO, tmp_path / "docs"))
    status, out, err = end(begin(demo, tekton_home, GIT_CEILING_DIRECTORIES=str(tmp_path.parent)))
    assert status == 0, out + err
    assert "mean.py" in out


def test_with_a_model_a_diff_goes_through_two_cis(tekton_home: Path) -> None:
    with OllamaServer(Script(tokens=["It ", "is ", "fine."])) as server:
        status, out, err = end(begin(DEMO, tekton_home, OLLAMA_HOST=server.url))
        asked = [request.body["messages"][-1]["content"] for request in server.prompts]
    assert status == 0, out + err
    assert "== apollo ==\nIt is fine.\n" in out
    assert "ollama pull" not in out
    assert asked[0].startswith("Review this in two sentences.\n\ndiff --git ")
    assert asked[1] == "What is the first thing to do? One sentence.\n\nIt is fine.\n"


@pytest.mark.parametrize("after", [0, 2])
def test_it_fails_where_an_answer_fails(tekton_home: Path, after: int) -> None:
    fault = Fault(FaultKind.CUT, after=after)
    with OllamaServer(Script(tokens=["It ", "is ", "fine."], fault=fault)) as server:
        status, out, err = end(begin(DEMO, tekton_home, OLLAMA_HOST=server.url))
    assert status == 1, out
    assert "demo: this failed" in err


def test_it_leaves_nothing_where_it_is_stopped(tekton_home: Path) -> None:
    with OllamaServer(Script(tokens=["a"] * 100, delay_s=0.01)) as server:
        process = begin(DEMO, tekton_home, OLLAMA_HOST=server.url)
        wait_for(lambda: server.prompts, "the first prompt")
        process.send_signal(signal.SIGTERM)
        server.script = Script()
        status, _, _ = end(process)
    assert status == 143


def test_it_says_what_to_do_where_nothing_is_installed(tekton_home: Path) -> None:
    process = begin(DEMO, tekton_home, PATH=str(tekton_home))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert "make demo" in err
