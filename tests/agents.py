"""Coding agents for tests: the real ones, offline, and small scripts that stand for them.

    with AnthropicServer(Script(models=ANY)) as server:
        agent = real_agent("claude")
        settings, variables = offline(agent, server.url, home)

The real ones are looked for in `$TEKTON_TEST_AGENTS`, in `build/agents` of the clone (where
`.ci/run` puts them) and on the PATH. Where `CI=true`, one that is missing fails the test.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import textwrap
from pathlib import Path
from typing import Any

import psutil

from tests.programs import needed

ROOT = Path(__file__).parent.parent
FOLDER = Path(os.environ.get("TEKTON_TEST_AGENTS") or ROOT / "build" / "agents")
"""Where npm has installed the agents; read before a test's environment is made."""

KEY = "sk-of-the-test"
CLAUDE_MODEL = "claude-sonnet-4-5"
CODEX_MODEL = "fake-1"


def real_agent(name: str) -> str:
    """Return the path of a real agent; skip the test where there is none."""
    return needed(name, str(FOLDER / "node_modules" / ".bin"))


def claude_settings(command: str) -> dict[str, Any]:
    """Settings of a provider for the real claude."""
    return {"agent": "claude", "command": command}


def claude_variables(url: str, home: Path) -> dict[str, str]:
    """Make a home in which claude asks that server only; returns its environment."""
    known = {
        "hasCompletedOnboarding": True,
        "customApiKeyResponses": {"approved": [KEY[-20:]], "rejected": []},
    }
    (home / ".claude.json").write_text(json.dumps(known), encoding="utf-8")
    return {
        "HOME": str(home),
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": KEY,
        "DISABLE_AUTOUPDATER": "1",
    }


def codex_settings(command: str, url: str) -> dict[str, Any]:
    """Settings of a provider for the real codex, which asks that server only."""
    server = (
        f'{{name = "fake", base_url = "{url}/v1", wire_api = "responses", '
        'env_key = "OPENAI_API_KEY", request_max_retries = 0, stream_max_retries = 0}'
    )
    arguments = ["-c", 'model_provider="fake"', "-c", f"model_providers.fake={server}"]
    return {"agent": "codex", "command": command, "arguments": arguments}


def codex_variables(home: Path) -> dict[str, str]:
    """Make a home for codex; returns its environment."""
    (home / ".codex").mkdir()
    return {"HOME": str(home), "OPENAI_API_KEY": KEY}


# -- scripts that stand for an agent -----------------------------------------------------------

_BEGIN = """\
#!{python} -IS
import json, os, signal, subprocess, sys, time
if sys.argv[1:] == ["--version"]:
    print("1.2.3 (fake)")
    sys.exit()
with open({log!r}, "a") as log:
    print(json.dumps({{"pid": os.getpid(), "argv": sys.argv[1:], "cwd": os.getcwd(),
                      "environment": dict(os.environ)}}), file=log)
def say(**event):
    print(json.dumps(event), flush=True)
def part(**event):
    say(type="stream_event", event=event, parent_tool_use_id=None, session_id="s")
def begin(model="claude-sonnet-4-5"):
    say(type="system", subtype="init", tools=[], model=model, session_id="s")
    usage = {{"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 1}}
    part(type="message_start", message={{"id": "msg_1", "model": model, "usage": usage}})
    part(type="content_block_start", index=0, content_block={{"type": "text", "text": ""}})
def text(text):
    part(type="content_block_delta", index=0, delta={{"type": "text_delta", "text": text}})
def result(words="", **more):
    usage = {{"input_tokens": 7, "cache_read_input_tokens": 3, "output_tokens": 5}}
    fields = {{"subtype": "success", "is_error": False, "result": words, "usage": usage,
              "total_cost_usd": 0.25, **more}}
    say(type="result", session_id="s", **fields)
def end():
    part(type="content_block_stop", index=0)
    part(type="message_delta", delta={{"stop_reason": "end_turn"}}, usage={{"output_tokens": 5}})
    part(type="message_stop")
    result("all")
message = sys.stdin.readline()
"""


class FakeAgent:
    """A script that prints what the real claude would, or what it never should.

    Its body finds `say(**event)`, `begin()`, `text(str)`, `end()`, `result(...)` and `message`, the
    line that came on its standard input.
    """

    def __init__(self, folder: Path, body: str, name: str = "agent") -> None:
        self.path = folder / name
        self._log = folder / f"{name}.log"
        begin = _BEGIN.format(python=sys.executable, log=str(self._log))
        self.path.write_text(begin + textwrap.dedent(body), encoding="utf-8")
        self.path.chmod(self.path.stat().st_mode | stat.S_IXUSR)

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of a provider that uses it as claude."""
        return {"agent": "claude", "command": str(self.path)}

    @property
    def runs(self) -> list[dict[str, Any]]:
        """How it was started: pid, argv, cwd, environment."""
        if not self._log.exists():
            return []
        lines = self._log.read_text(encoding="utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]


def is_running(pid: int) -> bool:
    """Tell whether a process is there and not merely unburied."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
