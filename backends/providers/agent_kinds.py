"""How each coding agent is called: as a model that answers, and as nothing more.

All that could act or look around is switched off: tools, a project's and the user's own
instructions, hooks, plug-ins, skills, MCP servers, saved sessions. What a CI is told goes through
standard input or a private file, never through arguments, which everybody on the machine can see.
"""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from backends.providers.agent_events import ClaudeReader, CodexReader, Reader
from backends.providers.base import Prompt
from backends.providers.remote import image_bytes

DEFAULT_MODEL = "default"
"""Stands for the model that the agent takes by itself."""

NESTING = (
    "AI_AGENT", "TRACEPARENT", "CLAUDECODE", "CLAUDE_EFFORT", "CLAUDE_CODE_AGENT",
    "CLAUDE_CODE_CHILD_SESSION", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_EXECPATH",
    "CLAUDE_CODE_SESSION_ID", "CLAUDE_CODE_SESSION_KIND", "CLAUDE_CODE_SESSION_NAME",
    "CLAUDE_CODE_SSE_PORT", "CODEX_CI", "CODEX_SANDBOX", "CODEX_SANDBOX_NETWORK_DISABLED",
    "CODEX_THREAD_ID",
)  # fmt: skip
"""Variables by which an agent takes itself for the child of another."""

_PLAIN = "You answer the user."
_HISTORY = "The conversation so far, oldest first, one exchange a line:"
_QUESTION = "The message to answer now:"


@dataclass(frozen=True)
class Room:
    """The place of one answer: private files, and the folder that the agent works in."""

    files: Path
    folder: Path

    def keep(self, name: str, content: bytes) -> Path:
        """Write a private file; returns its path."""
        file = self.files / name
        file.write_bytes(content)
        return file


class Agent(Protocol):
    """A kind of coding agent."""

    program: str
    package: str
    """What npm installs it from."""
    login: str
    """How to log in, as the end of a hint."""
    models: tuple[str, ...]
    tools: re.Pattern[str]
    """What an entry of the setting `tools` looks like."""

    def arguments(self, prompt: Prompt, tools: Sequence[str], room: Room) -> list[str]:
        """Return the command line without the program; writes private files that it needs."""

    def variables(self, prompt: Prompt) -> Mapping[str, str]:
        """Return what is added to the environment where it is not set there."""

    def message(self, prompt: Prompt) -> bytes:
        """Return what its standard input gets."""

    def reader(self, name: str, model: str) -> Reader:
        """Return a reader for one answer."""


class Claude:
    """Claude Code; its `tools` are named as in its own rules: `Read`, `Bash(git log *)`."""

    program = "claude"
    package = "@anthropic-ai/claude-code"
    login = "log in once: `claude`, then type /login"
    models: tuple[str, ...] = (DEFAULT_MODEL, "sonnet", "opus", "haiku")
    tools = re.compile(r"[A-Z]\w*(\([^()]*\))?")

    def arguments(self, prompt: Prompt, tools: Sequence[str], room: Room) -> list[str]:
        """Safe mode, no tools; without tools, its own instructions for coding go, too."""
        flags = (
            "-p --input-format stream-json --output-format stream-json --verbose "
            "--include-partial-messages --no-session-persistence --strict-mcp-config "
            "--disable-slash-commands --safe-mode --setting-sources user --permission-mode default"
        ).split()
        system = f"={room.keep('system', (prompt.system or '').encode())}"
        if tools:
            flags += ["--allowedTools", *tools]
            flags += [f"--tools={','.join(dict.fromkeys(one.split('(')[0] for one in tools))}"]
            flags += [f"--append-system-prompt-file{system}"] if prompt.system else []
        else:
            flags += ["--tools=", f"--system-prompt-file{system}"]
        return flags + ([f"--model={prompt.model}"] if prompt.model != DEFAULT_MODEL else [])

    def variables(self, prompt: Prompt) -> Mapping[str, str]:
        """No `@file` of a prompt is read, and little is tried again in secret."""
        limit = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": str(prompt.max_tokens)}
        return {
            "CLAUDE_CODE_DISABLE_ATTACHMENTS": "1",  # without it, --tools "" does not keep it out
            "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_MAX_RETRIES": "2",  # of 10, over minutes
            **(limit if prompt.max_tokens else {}),
        }

    def message(self, prompt: Prompt) -> bytes:
        """One message of its stream-json: images, then the text."""
        text = with_history(prompt)
        if text.startswith("/"):
            text = f"\n{text}"  # else it would be a command to the agent
        content: list[dict[str, Any]] = []
        for image in prompt.images:
            image_bytes(image)
            source = {"type": "base64", "media_type": image.media_type, "data": image.data}
            content.append({"type": "image", "source": source})
        content.append({"type": "text", "text": text})
        message = {"role": "user", "content": content}
        return json.dumps({"type": "user", "message": message}).encode() + b"\n"

    def reader(self, name: str, model: str) -> Reader:
        """Read its stream-json."""
        return ClaudeReader(name, model)


class Codex:
    """OpenAI's Codex; its `tools` are `shell`, `web_search` and `write`."""

    program = "codex"
    package = "@openai/codex"
    login = "log in once: `codex login`"
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    tools = re.compile("shell|web_search|write")

    _SHELL = ("shell_tool", "unified_exec")
    _OFF = (
        "apps", "browser_use", "computer_use", "goals", "hooks", "image_generation", "memories",
        "multi_agent", "plugins", "skill_search", "sleep_tool", "view_image",
    )  # fmt: skip

    def arguments(self, prompt: Prompt, tools: Sequence[str], room: Room) -> list[str]:
        """Read-only, without a shell: with one it could read every file of the user."""
        flags = (
            "exec --json --ephemeral --ignore-user-config --ignore-rules --skip-git-repo-check "
            "--color never"
        ).split()
        flags += ["--sandbox", "workspace-write" if "write" in tools else "read-only"]
        flags += ["--cd", str(room.folder)]
        off = self._OFF if {"shell", "write"}.intersection(tools) else (*self._OFF, *self._SHELL)
        settings = [
            *(f"features.{feature}=false" for feature in off),
            "agents.enabled=false",
            "project_doc_max_bytes=0",
            "skills.bundled.enabled=false",
            "skills.include_instructions=false",
            f'web_search="{"live" if "web_search" in tools else "disabled"}"',
        ]
        if not tools:
            settings += [
                f"include_{part}=false"
                for part in ("permissions_instructions", "environment_context", "apps_instructions")
            ]
        if prompt.system or not tools:
            system = room.keep("system", (prompt.system or _PLAIN).encode())
            settings.append(f"model_instructions_file={json.dumps(str(system))}")
        flags += [word for setting in settings for word in ("-c", setting)]
        for number, image in enumerate(prompt.images):
            ending = mimetypes.guess_extension(image.media_type) or ""
            flags.append(f"--image={room.keep(f'image{number}{ending}', image_bytes(image))}")
        return flags + ([f"--model={prompt.model}"] if prompt.model != DEFAULT_MODEL else [])

    def variables(self, prompt: Prompt) -> Mapping[str, str]:
        """Nothing: all is said by arguments."""
        del prompt
        return {}

    def message(self, prompt: Prompt) -> bytes:
        """The plain text."""
        return with_history(prompt).encode()

    def reader(self, name: str, model: str) -> Reader:
        """Read its thread events."""
        return CodexReader(name, model)


AGENTS: Mapping[str, Agent] = {"claude": Claude(), "codex": Codex()}


def with_history(prompt: Prompt) -> str:
    """Put what was said before in front of the text, as JSON, out of which no text can break."""
    if not prompt.history:
        return prompt.text
    exchanges = [
        json.dumps({"user": one.prompt, "you": one.answer}, ensure_ascii=False)
        for one in prompt.history
    ]
    return "\n".join([_HISTORY, *exchanges, "", _QUESTION, "", prompt.text])
