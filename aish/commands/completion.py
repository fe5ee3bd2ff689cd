"""`aish completion`: what the shell completes on TAB, for `aish`, `terma` and `tekton`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from aish.options import Debug
from backends.console import say
from backends.errors import StorageError, UsageError

app = typer.Typer(
    name="completion",
    help="aish completion install: TAB completes commands, options, CIs and files.",
    rich_markup_mode=None,
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SCRIPTS = Path(__file__).parent.parent / "completions"
"""Where the scripts are, PROGRAM.SHELL; `docs/generate.py` writes them."""

PROGRAMS = ("aish", "tekton", "terma")
SHELLS = ("bash", "zsh", "fish")

_ZSHRC = "fpath=(~/.local/share/zsh/site-functions $fpath); autoload -Uz compinit; compinit"

Shell = Annotated[
    str, typer.Argument(metavar="[SHELL]", help="bash, zsh or fish; default: that of $SHELL.")
]


@app.command()
def show(
    shell: Shell = "",
    program: Annotated[
        str, typer.Option("--for", metavar="PROGRAM", help="aish, tekton or terma; default: all.")
    ] = "",
    debug: Debug = False,
) -> None:
    """aish completion show bash: the script itself, to `eval` or to look at."""
    if program and program not in PROGRAMS:
        raise UsageError(f"no completion for {program!r}", f"there are: {', '.join(PROGRAMS)}")
    shell = _known(shell)
    for name in [program] if program else PROGRAMS:
        print(_script(name, shell), end="")


@app.command()
def install(shell: Shell = "", debug: Debug = False) -> None:
    """aish completion install: put it where the shell looks for it."""
    shell = _known(shell)
    written = [
        file
        for program in PROGRAMS
        if _install(file := _target(program, shell, os.environ), _script(program, shell))
    ]
    for file in written:
        say(f"written: {file}")
    if not written:
        say(f"the completion of {shell} is current")
    _tell_how(shell)


@app.command()
def uninstall(shell: Shell = "", debug: Debug = False) -> None:
    """aish completion uninstall: remove what `install` wrote."""
    shell = _known(shell)
    files = [_target(program, shell, os.environ) for program in PROGRAMS]
    removed = [file for file in files if _remove(file)]
    for file in removed:
        say(f"removed: {file}")
    if not removed:
        say(f"no completion of {shell} is installed")


def _known(shell: str) -> str:
    """Return a shell that has a completion.

    Raises:
        UsageError: There is none for it.
    """
    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    if name not in SHELLS:
        raise UsageError(
            f"no completion for the shell {name!r}", "name one: `aish completion install bash`"
        )
    return name


def _script(program: str, shell: str) -> str:
    return (SCRIPTS / f"{program}.{shell}").read_text(encoding="utf-8")


def _target(program: str, shell: str, environment: Mapping[str, str]) -> Path:
    """Return where a shell looks for the completion of a program.

    bash: the folders of bash-completion (its README); zsh: any folder in `fpath`, there is none
    of the user's own by default; fish: complete(1).
    """

    def folder(variable: str, otherwise: str) -> Path:
        given = environment.get(variable, "")  # a relative one counts as not set (XDG)
        return Path(given) if given.startswith("/") else Path.home() / otherwise

    if shell == "fish":
        return folder("XDG_CONFIG_HOME", ".config") / "fish" / "completions" / f"{program}.fish"
    if shell == "zsh":
        return Path.home() / ".local" / "share" / "zsh" / "site-functions" / f"_{program}"
    default = folder("XDG_DATA_HOME", ".local/share") / "bash-completion"
    base = environment.get("BASH_COMPLETION_USER_DIR", "")
    return (Path(base) if base.startswith("/") else default) / "completions" / program


def _install(file: Path, script: str) -> bool:
    """Write a script where it is not there yet as it is now; tells whether it was written."""
    try:
        if file.is_file() and file.read_bytes() == script.encode():
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f".{file.name}.{os.getpid()}")
        new.write_text(script, encoding="utf-8")
        new.replace(file)
    except OSError as error:
        raise StorageError(
            f"cannot write {file}: {error.strerror}",
            "`aish completion show` prints the script, to put elsewhere",
        ) from error
    return True


def _remove(file: Path) -> bool:
    try:
        file.unlink(missing_ok=not (is_there := os.path.lexists(file)))
    except OSError as error:
        raise StorageError(f"cannot remove {file}: {error.strerror}") from error
    return is_there


def _tell_how(shell: str) -> None:
    """Say what the shell still needs."""
    if shell == "zsh":
        _offer_fpath(Path(os.environ.get("ZDOTDIR") or Path.home()) / ".zshrc")
    elif shell == "bash" and not _has_bash_completion():
        say("bash finds it through the package bash-completion, which is not here; without it,")
        say('add this line to ~/.bashrc: eval "$(aish completion show bash)"')
    else:
        say(f"it is there in the next {shell} that you start")


def _has_bash_completion() -> bool:
    """Tell whether the package is where distributions and Homebrew put it."""
    roots = ("/usr", "/usr/local", "/opt/homebrew", "/opt/local")
    return any(os.path.exists(f"{root}/share/bash-completion/bash_completion") for root in roots)


def _offer_fpath(zshrc: Path) -> None:
    """Add the line that zsh needs, where a person wants that; else tell it."""
    try:
        text = zshrc.read_text(encoding="utf-8", errors="replace") if zshrc.exists() else ""
    except OSError:
        text = ""
    if _ZSHRC in text:
        say("it is there in the next zsh that you start")
        return
    if sys.stdin and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"zsh needs this line in {zshrc}:\n  {_ZSHRC}", file=sys.stderr)
        print("Add it? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            _append(zshrc, f"{_ZSHRC}\n" if text.endswith("\n") or not text else f"\n{_ZSHRC}\n")
            say("added; it is there in the next zsh that you start")
    else:
        say(f"add this line to {zshrc}, unless the folder is in your fpath already:")
        say(f"  {_ZSHRC}")


def _append(file: Path, line: str) -> None:
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(line)
    except OSError as error:
        raise StorageError(f"cannot write {file}: {error.strerror}") from error
