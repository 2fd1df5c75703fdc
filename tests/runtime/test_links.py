"""Digests of long sequences are the same in machine code and in Python, and fit what hashlib says."""

import threading
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellar.engine import KernelCache
from cellar.errors import CompileFailed
from cellar.ports import DIGEST_BYTES
from cellar.runtime.links import FEWEST, Call, Links, links_text

DIGEST = bytes(range(DIGEST_BYTES))


def by_hashlib(digest: bytes, data: bytes, count: int) -> bytes:
    size = len(data) // count
    for start in range(0, len(data), size):
        digest = blake2b(digest + data[start : start + size], digest_size=DIGEST_BYTES).digest()
    return digest


@pytest.fixture(scope="module")
def kernel(kernel_directory: Path) -> Call:
    """Return the compiled links."""
    return KernelCache(kernel_directory).load([links_text()])[0]


def compiled(kernel: Call) -> Links:
    """Return links that have their kernel."""
    links = Links()
    links.compile_with(lambda _: kernel)
    links.after(DIGEST, bytes(4 * FEWEST), FEWEST)
    for thread in threading.enumerate():
        if thread.name == "load the links":
            thread.join()
    return links


@pytest.mark.parametrize("size", [4, 108, 112, 116, 124, 128, 236, 240, 244, 368, 1024])
def test_links_of_any_size_are_blake2b(kernel: Call, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block has 128 bytes, 16 of them for the digest: sizes around one, two and three blocks, and many."""
    data = bytes(index * index % 251 for index in range(size * FEWEST))
    expected = by_hashlib(DIGEST, data, FEWEST)
    assert Links().after(DIGEST, data, FEWEST) == expected
    links = compiled(kernel)
    monkeypatch.setattr("cellar.runtime.links.blake2b", None)  # it is the kernel that answers
    assert links.after(DIGEST, data, FEWEST) == expected
    assert links.each(DIGEST, data, FEWEST)[-DIGEST_BYTES:] == expected


@settings(max_examples=30)
@given(digest=st.binary(min_size=16, max_size=16), part=st.binary(min_size=1, max_size=300), more=st.integers(0, 40))
def test_any_bytes_have_the_digest_of_blake2b(kernel: Call, digest: bytes, part: bytes, more: int) -> None:
    count = FEWEST + more
    data = bytes((byte + index) % 256 for index in range(count) for byte in part)
    links = compiled(kernel)
    assert links.after(digest, data, count) == by_hashlib(digest, data, count)
    each = [by_hashlib(digest, data[: len(part) * some], some) for some in range(1, count + 1)]
    assert Links().each(digest, data, count) == links.each(digest, data, count) == b"".join(each)


def test_a_kernel_that_cannot_be_compiled_is_done_without(caplog: pytest.LogCaptureFixture) -> None:
    tried = threading.Event()

    def fail(_: str) -> Call:
        tried.set()
        raise CompileFailed("no compiler")

    links = Links()
    links.compile_with(fail)
    data = bytes(8 * FEWEST)
    for _ in range(2):
        assert links.after(DIGEST, data, FEWEST) == by_hashlib(DIGEST, data, FEWEST)
    for thread in threading.enumerate():
        if thread.name == "load the links":
            thread.join()
    assert tried.is_set()
    assert "no compiler" in caplog.text


def test_few_links_ask_for_no_kernel() -> None:
    links = Links()
    links.compile_with(lambda _: pytest.fail("not for so few"))
    data = bytes(4 * (FEWEST - 1))
    assert links.after(DIGEST, data, FEWEST - 1) == by_hashlib(DIGEST, data, FEWEST - 1)
    assert "load the links" not in [thread.name for thread in threading.enumerate()]
