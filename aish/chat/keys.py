"""The keys of a chat that prompt_toolkit does not know by itself."""

from __future__ import annotations

from typing import Protocol

from prompt_toolkit.application.current import get_app
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, get_common_complete_suffix
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyBindingsBase, merge_key_bindings
from prompt_toolkit.key_binding.bindings.auto_suggest import load_auto_suggest_bindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys


class Reacts(Protocol):
    """Who does what the keys say."""

    @property
    def is_typed_ahead(self) -> bool:
        """Whether a key was typed while a command had the terminal, which made its Enter Ctrl-J."""

    def interrupt(self) -> None:
        """Ctrl-C."""

    def leave(self) -> None:
        """Ctrl-D where nothing is typed."""

    def suspend(self) -> None:
        """Ctrl-Z."""

    def clear(self) -> None:
        """Ctrl-L."""

    def open_editor(self) -> None:
        """Ctrl-X Ctrl-E."""

    def paste(self, text: str) -> None:
        """A paste that the terminal has marked as one."""


def bindings(chat: Reacts) -> KeyBindingsBase:
    """Return the keys of a chat."""
    keys = KeyBindings()
    is_typing = ~is_searching
    is_empty = Condition(lambda: not get_app().current_buffer.text)

    @keys.add("enter", filter=is_typing)
    def _enter(event: KeyPressEvent) -> None:
        _send(event.current_buffer)

    @keys.add("tab", filter=is_typing)
    def _tab(event: KeyPressEvent) -> None:
        _complete(event.current_buffer)

    @keys.add("escape", "enter", filter=is_typing)
    @keys.add("c-j", filter=is_typing)
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-j", filter=is_typing & Condition(lambda: chat.is_typed_ahead))
    def _enter_of_before(event: KeyPressEvent) -> None:
        _send(event.current_buffer)

    @keys.add("c-c", filter=is_typing)
    @keys.add("<sigint>")
    def _interrupt(event: KeyPressEvent) -> None:
        del event
        chat.interrupt()

    @keys.add("c-d", filter=is_empty & is_typing)
    def _leave(event: KeyPressEvent) -> None:
        del event
        chat.leave()

    @keys.add("c-z")
    def _suspend(event: KeyPressEvent) -> None:
        del event
        chat.suspend()

    @keys.add("c-l")
    def _clear(event: KeyPressEvent) -> None:
        del event
        chat.clear()

    @keys.add("c-x", "c-e", filter=is_typing)
    def _open_editor(event: KeyPressEvent) -> None:
        del event
        chat.open_editor()

    @keys.add(Keys.BracketedPaste, filter=is_typing)
    def _paste(event: KeyPressEvent) -> None:
        chat.paste(event.data)

    return merge_key_bindings([load_auto_suggest_bindings(), keys])


def _send(buffer: Buffer) -> None:
    """Send what is typed, or take what was chosen, or begin a new line after a backslash."""
    menu = buffer.complete_state
    if menu and menu.current_completion and len(menu.completions) > 1:
        buffer.complete_state = None
        return
    if buffer.text.endswith("\\") and buffer.document.is_cursor_at_the_end:
        buffer.delete_before_cursor()
        buffer.insert_text("\n")
        return
    buffer.validate_and_handle()


def _complete(buffer: Buffer) -> None:
    """Take the only thing that may follow, or what all that may begin with, or choose one."""
    menu = buffer.complete_state
    if menu and len(menu.completions) > 1:
        buffer.complete_next()
        return
    buffer.complete_state = None
    asked = CompleteEvent(completion_requested=True)
    found = list(buffer.completer.get_completions(buffer.document, asked))
    if len(found) == 1:
        buffer.apply_completion(found[0])
    elif found:
        common = get_common_complete_suffix(buffer.document, found)
        if common:
            buffer.insert_text(common)
        buffer.start_completion()
