"""The messages of terma: terminals, their screens, logs and mailboxes.

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
    Bytes from `oldest` up to `end` are in its log. `pid` is 0 where nothing runs. `warning` is
    what a person should know: a simpler screen engine, a recording that has stopped.
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
    pid: int = 0
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
    """Every terminal that is not closed, by name; `host_pid` is the ptyhost's, 0 for none."""

    terminals: tuple[TerminalInfo, ...]
    host_pid: int = 0


@dataclass(frozen=True, kw_only=True)
class ListTerminals(Request[Terminals]):
    """List the terminals; with `name` that one alone, also if it is closed."""

    METHOD = "terminal.list"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Terminals

    name: str | None = None


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

    The terminal takes the size given here, unless it `is_read_only`.
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


# -- screens ---------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Run:
    """Text of one look within a row.

    Colours are a number of the palette as text (`"1"` is red), or `#rrggbb`; `None` is the
    terminal's own. `attributes` are of: bold, faint, italic, underline, blink, inverse,
    invisible, strikethrough, overline. `link` is where it leads.
    """

    text: str
    foreground: str | None = None
    background: str | None = None
    attributes: tuple[str, ...] = ()
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a screen, without the blanks at its end; `wraps` goes on in the next row."""

    runs: tuple[Run, ...] = ()
    wraps: bool = False


@dataclass(frozen=True, kw_only=True)
class Screen:
    """What a terminal shows at `offset`.

    `lines` are as many as there are `rows`; `scrollback` are those above, oldest first, as many
    as were asked for. The cursor is counted from 0, and is at `columns` where the next character
    wraps. `engine` has worked it out; `warning` tells what a person should know of that.
    """

    offset: int
    columns: int
    rows: int
    lines: tuple[Row, ...]
    scrollback: tuple[Row, ...] = ()
    scrollback_rows: int = 0
    """How many rows there are above, whatever was asked for."""
    cursor_column: int = 0
    cursor_row: int = 0
    cursor_is_visible: bool = True
    title: str = ""
    is_alternate: bool = False
    engine: str = ""
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class ShowScreen(Request[Screen]):
    """Show what a terminal shows, with so many rows of what has scrolled away."""

    METHOD = "terminal.screen"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Screen

    name: str
    scrollback: int = 0


@dataclass(frozen=True, kw_only=True)
class ChangedRow:
    """A row of a screen that is another one now, counted from 0."""

    index: int
    row: Row


@dataclass(frozen=True, kw_only=True)
class ScreenChange:
    """A whole `screen`, or what is different since the last change."""

    offset: int
    screen: Screen | None = None
    rows: tuple[ChangedRow, ...] = ()
    cursor_column: int = 0
    cursor_row: int = 0
    cursor_is_visible: bool = True
    title: str = ""
    warning: str | None = None


@dataclass(frozen=True, kw_only=True)
class WatchScreen(Request[TerminalEnd]):
    """Follow a screen: first whole, then row by row, at most 30 times a second."""

    METHOD = "terminal.watch"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = TerminalEnd
    CHUNK = ScreenChange

    name: str


# -- logs ------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class LogPiece:
    """Raw output from `offset` on, put out at `at` on a terminal of that size (base64).

    Where the offset is beyond the end of the piece before, what lay between is not kept.
    """

    offset: int
    at: float
    columns: int
    rows: int
    data: str = ""


@dataclass(frozen=True, kw_only=True)
class LogEnd:
    """How far a log reaches; `left_out` counts lines over the limit."""

    oldest: int
    end: int
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class ReadLog(Request[LogEnd]):
    """Stream what a terminal has put out, closed ones too; times are seconds since the epoch.

    With `follows` it goes on as there is more, until the terminal ends.
    """

    METHOD = "terminal.log"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = LogEnd
    CHUNK = LogPiece

    name: str
    since: float | None = None
    until: float | None = None
    offset: int = 0
    follows: bool = False


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A line as it was shown, when it was complete, and where in the log that was."""

    at: float
    offset: int
    text: str


@dataclass(frozen=True, kw_only=True)
class LogLines:
    """Some lines, in the order in which they were put out."""

    lines: tuple[LogLine, ...]


@dataclass(frozen=True, kw_only=True)
class ReadLines(Request[LogEnd]):
    """Stream the log as lines of text, as a person would have seen them.

    `pattern` is a regular expression (Python's `re`); only lines where it is found come.
    `limit` keeps the last so many, 0 all.
    """

    METHOD = "terminal.lines"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = LogEnd
    CHUNK = LogLines

    name: str
    since: float | None = None
    until: float | None = None
    pattern: str | None = None
    ignores_case: bool = False
    limit: int = 0


# -- mailboxes -------------------------------------------------------------------------------


class MessageState(Enum):
    """How a message stands with one recipient.

    `answered` and `expired` are final; what is acknowledged may still be answered.
    """

    QUEUED = "queued"
    SHOWN = "shown"
    ACKNOWLEDGED = "acknowledged"
    ANSWERED = "answered"
    EXPIRED = "expired"


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message in a mailbox. `number` counts those of the mailbox, in the order they came.

    `sender` and `recipient` are names of terminals as they are now, or `user`; `reply_to` is the
    message that this one answers; `answer` the text of the last reply to it.
    """

    id: str
    sender: str
    recipient: str
    text: str
    state: MessageState = MessageState.QUEUED
    number: int = 0
    sent_at: float = 0.0
    shown_at: float | None = None
    ended_at: float | None = None
    expires_at: float | None = None
    reply_to: str | None = None
    answer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A message that is safe on the disk, and whom it is for.

    `is_repeated`: one of this id was there already, so nothing was sent again.
    """

    id: str
    recipients: tuple[str, ...]
    is_repeated: bool = False


@dataclass(frozen=True, kw_only=True)
class SendMessage(Request[Sent]):
    """Put a message into mailboxes; answered once it is safe on the disk.

    `to` has names, `@role`, `@all` (every terminal but one's own) or `user`; no mailbox gets it
    twice. `id` (up to 64 of `A-Za-z0-9_-`) makes it safe to send again.
    """

    METHOD = "message.send"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Sent

    to: tuple[str, ...]
    text: str
    id: str | None = None
    expires_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class Messages:
    """Messages of one mailbox, oldest first; `left_out` counts those over the limit."""

    mailbox: str
    messages: tuple[Message, ...]
    left_out: int = 0


@dataclass(frozen=True, kw_only=True)
class ReadInbox(Request[Messages]):
    """Read a mailbox: without a name, one's own.

    Those that are open: queued and shown; with `is_whole` all that are kept. One's own queued
    messages become shown, somebody else's do not.
    """

    METHOD = "message.inbox"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Messages

    name: str | None = None
    is_whole: bool = False
    limit: int = 100


@dataclass(frozen=True, kw_only=True)
class WatchInbox(Request[Ack]):
    """Stream the open messages of a mailbox, and those that come; one's own become shown.

    While it is open from within a terminal, that terminal can answer: it is a CI.
    """

    METHOD = "message.watch"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack
    CHUNK = Message

    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class AcknowledgeMessages(Request[Ack]):
    """Take messages out of one's own mailbox: they have been read.

    With a prefix of an id that is unique there it works as well.
    """

    METHOD = "message.ack"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Ack

    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class ReplyMessage(Request[Sent]):
    """Answer a message of one's own mailbox; its sender gets the reply as a message."""

    METHOD = "message.reply"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Sent

    id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """How a message stands with each of its recipients, by name."""

    id: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, kw_only=True)
class FollowMessage(Request[Deliveries]):
    """Ask how a message stands; with `waits`, until everybody has answered or it has expired.

    While it waits, each recipient's message comes as a chunk when its state changes.
    """

    METHOD = "message.follow"
    IS_LOCAL = True
    SERVICE = "terma"
    RESULT = Deliveries
    CHUNK = Message

    id: str
    waits: bool = False


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who asks: a terminal, or the person (`user`); `known_by` tells how that is known.

    It is `process` (it runs in the terminal), `session`, `ancestor`, `environment`, `token`, or
    `user` for everybody else.
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
