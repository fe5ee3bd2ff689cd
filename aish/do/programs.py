"""What programs do to files, to the machine and beyond it, told from their names and arguments.

Taken from their manual pages, GNU's and BSD's. Where it depends on what only the program knows,
the worse is said: a mark too many costs a look, one too few a folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise

from aish.do.kinds import Kind

DOWNLOADERS = frozenset("curl wget aria2c axel fetch http https scp sftp rsync yt-dlp".split())
"""Programs whose output or files come from elsewhere."""

SHELLS = frozenset("sh bash zsh fish dash ksh mksh ash csh tcsh rbash".split())
INTERPRETERS = SHELLS | frozenset(
    "python python2 python3 pypy pypy3 perl ruby node nodejs deno bun php lua luajit tclsh "
    "osascript pwsh powershell r rscript julia groovy swift scala elixir raku guile".split()
)
"""Programs that run a file, their input, or an argument as code."""

BUILTINS = frozenset(
    ": . [ [[ alias autoload bg bind break builtin case cd command compgen complete continue "
    "contains count declare dirs disown echo emit emulate enable eval exec exit export false fc "
    "fg float for foreach function functions getopts hash help history integer jobs kill let "
    "limit local logout math mapfile popd printf print private pushd pwd random read readarray "
    "readonly rehash repeat return select set setopt shift shopt source status string suspend "
    "switch test time times trap true type typeset ulimit umask unalias unset unsetopt vared "
    "wait whence where which zmodload zstyle abbr argparse nextd prevd noglob nocorrect "
    "- bindkey sched".split()
)
"""Commands that are part of bash, zsh or fish."""

Rule = Callable[[Sequence[str]], Iterator[Kind]]

_DEVICE = re.compile(
    r"(?:of=)?/dev/(?:r?disk|[shv]d[a-z]|xvd|nvme|mmcblk|md\d|dm-|mapper/|loop\d|mem|kmem|port)"
)
_SQL = re.compile(
    r"\bdrop\s+(?:table|database|schema|view|index|user|column)\b|\btruncate\s+(?:table\s+)?\w"
    r"|\bdelete\s+from\b|\bflush(?:all|db)\b|\bdropDatabase\b|\.drop\(",
    re.IGNORECASE,
)
_SED_SUBSTITUTES = re.compile(
    r"s([^\w\s\\;])(?:\\.|(?!\1).)*\1(?:\\.|(?!\1).)*\1([a-zA-Z0-9]*)", re.DOTALL
)
_SED_COMMAND = re.compile(r"(?:^|[;{\n/\d$!,~])\s*([ewW])(?=\s|$)")
_AWK_RUNS = re.compile(r"\bsystem\s*\(|\||\bgetline\b|@load")
_AWK_WRITES = re.compile(r"\bprintf?\b[^;}]*>")


def _always(kind: Kind, names: str) -> dict[str, frozenset[Kind]]:
    return {name: frozenset((kind,)) for name in names.split()}


_ALWAYS: Mapping[str, frozenset[Kind]] = {
    **_always(Kind.DELETES, "rm rmdir unlink shred srm wipe truncate dropdb dropuser deltree "
              "rimraf trash-empty trash-rm userdel groupdel lvremove vgremove zfs zpool"),
    **_always(Kind.OVERWRITES, "rename patch unzip unrar 7z 7za unar cpio pax ditto mmv vidir"),
    **_always(Kind.NETWORK, "curl wget aria2c axel fetch http https ssh sftp ftp lftp tftp scp nc "
              "ncat netcat socat telnet ping ping6 dig nslookup host whois traceroute mtr nmap "
              "yt-dlp mosh iperf iperf3 rclone aws gcloud gsutil az gh glab kubectl oc helm "
              "terraform ansible ansible-playbook sshfs tcpdump ssh-copy-id w3m lynx links "
              "s3cmd doctl heroku fly flyctl vercel netlify openssl rsh rlogin ngrok mail "
              "sendmail mutt autossh sshpass git-lfs speedtest"),
    **_always(Kind.ROOT, "sudo doas su pkexec run0 sudoedit visudo gsudo please calife"),
    **_always(Kind.PERMISSIONS, "chmod chown chgrp chattr setfacl chcon restorecon xattr umask"),
    **_always(Kind.KILLS, "pkill killall xkill skill killall5 slay"),
    **_always(Kind.POWER, "shutdown reboot poweroff halt init telinit pm-suspend pm-hibernate "
              "kexec suspend"),
    **_always(Kind.DEVICE, "wipefs fdisk sfdisk gdisk sgdisk cfdisk parted badblocks blkdiscard "
              "mkswap pvcreate vgcreate lvcreate mdadm cryptsetup diskutil flashrom mke2fs format "
              "newfs fsck hdparm"),
    **_always(Kind.SYSTEM, "mount umount swapoff swapon modprobe rmmod insmod sysctl iptables "
              "ip6tables nft ufw firewall-cmd useradd usermod groupadd adduser deluser passwd chsh "
              "chpasswd crontab hostnamectl update-alternatives nvram csrutil launchctl setenforce "
              "update-grub grub-install defaults scutil networksetup spctl dscl loginctl visudo"),
    **_always(Kind.BACKGROUND, "nohup setsid disown at batch"),
    **_always(Kind.RUNS_DOWNLOAD, "npx bunx uvx pnpx"),
    **_always(Kind.RUNS_FILE, "source . rundll32 wine"),
    **_always(Kind.HIDDEN, "ex ed expect gdb lldb emacs"),
}  # fmt: skip

_PACKAGERS = frozenset(
    "pip pip3 pipx uv npm pnpm yarn bun cargo gem go apt apt-get aptitude dnf yum zypper pacman "
    "apk brew snap flatpak port nix nix-env conda mamba poetry composer bundle choco winget emerge "
    "yay paru rustup pkg opkg easy_install hatch pdm deno mix dotnet asdf mise fink guix".split()
)
_FETCHING = frozenset(
    "install i add update upgrade up get download ci sync fetch publish search create dlx tap "
    "dist-upgrade full-upgrade build-dep reinstall global require restore push pull refresh lock "
    "outdated audit info".split()
)
_REMOVING = frozenset(
    "remove uninstall purge autoremove autopurge erase rm un prune clean delete autoclean "
    "untap cleanup destroy".split()
)
_CONTAINERS = frozenset(
    "docker podman nerdctl docker-compose podman-compose buildah crictl".split()
)
_CLOUDS = frozenset("aws gcloud gsutil az gh kubectl oc helm terraform rclone s3cmd doctl".split())
_CLOUD_DELETES = re.compile(
    r"(?:delete|destroy|remove|terminate|purge|uninstall|drain|prune)(?:-|$)|(?:rm|rb|del|deletefile)$"
)


def has(args: Sequence[str], letters: str, *options: str) -> bool:
    """Tell whether one of some short options is given, alone or with others, or a long one.

    Long options may be cut short, as GNU's programs let them be.
    """
    for arg in args:
        name = arg.partition("=")[0]
        if name.startswith("--"):
            if len(name) > 3 and any(option.startswith(name) for option in options):
                return True
        elif name in options or (arg.startswith("-") and set(letters) & set(arg[1:])):
            return True
    return False


def kinds_of(name: str, args: Sequence[str]) -> Iterator[Kind]:
    """Yield what a program does with its arguments, without what it runs in its turn.

    Args:
        name: The program's name, without its folder, in small letters.
        args: Its arguments, as far as they are known.
    """
    if name in ("[", "[[", "test"):
        return
    yield from _ALWAYS.get(name, ())
    if name.startswith("mkfs"):
        yield from (Kind.DELETES, Kind.DEVICE)
    if name in _RULES:
        yield from _RULES[name](args)
    if name in _PACKAGERS:
        yield from _packager(args)
    if name in _CONTAINERS:
        yield from _container(args)
    if name in _CLOUDS and any(_CLOUD_DELETES.match(arg.lower()) for arg in args):
        yield Kind.DELETES
    if any(deletes_records(arg) for arg in args):
        yield Kind.DELETES


def deletes_records(text: str) -> bool:
    """Tell whether a text tells a database to delete something."""
    return _SQL.search(text) is not None


def _operands(args: Sequence[str]) -> list[str]:
    return [arg for arg in args if not arg.startswith("-")]


def _mv(args: Sequence[str]) -> Iterator[Kind]:
    if not has(args, "n", "--no-clobber"):
        yield Kind.OVERWRITES
    if "/dev/null" in args:
        yield Kind.DELETES
    yield from _device(args)


def _device(args: Sequence[str]) -> Iterator[Kind]:
    if any(_DEVICE.match(arg) for arg in args):
        yield Kind.DEVICE


def _ln(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "f", "--force"):
        yield Kind.OVERWRITES


def _install(args: Sequence[str]) -> Iterator[Kind]:
    yield Kind.OVERWRITES


def _tee(args: Sequence[str]) -> Iterator[Kind]:
    if not has(args, "a", "--append") and _operands(args):
        yield Kind.OVERWRITES
    yield from _device(args)


def _dd(args: Sequence[str]) -> Iterator[Kind]:
    targets = [arg for arg in args if arg.startswith("of=") and arg != "of=/dev/null"]
    if targets:
        yield Kind.OVERWRITES
    yield from _device(targets)


def _find(args: Sequence[str]) -> Iterator[Kind]:
    if "-delete" in args:
        yield Kind.DELETES
    if any(arg.startswith(("-fprint", "-fls")) for arg in args):
        yield Kind.OVERWRITES


def _sed(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "i", "--in-place"):
        yield Kind.OVERWRITES
    given = [arg for before, arg in pairwise(args) if before.endswith("e")]
    given += [arg.partition("=")[2] for arg in args if arg.startswith("--e")]
    for script in [*given, *_operands(args)[:2]]:  # BSD's `-i ''` comes before it
        flags = {flag for found in _SED_SUBSTITUTES.finditer(script) for flag in found[2]}
        rest = set(_SED_COMMAND.findall(_SED_SUBSTITUTES.sub("", script)))
        if {"w", "W"} & (flags | rest):
            yield Kind.OVERWRITES
        if "e" in flags | rest:
            yield Kind.HIDDEN
    if has(args, "f", "--file"):
        yield Kind.HIDDEN


def _awk(args: Sequence[str]) -> Iterator[Kind]:
    texts = [arg.replace("||", "") for arg in args]
    if any(_AWK_RUNS.search(text) for text in texts) or has(args, "fEl", "--file", "--load"):
        yield Kind.HIDDEN
    if any(_AWK_WRITES.search(text) for text in texts) or "inplace" in args:
        yield Kind.OVERWRITES


def _sort(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "o", "--output"):
        yield Kind.OVERWRITES
    if has(args, "", "--compress-program"):
        yield Kind.HIDDEN


def _uniq(args: Sequence[str]) -> Iterator[Kind]:
    if len(_operands(args)) > 1:
        yield Kind.OVERWRITES


def _curl(args: Sequence[str]) -> Iterator[Kind]:
    long = ("--output", "--remote-name", "--remote-name-all", "--dump-header", "--cookie-jar")
    if has(args, "oODcJ", *long) and not has(args, "", "--no-clobber"):
        yield Kind.OVERWRITES
    if any("DELETE" in arg for arg in args):
        yield Kind.DELETES
    if has(args, "K", "--config"):
        yield Kind.HIDDEN


def _wget(args: Sequence[str]) -> Iterator[Kind]:
    to_stdout = any(re.fullmatch(r"-[a-zA-Z]*O-|-", arg) for arg in args)
    if not to_stdout and has(
        args, "OoPrm", "--output-document", "--output-file", "--recursive", "--mirror"
    ):
        yield Kind.OVERWRITES
    if has(args, "", "--use-askpass", "--execute") or "-e" in args:
        yield Kind.HIDDEN


def _tar(args: Sequence[str]) -> Iterator[Kind]:
    first = args[0] if args and not args[0].startswith("-") else ""
    letters = first + "".join(arg[1:] for arg in args if re.match(r"-[^-]", arg))
    if "x" in letters or has(args, "", "--extract", "--get"):
        yield Kind.OVERWRITES
    lists = "t" in letters or has(args, "", "--list")
    if not lists and ("f" in letters or has(args, "", "--file")):
        yield Kind.OVERWRITES
    if has(args, "", "--remove-files", "--delete", "--recursive-unlink"):
        yield Kind.DELETES
    runs = ("--to-command", "--checkpoint-action", "--use-compress-program", "--rmt-command",
            "--rsh-command", "--info-script", "--new-volume-script")  # fmt: skip
    if has(args, "", *runs) or "I" in letters or ("F" in letters and "f" not in letters):
        yield Kind.HIDDEN


def _compress(args: Sequence[str]) -> Iterator[Kind]:
    if not has(args, "cktl", "--stdout", "--keep", "--test", "--list", "--to-stdout"):
        yield Kind.DELETES  # the file that was there before
    yield Kind.OVERWRITES


def _zip(args: Sequence[str]) -> Iterator[Kind]:
    yield Kind.OVERWRITES
    if has(args, "md", "--move", "--delete"):
        yield Kind.DELETES
    if has(args, "T", "--unzip-command"):
        yield Kind.HIDDEN


def _rsync(args: Sequence[str]) -> Iterator[Kind]:
    yield Kind.OVERWRITES
    operands = _operands(args)
    if any(re.match(r"[^/]+:|rsync://", operand) for operand in operands) or has(
        args, "e", "--rsh"
    ):
        yield Kind.NETWORK
    if any(arg.startswith(("--del", "--remove-s")) for arg in args):
        yield Kind.DELETES


def _copies_over_network(args: Sequence[str]) -> Iterator[Kind]:
    yield Kind.OVERWRITES
    yield from _ssh(args)


def _ssh(args: Sequence[str]) -> Iterator[Kind]:
    if any("command" in arg.lower() for arg in args):
        yield Kind.HIDDEN  # -o ProxyCommand=…


def _nc(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "ec", "--exec", "--sh-exec", "--lua-exec") or any(
        "exec:" in a.lower() for a in args
    ):
        yield Kind.HIDDEN


def _kill(args: Sequence[str]) -> Iterator[Kind]:
    if not args or args[0] not in ("-l", "-L", "-0", "--list"):
        yield Kind.KILLS


def _fuser(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "k", "--kill"):
        yield Kind.KILLS


def _systemctl(args: Sequence[str]) -> Iterator[Kind]:
    words = set(_operands(args))
    if words & {"reboot", "poweroff", "halt", "suspend", "hibernate", "kexec", "soft-reboot"}:
        yield Kind.POWER
    reading = {"status", "show", "cat", "is-active", "is-enabled", "is-failed", "help"}
    if words and not words & reading and not any(word.startswith("list-") for word in words):
        yield Kind.SYSTEM


def _crontab(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "r"):
        yield Kind.DELETES


def _history(args: Sequence[str]) -> Iterator[Kind]:
    if has(args, "cd") or {"clear", "delete"} & set(args):
        yield Kind.DELETES


def _editor(args: Sequence[str]) -> Iterator[Kind]:
    if any("!" in arg or "system(" in arg for arg in args) or has(args, "sS"):
        yield Kind.HIDDEN


def _gpg(args: Sequence[str]) -> Iterator[Kind]:
    if any(arg.startswith("--delete") for arg in args):
        yield Kind.DELETES


def _tmux(args: Sequence[str]) -> Iterator[Kind]:
    if any(arg.startswith("kill") for arg in args):
        yield Kind.KILLS
    if {"send-keys", "send", "run-shell", "run", "-X"} & set(args):
        yield Kind.HIDDEN


def _python(args: Sequence[str]) -> Iterator[Kind]:
    if "-m" in args and {"pip", "ensurepip", "pipx"} & set(args):
        yield from _packager(args)
    if "http.server" in args:
        yield Kind.NETWORK


def _packager(args: Sequence[str]) -> Iterator[Kind]:
    operands = _operands(args)
    words = set(operands)
    if words & _FETCHING or not words or any(re.match(r"-(?:S|i|U)", arg) for arg in args):
        yield Kind.NETWORK
    if words & _REMOVING or any(
        re.match(r"-R|--(?:remove|uninstall|delete|purge)", a) for a in args
    ):
        yield Kind.DELETES
    if operands[:1] in (["dlx"], ["exec"], ["x"]):
        yield Kind.RUNS_DOWNLOAD
    if operands[:1] in (["run"], ["run-script"], ["start"], ["test"]):
        yield Kind.RUNS_FILE


def _container(args: Sequence[str]) -> Iterator[Kind]:
    words = set(_operands(args))
    if words & {"rm", "rmi", "prune", "down", "remove", "delete", "reset"}:
        yield Kind.DELETES
    if words & {"kill", "stop", "restart"}:
        yield Kind.KILLS
    if words & {"pull", "push", "run", "build", "login", "search", "up", "create", "buildx"}:
        yield Kind.NETWORK
    if has(args, "", "--privileged") or any(
        re.search(r"^(?:-v|--volume=)?/:", arg) for arg in args
    ):
        yield Kind.ROOT


def git(args: Sequence[str]) -> tuple[str, Sequence[str], bool]:
    """Return git's subcommand, its arguments, and whether a setting may run a program."""
    runs = False
    index = 0
    while index < len(args) and args[index].startswith("-"):
        name = args[index]
        if name in ("-c", "--config-env", "--exec-path") or name.startswith(("-c", "--exec-path=")):
            runs = True
        with_value = ("-C", "-c", "--git-dir", "--work-tree", "--namespace", "--config-env")
        index += 2 if name in with_value else 1
    rest = args[index:]
    return (rest[0] if rest else "", rest[1:], runs)


_GIT_NETWORK = frozenset(
    "clone fetch pull push ls-remote submodule lfs remote send-email svn p4 archive".split()
)
_GIT_DELETES = frozenset(
    "clean gc prune filter-branch filter-repo reflog replace prune-packed".split()
)
_GIT_OVERWRITES = frozenset(
    "restore rebase mv am apply merge pull cherry-pick revert read-tree checkout-index "
    "update-ref symbolic-ref fast-import".split()
)


def _git(args: Sequence[str]) -> Iterator[Kind]:
    verb, rest, runs = git(args)
    words = set(_operands(rest))
    if runs:
        yield Kind.HIDDEN
    if verb in _GIT_NETWORK and not (verb == "remote" and not words & {"update", "show", "prune"}):
        yield Kind.NETWORK
    if verb in _GIT_DELETES or _git_deletes(verb, rest, words):
        yield Kind.DELETES
    if verb in _GIT_OVERWRITES or _git_overwrites(verb, rest):
        yield Kind.OVERWRITES


def _git_deletes(verb: str, rest: Sequence[str], words: set[str]) -> bool:
    if verb == "push":
        forced = has(rest, "fd", "--force", "--force-with-lease", "--delete", "--mirror", "--prune")
        return forced or any(word.startswith(("+", ":")) for word in words)
    if verb in ("stash", "worktree", "remote", "submodule", "notes", "bisect", "config", "sparse"):
        return bool(words & {"drop", "clear", "remove", "rm", "prune", "deinit", "reset"})
    return {
        "reset": has(rest, "", "--hard", "--merge", "--keep"),
        "branch": has(rest, "dD", "--delete"),
        "tag": has(rest, "d", "--delete"),
        "rm": not has(rest, "", "--cached"),
        "update-ref": has(rest, "d", "--stdin"),
    }.get(verb, False)


def _git_overwrites(verb: str, rest: Sequence[str]) -> bool:
    if verb == "checkout":
        has_path = any(arg in ("--", ".") or "/" in arg or "*" in arg for arg in rest)
        return has_path or has(rest, "fBpm", "--force", "--ours", "--theirs", "--merge")
    return {
        "switch": has(rest, "fC", "--force", "--discard-changes", "--force-create"),
        "commit": has(rest, "", "--amend"),
        "branch": has(rest, "fM", "--force"),
        "tag": has(rest, "f", "--force"),
        "stash": bool({"pop", "apply"} & set(rest)),
        "config": bool(_operands(rest)[1:]),
    }.get(verb, False)


_RULES: Mapping[str, Rule] = {
    "mv": _mv, "cp": _mv, "gmv": _mv, "gcp": _mv, "ln": _ln, "install": _install, "tee": _tee,
    "sponge": _tee, "dd": _dd, "find": _find, "gfind": _find, "sed": _sed, "gsed": _sed,
    "awk": _awk, "gawk": _awk, "mawk": _awk, "nawk": _awk, "sort": _sort, "uniq": _uniq,
    "curl": _curl, "wget": _wget, "tar": _tar, "bsdtar": _tar, "gtar": _tar, "gzip": _compress,
    "gunzip": _compress, "bzip2": _compress, "bunzip2": _compress, "xz": _compress,
    "unxz": _compress, "lzma": _compress, "compress": _compress, "zip": _zip, "rsync": _rsync,
    "scp": _copies_over_network, "sftp": _copies_over_network, "ssh": _ssh, "nc": _nc,
    "ncat": _nc, "netcat": _nc, "socat": _nc, "kill": _kill, "fuser": _fuser,
    "systemctl": _systemctl, "service": _systemctl, "rc-service": _systemctl,
    "crontab": _crontab, "history": _history, "vi": _editor, "vim": _editor, "nvim": _editor,
    "gpg": _gpg, "gpg2": _gpg, "tmux": _tmux, "screen": _tmux, "python": _python,
    "python3": _python, "git": _git,
}  # fmt: skip
