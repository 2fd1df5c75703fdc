"""gzip, decoded piece by piece."""

import gzip
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellar.errors import MalformedBody
from cellar.wire.gzipped import PIECE_BYTES, Gunzip, compress

TEXT = b"0.125, " * 1000
ONE = gzip.compress(TEXT, mtime=0)  # a time of its own in each process would name the tests anew


def gunzip(*pieces: bytes) -> bytes:
    """Return what the pieces decode to, as one stream."""
    decoder = Gunzip()
    found = b"".join(part for piece in pieces for part in decoder.feed(piece))
    decoder.end()
    return found


@given(st.lists(st.binary(max_size=100), min_size=1, max_size=4), st.integers(1, 50))
def test_members_are_decoded_however_they_are_cut(texts: list[bytes], size: int) -> None:
    stream = b"".join(map(gzip.compress, texts))
    assert gunzip(*(stream[at : at + size] for at in range(0, len(stream), size))) == b"".join(texts)


def test_every_truncation_is_refused() -> None:
    for size in range(len(ONE)):
        with pytest.raises(MalformedBody):
            gunzip(ONE[:size])


@pytest.mark.parametrize("stream", [ONE + b"x", ONE + b"\0", b"x" + ONE, TEXT, ONE[:40] + b"\xff" * 40])
def test_garbage_is_refused(stream: bytes) -> None:
    with pytest.raises(MalformedBody):
        gunzip(stream)
    with pytest.raises(MalformedBody):
        gunzip(*(stream[at : at + 1] for at in range(len(stream))))


@given(st.binary(max_size=200))
def test_random_bytes_are_decoded_or_refused(noise: bytes) -> None:
    with suppress(MalformedBody):
        gunzip(noise)
    with suppress(MalformedBody):
        gunzip(ONE[:20] + noise)


def test_a_bomb_goes_off_only_as_far_as_it_is_asked_to() -> None:
    pieces = Gunzip().feed(gzip.compress(bytes(64 * 1024 * 1024)))
    assert len(next(pieces)) == len(next(pieces)) == PIECE_BYTES


def test_equal_data_are_equal_bytes() -> None:
    assert compress(TEXT) == compress(TEXT)
    assert gzip.decompress(compress(TEXT)) == TEXT
