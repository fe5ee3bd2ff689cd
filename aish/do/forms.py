"""What only some forms of a command do, and where a command hides in an argument of another one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from aish.do.kinds import Kind
from aish.do.programs import SHELLS
from aish.do.words import Word

_D, _O, _H, _S = Kind.DELETES, Kind.OVERWRITES, Kind.HIDDEN, Kind.SYSTEM

# Names, what one of their arguments (all in a row, each behind a space) has, and what that means.
_TABLE = (
    ("sqlite3", r"\.(?:sys|she|load)|\|", _H),
    ("psql", r"\\(?:!|[gow]\w*\s*\|)|\bprogram\b", _H),
    ("mysql mariadb", r"\\!|\bsystem\b| --pager", _H),
    ("dc ftp sftp lftp mail mailx", r"!", _H),
    ("lftp", r" -\w*[ecf]", _H),
    ("rg", r" --(?:pre|hostname-bin)\b", _H),
    ("man", r" (?:-\w*[PH]|--(?:pager|html))", _H),
    ("apt apt-get aptitude", r" (?:-\w*[oc]|--(?:option|config))\b.*", _H),
    ("tcpdump", r" -\w*z", _H),
    ("ansible", r" -\w*[am]", _H),
    ("make gmake", r" (?:SHELL|MAKEFLAGS)\W?=| --ev|--eval", _H),
    ("rsync", r" -[a-zA-Z]*e(?! ssh(?: |$))| --rsh(?!=ssh(?: |$))| --rsync-path", _H),
    ("hash", r" -\w*p|=", _H),
    ("enable", r" -\w*f", _H),
    ("emulate", r" -\w*c", _H),
    ("bindkey", r" -\w*s", _H),
    ("bind", r" -\w*[xf]| [^-\s]", _H),
    ("print", r" -\w*P", _H),
    ("compgen", r" -\w*[CWF]", _H),
    ("complete", r" -\w*[CF]", _H),
    ("mapfile readarray", r" -\w*C", _H),
    ("zmodload sched zargs zmv autoload", r"", _H),
    ("zmv", r"", _O),
    ("git", r" grep\b.* (?:-O|--open)| --(?:upload-pack|receive-pack|exec)\b| ext::", _H),
    ("git", r" clone\b.* (?:-[uc]|--config|--template)\b", _H),
    ("git", r"(?i) config\b.* (?:alias\.|core\.(?:pager|editor|sshcommand|fsmonitor|hookspath|"
     r"askpass|gitproxy)|credential\.|filter\.|pager\.|include|\S*\.(?:command|textconv|external|"
     r"cmd|driver|program|update|helper|editor)\b)\S* \S", _H),
    ("dpkg", r" (?:-\w*[rP]|--remove|--purge)", _D),
    ("btrfs", r" subv\w* del", _D),
    ("nvme", r" (?:format|sanitize|delete|write)", _D),
    ("borg restic", r" (?:delete|prune|forget|compact)\b", _D),
    ("hg", r" (?:purge|strip|clean)\b", _D),
    ("svn", r" (?:rm|remove|delete|del|cleanup)\b", _D),
    ("hg svn", r" revert\b", _O),
    ("hg", r" up\w* .*(?:-C|--clean)", _O),
    ("git", r" checkout (?!.*-[bB]\b)(?:.* )?(?:\S*\.[A-Za-z]\w*|[^-\s]\S* [^-\s]\S*)(?: |$)", _O),
    ("git", r" (?:diff|log|show|format-patch|archive|bundle)\b.* -o", _O),
    ("ffmpeg", r" -y\b", _O),
    ("gcc g++ cc c++ clang clang++ ld as nasm rustc pandoc gpg gpg2 dot", r" -o", _O),
    ("ip", r" (?:del\w*|flush|down)\b|\bset\b", _S),
    ("ifconfig ifdown nmcli", r" (?:down|delete|off)\b", _S),
)  # fmt: skip
_FORMS = tuple((frozenset(names.split()), re.compile(form, re.DOTALL), kind)
               for names, form, kind in _TABLE)  # fmt: skip

_OUTPUT = re.compile(r"--output(?:-file)?(?:=|$)")
_OUTPUT_IS_A_FORM = frozenset("curl wget aws gcloud az kubectl oc helm lsblk".split())
_EVALUATORS = frozenset(
    "let declare typeset test [ [[ unset read export local readonly integer float private set for "
    "select getopts mapfile readarray compgen complete bind wait".split()
)
_EVALUATED = re.compile(r"\$\{[^}]*@P\}|\$\{\([^)]*[e%][^)]*\)")


def kinds_of_form(name: str, args: Sequence[str]) -> Iterator[Kind]:
    """Yield what a program does because of the form that its arguments, or its input, have.

    Args:
        name: The program's name, without its folder, in small letters.
        args: Its arguments, and what else it is given, as far as they are known.
    """
    text = "".join(f" {arg}" for arg in args)
    for names, form, kind in _FORMS:
        if name in names and form.search(text):
            yield kind
    if name not in _OUTPUT_IS_A_FORM and any(_OUTPUT.match(arg) for arg in args):
        yield Kind.OVERWRITES


def is_evaluated(name: str, words: Sequence[Word]) -> bool:
    """Tell whether a shell would run commands that stand in quotes among these arguments.

    As a subscript in `declare 'a[$(ls)]'`, or because of an expansion as `${x@P}`.
    """
    if any(_EVALUATED.search(word.text) for word in words):
        return True
    evaluates = name in _EVALUATORS or (
        name == "printf" and any(word.text.startswith("-v") for word in words[:1])
    )
    return evaluates and any(word.hides_code for word in words)


def is_fed_as_code(name: str, args: Sequence[Word]) -> bool:
    """Tell whether `xargs` would make its input a part of a script."""
    if name not in ("xargs", "gxargs"):
        return False
    texts = [word.text for word in args]
    begins = [n for n, text in enumerate(texts) if text.rpartition("/")[2] in (*SHELLS, "eval")]
    if not begins:
        return False
    marks = {"{}"}
    for before, text in zip(["", *texts], texts, strict=False):
        if before in ("-I", "-J", "-i", "--replace"):
            marks.add(text)
        elif found := re.fullmatch(r"(?:-[IJi]|--replace=)(.+)", text):
            marks.add(found[1])
    script = texts[begins[0] + 1 :]
    ends_open = bool(script) and re.fullmatch(r"-[A-Za-z]*c", script[-1]) is not None
    return ends_open or any(mark in text for mark in marks for text in script[:2])
