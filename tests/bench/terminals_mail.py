"""What the commands take as whole processes, and when a message is in an inbox."""

from __future__ import annotations

import subprocess
import time
from functools import partial

from backends.protocol.mailboxes import SendMessage, WatchInbox
from tests.bench.figures import Figure
from tests.bench.stage import Hub, Stage, take_turns
from tests.bench.terminals_link import Link, opening, swept
from tests.bench.timed import run

_BARE = "bare Python (`python -c pass`)"


def measure(stage: Stage, runs: int) -> list[Figure]:
    """Send messages and list terminals, by turns with an empty Python."""
    with stage.hub() as hub, swept(hub.home, hub.pid), Link(hub.home) as link, \
         Link(hub.home) as inbox:  # fmt: skip
        link.call_all([opening(hub.home, name, ["sleep", "3600"]) for name in ("alice", "bob")])
        inbox.ask(WatchInbox(name="bob"))
        bare, sent, short, listed, seen, seen_sooner = take_turns(
            "terminals: commands",
            runs,
            [
                partial(_ms, hub, [stage.python, "-c", "pass"], 0),
                partial(_ms, hub, [stage.terma, "message", "alice", "hello"], 1),
                partial(_ms, hub, [stage.terma, "list", "--short"], 1),
                partial(_ms, hub, [stage.terma, "list"], 2),
                partial(_until_seen_ms, stage, hub, inbox),
                partial(_until_pushed_ms, link, inbox),
            ],
        )
    of_bare = partial(Figure, unit="ms", rival=_BARE, rival_values=bare)
    return [
        of_bare(what="`terma message alice hello`", values=sent, limit=2),
        of_bare(what="`terma list --short`", values=short),
        of_bare(what="`terma list`", values=listed),
        Figure(
            what="a message in the inbox, by `terma message`", unit="ms",
            values=seen, limit=50,
        ),
        Figure(
            what="a message in the inbox, over an open connection", unit="ms",
            values=seen_sooner,
        ),
    ]  # fmt: skip


def _ms(hub: Hub, command: list[str], lines: int) -> float:
    done = run(command, hub.home.environment)
    if done.output.count(b"\n") < lines:
        raise RuntimeError(f"{command} answered {done.output!r}")
    return done.wall_s * 1000


def _until_seen_ms(stage: Stage, hub: Hub, inbox: Link) -> float:
    began = time.perf_counter()
    with subprocess.Popen(
        [stage.terma, "message", "bob", "hello"], env=hub.home.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        message = inbox.chunk()
        took_ms = (time.perf_counter() - began) * 1000
    _check(message, "hello")
    if process.returncode:
        raise RuntimeError(f"`terma message` ended with {process.returncode}")
    return took_ms


def _until_pushed_ms(link: Link, inbox: Link) -> float:
    began = time.perf_counter()
    link.ask(SendMessage(to=("bob",), text="pushed"))
    message = inbox.chunk()
    took_ms = (time.perf_counter() - began) * 1000
    link.result()
    _check(message, "pushed")
    return took_ms


def _check(message: dict[str, object] | None, text: str) -> None:
    if message is None or message["text"] != text:
        raise RuntimeError(f"the inbox shows {message}")
