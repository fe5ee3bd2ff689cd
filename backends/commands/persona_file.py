"""The file that makes a CI of the user's own, or changes one that comes with Tekton."""

from __future__ import annotations

import dataclasses
import difflib
import time
from collections.abc import Mapping
from typing import Any

from backends.commands import editor
from backends.console import complain, say
from backends.errors import ConfigError, NotFound, StorageError, UsageError
from backends.paths import Paths, private_folder
from backends.personas import Persona, built_in_personas, check_name, load_personas, read_persona

_WAIT_S = 3.0


class PersonaFile:
    """One CI's file, which may be there or not; a running hub takes up what changes in it.

    Raises:
        UsageError: No CI with a persona can have that name.
    """

    def __init__(self, name: str, paths: Paths) -> None:
        self.name = check_name(name)
        self.path = paths.personas / f"{name}.toml"
        self.built_in = built_in_personas().get(name)
        self._paths = paths

    @property
    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    @property
    def origin(self) -> str:
        """Where the CI comes from: `built-in`, `changed`, `own`; `removed`, or `broken`."""
        try:
            if not self.persona().is_enabled:
                return "removed"
        except ConfigError:
            return "broken"
        if self.built_in is None:
            return "own"
        return "changed" if self.exists else "built-in"

    def persona(self) -> Persona:
        """Return the persona as it counts, removed or not.

        Raises:
            ConfigError: With file, line and what is wrong.
            NotFound: No CI has that name; the hint has the nearest names.
        """
        if not self.exists:
            if self.built_in is None:
                raise self._not_found()
            return self.built_in
        try:
            return read_persona(self.path, self.built_in or Persona())
        except ConfigError as error:
            error.hint = f"`tekton ci edit {self.name}` opens it"
            raise

    def change(self, changes: Mapping[str, Any]) -> None:
        """Set some of the settings; all else in the file stays as it is, its comments too.

        Raises:
            ConfigError: The file is not valid as it is now.
        """
        import tomlkit

        from backends.commands.toml import text_item

        before = self.persona() if self.exists else self.built_in
        document = tomlkit.parse(editor.read_file(self.path) or b"")
        for key, value in changes.items():
            document[key] = text_item(value) if isinstance(value, str) else value
        if changes.get("is_enabled"):
            del document["is_enabled"]  # that is what it is where nothing is said
        text = tomlkit.dumps(document).encode()
        is_needless = self.built_in is not None and not text.strip()
        self._put(None if is_needless else text, before)

    def edit(self) -> None:
        """Let the user edit it; a draft that is not valid is not taken.

        Raises:
            ConfigError: The draft is not valid, and the user gave up.
            NotFound: No CI has that name.
        """
        before = None if self.origin == "broken" else self.persona()
        text = editor.read_file(self.path)
        if text is None:
            text = written(self.persona()).encode()
        base = self.built_in or Persona()
        after = editor.edit(self.path, text, lambda draft: read_persona(draft, base))
        if after == text:
            say("nothing was changed")
        else:
            self._put(after, before)

    def remove(self) -> None:
        """Remove a CI: the file of one of the user's own, or write that a built-in is off.

        Raises:
            NotFound: No CI has that name, or it is removed already.
        """
        if self.built_in is None:
            if not self.exists:
                raise self._not_found()
            self._put(None, None if self.origin == "broken" else self.persona())
            return
        back = f"`tekton ci edit {self.name} --enable` brings it back"
        if not self.persona().is_enabled:
            raise NotFound(f"{self.name!r} is removed already", back)
        self.change({"is_enabled": False})
        say(back)

    def reset(self) -> None:
        """Remove the user's changes to a CI that is built in.

        Raises:
            NotFound: No CI has that name.
            UsageError: It is one of the user's own.
        """
        if self.built_in is None:
            if not self.exists:
                raise self._not_found()
            raise UsageError(
                f"{self.name!r} is your own: there is nothing to go back to",
                f"`tekton ci remove {self.name}` removes it",
            )
        self._put(None, None if self.origin == "broken" else self.persona())

    def _put(self, text: bytes | None, before: Persona | None) -> None:
        """Write the file, or remove it, and tell when a running hub has taken that up."""
        from backends.hub_record import is_locked
        from backends.registry import Registry

        record = Registry(self._paths.registry).find(self.name, is_ci=True)
        since = record.started_at if record else None
        private_folder(self._paths.config, may_be_link=True)
        if text is not None:
            editor.write_file(self.path, text)
        else:
            try:
                self.path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"cannot remove {self.path}: {error.strerror}") from error
        after = load_personas(self._paths.personas, lambda _, error: complain(error)).get(self.name)
        if before is not None and not before.is_enabled:
            before = None
        if after == before:
            say(f"{self.name} is as it was")
        elif not is_locked(self._paths):
            say("no hub is running: it counts from the next `tekton up`")
        else:
            self._follow_hub(since, is_wanted=after is not None)

    def _follow_hub(self, since: float | None, is_wanted: bool) -> None:
        """Wait until the hub has started the CI anew, or ended it, and say so."""
        from backends.registry import Registry

        registry = Registry(self._paths.registry)
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            record = registry.find(self.name, is_ci=True)
            if record is None and not is_wanted:
                say(f"{self.name} is gone")
                return
            if record and is_wanted and record.started_at != since:
                model = record.model
                say(
                    f"{self.name} is up "
                    + (f"with model {model}" if model else f"without a model: {record.note}")
                )
                return
            time.sleep(0.05)
        say(f"the hub has not taken it up within {_WAIT_S:g} s; `tekton logs` tells more")

    def _not_found(self) -> NotFound:
        known = [*built_in_personas(), *(file.stem for file in self._paths.personas.glob("*.toml"))]
        close = difflib.get_close_matches(self.name, known, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        hint = f"{meant}`tekton ci list` shows all, `tekton ci add {self.name}` makes it"
        return NotFound(f"no CI named {self.name!r}", hint)


def written(persona: Persona) -> str:
    """Write a persona as a file has it, what is not set as a comment."""
    from backends.commands.toml import text_item, value_text

    fields = dataclasses.asdict(persona)
    system = fields.pop("system")
    if fields["is_enabled"]:
        del fields["is_enabled"]
    unset = ", ".join(name for name, value in fields.items() if value is None)
    lines = [f"{name} = {value_text(value)}" for name, value in fields.items() if value is not None]
    lines += [f"# not set: {unset}"] if unset else []
    return "\n".join([*lines, f"system = {text_item(system).as_string()}"]) + "\n"


def persona_files(paths: Paths) -> list[PersonaFile]:
    """Return every CI that is built in or has a file, by name.

    A file with a name that no CI can have is told of and left out.
    """
    names = built_in_personas().keys() | {file.stem for file in paths.personas.glob("*.toml")}
    found = []
    for name in sorted(names):
        try:
            found.append(PersonaFile(name, paths))
        except UsageError as error:
            complain(error)
    return found
