"""The start of a program on a terminal of its own."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import errno
import fcntl
import os
import resource
import signal
import termios

from terma.ptyhost.failure import Failure

_IUTF8 = 0x4000
"""Backspace takes a whole character (termios(3)); Linux and macOS agree on the bit."""

handled: list[int] = []
"""Signals that a program must not find as they are here: exec keeps those that are ignored."""

# The functions of `signal` make an enum of each number, which takes as long as the fork.
_ALL_SIGNALS = frozenset(map(int, signal.valid_signals()))

_NOFILE = resource.getrlimit(resource.RLIMIT_NOFILE)
_MAX_MESSAGE = 4096
_MAX_REASON = 1024


class _NoInterpreter(OSError):
    """A script is there, and what its first line names is not."""


def prepare() -> None:
    """Let this process open as many files as it may, and close what it has inherited.

    What it starts has the old limit, and signals as a login has them.
    """
    for name in os.listdir("/dev/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                pass  # that of the listing itself
    usual = (signal.SIG_DFL, None)
    handled[:] = [one for one in range(1, signal.NSIG) if signal.getsignal(one) not in usual]
    hard = _NOFILE[1]
    for limit in (hard, 10240):  # where the hard limit is none, macOS takes this one
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return
        except (OSError, ValueError):
            continue


def open_pty(columns: int, rows: int) -> tuple[int, int]:
    """Open a pair, master and slave; no program inherits them, and the master never blocks.

    Raises:
        Failure: The system has none left.
    """
    try:
        master, slave = os.openpty()
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "out of pty devices"
        raise Failure("no_terminal", f"the system has no terminal left: {reason}") from error
    os.set_blocking(master, False)
    modes = termios.tcgetattr(slave)
    modes[0] |= _IUTF8
    termios.tcsetattr(slave, termios.TCSANOW, modes)
    termios.tcsetwinsize(slave, (rows, columns))
    return master, slave


def start(
    command: list[bytes], folder: bytes, environment: dict[bytes, bytes], slave: int
) -> tuple[int, int]:
    """Start a program; returns its pid, and a pipe for `outcome`.

    The pipe ends without a byte once the program runs.

    Raises:
        Failure: The system cannot start another process.
    """
    try:
        reading, writing = os.pipe()
    except OSError as error:
        raise Failure("failed", f"no pipe: {error.strerror}") from error
    os.set_blocking(reading, False)
    # Blocked until the child has its handlers, so that no signal finds ours there.
    before = _signal.pthread_sigmask(signal.SIG_BLOCK, _ALL_SIGNALS)
    try:
        pid = os.fork()
        if not pid:
            _become(command, folder, environment, slave, writing)
    except OSError as error:
        os.close(reading)
        raise Failure("failed", f"no process can be started: {error.strerror}") from error
    finally:
        _signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(writing)
    return pid, reading


def outcome(pipe: int, program: str, folder: str) -> Failure | None:
    """Read what became of a start.

    Raises:
        BlockingIOError: Nothing yet.
    """
    said = os.read(pipe, _MAX_MESSAGE)
    if not said:
        return None
    step, number, text = said.split(b" ", 2)
    code = int(number)
    reason = text.decode(errors="replace") or os.strerror(code).lower()
    if step == b"folder":
        said_of = {errno.ENOENT: "is not there", errno.ENOTDIR: "is no folder"}
        return Failure("no_folder", f"{folder} {said_of.get(code, f'cannot be entered: {reason}')}")
    if step == b"setup" or code in (errno.E2BIG, errno.ENOMEM, errno.EAGAIN):
        return Failure("failed", f"{program} cannot be started: {reason}")
    if step == b"interpreter":
        return Failure("no_program", f"the interpreter that {program} names is not there")
    if code == errno.ENOENT:
        return Failure("no_program", f"there is no program {program}")
    return Failure("no_program", f"{program} cannot be run: {reason}")


def _become(
    command: list[bytes], folder: bytes, environment: dict[bytes, bytes], slave: int, report: int
) -> None:
    """In the child: become the program, or report why not; never returns."""
    step = b"setup"
    try:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            os.dup2(slave, number)
        _restore_limit()
        for number in handled:
            signal.signal(number, signal.SIG_DFL)
        step = b"folder"
        os.chdir(folder)
        step = b"program"
        _signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _execute(command, environment)
    except _NoInterpreter:
        os.write(report, b"interpreter 0 ")
    except OSError as error:
        os.write(report, b"%s %d " % (step, error.errno or errno.EIO))
    except BaseException as error:  # noqa: BLE001
        os.write(report, b"setup 0 %s" % repr(error).encode(errors="replace")[:_MAX_REASON])
    finally:
        os._exit(127)


def _restore_limit() -> None:
    """Give a program the limit that ptyhost was started with."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, _NOFILE)
    except (OSError, ValueError):
        pass  # it was lowered since: the program runs with what there is


def _execute(command: list[bytes], environment: dict[bytes, bytes]) -> None:
    """Replace this process; a name without a slash is looked for on the environment's PATH."""
    program = command[0]
    if b"/" in program:
        paths = [program]
    else:
        folders = environment.get(b"PATH", os.fsencode(os.defpath)).split(b":")
        paths = [os.path.join(folder or b".", program) for folder in folders]
    found = OSError(errno.ENOENT, "")
    for path in paths:
        try:
            os.execve(path, command, environment)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                found = error
                if error.errno != errno.EACCES:
                    break
            elif error.errno == errno.ENOENT and os.path.isfile(path):
                raise _NoInterpreter from error
    raise found
