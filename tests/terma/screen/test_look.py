"""Rows of cells, and the sequences that make a terminal write like them."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from terma.screen.look import ATTRIBUTES, PLAIN, CellRow, Look, joined, printable
from tests.terma.screen.recorded import ENGINES

_colours = st.one_of(
    st.none(),
    st.integers(0, 255).map(str),
    st.tuples(*[st.integers(0, 255)] * 3).map(lambda rgb: "#{:02x}{:02x}{:02x}".format(*rgb)),
)


@st.composite
def looks(draw: st.DrawFn) -> Look:
    chosen = draw(st.sets(st.sampled_from(sorted(ATTRIBUTES))))
    attributes = tuple(name for name in ATTRIBUTES if name in chosen)
    return Look(
        foreground=draw(_colours),
        background=draw(_colours),
        attributes=attributes,
        underline=draw(st.integers(1, 5)) if "underline" in chosen else 0,
        underline_colour=draw(_colours) if "underline" in chosen else None,
    )


@given(st.lists(st.tuples(st.text("ab c", min_size=1, max_size=8), looks()), max_size=8))
@settings(max_examples=60)
def test_every_look_is_read_back_by_every_engine(cells: list[tuple[str, Look]]) -> None:
    spans = joined(cells)
    written = "".join(look.sgr() + text for text, look in spans).encode()
    expected = CellRow(spans=spans).row()
    for kind in ENGINES:
        engine = kind(80, 4, 0)
        engine.feed(written)
        assert engine.show().lines[0] == expected, kind.NAME
        engine.close()


@given(st.text())
def test_what_cells_hold_is_shown_without_controls(text: str) -> None:
    shown = printable(text)
    assert "\n" not in shown
    assert not any(ord(sign) < 0x20 or 0x7F <= ord(sign) < 0xA0 for sign in shown)
    assert not any(sign in shown for sign in "\u202e\u2066\u200b\u2028\u2029")


def test_blanks_at_the_end_are_left_out_unless_they_show() -> None:
    blue = Look(background="4")
    bold = Look(attributes=("bold",))
    assert CellRow((("ab  ", PLAIN), ("   ", bold))).row() == CellRow((("ab", PLAIN),)).row()
    row = CellRow((("ab", PLAIN), ("  ", blue))).row()
    assert [run.text for run in row.runs] == ["ab", "  "]


def test_a_blank_goes_with_what_is_before_where_nobody_could_tell() -> None:
    bold = Look(attributes=("bold",))
    row = CellRow((("a", bold), ("  ", PLAIN), ("b", bold))).row()
    assert [run.text for run in row.runs] == ["a  b"]
    linked = Look(link="http://a.example")
    row = CellRow((("a", PLAIN), (" b", linked))).row()
    assert [run.text for run in row.runs] == ["a", " b"]
