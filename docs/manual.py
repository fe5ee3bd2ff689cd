"""The manual pages of our programs: the tree of their commands in the macros of man(7)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from docs.commands import (
    Command,
    Option,
    aish_commands,
    aish_prompt,
    tekton_commands,
    terma_commands,
)

_ABOUT: Mapping[str, str] = {
    "aish": "prompt Companion Intelligences from the shell",
    "tekton": "run the hub of your Companion Intelligences",
    "terma": "named terminals that outlive whoever looks at them",
}

_EXIT_STATUS: Mapping[str, str] = {
    "0": "It worked.",
    "1": "Any other failure.",
    "2": "The command was not understood.",
    "3": "Nothing has that name, or what had it is gone.",
    "4": "Nobody answers, or refuses.",
    "5": "No answer in time.",
    "6": "The model failed, or there is none.",
}

_ENVIRONMENT: dict[str, str] = {
    "TEKTON_HOME": "A folder for everything: config/, state/ and run/ are in it.",
    "TEKTON_TABLE_NAME": "A setting, before the one in the file: TEKTON_MODELS_DEFAULT.",
    "NAME_API_KEY": "The key of a provider: ANTHROPIC_API_KEY.",
    "NO_COLOR": "No colours.",
    "XDG_CONFIG_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR": "Where files are, on Linux.",
}

_OF_TERMINALS: dict[str, str] = {
    "TERMA_TERMINAL, TERMA_INSTANCE": "In a terminal: its name when it was opened, and its id.",
    "TERMA_TOKEN_FILE": "In a terminal: the file with its token.",
    "TERMA_MAIL": "In a terminal: a file that is not empty while there are new messages.",
}

_FILES: Mapping[str, str] = {
    "~/.config/tekton/config.toml": "Settings; `tekton config path` tells where they are here.",
    "~/.config/tekton/ci/NAME.toml": "CIs of your own.",
    "~/.local/state/tekton/engram.db": "Conversations.",
    "~/.local/state/tekton/bin/": "One launcher for each CI.",
    "~/.local/state/tekton/logs/": "What the hub has logged.",
    "~/.local/state/tekton/terminals/": "What terminals have put out.",
    "~/.local/state/tekton/terma.db": "Terminals and messages.",
}


_DATE = "2026-11-21"
"""When the pages were last changed in more than what is generated."""


def manuals() -> Iterator[tuple[str, str]]:
    """Yield each manual page with the name of its file."""
    yield "aish.1", _manual(aish_commands(), [aish_prompt()])
    yield "tekton.1", _manual(tekton_commands(), [])
    yield "terma.1", _manual(terma_commands(), [])


def _manual(program: Command, others: Sequence[Command]) -> str:
    name = program.words[0]
    leaves = [*others, *program.leaves()]
    parts = [
        '.\\" Written by docs/generate.py.',
        f'.TH {name.upper()} 1 {_DATE} Tekton "User commands"',
        ".ad l",
        f".SH NAME\n{name} \\- {_ABOUT[name]}",
        ".SH SYNOPSIS",
        *(_usage(command) for command in leaves),
        ".SH DESCRIPTION",
        *(_paragraph(text) for text in program.does.split("\n\n")),
        *_section("OPTIONS", [_item(_names(one), one.about) for one in program.options]),
        ".SH COMMANDS",
        *(_command(command) for command in leaves),
        *_section("EXIT STATUS", _items(_EXIT_STATUS)),
        _paragraph("Interrupted by Ctrl-C it dies of SIGINT, which shells show as 130."),
        *_section("ENVIRONMENT", _items(_ENVIRONMENT | (_OF_TERMINALS if name == "terma" else {}))),
        *_section("FILES", _items(_FILES)),
        _paragraph("On macOS all are in ~/Library/Application Support/tekton."),
        f".SH EXAMPLES\n.nf\n{_text(program.example)}\n.fi",
        f".SH SEE ALSO\n{_others(name)}",
    ]
    # A section begins a paragraph by itself, and ends a line.
    text = re.sub(r"^(\.S[HS] .*\n)\.PP\n", r"\1", "\n".join(parts), flags=re.MULTILINE)
    return re.sub(r"^\.br\n(?=\.S[HS])", "", text, flags=re.MULTILINE) + "\n"


def _others(name: str) -> str:
    others = [other for other in _ABOUT if other != name]
    return "\n".join(f".BR {other} (1)," for other in others).removesuffix(",")


def _usage(command: Command) -> str:
    words = " ".join(command.words)
    arguments = " ".join(one.shows for one in command.arguments)
    options = " [OPTIONS]" if command.options else ""
    return f".B {_line(words)}\n{_line(f'{options} {arguments}'.strip())}\n.br"


def _command(command: Command) -> str:
    words = " ".join([*command.words, *(one.shows for one in command.arguments)])
    items = [_item(f"\\fI{_line(one.shows)}\\fR", one.about) for one in command.arguments]
    items += [_item(_names(one), _about(one)) for one in command.options]
    texts = [_paragraph(text) for text in command.does.split("\n\n")]
    example = f".PP\n.nf\n.RS\n{_text(command.example)}\n.RE\n.fi"
    return "\n".join([f".SS {_quoted(words)}", *texts, example, *items])


def _names(option: Option) -> str:
    names = ", ".join(f"\\fB{_line(name)}\\fR" for name in option.names)
    return f"{names} \\fI{_line(option.shows)}\\fR" if option.shows else names


def _about(option: Option) -> str:
    return f"{option.about} Default: {option.default}." if option.default else option.about


def _section(title: str, items: Sequence[str]) -> list[str]:
    return [f".SH {title}", *items] if items else []


def _items(about: Mapping[str, str]) -> list[str]:
    return [_item(f"\\fB{_line(name)}\\fR", text) for name, text in about.items()]


def _item(label: str, about: str) -> str:
    return f".TP\n{label}\n{_text(about)}"


def _paragraph(text: str) -> str:
    return f".PP\n{_text(' '.join(text.split()))}"


def _quoted(text: str) -> str:
    return '"' + _line(text).replace('"', "\\(dq") + '"'


def _text(text: str) -> str:
    """Escape lines: none may begin as a macro does; `code` is set in bold."""
    escaped = re.sub(r"`([^`\n]+)`", r"\\fB\1\\fR", _line(text))
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def _line(text: str) -> str:
    """Escape what roff would take for its own, or print as a typographic sign."""
    signs = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "`", "^": "\\(ha", "~": "\\(ti"}
    signs |= {"…": "...", "“": "\\(lq", "”": "\\(rq"}
    return "".join(signs.get(sign, sign) for sign in text)
