"""Lines of a stream, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import BodyTooLarge
from cellar.wire.json.lines import LineSplitter


@given(st.lists(st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")), max_size=8), st.integers(1, 40))
def test_lines_are_found_however_they_are_cut(lines: list[bytes], size: int) -> None:
    splitter, stream = LineSplitter(20), b"".join(line + b"\n" for line in lines)
    found = [line for at in range(0, len(stream), size) for line in splitter.feed(stream[at : at + size])]
    assert found == lines
    assert splitter.end() == []


@pytest.mark.parametrize("size", [1, 3, 100])
@pytest.mark.parametrize("stream", [b"ab\n" + b"x" * 21, b"ab\n" + b"x" * 21 + b"\ncd\n"])
def test_a_line_that_is_too_long_is_refused_behind_the_others(size: int, stream: bytes) -> None:
    splitter = LineSplitter(20)
    found = (line for at in range(0, len(stream), size) for line in splitter.feed(stream[at : at + size]))
    assert next(found) == b"ab"
    with pytest.raises(BodyTooLarge, match="20 bytes"):
        next(found)


def test_the_last_line_needs_no_newline() -> None:
    splitter = LineSplitter(20)
    assert [*splitter.feed(b"a\nb")] == [b"a"]
    assert splitter.end() == [b"b"]
    assert [*splitter.feed(b" ")] == []
    assert splitter.end() == []
