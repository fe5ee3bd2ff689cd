"""Frames arrive whole however they are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terma.ptyhost import frames
from terma.ptyhost.frames import FrameError, Splitter


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50))),
    st.lists(st.integers(1, 40)),
)
def test_frames_come_out_as_they_went_in(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frames.frame(kind, payload) for kind, payload in sent)
    splitter, got = Splitter(1000), []
    for cut in cuts:
        got += splitter.split(stream[:cut])
        stream = stream[cut:]
    got += splitter.split(stream)
    assert got == sent


@pytest.mark.parametrize("head", [b"\0\0\0\0", b"\0\0\x03\xea", b"\xff\xff\xff\xff"])
def test_a_length_that_no_frame_has_is_refused(head: bytes) -> None:
    with pytest.raises(FrameError):
        Splitter(1000).split(head + b"\x01")


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"\xff", b"[" * 200_000])
def test_what_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError):
        frames.fields_of(payload)
