"""`aish session`: the conversations that are stored."""

from __future__ import annotations

import json
import os
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from aish.options import Debug, Json, TokenFile, Url
from backends.cleaning import clean_line
from backends.console import ago, say, table
from backends.errors import UsageError
from backends.runtime import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backends.protocol.conversations import SessionInfo, Turn
    from backends.protocol.messages import Request

_MOST = 1000


class _Group(TyperGroup):
    """An option may stand before the command, where a person puts it, or after."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command first."""
        place = next((n for n, word in enumerate(args) if word in self.commands), 0)
        return super().parse_args(
            ctx, [*args[place : place + 1], *args[:place], *args[place + 1 :]]
        )


app = typer.Typer(
    name="session",
    cls=_Group,
    help="aish session list: the conversations that are stored.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Format(Enum):
    """How a conversation is written."""

    MARKDOWN = "markdown"
    JSON = "json"


Word = Annotated[
    str, typer.Argument(metavar="SESSION", help="An id, the beginning of one, or a name.")
]
OfCi = Annotated[str, typer.Option("--ci", metavar="NAME", help="Of this CI.")]


@app.command("list")
def list_sessions(
    ci: Annotated[str, typer.Option("--ci", metavar="NAME", help="Only those with this CI.")] = "",
    search: Annotated[
        str,
        typer.Option(
            "--search", metavar="WORDS", help="Only those with a turn that has all these."
        ),
    ] = "",
    here: Annotated[
        bool, typer.Option("--here", help="Only those that went on last in this terminal.")
    ] = False,
    limit: Annotated[
        int,
        typer.Option("-n", "--limit", metavar="COUNT", min=1, max=_MOST, help="At most so many."),
    ] = 20,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    for_completion: Annotated[bool, typer.Option("--for-completion", hidden=True)] = False,
    debug: Debug = False,
) -> None:
    """aish session list --search WORDS: conversations, the last used first."""
    from aish.export import short, title_of
    from backends.protocol import schema
    from backends.protocol.conversations import ListSessions

    request = ListSessions(
        ci=_ci(ci), search=_text(search) or None, terminal=_this_terminal() if here else None,
        limit=limit,
    )  # fmt: skip
    found = _ask(request, url, token_file)
    if as_json:
        print(json.dumps(schema.encode(found.sessions), indent=1))
    elif for_completion:
        for one in found.sessions:
            word = clean_line(one.name or "") or short(one.id)
            print(f"{word}\t{clean_line(one.ci)}: {title_of(one)}")
    elif found.sessions:
        head = ["ID", "NAME", "CI", "TURNS", "AGE", "TITLE"]
        print(table([head, *map(_row, found.sessions)]))
        if found.left_out:
            say(f"{found.left_out} more; -n COUNT shows more")
    else:
        say("no conversations found")


@app.command()
def show(
    word: Word,
    ci: OfCi = "",
    branches: Annotated[
        bool, typer.Option("--all", help="Every branch, not only the one that goes on.")
    ] = False,
    url: Url = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """aish session show 3f2a91bc: what was asked and answered in it."""
    from aish import export

    session, turns = _conversation(word, ci, url, token_file)
    if as_json:
        print(export.to_json(session, turns))
        return
    shown = turns if branches else export.path_to(turns, session.head)
    _print_parts([export.heading(session), *export.sections(turns, shown)])
    if others := len(turns) - len(shown):
        say(f"{others} more on other branches; --all shows every turn")


@app.command("export")
def export_session(
    word: Word,
    ci: OfCi = "",
    form: Annotated[
        Format | None,
        typer.Option("--format", help="Default: json for FILE.json, else markdown."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write a file; default: stdout."),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Replace a file.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """aish session export 3f2a91bc -o plan.md: as Markdown, or whole as JSON.

    Markdown holds the branch that goes on; JSON every turn, with its parent, model and tokens.
    """
    from aish import export

    if output and not force and os.path.lexists(output):
        raise export.is_there(output)
    session, turns = _conversation(word, ci, url, token_file)
    is_json = form is Format.JSON or (form is None and output and output.suffix == ".json")
    if is_json:
        text = export.to_json(session, turns) + "\n"
    else:
        text = export.to_markdown(session, turns, export.path_to(turns, session.head))
    if output:
        export.write_file(output, text, force)
    else:
        _write_out(text)


@app.command()
def rm(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[SESSION]...", help="Ids, beginnings, or names.")
    ] = None,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="AGE", help="All not used for so long: 30d, 12h, 8w."),
    ] = "",
    ci: OfCi = "",
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """aish session rm 3f2a91bc: delete for good; or --older-than 30d."""
    from aish.commands.removal import remove_named, remove_old
    from backends.client.blocking import BlockingTekton

    if bool(words) == bool(older_than):
        raise UsageError(
            "tell which conversations: by name, or by age",
            "`aish session rm 3f2a91bc`, or `aish session rm --older-than 30d`",
        )
    with BlockingTekton(url, token_file) as tekton:
        if words:
            remove_named(tekton, [_text(word) for word in words], _ci(ci), yes)
        else:
            remove_old(tekton, older_than, _ci(ci), yes)


@app.command()
def fork(
    word: Word,
    turn: Annotated[
        str,
        typer.Option("--turn", metavar="TURN", help="Up to this turn; default: the newest."),
    ] = "",
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="A name for the copy.")] = "",
    ci: OfCi = "",
    url: Url = None,
    token_file: TokenFile = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """aish session fork 3f2a91bc --name plan-b: copy it, to go on twice."""
    from aish.export import short
    from backends.protocol import schema
    from backends.protocol.conversations import ForkSession

    request = ForkSession(
        session=_text(word), ci=_ci(ci), turn=_text(turn) or None, name=_text(name) or None
    )
    copy = _ask(request, url, token_file)
    print(json.dumps(schema.encode(copy), indent=1) if as_json else short(copy.id))


@app.command()
def rename(
    word: Word,
    name: Annotated[str, typer.Argument(metavar="NAME", help="For --session; '' takes it away.")],
    ci: OfCi = "",
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """aish session rename 3f2a91bc plan: give it a name."""
    from backends.protocol.conversations import ChangeSession

    _ask(ChangeSession(session=_text(word), ci=_ci(ci), name=_text(name)), url, token_file)


@app.command()
def title(
    word: Word,
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help="The title.")],
    ci: OfCi = "",
    url: Url = None,
    token_file: TokenFile = None,
    debug: Debug = False,
) -> None:
    """aish session title 3f2a91bc "the plan": say what it is about."""
    from backends.protocol.conversations import ChangeSession

    changed = ChangeSession(session=_text(word), ci=_ci(ci), title=_text(" ".join(text)))
    _ask(changed, url, token_file)


def _row(session: SessionInfo) -> list[str]:
    import time

    from aish.export import short, title_of

    age = ago(max(time.time() - session.updated_at, 0.0))
    return [
        short(session.id), session.name or "", session.ci, str(session.turns), age,
        title_of(session),
    ]  # fmt: skip


def _text(word: str) -> str:
    from backends.fast import to_unicode

    return to_unicode(word)


def _ci(name: str) -> str | None:
    return canonical(_text(name)) or None


def _this_terminal() -> str:
    from backends.runtime import terminal_key

    key = terminal_key()
    if key is None:
        raise UsageError("this is no terminal", "`aish session list` lists those of all terminals")
    return key


def _ask(request: Request[Any], url: str | None, token_file: Path | None) -> Any:
    from backends.client.blocking import BlockingTekton

    with BlockingTekton(url, token_file) as tekton:
        return tekton.call(request)


def _conversation(
    word: str, ci: str, url: str | None, token_file: Path | None
) -> tuple[SessionInfo, list[Turn]]:
    """Fetch a conversation with all its turns, in as many messages as they need."""
    from backends.client.blocking import BlockingTekton
    from backends.protocol.conversations import ShowSession

    with BlockingTekton(url, token_file) as tekton:
        found = tekton.call(ShowSession(session=_text(word), ci=_ci(ci)))
        session, turns = found.session, list(found.turns)
        while found.left_out and found.turns:
            found = tekton.call(ShowSession(session=session.id, after=turns[-1].id))
            turns += found.turns
    return session, turns


def _print_parts(parts: Sequence[str]) -> None:
    """Print Markdown, rendered where a person reads it: what one part leaves open ends with it."""
    if not sys.stdout.isatty():
        _write_out("\n\n".join(parts) + "\n")
        return
    from aish.render import MarkdownWriter, terminal_width
    from backends.console import has_color

    for number, part in enumerate(parts):
        if number:
            print()
        writer = MarkdownWriter(sys.stdout, terminal_width, has_color(sys.stdout), live=False)
        writer.feed(part)
        writer.finish()


def _write_out(text: str) -> None:
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
