"""Terminals: many of them, how near they are, what a killed hub costs, and messages."""

from __future__ import annotations

from tests.bench import terminals_echo, terminals_killed, terminals_mail, terminals_many
from tests.bench.figures import Section
from tests.bench.stage import Stage

ABOUT = f"""\
{terminals_many.SIZE} shells (`bash --norc` with marks around its prompts) are opened over one
connection, until the hub knows each at its prompt, and are closed again. In every
{terminals_many.FILLED_EVERY}th round, and in the last, each then puts out
{terminals_many.LINES:,} lines of {terminals_many.WIDTH} characters at the same time, until all are
in the log and each shell is at its prompt; then the screens of all are asked for at once. Memory
is that of the hub, of ptyhost and of the screen workers, pages that they share counted once (PSS):
right after the screens were shown, and at the end, when the hub has put them away. Processor time
is theirs too, over windows of one second, before that; what counts is all of it.

A key goes from a client to the hub, to a terminal that echoes it, and back to the client that is
attached. By turns with it go a key through tmux in control mode, and one that a process types into
tmux and that others look for until it is there. The commands are whole processes, by turns with an
empty Python; the inbox is watched over a connection, and the time until a message is there begins
with the start of the process, or of the request.

{terminals_killed.KILLS} times the hub is killed (SIGKILL) while one terminal puts out
{terminals_killed.BURST // 1_000_000} MB at full speed and another a line every
{terminals_killed.EVERY_S * 1000:g} ms, to which `terma attach` is attached. The client is back when
it shows a line that was written after the start of `tekton up`. Both programs write the same bytes
to a file, which the logs are compared with at the end."""


def measure(stage: Stage, runs: int) -> Section:
    """Measure the parts, one after the other."""
    many, screens = terminals_many.measure(stage, runs)
    keys = terminals_echo.measure(stage, runs)
    commands = terminals_mail.measure(stage, runs)
    back, logs = terminals_killed.measure(stage)
    return Section(
        title="Terminals",
        about=ABOUT,
        figures=(*many, *keys, *commands, *back),
        counts=(*screens, *logs),
    )
