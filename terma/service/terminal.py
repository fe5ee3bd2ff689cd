"""One terminal as the hub knows it now: what is stored of it, and what was seen of it since."""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.protocol.terminals import TerminalInfo, TerminalState
from terma.service.feed import Feed
from terma.service.marks import MarkScanner
from terma.service.questions import QuestionScanner
from terma.service.state import Activity, Seen
from terma.service.store import StoredTerminal


@dataclass
class Attachment:
    """A person who is attached, and the size of their window.

    `viewer` is the mailbox of who asked: where that is a terminal, it shows this one within it.
    """

    id: str
    viewer: str
    columns: int
    rows: int
    is_read_only: bool


@dataclass
class Terminal:
    """A terminal that is not closed. `pid` is 0 where nothing runs in it."""

    stored: StoredTerminal
    activity: Activity
    feed: Feed
    pid: int = 0
    oldest: int = 0
    end: int = 0
    known_end: int = 0
    """Where its output ended when the hub took it up; what lies before is no news."""
    active_at: float = 0.0
    title: str = ""
    log_error: str | None = None
    can_answer: int = 0
    """How many watch its mailbox from within."""
    attachments: dict[str, Attachment] = field(default_factory=dict)
    last_typist: str | None = None
    """The attachment whose size counts."""
    scanner: MarkScanner = field(default_factory=MarkScanner)
    asking: QuestionScanner = field(default_factory=QuestionScanner)
    told_output_at: float = 0.0
    is_watched_for_quiet: bool = False
    is_closing: bool = False

    @property
    def id(self) -> str:
        """Its id, which stays for ever."""
        return self.stored.id

    @property
    def name(self) -> str:
        """Its name now."""
        return self.stored.name

    @property
    def is_running(self) -> bool:
        """Whether its program runs."""
        return self.pid > 0

    def end_as(self, state: TerminalState, at: float, detail: str | None) -> None:
        """Note that nothing runs in it any more."""
        self.pid = 0
        self.activity = Activity(Seen(state, "ptyhost", at, detail))
        self.feed.finish()

    def begin(self, pid: int, at: float, end: int) -> None:
        """Note that a program runs in it."""
        self.pid = pid
        self.active_at = at
        self.end = self.known_end = end
        self.activity = Activity(Seen(TerminalState.IDLE, "output", at))
        self.scanner, self.asking = MarkScanner(), QuestionScanner()
        self.feed = Feed(end)

    def info(self, seen: Seen, unread: int, warning: str | None) -> TerminalInfo:
        """Describe it for a client."""
        stored = self.stored
        return TerminalInfo(
            name=stored.name,
            id=stored.id,
            kind=stored.kind,
            roles=stored.roles,
            state=seen.state,
            source=seen.source,
            state_since=seen.since,
            detail=seen.detail,
            unread=unread,
            pid=self.pid or None,
            command=stored.command,
            folder=stored.folder,
            worktree=stored.worktree,
            columns=stored.columns,
            rows=stored.rows,
            title=self.title,
            started_at=stored.started_at,
            ended_at=stored.ended_at,
            active_at=self.active_at,
            exit_status=stored.exit_status,
            attached=len(self.attachments),
            can_answer=self.can_answer > 0,
            is_recorded=stored.is_recorded,
            oldest=self.oldest,
            end=self.end,
            warning=self.log_error or warning,
        )
