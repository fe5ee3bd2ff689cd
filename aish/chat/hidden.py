"""Characters that hide or turn text around, shown in the input for what they are."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from backends.cleaning import clean


class ShowHidden(Processor):
    """Show `<202e>` for what a terminal must not get; the cursor stays where it belongs."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Return the line as it is shown."""
        fragments = transformation_input.fragments
        if all(fragment[1].isascii() for fragment in fragments):
            return Transformation(fragments)
        shown: StyleAndTextTuples = []
        widths: list[int] = []
        before = ""
        for style, text, *_ in fragments:
            for character in text:
                new = visible(character, before)
                shown.append((style, new))
                widths.append(len(new))
                before = character
        starts = list(accumulate(widths, initial=0))

        def to_display(position: int) -> int:
            beyond = max(position - len(widths), 0)
            return starts[min(position, len(widths))] + beyond

        def to_source(position: int) -> int:
            beyond = max(position - starts[-1], 0)
            return min(bisect_right(starts, position) - 1, len(widths)) + beyond

        return Transformation(shown, to_display, to_source)


def visible(character: str, before: str) -> str:
    """Return a character, or its number where it is not to be seen after the one before.

    What marks control characters is prompt_toolkit's own.
    """
    if character < "\xa0":
        return character
    is_seen = clean(before + character).endswith(character) and not "\ud800" <= character < "\ue000"
    return character if is_seen else f"<{ord(character):04x}>"
