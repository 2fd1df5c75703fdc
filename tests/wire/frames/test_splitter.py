"""Frames are cut out of a stream of bytes however it comes, and what is too large is refused before it has come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import BodyTooLarge, MalformedBody
from cellar.wire.frames.layout import HEADER
from cellar.wire.frames.splitter import FrameSplitter
from tests.wire.frames.test_frames import ANSWERS, FRAME, changed


@given(st.lists(st.integers(1, 200), max_size=30))
def test_frames_are_found_however_they_are_cut(sizes: list[int]) -> None:
    splitter, stream = FrameSplitter(1000), FRAME + ANSWERS + FRAME
    found: list[bytes] = []
    for size in [*sizes, len(stream)]:
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    splitter.end()
    assert found == [FRAME, ANSWERS, FRAME]


def test_a_stream_may_not_end_inside_a_frame() -> None:
    for size in range(1, len(FRAME)):
        splitter = FrameSplitter(1000)
        assert [*splitter.feed(FRAME[:size])] == []
        with pytest.raises(MalformedBody):
            splitter.end()


def test_a_size_over_the_limit_is_refused_before_a_byte_of_it_has_come() -> None:
    for offset in (8, 12, 16):
        with pytest.raises(BodyTooLarge):
            [*FrameSplitter(1000).feed(changed(offset, "I", 2**32 - 1)[: HEADER.size])]
    splitter = FrameSplitter(len(FRAME))
    assert [*splitter.feed(FRAME)] == [FRAME]


def test_what_is_no_frame_is_refused_at_its_header() -> None:
    with pytest.raises(MalformedBody):
        [*FrameSplitter(1000).feed(b'{"session": "s", "inputs": [1]}\n')]


def test_whole_frames_come_before_the_fault_behind_them() -> None:
    found = FrameSplitter(1000).feed(FRAME + changed(4, "B", 2))
    assert next(found) == FRAME
    with pytest.raises(MalformedBody):
        next(found)


def test_a_frame_has_a_bounded_number_of_records() -> None:
    with pytest.raises(BodyTooLarge, match="4096 records"):
        [*FrameSplitter(1 << 30).feed(changed(8, "I", 4097)[: HEADER.size])]
