"""Words of shell text: quotes, expansions, and the scripts that stand in them.

What bash, zsh and fish have in common with POSIX (XCU 2.2 to 2.6); `aish.do.script` reads the
commands around the words.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

MAX_DEPTH = 40
"""Scripts within scripts; every level takes a few calls of Python's own."""

ARITHMETIC = re.compile(r"\(\([^()`'\"\\;\n]*(?:\([^()`'\"\\;\n$]*\)[^()`'\"\\;\n]*)*\)\)")
_PATHS = frozenset("HOME PWD OLDPWD USER LOGNAME TMPDIR HOSTNAME UID".split())
_BLANKS = " \t"
_ENDS_WORD = frozenset(" \t\n;&|<>()")
_NAME = re.compile(r"[A-Za-z_]\w*|[0-9@*#?!$-]")
_BRACES = re.compile(r"\{[^\n;|&]*?(?:,|\.\.)")
_QUOTED_CODE = re.compile(r"`|\$(?:[({\['\"\\]|$)")
_QUALIFIER = re.compile(r"e[^\w\s|)]|\+[A-Za-z_]")
_SET = re.compile(r"\[[^\s\[][^\s\]]*\]")


class Unreadable(Exception):
    """The text cannot be taken apart; the reason says where it fails."""


@dataclass
class Word:
    """A word as its program would get it, where that is known.

    `text` is without quotes; what is only known when it runs stands there as it is written, and
    then `is_fixed` is false. `splits` tells that it may become several words, or options;
    `is_command_file` that it begins with `<(…)` or `>(…)`; `hides_code` that there is a
    substitution in quotes, which some commands of the shell would run.
    """

    text: str = ""
    is_fixed: bool = True
    is_quoted: bool = False
    splits: bool = False
    is_command_file: bool = False
    hides_code: bool = False
    scripts: list[Script] = field(default_factory=list)


@dataclass
class Redirection:
    """An operator as `>` and its target."""

    operator: str
    target: Word


@dataclass
class Command:
    """A simple command; `scripts` are what runs in brackets or in the words.

    `input` holds its here-documents. `before` is the command whose output it reads through a
    pipe. `is_pattern` tells that its words are more likely a pattern or a test than a command.
    """

    words: list[Word] = field(default_factory=list)
    assignments: list[Word] = field(default_factory=list)
    redirections: list[Redirection] = field(default_factory=list)
    scripts: list[Script] = field(default_factory=list)
    input: list[Word] = field(default_factory=list)
    before: Command | None = None
    is_background: bool = False
    is_pattern: bool = False

    def is_empty(self) -> bool:
        """Tell whether nothing has been read of it."""
        return not (self.words or self.assignments or self.redirections or self.scripts)


@dataclass
class Script:
    """All commands of a text, in order; `functions` are those that it defines."""

    commands: list[Command] = field(default_factory=list)
    functions: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)


class WordReader(ABC):
    """Reads words from a text; `_at` is where it is."""

    def __init__(self, text: str, shell: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Unreadable("too many scripts lie within each other")
        self._text = text
        self._shell = shell
        self._depth = depth
        self._at = 0

    @abstractmethod
    def script(self, closer: str) -> Script:
        """Read commands to the end, or past the bracket that closes."""

    def word(self, script: Script) -> Word:
        """Read one word, to the blank or operator that ends it; empty where none begins."""
        word = Word()
        start = self._at
        if self._text.startswith(("<(", ">("), self._at):
            self._at += 2
            self._nest(word, self.script(")"), start)
            word.is_command_file = True
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "(" and self._at > start:
                if self._is_function(word):
                    break
                opening = self._at
                self._at += 1
                self._nest(word, self._pattern(script, word), opening)
            elif character in _ENDS_WORD:
                break
            else:
                self._character(word, character)
        if self._shell == "zsh" and self._text.startswith("=", start):
            word.text = word.text[1:]  # the path of that program
        return word

    def _is_function(self, word: Word) -> bool:
        return re.compile(r"\([ \t]*\)").match(self._text, self._at) is not None and (
            not word.text.endswith("=")
        )

    def _pattern(self, script: Script, word: Word) -> Script:
        """Read brackets that belong to a word: a list's items, a pattern, a qualifier of zsh."""
        if not re.search(r"[=?*+@!]$", word.text) and self._shell != "fish":
            script.doubts.append("brackets stand within a word")
        start = self._at
        inner = self.script(")")
        if self._shell == "zsh" and _QUALIFIER.search(self._text, start, self._at):
            script.doubts.append("zsh may run what stands in the brackets of a pattern")
        for command in inner.commands:
            command.is_pattern = True
        return inner

    def _character(self, word: Word, character: str) -> None:
        """Read the next part of a word outside of quotes."""
        if character == "\\":
            self._escape(word)
        elif character == "'":
            word.is_quoted = True
            end = self._text.find("'", self._at + 1)
            if end < 0:
                raise Unreadable("a quote ' is not closed")
            quoted = self._text[self._at + 1 : end]
            if self._shell == "fish" and "\\" in quoted:
                raise Unreadable("fish reads a backslash within '…' in its own way")
            word.text += quoted
            word.hides_code |= _QUOTED_CODE.search(quoted) is not None
            self._at = end + 1
        elif character == '"':
            self._at += 1
            self._merge(word, self.quoted('"'))
        elif character in "$`":
            self._expansion(word, is_quoted=False)
        else:
            if character in "*?" or _SET.match(self._text, self._at):
                word.is_fixed = False
            elif character == "{" and _BRACES.match(self._text, self._at):
                word.is_fixed, word.splits = False, True
            word.text += character
            self._at += 1

    def _escape(self, word: Word) -> None:
        following = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if following == "\n":
            return
        if self._shell == "fish" and following.isalnum():
            word.is_fixed = False  # as \x72
        word.text += following or "\\"
        word.is_quoted = True
        word.hides_code |= _QUOTED_CODE.match(self._text, self._at - 1) is not None

    def quoted(self, closer: str) -> Word:
        """Read what follows a double quote to the one that closes it, or to the end."""
        word = Word(is_quoted=True)
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == closer:
                self._at += 1
                return word
            if character == "\\":
                following = self._text[self._at + 1 : self._at + 2]
                self._at += 2
                word.hides_code |= _QUOTED_CODE.match(self._text, self._at - 1) is not None
                if following != "\n":
                    word.text += following if following in '$`"\\' else f"\\{following}"
            elif character in "$`":
                self._expansion(word, is_quoted=True)
            else:
                word.text += character
                self._at += 1
        if closer:
            raise Unreadable(f"a quote {closer} is not closed")
        return word

    @staticmethod
    def _merge(word: Word, part: Word) -> None:
        word.text += part.text
        word.is_quoted = True
        word.is_fixed = word.is_fixed and part.is_fixed
        word.hides_code |= part.hides_code
        word.splits = word.splits or part.splits
        word.scripts += part.scripts

    # -- expansions ------------------------------------------------------------------------

    def _expansion(self, word: Word, is_quoted: bool) -> None:
        """Read what begins with `$` or a backtick."""
        start = self._at
        following = self._text[start + 1 : start + 2]
        if self._text[start] == "`":
            self._backtick(word, start)
        elif following == "(":
            self._at += 1
            found = ARITHMETIC.match(self._text, self._at) if self._shell != "fish" else None
            if found:
                self._at = found.end()
                inner = type(self)(found[0], self._shell, self._depth + 1).quoted("")
                word.scripts += inner.scripts
            else:
                self._at += 1
                self._nest(word, self.script(")"), start, is_quoted)
                return
        elif following == "{":
            self._at += 2
            self._braces(word, is_quoted)
        elif following == "'" and not is_quoted:
            self._ansi()
            word.hides_code |= re.search(r"[$`\\]", self._text[start + 1 : self._at]) is not None
        elif following == '"' and not is_quoted:
            self._at += 2
            self._merge(word, self.quoted('"'))
            return
        elif found := _NAME.match(self._text, start + 1):
            self._at = found.end()
        else:
            self._at += 1
            word.text += "$"
            return
        word.is_fixed = False
        is_whole = is_quoted or following == "'" or self._is_a_path(self._text[start : self._at])
        word.splits = word.splits or not is_whole
        word.text += self._text[start : self._at]

    def _is_a_path(self, variable: str) -> bool:
        """Tell whether a variable is one that the system sets, and the text does not."""
        name = variable.strip("${}")
        return name in _PATHS and not re.search(rf"(?<![${{]){name}\b", self._text)

    def _nest(self, word: Word, script: Script, start: int, is_quoted: bool = True) -> None:
        word.scripts.append(script)
        word.is_fixed = False
        word.splits = word.splits or not is_quoted
        word.text += self._text[start : self._at]

    def _backtick(self, word: Word, start: int) -> None:
        found = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL).match(self._text, start)
        if found is None:
            raise Unreadable("a backtick is not closed")
        self._at = found.end()
        inner = re.sub(r"\\([`\\$])", r"\1", found[1])
        script = type(self)(inner, self._shell, self._depth + 1).script("")
        if self._shell == "fish":
            script.doubts.append("a backtick means nothing to fish")
        word.scripts.append(script)

    def _braces(self, word: Word, is_quoted: bool) -> None:
        """Read `${…}` from behind its bracket; scripts may stand in what replaces the value."""
        self._deeper(1)
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "}":
                self._at += 1
                self._deeper(-1)
                return
            inner = Word()
            if character == "'" and is_quoted:
                self._at += 1
            elif character == "\\" or character not in "'\"$`":
                self._at += 2 if character == "\\" else 1
            elif character in "$`":
                self._expansion(inner, is_quoted)
            else:
                self._character(inner, character)
            word.scripts += inner.scripts
        raise Unreadable("${ is not closed")

    def _ansi(self) -> None:
        found = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL).match(self._text, self._at)
        if found is None:
            raise Unreadable("a quote $' is not closed")
        self._at = found.end()

    # -- the text --------------------------------------------------------------------------

    def _skip_blanks(self) -> None:
        while self._at < len(self._text):
            if self._text[self._at] in _BLANKS:
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            else:
                return

    def _deeper(self, levels: int) -> None:
        self._depth += levels
        if self._depth > MAX_DEPTH:
            raise Unreadable("too many scripts lie within each other")
