"""Shell text taken apart: simple commands, their words, and the scripts inside of them.

It reads what bash, zsh and fish have in common with POSIX (XCU chapter 2), and more of it than any
one of them would: the aim is to find every command that might run, not to run it. Words of the
grammar (`if`, `do`, `{` …) are passed over wherever a command may begin. What is legal in one
shell only, or read in different ways, is told in `Script.doubts`.
"""

from __future__ import annotations

import re

from aish.do.words import ARITHMETIC, Command, Redirection, Script, Unreadable, Word, WordReader

KEYWORDS = frozenset(
    "if then else elif fi while until do done esac { } ! begin end and or not coproc always".split()
)
_OPERATOR = re.compile(r";;&|;;|;&|;|&&|&!|&\||&|\|\||\|&|\||\n")
_REDIRECTION = re.compile(r"&>>|&>|<<<|<<-|<<|<&|<>|>>|>[|!?]|>&|>|<")
_FOR_ARITHMETIC = re.compile(r"\(\([^()`'\"\\\n$]*\)\)")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*(?:\[[^\]]*\])?\+?=")
_TIME_OPTION = re.compile(r"[ \t]+(?:-p(?=\s)|(?!-))")
_NUMBERED = re.compile(r"[0-9]+[<>]")


def read_script(text: str, shell: str, depth: int = 0) -> Script:
    """Take a text apart as one of the shells would: `bash`, `zsh` or `fish`.

    Raises:
        Unreadable: A quote or bracket is not closed, or too many lie within each other.
    """
    reader = _Reader(text, shell, depth)
    return reader.script("")


class _Reader(WordReader):
    """Reads the commands of a text from its beginning to its end."""

    def __init__(self, text: str, shell: str, depth: int) -> None:
        super().__init__(text, shell, depth)
        self._documents: list[tuple[Command, Word, bool]] = []
        self._cases = 0

    # -- commands --------------------------------------------------------------------------

    def script(self, closer: str) -> Script:
        """Read to the end, or past the bracket that closes."""
        self._deeper(1)
        cases, self._cases = self._cases, 0
        script = Script()
        command = Command()
        while True:
            self._skip_blanks()
            if self._at >= len(self._text):
                if closer:
                    raise Unreadable("a bracket is not closed")
                _finish(script, command)
                break
            if closer and self._text.startswith(closer, self._at):
                if not self._ends_pattern(script, command):
                    self._at += 1
                    _finish(script, command)
                    break
                command = Command()
            elif self._text[self._at] == ")":
                if not self._ends_pattern(script, command):
                    raise Unreadable("a bracket is closed that was never opened")
                command = Command()
            else:
                command = self._next(script, command)
        self._deeper(-1)
        self._cases = cases
        return script

    def _next(self, script: Script, command: Command) -> Command:
        """Read what comes next of a command; returns the command that is read after it."""
        if self._text[self._at] == "#":
            self._comment(script)
        elif self._text.startswith(("<(", ">("), self._at):
            self._word(script, command)
        elif found := _REDIRECTION.match(self._text, self._at):
            self._redirection(found[0], command, script)
        elif found := _OPERATOR.match(self._text, self._at):
            return self._operator(found[0], script, command)
        elif self._text[self._at] == "(":
            self._bracket(script, command)
        else:
            self._word(script, command)
        return command

    def _operator(self, operator: str, script: Script, command: Command) -> Command:
        self._at += len(operator)
        is_background = operator in ("&", "&!", "&|")
        if command.is_empty() and script.commands:
            script.commands[-1].is_background |= is_background  # as in `done &`
        command.is_background = is_background
        _finish(script, command)
        if operator == "\n":
            self._read_documents()
        following = Command()
        if operator in ("|", "|&"):
            following.before = command
        return following

    def _ends_pattern(self, script: Script, command: Command) -> bool:
        """Pass over the `)` of a `case`, and tell whether it was one."""
        if not self._cases or len(command.words) > 1 or command.redirections:
            return False
        self._at += 1
        command.is_pattern = True
        _finish(script, command)
        return True

    def _bracket(self, script: Script, command: Command) -> None:
        """Read what begins with `(`: arithmetic, a function's mark, or a script."""
        name = command.words[0].text if command.words else ""
        pattern = _FOR_ARITHMETIC if name == "for" else ARITHMETIC
        can_count = self._shell in ("bash", "zsh") and name in ("", "for")
        if can_count and (found := pattern.match(self._text, self._at)):
            self._at = found.end()
            self._substitutions(found[0], script, command)
            return
        self._at += 1
        if len(command.words) == 1 and self._shell != "fish" and self._closes_at_once():
            script.functions.add(name)
            command.words.clear()
            return
        if (command.words or command.assignments) and self._shell != "fish":
            script.doubts.append("a bracket stands among the words of a command")
        self._take(self.script(")"), script, command)

    def _closes_at_once(self) -> bool:
        found = re.compile(r"[ \t]*\)").match(self._text, self._at)
        if found:
            self._at = found.end()
        return bool(found)

    def _substitutions(self, text: str, script: Script, command: Command) -> None:
        """Read the scripts in a text that is otherwise not made of commands."""
        word = _Reader(text, self._shell, self._depth).quoted("")
        for inner in word.scripts:
            self._take(inner, script, command)

    def _take(self, inner: Script, script: Script, command: Command) -> None:
        command.scripts.append(inner)
        script.functions |= inner.functions
        script.doubts += inner.doubts

    def _comment(self, script: Script) -> None:
        """Pass over a comment; zsh runs what stands behind a `#` that is typed."""
        end = self._text.find("\n", self._at)
        end = len(self._text) if end < 0 else end
        comment = self._text[self._at : end].lstrip("#")
        self._at = end
        if self._shell == "zsh" and re.search(r"[;&|`$(<>'\"\\\\]", comment):
            script.doubts.append("zsh may run what stands in a comment")

    # -- redirections ----------------------------------------------------------------------

    def _redirection(self, operator: str, command: Command, script: Script) -> None:
        self._at += len(operator)
        self._skip_blanks()
        target = self.word(script)
        if operator in ("<<", "<<-"):
            self._documents.append((command, target, operator == "<<-"))
        elif operator == "<<<":
            command.input.append(target)
        command.redirections.append(Redirection(operator, target))
        for inner in target.scripts:
            self._take(inner, script, command)

    def _read_documents(self) -> None:
        """Read the here-documents that begin on this line."""
        for command, mark, strips in self._documents:
            lines: list[str] = []
            while self._at < len(self._text):
                line, _, _ = self._text[self._at :].partition("\n")
                self._at += len(line) + 1
                if (line.lstrip("\t") if strips else line) == mark.text:
                    break
                lines.append(line)
            body = "\n".join(lines)
            word = Word(body)
            if not mark.is_quoted:
                word = _Reader(body, self._shell, self._depth).quoted("")
                command.scripts += word.scripts
            command.input.append(word)
        self._documents.clear()
        self._at = min(self._at, len(self._text))

    # -- words -----------------------------------------------------------------------------

    def _word(self, script: Script, command: Command) -> None:
        """Read a word and give it its place in the command."""
        start = self._at
        word = self.word(script)
        if _NUMBERED.fullmatch(self._text[start : self._at + 1]):
            return  # the number of what is redirected
        if self._at == start:
            raise Unreadable(f"{self._text[start]!r} stands where no word can")
        for inner in word.scripts:
            self._take(inner, script, command)
        if not command.words:
            if self._is_keyword(word):
                self._cases -= word.text == "esac" and self._cases > 0
                return
            if _ASSIGNMENT.match(self._text, start):
                command.assignments.append(word)
                return
        command.words.append(word)
        self._read_keyword(script, command, word)

    def _is_keyword(self, word: Word) -> bool:
        if word.is_quoted or not word.is_fixed:
            return False
        if word.text == "time":  # with other options it is a program
            found = _TIME_OPTION.match(self._text, self._at)
            self._at = found.end() if found else self._at
            return found is not None
        return word.text in KEYWORDS

    def _read_keyword(self, script: Script, command: Command, word: Word) -> None:
        first = command.words[0]
        if first.is_quoted or not first.is_fixed:
            return
        if first.text == "function" and len(command.words) == 2:
            script.functions.add(word.text)
            command.words.clear()
            self._skip_blanks()
            if self._text.startswith("(", self._at):
                self._at += 1
                self._closes_at_once()
        elif first.text == "case" and word.text == "in" and len(command.words) == 3:
            self._cases += 1
            command.words.clear()
        elif first.text in ("[[", "test", "["):
            command.is_pattern = True


def _finish(script: Script, command: Command) -> None:
    if not command.is_empty():
        script.commands.append(command)
