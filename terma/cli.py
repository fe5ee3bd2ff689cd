"""The commands of `terma`.

What status lines and completion ask goes before the imports of everything else.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import typer

HELP = """
  terma new alice --role coding             a shell in a terminal called alice
  terma new bob -- htop                     any program; it runs on when you are gone
  terma attach alice                        Ctrl-] lets go of it
  terma list                                what there is, and what it does
  terma message alice "PR 42 is ready"      also to @coding, alice,bob or @all
  terma inbox                               in a terminal: what others sent here
  terma log alice --grep error --since 1h   all it has ever shown

A terminal outlives whoever looks at it: the window, the hub, and the screen workers.
`terma VERB --help` tells more of each.
"""

VERBS: Mapping[str, str] = {
    "new": "terma.commands.new:new",
    "list": "terma.commands.listing:list_terminals",
    "attach": "terma.commands.attach:attach",
    "next": "terma.commands.attach:attach_next",
    "message": "terma.commands.message:message",
    "inbox": "terma.commands.inbox:inbox",
    "reply": "terma.commands.inbox:reply",
    "ack": "terma.commands.inbox:acknowledge",
    "whoami": "terma.commands.inbox:whoami",
    "screen": "terma.commands.screen:screen",
    "send": "terma.commands.send:send",
    "log": "terma.commands.log:log",
    "export": "terma.commands.recording:export",
    "replay": "terma.commands.recording:replay",
    "diff": "terma.commands.diff:diff",
    "rename": "terma.commands.change:rename",
    "role": "terma.commands.change:role",
    "close": "terma.commands.change:close",
    "restore": "terma.commands.change:restore",
}
"""Where each verb's command is; loaded only when it is used."""

SHORT: Mapping[str, str] = {
    "new": "a terminal with a shell or a program in it",
    "list": "the terminals, and what each does",
    "attach": "join this terminal to another one",
    "next": "attach to the one that has waited longest for you",
    "message": "send a message to terminals",
    "inbox": "read messages",
    "reply": "answer a message",
    "ack": "take messages out of the inbox",
    "whoami": "the name of the terminal around this",
    "screen": "what a terminal shows now",
    "send": "type into a terminal",
    "log": "what a terminal has ever shown",
    "export": "a recording as a file for asciinema",
    "replay": "play a recording",
    "diff": "what has changed in a terminal's worktree",
    "rename": "give a terminal another name",
    "role": "give a terminal other roles",
    "close": "end a terminal, and all that runs in it",
    "restore": "run anew what was lost",
}
"""What the list of verbs says of each."""

_MEANT: Mapping[str, str] = {
    "a": "attach", "join": "attach", "open": "attach", "create": "new", "start": "new",
    "kill": "close", "rm": "close", "delete": "close", "ls": "list", "ps": "list",
    "status": "list", "msg": "message", "mail": "inbox", "show": "screen", "logs": "log",
    "type": "send", "mv": "rename",
}  # fmt: skip
"""What other programs call our verbs."""


def make_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Return the program with some of its verbs, all by default."""
    from importlib import import_module

    import typer

    def common(
        version: bool = typer.Option(
            False, "--version", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        """Options that stand before every verb."""

    app = typer.Typer(
        name="terma",
        help="\b" + HELP.replace("\n  ", "\n"),  # the mark keeps a paragraph's lines
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback()(common)
    for verb in verbs:
        module, _, attribute = VERBS[verb].partition(":")
        app.command(verb, short_help=SHORT[verb])(getattr(import_module(module), attribute))
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        import typer

        from backends.version import VERSION

        print(f"terma {VERSION}")
        raise typer.Exit


def _run(arguments: list[str]) -> None:
    verb = arguments[0] if arguments else ""
    if not verb or verb.startswith("-"):
        make_app()(arguments, prog_name="terma")
    if verb not in VERBS:
        from backends.errors import UsageError

        raise UsageError(f"terma has no verb {verb!r}", _hint(verb))
    make_app([verb])(arguments, prog_name="terma")


def _hint(word: str) -> str:
    """Tell what may have been meant by a word that is no verb."""
    import difflib

    if word == "detach":
        return "Ctrl-] detaches, typed into the terminal that is attached"
    close = difflib.get_close_matches(word, VERBS, n=1)
    meant = _MEANT.get(word) or (close[0] if close and word != "help" else None)
    return (f"did you mean `terma {meant}`? " if meant else "") + "`terma --help` shows all"


def main() -> None:
    """Run `terma`."""
    if sys.argv[1:2] == ["list"]:
        from terma.short import run

        run(sys.argv[2:])
    from backends.console import run_program

    run_program(lambda: _run(sys.argv[1:]))
