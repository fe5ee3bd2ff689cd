"""What our own reading of a command finds: wherever it hides, and nothing in what is harmless."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aish.do.dangers import dangers_of
from aish.do.kinds import Danger, Kind

D, O, N, R, H = Kind.DELETES, Kind.OVERWRITES, Kind.NETWORK, Kind.ROOT, Kind.HIDDEN  # noqa: E741
SHELLS = ("bash", "zsh", "fish", "sh")


def found(command: str, shell: str = "bash", unknown: str = "") -> tuple[Danger, ...]:
    return dangers_of(command, shell, lambda name: name not in unknown.split())


def kinds(command: str, shell: str = "bash", unknown: str = "") -> set[Kind]:
    return {danger.kind for danger in found(command, shell, unknown)}


@pytest.mark.parametrize(
    "command",
    [
        "ls -la", "find . -type f -size +100M", "du -ah . | sort -rh | head -20",
        "ps aux --sort=-%mem | awk 'NR<=10{print $0}'", "grep -rn TODO --include='*.py' . | wc -l",
        "sed -n '1,10p' f | sed 's/a/world/g' /etc/wgetrc", "tar tf a.tgz", "git status",
        "git log --oneline | head", "git commit -m 'rm -rf all > x; sudo'", "git checkout main",
        "git diff HEAD~1 | cat", "echo 'rm x' \"sudo y > z\" \\> a", "ls 2>/dev/null >&2",
        "ls >/dev/null 2>&1", "command -v rm", "kill -0 1", "systemctl status x",
        "for i in {1..10}; do echo $i; done", "find . -print0 | xargs -0 ls -la",
        "echo $((1 + 2)) ${#x} ${x//a/b}", "diff <(sort a) <(sort b)", "[ -f x ] || touch x",
        "[[ -f a && -d b ]] && echo yes", "cat << 'EOF'\nrm x; it's\nEOF\necho done",
        "while read -r l; do echo \"$l\"; done < f", "awk '$5 > 100 || $1 {print $1}' f",
        "find \"$HOME\" $PWD -name '*.log'", "docker ps -a", "ls >> log", "date # rm x",
        "bash", "exec zsh -l", "sh <<'E'\nls\nE", "echo ls | sh",
        "case $x in a) ls;; *) (pwd) ;; esac", "f() { ls; }; f", "a=(1 2 3); echo ${a[@]}",
        "if true; then ls; else pwd; fi", "jq '.a | .b' x.json",
        "printf '$(x) `y`'", "grep 'a`b$(c)' f", "x='$(a)'; echo $((n + 1)) $((x))", "read -r a b",
        "export A=\"$(date)\"", "read -rp 'in $: ' a", "export A=\"\\$5\"", "[ '$5' = a ]",
        "[ \"$a\" = \"$(id -u)\" ]", "declare -A m; m[$k]=1", "unset 'a[1]'",
        "rg -n pre .", "git grep -n x", "git config --get alias.x", "man ls",
        "git checkout v1.2", "git checkout -b a.b", "gcc -c a.c", "ip addr show", "hash -r",
        "sqlite3 db 'select 1'", "mysql -e 'select 1'", "dpkg -l", "hg status", "bind -p",
        "make -j4 all",
    ],
)  # fmt: skip
def test_what_is_harmless_has_no_mark(command: str) -> None:
    assert found(command, unknown="a") == ()


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("rm -rf build", {D}), ("rmdir a", {D}), ("unlink a", {D}), ("shred a", {D}),
        ("find . -delete", {D}), ("find . -exec rm {} \\;", {D}), ("git clean -fd", {D}),
        ("find . -type d -execdir sh -c 'rm \"$1\"' _ {} +", {D}), ("fd x -x rm", {D}),
        ("git reset --hard", {D}), ("git push --force", {D, N}), ("git push origin +main", {D, N}),
        ("git push --forc", {D, N}), ("git -C x push -f", {D, N}), ("git branch -D x", {D}),
        ("git stash drop", {D}), ("truncate -s 0 f", {D}), ("docker system prune -af", {D}),
        ("docker rm x", {D}), ("kubectl delete pod x", {D, N}), ("psql -c 'DROP TABLE x'", {D}),
        ("echo 'delete from t' | sqlite3 db", {D}), ("mysql <<E\ndrop database x\nE", {D}),
        ("crontab -r", {D, Kind.SYSTEM}), ("rsync -a --delete a/ b/", {D, O}), ("dropdb x", {D}),
        ("mkfs.ext4 /dev/sdb1", {D, Kind.DEVICE}), ("gzip f", {D, O}), ("RM x", {D}),
        ("ls > out", {O}), ("ls >| out", {O}), ("ls &> out", {O}), (": > out", {O}),
        ("> out", {O}), ("ls | tee out", {O}), ("mv a b", {O}), ("cp a b", {O}),
        ("install a b", {O}), ("sed -i s/a/b/ f", {O}), ("sed --in-pl s/a/b/ f", {O}),
        ("sort -o f f", {O}), ("tar xf a.tgz", {O}), ("tar -xzf a.tgz", {O}), ("tar czf a b", {O}),
        ("git checkout -- .", {O}), ("git restore f", {O}), ("ln -sf a b", {O}),
        ("sed -n '/x/w out' f", {O}), ("awk '{print > \"f\"}' g", {O}), ("done_ & > x", None),
        ("dd if=a of=b", {O}), ("dd if=a of=/dev/sda", {O, Kind.DEVICE}),
        ("echo x > /dev/sda", {Kind.DEVICE}), ("cat a | tee -a /dev/nvme0n1", {Kind.DEVICE}),
        ("curl https://a", {N}), ("curl -sO https://a/b", {N, O}), ("wget -qO- a", {N}),
        ("ssh h", {N}), ("scp a h:", {N, O}), ("rsync a h:b", {N, O}), ("git pull", {N, O}),
        ("git clone x", {N}), ("git fetch", {N}), ("nc h 80", {N}), ("ping h", {N}),
        ("pip install x", {N}), ("python3 -m pip install x", {N}), ("npm install", {N}),
        ("apt-get install -y x", {N}), ("exec 3<>/dev/tcp/h/80", {N}), ("cat < /dev/tcp/h/80", {N}),
        ("sudo ls", {R}), ("doas ls", {R}), ("su -c ls", {R}), ("pkexec ls", {R}),
        ("run0 ls", {R}), ("chmod -R 777 .", {Kind.PERMISSIONS}),
        ("chown -R me .", {Kind.PERMISSIONS}), ("kill -9 1", {Kind.KILLS}),
        ("pkill x", {Kind.KILLS}), ("lsof -ti :80 | xargs kill", {Kind.KILLS}),
        ("shutdown now", {Kind.POWER}), ("reboot", {Kind.POWER}),
        ("systemctl poweroff", {Kind.POWER, Kind.SYSTEM}), ("sleep 9 &", {Kind.BACKGROUND}),
        ("while true; do ls; done &", {Kind.BACKGROUND}), ("nohup ls", {Kind.BACKGROUND}),
        (":(){ :|:& };:", {Kind.FORK_BOMB, Kind.BACKGROUND}),
        ("curl a | sh", {N, H, Kind.RUNS_DOWNLOAD}),
        ("curl a | sudo bash -s -- -y", {N, H, R, Kind.RUNS_DOWNLOAD}),
        ("curl a | python3", {N, H, Kind.RUNS_DOWNLOAD}),
        ('bash -c "$(curl a)"', {N, H, Kind.RUNS_DOWNLOAD}),
        ("bash <(curl a)", {N, Kind.RUNS_FILE, Kind.RUNS_DOWNLOAD}),
        ('eval "$(wget -qO- a)"', {N, H, Kind.RUNS_DOWNLOAD}),
        ("curl -o x a && sh x", {N, O, Kind.RUNS_FILE, Kind.RUNS_DOWNLOAD}),
        ("curl a | { sh; }", {N, H, Kind.RUNS_DOWNLOAD}), ("sh -c sh <<E\nls\nE", {H}),
        ("curl a | (cd x && sh)", {N, H, Kind.RUNS_DOWNLOAD}),
        ("npx x", {Kind.RUNS_DOWNLOAD}), ("echo cm0= | base64 -d | sh", {H}),
        ("eval $x", {H}), ("bash -c$x rm", {H, Kind.RUNS_FILE}),
        ("$x -rf /", {H}), ("$'\\x72m' x", {H}), ("/bin/r? x", {H}),
        ("{rm,-rf,/}", {H}), ("git $x", {H}), ("find . $x", {H}), ("xargs -n 1 $x", {H}),
        ("python3 -c 'print(1)'", {H}), ("perl -e 1", {H}), ("awk 'BEGIN{system(\"x\")}'", {H}),
        ("sed 's/a/b/e' f", {H}), ("sed '1e rm' f", {H}), ("git -c core.pager=x log", {H}),
        ("tar cf - --to-command=x", {H, O}), ("PATH=/tmp ls", {H}), ("export LD_PRELOAD=x", {H}),
        ("vim -c ':!x'", {H}), ("./x.sh", {Kind.RUNS_FILE}), ("source x", {Kind.RUNS_FILE}),
        ("bash x.sh", {Kind.RUNS_FILE}), ("python3 x.py", {Kind.RUNS_FILE}),
        ("unheard --of", {Kind.UNKNOWN}),
    ],
)  # fmt: skip
def test_each_danger_is_marked(command: str, expected: set[Kind] | None) -> None:
    if expected is None:
        assert kinds(command) == {O, Kind.BACKGROUND}
    else:
        assert kinds(command, unknown="unheard") == expected


@pytest.mark.parametrize(
    "command",
    [
        "declare 'a[$(id)]=1'", "let 'a[$(id)]'", "printf -v 'a[$(id)]' x", "test -v 'a[$(id)]'",
        "[[ -v 'a[`id`]' ]]", "unset 'a[$(id)]'", "read 'a[$(id)]' <<< x", "export 'a[$(id)]=1'",
        "local \"a[\\$(id)]\"", "typeset a[\\$\\(id\\)]", "declare $'a[\\x24(id)]=1'",
        "((a['$(id)']++))", "echo $((a['$(id)']))", "declare 'a[$'\\(id\\)]=1", "read 'a[$x`id`]'",
        "[ 'a[$(id)]' -eq 0 ]", "x='a[$(id)]'; echo $((x))", "x='a[$(id)]'; [[ $x -eq 1 ]]",
        "mapfile -C 'id #' -c 1 a < f", "compgen -C 'id' x", "compgen -W '$(id)'",
        "complete -C id ls", "bind -x '\"a\": id'", "echo ${x@P}", "x=${y@P}", "echo ${(e)x}",
        "BASH_CMDS[ls]=/tmp/x", "BASH_ALIASES[ls]=id", "PS1=x", "PS4='$(id)' ls",
        "PROMPT_COMMAND=id", "functions[ls]=id", "aliases[ls]=id", "BASH_ENV=x ls", "ENV=x ls",
        "LD_PRELOAD=x ls", "PATH=/tmp ls", "read PATH < f", "printf -v PATH /tmp",
        "hash -p /tmp/x ls", "hash ls=/tmp/x", "enable -f x y", "zmodload zsh/system",
        "emulate sh -c id", "sched +1 id", "zargs a -- id", "zmv '(*)' '$1'", "bindkey -s a id",
        "print -P x", "sqlite3 db '.system id'", "sqlite3 db '.shell id'", "psql -c '\\!'",
        "sqlite3 db <<< '.shell id'", "echo '.shell id' | sqlite3 db", "mysql -e 'system id'",
        "mysql -e '\\! id'", "dc -e '!id'", "rg --pre id x", "man -P id ls", "git grep -O id x",
        "git grep --open-files-in-pager=id x", "git -c core.pager=id log", "git -c alias.x=!id x",
        "git config alias.x '!id'", "git config --global core.sshCommand id",
        "git config core.hooksPath /tmp", "git config credential.helper id",
        "git config filter.x.clean id", "git config diff.x.textconv id",
        "git config diff.external id", "git config core.fsmonitor id",
        "git fetch --upload-pack id x", "git clone -u id x", "git push --receive-pack=id",
        "git clone ext::id", "rsync -e id a b", "rsync -ave 'sh -c id' a b", "rsync --rsh=id a b",
        "rsync --rsync-path=id a b", "ssh -o ProxyCommand=id h", "ssh -oLocalCommand=id h",
        "apt-get -o DPkg::Pre-Invoke::=id update", "apt -o a::b=c update", "tcpdump -z id -w f",
        "lftp -e 'x' h", "lftp -c x", "ansible all -m shell -a id", "ansible all -a id",
        "make SHELL=/tmp/x", "make --eval 'x:;id'", "groovy -e 1", "swift -e 1",
        "xargs sh -c {}", "xargs -I% sh -c 'ls %'", "xargs sh -c",
        "ls | xargs -I {} bash -c 'ls {}'",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_command_within_an_argument_cannot_be_seen_through(command: str, shell: str) -> None:
    assert H in kinds(command, shell)


@pytest.mark.parametrize(
    "pattern", ["*(e:id:)", "*(+name)", "*(oe:id:)", "*(o+name)", "*(.e'{id}')"]
)
def test_zsh_runs_what_stands_in_a_pattern(pattern: str) -> None:
    assert any(danger.is_grave for danger in found(f"ls {pattern}", "zsh"))


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("dpkg -r x", D), ("dpkg -P x", D), ("btrfs subvolume delete x", D), ("borg prune", D),
        ("nvme format /dev/nvme0", D), ("borg delete x", D), ("restic forget x", D),
        ("restic prune", D), ("hg purge", D), ("hg revert -a", O), ("svn revert .", O),
        ("git checkout a.c", O), ("git checkout HEAD a", O), ("git checkout -f", O),
        ("git switch --discard-changes x", O), ("git switch -f x", O), ("ffmpeg -y -i a b", O),
        ("gcc -o a a.c", O), ("clang a.c -oa", O), ("ld -o a b", O), ("git diff --output=f", O),
        ("git format-patch -o d HEAD", O), ("x --output=f", O), ("zmv a b", O),
        ("ip link set eth0 down", Kind.SYSTEM), ("bwrap --ro-bind / / rm x", D),
        ("firejail rm x", D), ("unshare -r rm x", D), ("nsenter -t 1 rm x", D),
    ],
)  # fmt: skip
def test_what_a_form_of_a_program_does_is_marked(command: str, kind: Kind) -> None:
    assert kind in kinds(command)


@pytest.mark.parametrize(
    "command",
    [
        "\\rm x", "r''m x", '"rm" x', "'r'm x", "/bin/rm x", "../../bin/rm x", "r\\\nm x",
        "command rm x", "builtin eval 'rm x'", "env rm x", "env -i A=1 rm x", "env -S 'rm x'",
        "env -u A rm x", "nohup rm x", "time rm x", "time -p rm x", "nice -n 5 rm x", "exec rm x",
        "timeout -k 5 10 rm x", "stdbuf -oL rm x", "setsid rm x", "xargs rm", "xargs -n 1 rm",
        "xargs -I {} rm {}", "ls | xargs -0 -P4 rm -f", "sudo rm x", "sudo -u bob rm x",
        "sudo -- rm x", "doas -u bob rm x", "su bob -c 'rm x'", "su -c 'rm x' bob",
        "! rm x", "echo a | entr rm x", "echo `echo \\`rm x\\``", "until a; do rm x; done",
        "watch -n 1 rm x", "watch 'rm x'", "chroot /mnt rm x", "flock f rm x", "flock f -c 'rm x'",
        "busybox rm x", "parallel rm ::: a", "ssh h rm x", "ssh -p 22 h 'rm x'",
        "docker exec c rm x", "docker run i sh -c 'rm x'", "kubectl exec p -- rm x",
        "tmux new -d 'rm x'", "script -c 'rm x'", "trap 'rm x' EXIT", "alias ls='rm x'",
        "git bisect run rm x", "git rebase --exec 'rm x' main", "git submodule foreach 'rm x'",
        "sh -c 'rm x'", "bash -lc 'rm x'", "zsh -f -c 'rm x'", "bash -o pipefail -c 'rm x'",
        "eval rm x", "eval 'rm' x", "echo 'rm x' | sh", "sh <<< 'rm x'", "sh <<E\nrm x\nE",
        "cat <<'E' | bash\nrm x\nE", "(rm x)", "{ rm x; }", "if a; then rm x; fi",
        "while rm x; do :; done", "for i in a; do rm $i; done", "a && rm x", "a || rm x",
        "a | rm x", "a & rm x", "a; rm x", "a\nrm x", "A=1 rm x", "A='1 2' rm x", "> f rm x",
        "2>&1 rm x", "$(rm x)", "`rm x`", 'echo "$(rm x)"', 'echo "`rm x`"', "${a:-$(rm x)}",
        'echo "${a:-`rm x`}"', "echo $((1 + $(rm x)))", "((a = $(rm x)))", "a=$(rm x)",
        "a=(1 $(rm x))", "cat <(rm x)", "ls > >(rm x)", "ls > $(rm x)", "cat <<E\n$(rm x)\nE",
        "case x in a) rm x;; esac", "case $(rm x) in a) ls;; esac", "function f { rm x; }",
        "f() { rm x; }", "f () (rm x)", "ls !(a|$(rm x))", "[[ -f $(rm x) ]]",
        "find . -exec sh -c 'rm x' \\;", "find . -ok rm {} \\;", "coproc rm x", "a |& rm x",
        "for ((i=0;i<3;i++)); do rm x; done", "select x in a; do rm x; done",
        "begin; rm x; end", "a; and rm x", "not rm x", "nix-shell --run 'rm x'", "repeat 3 rm x",
        "noglob rm x", "env \\ A=1\\  rm x",
        "time { rm x; }", "time if rm x; then :; fi", "coproc N { rm x; }", "time -f %e rm x",
        "for x in a { rm x }", "if true { rm x }", "repeat 3 { rm x }", "() { rm x }",
        "if [[ a ]] { rm x }", "time -p case x in a) rm x;; esac",
        "- rm x", "[[ a ]] rm x", "$((rm x) )",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_danger_is_found_wherever_it_hides(command: str, shell: str) -> None:
    assert Kind.DELETES in kinds(command, shell)


@pytest.mark.parametrize(
    ("command", "shell"),
    [
        ("echo 'a", "bash"), ('echo "a', "bash"), ("echo `a", "bash"), ("echo $(a", "bash"),
        ("(a", "bash"), ("a)", "bash"), ("echo ${a", "bash"), ("echo $'a", "bash"),
        ("$(" * 100 + ")" * 100, "bash"), ("eval " * 300 + "ls", "bash"),
        ("sudo " * 500 + "ls", "bash"), ("echo 'a\\'; rm x'", "fish"), ("ls a(b)", "zsh"),
        ("ls # a; rm x", "zsh"), ("for x (a b) rm $x", "zsh"), ("echo `ls`", "fish"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_through_is_grave(command: str, shell: str) -> None:
    unreadable = [danger for danger in found(command, shell) if danger.kind is Kind.UNREADABLE]
    assert unreadable
    assert unreadable[0].is_grave
    assert unreadable[0].part


@pytest.mark.parametrize(
    "command",
    [
        "rm (cat list)", "echo (rm x)", "echo (echo (rm x))", "echo \"$(rm x)\"", "x(rm x)",
        "if true; rm x; end", "for f in *; rm $f; end", "ls; or rm x", "begin rm x; end",
        "switch x; case a; rm x; end", "function f; rm x; end", "rm () -rf x",
    ],
)  # fmt: skip
def test_fish_is_read_too(command: str) -> None:
    assert Kind.DELETES in kinds(command, "fish")
    assert Kind.UNREADABLE not in kinds(command, "fish")


def test_fish_spells_letters_with_backslashes() -> None:
    assert kinds("\\x72m x", "fish") == {Kind.HIDDEN}
    assert kinds("\\x72m x", "bash", "x72m") == {Kind.UNKNOWN}


def test_the_grave_come_first_and_each_once() -> None:
    dangers = found("ls > a; rm x; ls > a; rm x")
    assert dangers == (Danger(Kind.DELETES, "rm x"), Danger(Kind.OVERWRITES, "> a"))


def test_a_part_is_short_and_on_one_line() -> None:
    (danger,) = found("rm 'a\nb' " + "x" * 200)
    assert danger.part.startswith("rm a b xxx")
    assert len(danger.part) == 60


TEXT = st.text(
    st.one_of(st.sampled_from("'\"\\`$(){}<>|&;#=[]!*?~ \n\tar1-/+%,:@"), st.characters()),
    max_size=60,
)
PIECES = st.lists(
    st.sampled_from(
        "$( ) ' \" ` \\ ( ) { } ${ <( >( << E \n ; | & && $(( )) [[ ]] case in esac a) rm sudo x "
        "eval sh -c find -exec \\; env xargs function f() for do done if then fi A= # $x {a,b} "
        "> < 2>&1 <<< watch alias trap ssh git push".split(" ")
    ),
    max_size=30,
).map(" ".join)


@given(st.one_of(TEXT, PIECES), st.sampled_from(SHELLS))
@example("((", "bash")
@example("<<", "bash")
@example("a=(", "zsh")
@example("\\", "fish")
def test_no_text_makes_it_raise(text: str, shell: str) -> None:
    for danger in found(text, shell):
        assert danger.part


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


NESTINGS = st.sampled_from(
    [
        lambda inner: f"echo $({inner})",
        lambda inner: f'echo "a $({inner}) b"',
        lambda inner: f"sh -c {quoted(inner)}",
        lambda inner: f"eval {quoted(inner)}",
        lambda inner: f"({inner}) | cat",
        lambda inner: f"ls | {{ {inner}; }}",
        lambda inner: f"if true; then {inner}\nfi",
        lambda inner: f"env -i A=1 nice -n 5 bash -c {quoted(inner)}",
        lambda inner: f"find . -exec sh -c {quoted(inner)} \\;",
        lambda inner: f"ls | xargs -I {{}} sh -c {quoted(inner)}",
        lambda inner: f"cat <({inner})",
        lambda inner: f"x=${{y:-$({inner})}}",
        lambda inner: f"case a in b) {inner};; esac",
        lambda inner: f"f() {{ {inner}; }}",
        lambda inner: f"A=$({inner}) true &",
        lambda inner: f"true && ! time {inner}",
        lambda inner: f"sh <<'E{len(inner)}'\n{inner}\nE{len(inner)}\n:",
    ]
)


@given(st.lists(NESTINGS, max_size=5), st.sampled_from(["bash", "zsh"]))
def test_a_danger_is_found_at_any_depth(nestings: list[Callable[[str], str]], shell: str) -> None:
    command = "rm -rf x"
    for nest in nestings:
        command = nest(command)
    assert Kind.DELETES in kinds(command, shell), command


STARTS = st.sampled_from(
    "rm|r'm'|\\rm|A='b c' rm|> f rm|env -i PATH=\"$PATH\" rm|timeout -s KILL 5 rm|command -p -- rm|"
    "nice -n 1 rm|xargs rm|eval rm|! rm|time rm|a=(b c) rm|exec rm|builtin command rm".split("|")
)
JUNK = st.lists(
    st.sampled_from("a 'a b' \"$x\" $x \\  {a,b} * -x $(true) `true` # } { if in [ ] ${a:-b} $'a' %"
                    .split(" ")),
    max_size=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place where `rm` only leaves a mark."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "bin").mkdir()
    program = folder / "bin" / "rm"
    program.write_text(f"#!/bin/sh\n: > {folder}/ran\n")
    program.chmod(0o755)
    (folder / "work").mkdir()
    return folder


@settings(max_examples=40)
@given(start=STARTS, junk=JUNK, nestings=st.lists(NESTINGS, max_size=3))
def test_what_bash_runs_is_marked(
    folder: Path, start: str, junk: list[str], nestings: list[Callable[[str], str]]
) -> None:
    command = " ".join([start, *junk])
    for nest in nestings:
        command = nest(command)
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["bash", "--norc", "-c", command], cwd=folder / "work", env={"PATH": path}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, timeout=10,
    )  # fmt: skip
    if (folder / "ran").exists():
        (folder / "ran").unlink()
        assert any(danger.is_grave for danger in found(command)), command
