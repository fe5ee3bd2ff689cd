"""What a measurement plays on: a venv, hubs with homes of their own, model servers."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.install import ROOT
from tests.bench.timed import Run, run
from tests.model_servers import closed_url

_THE_USERS = (
    "TEKTON_",
    "TERMA_",
    "ANTHROPIC_",
    "OPENAI_",
    "OLLAMA_",
    "XDG_",
    "PYTHON",
    "NO_COLOR",
    "COLUMNS",
)
_WAIT_S = 30.0

CI_MODELS = {
    "ollama": "ollama/llama3.2:latest",
    "openai": "openai/qwen3-8b",
    "anthropic": "anthropic/claude-sonnet-5-5",
}
"""A CI for each provider, named after it; and the model that its server has."""


class Stage:
    """A folder for everything that a measurement leaves, and the programs that it measures."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self._folder = folder
        self._homes = 0
        self.python = os.fspath(programs / "python")
        self.aish = os.fspath(programs / "aish")
        self.tekton = os.fspath(programs / "tekton")
        self.terma = os.fspath(programs / "terma")

    def home(self) -> Home:
        """Return a new, empty home."""
        self._homes += 1
        folder = self._folder / f"h{self._homes}"
        (folder / "tmp").mkdir(parents=True)
        return Home(folder)

    @contextmanager
    def hub(self, urls: Mapping[str, str] | None = None) -> Iterator[Hub]:
        """Run a hub with a CI for each of the model servers, until the end of the block.

        Args:
            urls: Addresses of servers by provider.
        """
        home = self.home()
        home.configure(urls or {})
        reading, writing = os.pipe()
        with (home.folder / "hub.out").open("wb") as output:
            process = subprocess.Popen(
                [self.python, "-m", "backends.hub", "--ready", str(writing)],
                env=home.environment, cwd=home.folder, pass_fds=(writing,),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        os.close(writing)
        try:
            report = json.loads(_read_line(reading) or b"{}")
            if not report.get("ready"):
                said = report.get("message") or (home.folder / "hub.out").read_text()
                raise RuntimeError(f"no hub: {said}")
            yield Hub(self, home, process.pid)
        finally:
            os.close(reading)
            process.terminate()
            process.wait(_WAIT_S)

    @contextmanager
    def server(
        self, protocol: str, *, tokens: int | None = None, delay_ms: float = 0
    ) -> Iterator[Server]:
        """Run a model server in a process of its own; without `tokens` it echoes."""
        script = [f"--delay-ms={delay_ms}"]
        script += [] if tokens is None else [f"--tokens={tokens}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.model_servers", protocol, *script],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        try:
            yield Server(protocol, _read_line(process.stdout.fileno()).decode().strip())
        finally:
            process.terminate()
            process.wait(_WAIT_S)
            process.stdout.close()


class Home:
    """A `TEKTON_HOME`, with an environment that knows nothing of the user's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(_THE_USERS) and not key.lower().endswith("_proxy")
        }
        path = os.fspath(folder)
        own = {"HOME": path, "TEKTON_HOME": path, "TMPDIR": os.fspath(self.temporary)}
        fixed = {
            "TERM": "xterm-256color",
            "OLLAMA_HOST": closed_url(),
            "ANTHROPIC_API_KEY": "any-will-do",
        }
        self.environment: dict[str, str] = {**kept, **own, **fixed}

    def configure(self, urls: Mapping[str, str]) -> None:
        """Write the settings, and a CI for each provider that has a server."""
        personas = self.folder / "config" / "ci"
        personas.mkdir(mode=0o700, parents=True)
        lines = []
        for provider, url in urls.items():
            lines.append(f'[providers.{provider}]\nurl = "{url}"\n')
            persona = f'role = "benchmark"\nmodel = "{CI_MODELS[provider]}"\n'
            (personas / f"{_ci(provider)}.toml").write_text(persona, encoding="utf-8")
        (self.folder / "config" / "config.toml").write_text("\n".join(lines), encoding="utf-8")


class Hub:
    """A hub that is ready."""

    def __init__(self, stage: Stage, home: Home, pid: int) -> None:
        self._stage = stage
        self.home = home
        self.pid = pid

    def ask(self, ci: str, prompt: str = "hi", *, on_terminal: bool = False) -> Run:
        """Run `aish CI PROMPT`."""
        return self.aish(_ci(ci), prompt, on_terminal=on_terminal)

    def aish(self, *arguments: str, on_terminal: bool = False) -> Run:
        """Run `aish`."""
        command = [self._stage.aish, *arguments]
        return run(command, self.home.environment, on_terminal=on_terminal)

    def socket(self, ci: str) -> str:
        """The socket of a CI."""
        return os.fspath(self.home.folder / "run" / "ci" / f"{_ci(ci)}.sock")


class Server:
    """A model server; `url` is its base as a provider's settings take it."""

    def __init__(self, protocol: str, address: str) -> None:
        self._address = address
        self.url = f"{address}/v1" if protocol == "openai" else address

    def first_token_at(self) -> float:
        """When it sent the first token of its last answer, by `time.monotonic`."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self._address}/_timing") as response:
            return float(json.load(response)["first_token_at"])


def rounds(what: str, count: int) -> Iterator[int]:
    """Count to a number, and show on stderr how far that has come."""
    began = time.monotonic()
    is_terminal = sys.stderr.isatty()
    for number in range(count):
        if is_terminal:
            print(f"\r  {what}: {number + 1}/{count}", end="", file=sys.stderr, flush=True)
        yield number
    start = "\r" if is_terminal else ""
    took_s = time.monotonic() - began
    print(f"{start}  {what}: {count} in {took_s:.1f} s", file=sys.stderr, flush=True)


def take_turns(
    what: str, count: int, contestants: Sequence[Callable[[], float]]
) -> list[tuple[float, ...]]:
    """Measure several things by turns, so that what else the machine does meets all alike.

    Each is run once more before, unmeasured, so that files and caches are warm.

    Returns:
        The values of each.
    """
    for contestant in contestants:
        contestant()
    found = [[contestant() for contestant in contestants] for _ in rounds(what, count)]
    return list(zip(*found, strict=True))


def wait_until(is_so: Callable[[], bool], what: str, seconds: float = _WAIT_S) -> None:
    """Wait for something that announces nothing.

    Raises:
        RuntimeError: It did not come.
    """
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {seconds:g} s")
        time.sleep(0.01)


def _ci(provider: str) -> str:
    return f"on-{provider}" if provider in CI_MODELS else provider


def _read_line(file: int) -> bytes:
    """Read a line, byte by byte; what there is at the end, or after 30 s."""
    line = b""
    while not line.endswith(b"\n"):
        if not select.select([file], [], [], _WAIT_S)[0]:
            break
        byte = os.read(file, 1)
        if not byte:
            break
        line += byte
    return line
