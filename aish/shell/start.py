"""Start a shell in place of this process, with the launchers of the CIs last on its PATH.

Each kind of shell reads its user's own start files first and then our integration, which lies
beside this module. Only what every start needs is imported: people wait for their prompt.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os

from backends.launchers import PROGRAMS, launcher_folder, safe_folder
from backends.runtime import absolute

TYPE_CHECKING = False  # `typing` would cost more than all that is imported here
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from aish.shell.request import Request

INTEGRATED = frozenset({"bash", "zsh", "fish"})
"""The shells that have completion, and marks around their prompts."""

FOLDER = os.path.dirname(os.path.abspath(__file__))
"""Where the integrations are."""

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def start(request: Request) -> NoReturn:
    """Become the shell that is asked for; its end is the end of this process.

    Raises:
        NotFound: The shell or the script is not there.
        TektonError: It cannot be run or read.
    """
    is_interactive = request.file is request.line is None and os.isatty(0)
    shell, words, environment = prepared(request, os.environ, is_interactive)
    kind = kind_of(shell)
    if is_interactive and not environment.get("TERMA_INSTANCE"):
        environment["TERMA_MAIL"] = mail_file()  # in a terminal it is the terminal's
    if is_interactive and kind not in INTEGRATED:
        _say(f"aish: {kind} is started as it is, with the CIs as commands; no completion, no marks")
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)  # Python ignores them, and a shell would inherit it
    try:
        os.execve(shell, [shell, *words], environment)
    except OSError as error:
        from backends.errors import TektonError

        raise TektonError(
            f"cannot run the shell {shell}: {error.strerror}",
            "`aish shell --shell NAME` has another",
        ) from error


def mail_file() -> str:
    """Return the file that is not empty while new messages wait for the person; see `terma`."""
    return os.path.dirname(launcher_folder()) + "/user.mail"


def prepared(
    request: Request, own: Mapping[str, str], is_interactive: bool, reads_files: bool = True
) -> tuple[str, list[str], dict[str, str]]:
    """Return the shell that is asked for: its path, its arguments and its environment.

    Args:
        request: What it shall run; without a line or a file, what is typed.
        own: The environment of the one who asks.
        is_interactive: A person types into it, on a terminal.
        reads_files: A bash that a person types into reads its start files, as is usual.

    Raises:
        NotFound: The shell or the script is not there.
        TektonError: The script cannot be read, or the folder of launchers is not safe.
    """
    folder = safe_folder()
    environment = environment_of(own, folder)
    shell = find_shell(request.shell, environment, is_script=request.file is not None)
    if request.file is not None:
        _check_file(request.file)
        file = f"./{request.file}" if request.file.startswith(("-", "+")) else request.file
        return shell, [file, *request.arguments], environment
    if request.line is not None:
        words = [*_before_line(shell, environment, folder), "-c", request.line]
        words += ["--"] if kind_of(shell) == "fish" else []  # fish would take options among them
        return shell, [*words, *request.arguments], environment
    if not is_interactive:
        return shell, _before_line(shell, environment, folder), environment
    return shell, _interactive(shell, environment, folder, reads_files), environment


def environment_of(own: Mapping[str, str], folder: str) -> dict[str, str]:
    """Return the environment of a shell: the folder of launchers comes last on its PATH."""
    environment = given_environment(own)
    path = environment.get("PATH") or _DEFAULT_PATH
    kept = [one for one in path.split(os.pathsep) if one != folder]
    environment["PATH"] = os.pathsep.join([*kept, folder])
    return environment


def given_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return an environment as this process was given it, for a program that may go elsewhere."""
    environment = dict(own)
    if environment.get("TEKTON_HOME"):
        environment["TEKTON_HOME"] = absolute(environment["TEKTON_HOME"])  # a shell goes elsewhere
    if environment.get("LC_CTYPE") in ("C.UTF-8", "C.utf8", "UTF-8"):
        _give_back("LC_CTYPE", environment)
    return environment


def _give_back(variable: str, environment: dict[str, str]) -> None:
    """Undo what Python may have done to a variable since it was started (PEP 538, proc(5))."""
    try:
        with open("/proc/self/environ", "rb", 0) as file:
            given = file.read().split(b"\0")
    except OSError:
        return
    name = f"{variable}=".encode()
    environment.pop(variable, None)
    for one in given:
        if one.startswith(name):
            environment[variable] = os.fsdecode(one.removeprefix(name))


def find_shell(wanted: str | None, environment: Mapping[str, str], is_script: bool) -> str:
    """Return the path of the shell that a person wants, or that runs scripts.

    A script does not depend on the shell that its reader logs in to.

    Raises:
        NotFound: The one that was asked for is not there.
    """
    asked = wanted or environment.get("AISH_SHELL")
    path = environment["PATH"]
    if asked:
        found = which(asked, path)
        if found is None:
            from backends.errors import NotFound

            where = "--shell" if wanted else "AISH_SHELL"
            raise NotFound(f"no shell {asked!r}, which {where} asks for", "name one that is there")
        return found
    if is_script:
        return which("bash", path) or "/bin/sh"
    login = environment.get("SHELL", "")
    if login and _is_usable(login):
        return login
    found = _shell_of_user()
    if login and os.path.basename(login) != "aish":
        _say(f"aish: SHELL is {login}, which is no program; {found} takes its place")
    return found


def which(name: str, path: str) -> str | None:
    """Return the program of a name, or at a path, as a shell would find it."""
    if "/" in name:
        return name if _is_program(name) else None
    places = (f"{folder}/{name}" for folder in path.split(os.pathsep) if folder)
    return next((place for place in places if _is_program(place)), None)


def _is_program(file: str) -> bool:
    return os.path.isfile(file) and os.access(file, os.X_OK)


def _is_usable(shell: str) -> bool:
    """Tell whether a shell can be started; `aish` as the login shell would start itself."""
    return shell.startswith("/") and os.path.basename(shell) != "aish" and _is_program(shell)


def _shell_of_user() -> str:
    import pwd

    try:
        shell = pwd.getpwuid(os.getuid()).pw_shell
    except KeyError:
        return "/bin/sh"
    return shell if _is_usable(shell) else "/bin/sh"


def _check_file(file: str) -> None:
    from backends import errors

    if not os.path.exists(file):
        raise errors.NotFound(f"no file {file!r} to run")
    if os.path.isdir(file):
        raise errors.UsageError(f"{file!r} is a folder, so it cannot be run")
    if not os.access(file, os.R_OK):
        raise errors.TektonError(f"cannot read {file!r}", f"`ls -l {file}` shows who may")


def kind_of(shell: str) -> str:
    """Return a shell's name: of `/bin/zsh`, `zsh`; a version or a login's dash does not count."""
    return os.path.basename(shell).lstrip("-").rstrip("0123456789.-")


def _before_line(shell: str, environment: dict[str, str], folder: str) -> list[str]:
    """Return what keeps the launchers on the PATH where a shell reads start files for lines."""
    kind = kind_of(shell)
    if kind == "zsh":
        _wrap_zshenv(environment, folder)
    if kind == "fish":
        environment["AISH_LAUNCHERS"] = folder
        return ["--init-command", _source_fish("aish.fish")]
    return []


def _interactive(
    shell: str, environment: dict[str, str], folder: str, reads_files: bool
) -> list[str]:
    """Return the arguments that load our integration after the user's start files."""
    kind = kind_of(shell)
    level = environment.get("AISH_LEVEL", "")
    environment["AISH_LEVEL"] = str(int(level) + 1 if level.isdecimal() else 1)
    environment["AISH_LAUNCHERS"] = folder
    _ensure_launchers(folder)
    if kind == "bash" and not reads_files:
        _read_at_first_prompt(environment)
        return ["--norc"]
    if kind == "bash":
        return ["--rcfile", f"{FOLDER}/start.bash"]
    if kind == "zsh":
        _wrap_zshenv(environment, folder)
        return []
    if kind == "fish":
        return ["--init-command", _source_fish("aish.fish") + "; " + _source_fish("prompt.fish")]
    return []


def _read_at_first_prompt(environment: dict[str, str]) -> None:
    """Have bash read our integration without a start file: even the system's own is not read."""
    if environment.get("PROMPT_COMMAND"):
        environment["AISH_PROMPT_COMMAND"] = environment["PROMPT_COMMAND"]
    else:
        environment.pop("AISH_PROMPT_COMMAND", None)
    file = f"{FOLDER}/norc.bash".replace("'", "'\\''")
    environment["PROMPT_COMMAND"] = f". '{file}'"


def _wrap_zshenv(environment: dict[str, str], folder: str) -> None:
    environment["AISH_LAUNCHERS"] = folder
    if "ZDOTDIR" in environment:
        environment["AISH_ZDOTDIR"] = environment["ZDOTDIR"]
    else:
        environment.pop("AISH_ZDOTDIR", None)
    environment["ZDOTDIR"] = f"{FOLDER}/zsh"


def _source_fish(name: str) -> str:
    return f"source {quoted_for_fish(f'{FOLDER}/{name}')}"


def quoted_for_fish(text: str) -> str:
    """Quote a text for fish, whose single quotes know two escapes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def _ensure_launchers(folder: str) -> None:
    """Have our own programs found in the shell, also where they were started by their path."""
    if all(os.path.lexists(f"{folder}/{program}") for program in PROGRAMS):
        return
    from pathlib import Path

    from backends.errors import TektonError
    from backends.launchers import add_launchers

    try:
        add_launchers(Path(folder), [])
    except TektonError as error:
        _say(f"aish: {error.message}")  # the shell is of use without


def _say(line: str) -> None:
    from backends.console import say

    say(line)
