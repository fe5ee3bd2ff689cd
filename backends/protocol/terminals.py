"""The messages of terma about terminals themselves; screens, logs and mailboxes have their own.

Apart from the others because most clients never need them, and making a class takes time. Bytes
travel as base64 (RFC 4648). Offsets count the bytes that a terminal has put out since it was
first opened: they are absolute for ever. A terminal is named by its name, `NAME-ci`, or its id.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from backends.protocol.messages import Ack, Request

PERSON = "user"
"""The mailbox of the person: what is sent from outside every terminal comes from it."""


class TerminalState(Enum):
    """What a terminal does, as far as anybody can tell.

    `idle`: a shell at its prompt, or a program that is quiet; `waiting`: it wants a person;
    `exited`: its program has ended, its log is there; `lost`: whoever held it has died.
    """

    IDLE = "idle"
    BUSY = "busy"
    WAITING = "waiting"
    EXITED = "exited"
    LOST = "lost"
    CLOSED = "closed"


@dataclass(frozen=True, kw_only=True)
class Worktree:
    """A git worktree that was made for a terminal; `base` is the commit that it began at."""

    repository: str
    path: str
    branch: str
    base: str


@dataclass(frozen=True, kw_only=True)
class TerminalInfo:
    """A terminal as it is now.

    `state` is as `source` tells it (`prompt mark`, `foreground process`, `output`, `bell`,
    `notification`, `ptyhost`) since `state_since`, and `detail` says more of it: the command that
    runs, the exit status, why it is lost. `active_at` is the time of its last output or input.
    Bytes from `oldest` up to `end` are in its log. `pid` is `None` where nothing runs. Of the
    messages that are open (`unread`), `unseen` were never shown. `warning` is what a person should
    know: a simpler screen engine, a recording that has stopped.
    """

    name: str
    id: str
    kind: str = "shell"
    roles: tuple[str, ...] = ()
    state: TerminalState = TerminalState.IDLE
    source: str = ""
    state_since: float = 0.0
    detail: str | None = None
    unread: int = 0
    unseen: int = 0
    pid: int | None = None
    command: tuple[str, ...] = ()
    folder: str = ""
    worktree: Worktree | None = None
    columns: int = 80
    rows: int = 24
    title: str = ""
    started_at: float = 0.0
    ended_at: float | None = None
    active_at: float = 0.0
    exit_status: int | None = None
    """As a shell has it: 128 and the signal's number where it died of a signal."""
    attached: int = 0
    can_answer: bool = False
    is_recorded: bool = True
    oldest: int = 0
    end: int = 0
    warning: str | None = None


# -- terminals -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class OpenTerminal(Request[TerminalInfo]):
    """Open a terminal and run a program in it; answered once the program runs.

    `environment` is base64 of `NAME=value` strings, each ended by a NUL (environ(7)): the
    caller's, to which the terminal's own variables are added.
    """

    METHOD = "terminal.open"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = TerminalInfo

    name: str
    command: tuple[str, ...]
    folder: str
    environment: str
    kind: str = "program"
    roles: tuple[str, ...] = ()
    columns: int = 80
    rows: int = 24
    is_recorded: bool | None = None
    """`None` means as the configuration has it."""
    worktree: Worktree | None = None


@dataclass(frozen=True, kw_only=True)
class Terminals:
    """Terminals, by name, or those that are closed; `host_pid` is the ptyhost's, 0 for none."""

    terminals: tuple[TerminalInfo, ...]
    host_pid: int = 0


@dataclass(frozen=True, kw_only=True)
class ListTerminals(Request[Terminals]):
    """List every terminal that is not closed; with `name` that one alone, also if it is.

    With `is_closed` those that are closed and still kept, at most 1,000, the last one first; with
    `name` as well, those that were called so.
    """

    METHOD = "terminal.list"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Terminals

    name: str | None = None
    is_closed: bool = False


@dataclass(frozen=True, kw_only=True)
class TerminalEnd:
    """Why nothing more comes: the terminal is `exited`, `lost` or `closed`."""

    state: TerminalState
    exit_status: int | None = None
    detail: str | None = None


@dataclass(frozen=True, kw_only=True)
class Output:
    """A piece of what an attached person sees.

    `data` is base64 of bytes that begin at `offset`; of a repaint (`is_repaint`), of bytes that
    bring a terminal of the given size, whatever it shows, to the state at `offset`. The first
    piece is a repaint and carries the id of the `attachment`. `columns` and `rows` come where the
    size is another one from here on. `notice` is for the person, and no part of the output.
    """

    offset: int
    data: str = ""
    is_repaint: bool = False
    attachment: str | None = None
    columns: int | None = None
    rows: int | None = None
    notice: str | None = None


@dataclass(frozen=True, kw_only=True)
class AttachTerminal(Request[TerminalEnd]):
    """Follow a terminal as a person does who types into it.

    The terminal takes the size given here, unless it `is_read_only`, or not `takes_size`: who was
    not the last to type comes back like that.
    """

    METHOD = "terminal.attach"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = TerminalEnd
    CHUNK = Output

    name: str
    columns: int = 80
    rows: int = 24
    is_read_only: bool = False
    takes_size: bool = True


@dataclass(frozen=True, kw_only=True)
class Typed:
    """How many bytes the terminal took."""

    written: int


@dataclass(frozen=True, kw_only=True)
class WriteTerminal(Request[Typed]):
    """Type into a terminal; answered once it has taken all of `data` (base64).

    With `attachment` the size of the terminal becomes that person's. Without one a line that is
    longer than the kernel takes is refused, and nothing is typed.
    """

    METHOD = "terminal.write"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Typed

    name: str
    data: str
    attachment: str | None = None


@dataclass(frozen=True, kw_only=True)
class ResizeTerminal(Request[Ack]):
    """Give a terminal another size; that of an attached person counts once they have typed last."""

    METHOD = "terminal.resize"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack

    name: str
    columns: int
    rows: int
    attachment: str | None = None


@dataclass(frozen=True, kw_only=True)
class SignalTerminal(Request[Ack]):
    """Send a signal, `INT` or `SIGINT`, to what is in the foreground of a terminal."""

    METHOD = "terminal.signal"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack

    name: str
    signal: str


@dataclass(frozen=True, kw_only=True)
class RenameTerminal(Request[TerminalInfo]):
    """Give a terminal another name."""

    METHOD = "terminal.rename"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = TerminalInfo

    name: str
    to: str


@dataclass(frozen=True, kw_only=True)
class ChangeRoles(Request[TerminalInfo]):
    """Replace the roles of a terminal."""

    METHOD = "terminal.role"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = TerminalInfo

    name: str
    roles: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Closed:
    """What ended with a terminal: how many processes, and those that are still there."""

    name: str
    ended: int = 0
    left: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CloseTerminal(Request[Closed]):
    """End everything in a terminal and free its name; answered once nothing of it runs.

    Its log stays for as long as the configuration says; with `forgets` it is deleted, with its
    messages.
    """

    METHOD = "terminal.close"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Closed

    name: str
    forgets: bool = False


@dataclass(frozen=True, kw_only=True)
class NotRestored:
    """A terminal that was left as it is, and why; `pids` survive of what ran in it."""

    name: str
    reason: str
    pids: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Restored:
    """What became of the terminals that were lost or have exited."""

    terminals: tuple[TerminalInfo, ...] = ()
    refused: tuple[NotRestored, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RestoreTerminals(Request[Restored]):
    """Run anew what was lost, under the same name and id, in the caller's environment.

    Without names, every terminal that is lost. One of which processes survive is refused, unless
    `is_forced`. One that has exited is run anew only by name.
    """

    METHOD = "terminal.restore"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Restored

    environment: str
    names: tuple[str, ...] = ()
    is_forced: bool = False


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who asks: a terminal, or the person (`user`); `known_by` tells how that is known.

    It is `process` (the terminal's own program), `session`, `ancestor`, `token`, or `user` for
    everybody else.
    """

    name: str
    id: str | None = None
    roles: tuple[str, ...] = ()
    unread: int = 0
    known_by: str = "user"


@dataclass(frozen=True, kw_only=True)
class WhoAmI(Request[Identity]):
    """Ask who one is."""

    METHOD = "terminal.whoami"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Identity
